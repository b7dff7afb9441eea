//! One message as bytes.

use super::exchange::ExchangeId;
use crate::wire::{Malformed, Reader, varint};
use alloc::vec::Vec;

/// What front end and job handler say.
///
/// ```text
/// open     0x11 | exchange | flags 1 | credit | bytes ...     flags: 1 end, 2 HEAD, 4 fresh
/// part     0x12 | exchange | flags 1 | bytes ...              flags: 1 end
/// credit   0x13 | exchange | bytes in all
/// failed   0x14 | exchange | why 1
/// abort    0x15 | exchange
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message<'a> {
    /// A request begins. From the front end.
    Open {
        /// Which exchange.
        exchange: ExchangeId,
        /// It is whole with this.
        is_end: bool,
        /// Its response has no body.
        is_head: bool,
        /// Not on a connection that has served others.
        is_fresh: bool,
        /// Bytes of the response that may be sent.
        credit: u64,
        /// Head and as much of the body as there is.
        bytes: &'a [u8],
    },
    /// More of the request, or of the response.
    Part {
        /// Which exchange.
        exchange: ExchangeId,
        /// It is whole with this.
        is_end: bool,
        /// The bytes; none only at the end.
        bytes: &'a [u8],
    },
    /// More may be sent.
    Credit {
        /// Which exchange.
        exchange: ExchangeId,
        /// Bytes in all since its beginning.
        total: u64,
    },
    /// There will be no (whole) response. From the handler.
    Failed {
        /// Which exchange.
        exchange: ExchangeId,
        /// Why.
        why: Why,
    },
    /// Nobody waits any more. From the front end.
    Abort {
        /// Which exchange.
        exchange: ExchangeId,
    },
}

/// Why there is no response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Why {
    /// The service accepts no connection: nothing was executed.
    Refused = 0,
    /// It ended without a byte.
    Reset = 1,
    /// A connection that had served others ended without a byte.
    Stale = 2,
    /// The response cannot be read.
    Nonsense = 3,
    /// The handler takes no more: nothing was executed.
    Busy = 4,
    /// It ended within its response.
    Cut = 5,
}

impl Why {
    /// All of them.
    pub const ALL: [Why; 6] = [Why::Refused, Why::Reset, Why::Stale, Why::Nonsense, Why::Busy, Why::Cut];
}

impl<'a> Message<'a> {
    /// Reads a message. Errors: `Malformed` for everything that [`Message::put`] does not write.
    #[inline]
    pub fn read(bytes: &'a [u8]) -> Result<Message<'a>, Malformed> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u8()?;
        let exchange = ExchangeId::from_wire(reader.varint_u32()?);
        match kind {
            OPEN => {
                let flags = reader.u8()?;
                let credit = reader.varint()?;
                if flags & !(END | HEAD | FRESH) != 0 || reader.is_empty() {
                    return Err(Malformed);
                }
                Ok(Message::Open {
                    exchange,
                    is_end: flags & END != 0,
                    is_head: flags & HEAD != 0,
                    is_fresh: flags & FRESH != 0,
                    credit,
                    bytes: reader.rest(),
                })
            }
            PART => {
                let flags = reader.u8()?;
                let (is_end, bytes) = (flags & END != 0, reader.rest());
                if flags & !END != 0 || bytes.is_empty() && !is_end {
                    return Err(Malformed);
                }
                Ok(Message::Part { exchange, is_end, bytes })
            }
            CREDIT => end(reader.varint().map(|total| Message::Credit { exchange, total })?, &reader),
            FAILED => {
                let why = usize::from(reader.u8()?);
                let why = *Why::ALL.get(why).ok_or(Malformed)?;
                end(Message::Failed { exchange, why }, &reader)
            }
            ABORT => end(Message::Abort { exchange }, &reader),
            _ => Err(Malformed),
        }
    }

    /// Appends the message; of an open or a part without bytes what comes before them, so that they can be written behind it.
    #[inline]
    pub fn put(&self, out: &mut Vec<u8>) {
        match *self {
            Message::Open { exchange, is_end, is_head, is_fresh, credit, bytes } => {
                begin(OPEN, exchange, out);
                let flags = [(is_end, END), (is_head, HEAD), (is_fresh, FRESH)];
                out.push(flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum());
                varint::put(out, credit);
                out.extend_from_slice(bytes);
            }
            Message::Part { exchange, is_end, bytes } => {
                begin(PART, exchange, out);
                out.push(if is_end { END } else { 0 });
                out.extend_from_slice(bytes);
            }
            Message::Credit { exchange, total } => {
                begin(CREDIT, exchange, out);
                varint::put(out, total);
            }
            Message::Failed { exchange, why } => {
                begin(FAILED, exchange, out);
                out.push(why as u8);
            }
            Message::Abort { exchange } => begin(ABORT, exchange, out),
        }
    }

    /// Sets the end in a message that was written before it was known.
    pub fn set_end(written: &mut [u8]) {
        let exchange = written.get(1..).and_then(varint::get).map_or(0, |(_, len)| len);
        if let (Some(&(OPEN | PART)), Some(flags)) = (written.first(), written.get(1 + exchange)) {
            let flags = flags | END;
            written[1 + exchange] = flags;
        }
    }

    /// The bytes of an open or a part.
    pub fn bytes(&self) -> &'a [u8] {
        match *self {
            Message::Open { bytes, .. } | Message::Part { bytes, .. } => bytes,
            _ => &[],
        }
    }

    /// The same without its bytes, for when they have been moved elsewhere.
    pub fn without_bytes(self) -> Message<'static> {
        match self {
            Message::Open { exchange, is_end, is_head, is_fresh, credit, .. } => {
                Message::Open { exchange, is_end, is_head, is_fresh, credit, bytes: &[] }
            }
            Message::Part { exchange, is_end, .. } => Message::Part { exchange, is_end, bytes: &[] },
            Message::Credit { exchange, total } => Message::Credit { exchange, total },
            Message::Failed { exchange, why } => Message::Failed { exchange, why },
            Message::Abort { exchange } => Message::Abort { exchange },
        }
    }

    /// Which exchange it is about.
    pub fn exchange(&self) -> ExchangeId {
        match *self {
            Message::Open { exchange, .. }
            | Message::Part { exchange, .. }
            | Message::Credit { exchange, .. }
            | Message::Failed { exchange, .. }
            | Message::Abort { exchange } => exchange,
        }
    }
}

#[inline]
fn begin(kind: u8, exchange: ExchangeId, out: &mut Vec<u8>) {
    out.push(kind);
    varint::put(out, exchange.to_wire().into());
}

fn end<'a>(message: Message<'a>, reader: &Reader<'_>) -> Result<Message<'a>, Malformed> {
    if reader.is_empty() { Ok(message) } else { Err(Malformed) }
}

const OPEN: u8 = 0x11;
const PART: u8 = 0x12;
const CREDIT: u8 = 0x13;
const FAILED: u8 = 0x14;
const ABORT: u8 = 0x15;

const END: u8 = 1;
const HEAD: u8 = 2;
const FRESH: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::HEAD_BYTES_MAX;
    use alloc::vec;
    use proptest::prelude::*;

    fn put(message: &Message<'_>) -> Vec<u8> {
        let mut out = vec![];
        message.put(&mut out);
        out
    }

    #[test]
    fn the_bytes_are_those_of_the_documentation() {
        let exchange = ExchangeId::from_wire(300);
        let open = Message::Open {
            exchange,
            is_end: true,
            is_head: false,
            is_fresh: true,
            credit: 65_536,
            bytes: b"GET",
        };
        assert_eq!(put(&open), [0x11, 0xac, 2, 5, 0x80, 0x80, 4, b'G', b'E', b'T']);
        assert_eq!(put(&Message::Part { exchange, is_end: false, bytes: b"x" }), [0x12, 0xac, 2, 0, b'x']);
        assert_eq!(put(&Message::Credit { exchange, total: 7 }), [0x13, 0xac, 2, 7]);
        assert_eq!(put(&Message::Failed { exchange, why: Why::Busy }), [0x14, 0xac, 2, 4]);
        assert_eq!(put(&Message::Abort { exchange }), [0x15, 0xac, 2]);
    }

    #[test]
    fn what_is_not_written_is_not_read() {
        let cases: [(&str, &[u8]); 12] = [
            ("nothing", &[]),
            ("no exchange", &[0x11]),
            ("an exchange beyond 32 bits", &[0x15, 0xff, 0xff, 0xff, 0xff, 0x1f]),
            ("another version", &[0x21, 1, 0, 0, 1]),
            ("an unknown kind", &[0x16, 1]),
            ("unknown flags of an open", &[0x11, 1, 8, 0, 1]),
            ("an open without bytes", &[0x11, 1, 1, 0]),
            ("unknown flags of a part", &[0x12, 1, 2, 1]),
            ("a part of nothing", &[0x12, 1, 0]),
            ("bytes behind a credit", &[0x13, 1, 7, 7]),
            ("an unknown reason", &[0x14, 1, 6]),
            ("bytes behind an abort", &[0x15, 1, 1]),
        ];
        for (what, bytes) in cases {
            assert_eq!(Message::read(bytes), Err(Malformed), "{what}");
        }
        assert!(Message::read(&[0x12, 1, 1]).is_ok(), "an end may be empty");
    }

    #[test]
    fn an_end_that_is_known_late_is_set_in_place() {
        for exchange in [0, 200, u32::MAX].map(ExchangeId::from_wire) {
            let part = Message::Part { exchange, is_end: false, bytes: b"rest" };
            let mut bytes = put(&part);
            Message::set_end(&mut bytes);
            assert_eq!(Message::read(&bytes), Ok(Message::Part { exchange, is_end: true, bytes: b"rest" }));
        }
    }

    proptest! {
        #[test]
        fn messages_come_back(kind in 0..5, wire: u32, flags in 0u8..8, number: u64, bytes in prop::collection::vec(any::<u8>(), 1..40)) {
            let exchange = ExchangeId::from_wire(wire);
            let [is_end, is_head, is_fresh] = [1, 2, 4].map(|bit| flags & bit != 0);
            let message = match kind {
                0 => Message::Open { exchange, is_end, is_head, is_fresh, credit: number, bytes: &bytes },
                1 => Message::Part { exchange, is_end, bytes: &bytes },
                2 => Message::Credit { exchange, total: number },
                3 => Message::Failed { exchange, why: Why::ALL[number as usize % 6] },
                _ => Message::Abort { exchange },
            };
            let written = put(&message);
            prop_assert_eq!(Message::read(&written), Ok(message));
            prop_assert_eq!(message.exchange(), exchange);
            let mut moved = put(&message.without_bytes());
            moved.extend_from_slice(message.bytes());
            prop_assert_eq!(moved, written.clone());
            prop_assert!(written.len() <= HEAD_BYTES_MAX + bytes.len());
        }
    }
}
