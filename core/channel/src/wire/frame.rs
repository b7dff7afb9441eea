//! Frames: a length, a type, and what they carry.

use super::Code;
use super::packed::{put_text, text};
use crate::id::DeliveryId;
use clustercore_proto::wire::{Malformed, Reader, varint};
use std::fmt;

/// Bytes of the length that precedes each frame on a stream.
pub(super) const LEN_BYTES: usize = 4;

pub(super) mod kind {
    pub const HELLO: u8 = 0x01;
    pub const ASK: u8 = 0x02;
    pub const EMIT: u8 = 0x03;
    pub const PULL: u8 = 0x04;
    pub const ACKNOWLEDGE: u8 = 0x05;
    pub const REJECT: u8 = 0x06;
    pub const WELCOME: u8 = 0x81;
    pub const ANSWER: u8 = 0x82;
    pub const TAKEN: u8 = 0x83;
    pub const CONFIRMED: u8 = 0x84;
    pub const LOST: u8 = 0x85;
    pub const DELIVER: u8 = 0x86;
    pub const DELIVER_TO_ACKNOWLEDGE: u8 = 0x87;
    pub const READABLE: u8 = 0x88;
    pub const WANTED: u8 = 0x89;
    pub const GONE: u8 = 0x8a;
    pub const BYE: u8 = 0x8b;
}

/// What one side says to the other. A handle is the participant's own number for a proxy.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Frame<'a> {
    /// Participant: who I am. The first frame.
    Hello {
        /// Of the protocol.
        version: u64,
        /// The secret that tells who it is; empty for nobody in particular.
        token: &'a str,
        /// Its own name, for people.
        name: &'a str,
    },
    /// Participant: do something, or say something.
    Ask {
        /// Its number for this question.
        request: u64,
        /// A JSON object.
        json: &'a str,
    },
    /// Participant: events for a consumer proxy.
    Emit {
        /// The proxy.
        handle: u64,
        /// The number of the first event: the participant counts those of each proxy.
        first: u64,
        /// How many.
        count: u64,
        /// The events, packed.
        events: &'a [u8],
    },
    /// Participant: I take events from a supplier proxy in pull mode.
    Pull {
        /// The proxy.
        handle: u64,
        /// How many at most.
        max: u32,
    },
    /// Participant: done with these deliveries.
    Acknowledge {
        /// The proxy.
        handle: u64,
        /// Which.
        deliveries: Deliveries<'a>,
    },
    /// Participant: could not deal with these deliveries.
    Reject {
        /// The proxy.
        handle: u64,
        /// Do not try them again.
        is_for_good: bool,
        /// Which.
        deliveries: Deliveries<'a>,
    },
    /// Server: I know you.
    Welcome {
        /// Of the protocol.
        version: u64,
        /// Longest frame that the server takes.
        frame_bytes_max: u64,
        /// Who the participant is to the server.
        principal: &'a str,
    },
    /// Server: to an `Ask`.
    Answer {
        /// The participant's number.
        request: u64,
        /// Whether it was done.
        is_done: bool,
        /// A JSON object: what was asked for, or `error` and `message`.
        json: &'a str,
    },
    /// Server: to an `Emit`. Events behind those taken are not taken.
    Taken {
        /// The proxy.
        handle: u64,
        /// The number of the first event.
        first: u64,
        /// How many were taken.
        count: u64,
        /// Of these, to be confirmed later.
        unwritten: u64,
        /// Why the next was not.
        refusal: Code,
        /// The same in words.
        message: &'a str,
    },
    /// Server: these events are on disk.
    Confirmed {
        /// The proxy.
        handle: u64,
        /// Number of the first.
        first: u64,
        /// How many.
        count: u64,
    },
    /// Server: this event will not be kept.
    Lost {
        /// The proxy.
        handle: u64,
        /// Its number.
        number: u64,
        /// Why.
        refusal: Code,
    },
    /// Server: events. Those to be acknowledged carry a delivery.
    Deliver {
        /// The proxy.
        handle: u64,
        /// Offset of the first event.
        offset: u64,
        /// How many.
        count: u64,
        /// Whether each is to be acknowledged.
        is_acknowledged: bool,
        /// The events with what precedes each, packed.
        events: &'a [u8],
    },
    /// Server: there is something to pull.
    Readable {
        /// The proxy.
        handle: u64,
    },
    /// Server: emit what you have, for a consumer proxy in pull mode.
    Wanted {
        /// The proxy.
        handle: u64,
        /// How many at most.
        max: u32,
    },
    /// Server: this proxy, or its channel, is gone.
    Gone {
        /// The proxy.
        handle: u64,
        /// Why.
        message: &'a str,
    },
    /// Server: the connection ends.
    Bye {
        /// Why.
        message: &'a str,
    },
}

/// Names of deliveries, read as they are iterated over.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Deliveries<'a> {
    count: u64,
    bytes: &'a [u8],
}

/// Why a frame cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameError {
    /// It is longer than it may be.
    TooLong {
        /// Its bytes.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// Its type is unknown, or its content is not what its type says.
    Malformed {
        /// The byte of its type.
        kind: u8,
    },
}

impl<'a> Frame<'a> {
    /// Reads a frame, without the length before it.
    ///
    /// Errors: `Malformed`.
    pub fn parse(bytes: &'a [u8]) -> Result<Frame<'a>, FrameError> {
        let kind = bytes.first().copied().unwrap_or(0);
        let mut reader = Reader::new(bytes.get(1..).unwrap_or_default());
        let frame = Frame::read(kind, &mut reader).map_err(|Malformed| FrameError::Malformed { kind })?;
        if reader.is_empty() { Ok(frame) } else { Err(FrameError::Malformed { kind }) }
    }

    fn read(kind: u8, reader: &mut Reader<'a>) -> Result<Frame<'a>, Malformed> {
        let rest = |reader: &mut Reader<'a>| reader.bytes(reader.rest().len());
        let words = |reader: &mut Reader<'a>| {
            std::str::from_utf8(reader.bytes(reader.rest().len())?).map_err(|_| Malformed)
        };
        Ok(match kind {
            kind::HELLO => {
                Frame::Hello { version: reader.varint()?, token: text(reader)?, name: text(reader)? }
            }
            kind::ASK => Frame::Ask { request: reader.varint()?, json: words(reader)? },
            kind::EMIT => Frame::Emit {
                handle: reader.varint()?,
                first: reader.varint()?,
                count: reader.varint()?,
                events: rest(reader)?,
            },
            kind::PULL => Frame::Pull { handle: reader.varint()?, max: reader.varint_u32()? },
            kind::ACKNOWLEDGE => {
                Frame::Acknowledge { handle: reader.varint()?, deliveries: Deliveries::read(reader)? }
            }
            kind::REJECT => Frame::Reject {
                handle: reader.varint()?,
                is_for_good: reader.u8()? != 0,
                deliveries: Deliveries::read(reader)?,
            },
            kind::WELCOME => Frame::Welcome {
                version: reader.varint()?,
                frame_bytes_max: reader.varint()?,
                principal: text(reader)?,
            },
            kind::ANSWER => {
                Frame::Answer { request: reader.varint()?, is_done: reader.u8()? != 0, json: words(reader)? }
            }
            kind::TAKEN => Frame::Taken {
                handle: reader.varint()?,
                first: reader.varint()?,
                count: reader.varint()?,
                unwritten: reader.varint()?,
                refusal: Code::from_byte(reader.u8()?)?,
                message: text(reader)?,
            },
            kind::CONFIRMED => Frame::Confirmed {
                handle: reader.varint()?,
                first: reader.varint()?,
                count: reader.varint()?,
            },
            kind::LOST => Frame::Lost {
                handle: reader.varint()?,
                number: reader.varint()?,
                refusal: Code::from_byte(reader.u8()?)?,
            },
            kind::DELIVER | kind::DELIVER_TO_ACKNOWLEDGE => Frame::Deliver {
                handle: reader.varint()?,
                offset: reader.varint()?,
                count: reader.varint()?,
                is_acknowledged: kind == kind::DELIVER_TO_ACKNOWLEDGE,
                events: rest(reader)?,
            },
            kind::READABLE => Frame::Readable { handle: reader.varint()? },
            kind::WANTED => Frame::Wanted { handle: reader.varint()?, max: reader.varint_u32()? },
            kind::GONE => Frame::Gone { handle: reader.varint()?, message: text(reader)? },
            kind::BYE => Frame::Bye { message: text(reader)? },
            _ => return Err(Malformed),
        })
    }

    /// Appends the frame with its length before it.
    pub fn put(&self, out: &mut Vec<u8>) {
        let start = begin(out, self.kind());
        let numbers = |out: &mut Vec<u8>, all: &[u64]| all.iter().for_each(|it| varint::put(out, *it));
        match *self {
            Frame::Hello { version, token, name } => {
                varint::put(out, version);
                put_text(out, token);
                put_text(out, name);
            }
            Frame::Ask { request, json } => {
                varint::put(out, request);
                out.extend_from_slice(json.as_bytes());
            }
            Frame::Emit { handle, first, count, events } => {
                numbers(out, &[handle, first, count]);
                out.extend_from_slice(events);
            }
            Frame::Pull { handle, max } | Frame::Wanted { handle, max } => {
                numbers(out, &[handle, max.into()]);
            }
            Frame::Acknowledge { handle, deliveries } => {
                numbers(out, &[handle, deliveries.count]);
                out.extend_from_slice(deliveries.bytes);
            }
            Frame::Reject { handle, is_for_good, deliveries } => {
                varint::put(out, handle);
                out.push(u8::from(is_for_good));
                varint::put(out, deliveries.count);
                out.extend_from_slice(deliveries.bytes);
            }
            Frame::Welcome { version, frame_bytes_max, principal } => {
                numbers(out, &[version, frame_bytes_max]);
                put_text(out, principal);
            }
            Frame::Answer { request, is_done, json } => {
                varint::put(out, request);
                out.push(u8::from(is_done));
                out.extend_from_slice(json.as_bytes());
            }
            Frame::Taken { handle, first, count, unwritten, refusal, message } => {
                numbers(out, &[handle, first, count, unwritten]);
                out.push(refusal as u8);
                put_text(out, message);
            }
            Frame::Confirmed { handle, first, count } => numbers(out, &[handle, first, count]),
            Frame::Lost { handle, number, refusal } => {
                numbers(out, &[handle, number]);
                out.push(refusal as u8);
            }
            Frame::Deliver { handle, offset, count, events, .. } => {
                numbers(out, &[handle, offset, count]);
                out.extend_from_slice(events);
            }
            Frame::Readable { handle } => varint::put(out, handle),
            Frame::Gone { handle, message } => {
                varint::put(out, handle);
                put_text(out, message);
            }
            Frame::Bye { message } => put_text(out, message),
        }
        end(out, start);
    }

    fn kind(&self) -> u8 {
        match self {
            Frame::Hello { .. } => kind::HELLO,
            Frame::Ask { .. } => kind::ASK,
            Frame::Emit { .. } => kind::EMIT,
            Frame::Pull { .. } => kind::PULL,
            Frame::Acknowledge { .. } => kind::ACKNOWLEDGE,
            Frame::Reject { .. } => kind::REJECT,
            Frame::Welcome { .. } => kind::WELCOME,
            Frame::Answer { .. } => kind::ANSWER,
            Frame::Taken { .. } => kind::TAKEN,
            Frame::Confirmed { .. } => kind::CONFIRMED,
            Frame::Lost { .. } => kind::LOST,
            Frame::Deliver { is_acknowledged: false, .. } => kind::DELIVER,
            Frame::Deliver { .. } => kind::DELIVER_TO_ACKNOWLEDGE,
            Frame::Readable { .. } => kind::READABLE,
            Frame::Wanted { .. } => kind::WANTED,
            Frame::Gone { .. } => kind::GONE,
            Frame::Bye { .. } => kind::BYE,
        }
    }
}

pub(super) fn begin(out: &mut Vec<u8>, kind: u8) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; LEN_BYTES]);
    out.push(kind);
    start
}

pub(super) fn end(out: &mut [u8], start: usize) {
    let len = (out.len() - start - LEN_BYTES) as u32;
    out[start..start + LEN_BYTES].copy_from_slice(&len.to_le_bytes());
}

impl<'a> Deliveries<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Deliveries<'a>, Malformed> {
        let count = reader.varint()?;
        let bytes = reader.bytes(reader.rest().len())?;
        let all = Deliveries { count, bytes };
        let mut check = Reader::new(bytes);
        for _ in 0..count {
            check.varint_u32()?;
            check.varint_u32()?;
        }
        if check.is_empty() { Ok(all) } else { Err(Malformed) }
    }

    /// Appends names, for [`Deliveries::packed`].
    pub fn pack(out: &mut Vec<u8>, deliveries: &[DeliveryId]) {
        for DeliveryId { index, generation } in deliveries {
            varint::put(out, u64::from(*index));
            varint::put(out, u64::from(*generation));
        }
    }

    /// Names that were packed.
    pub fn packed(count: usize, bytes: &'a [u8]) -> Deliveries<'a> {
        Deliveries { count: count as u64, bytes }
    }

    /// The names.
    pub fn iter(&self) -> impl Iterator<Item = DeliveryId> + 'a {
        let mut reader = Reader::new(self.bytes);
        (0..self.count).map_while(move |_| {
            let (index, generation) = (reader.varint_u32().ok()?, reader.varint_u32().ok()?);
            Some((index, generation).into())
        })
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::TooLong { len, max } => write!(f, "a frame of {len} bytes, limit is {max}"),
            FrameError::Malformed { kind } => {
                write!(f, "a frame of type {kind:#04x} whose bytes are not those of such a frame")
            }
        }
    }
}

impl std::error::Error for FrameError {}

#[cfg(test)]
mod tests;
