//! What the load driver says to a server and how it reads what comes back.
//!
//! Reading has no state: the first item of some bytes, and how long it is. What a server sends is foreign input: whatever it is,
//! it becomes an item, a wish for more bytes, or an error.

use std::fmt;

/// What stands first in received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// The server has done what was asked at the start.
    Ready,
    /// A delivered event: its body.
    Event(&'a [u8]),
    /// Delivered events behind one another: [`Protocol::unpack`] takes them apart.
    Batch(&'a [u8]),
    /// An event of this supplier is on disk.
    Kept,
    /// Something that the load has no use for.
    Other,
    /// A question, and the answer that it wants.
    Question(&'static [u8]),
}

/// Why received bytes are no answer to go on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// They are not in the protocol: what was expected there.
    Malformed(&'static str),
    /// The server refuses, in its own words.
    Refused(String),
    /// An item is longer than [`ITEM_BYTES_MAX`].
    TooLong(u64),
}

/// One protocol of publishing and subscribing, with one topic.
pub trait Protocol {
    /// Appends what subscriber `number` says first; the server answers with [`Item::Ready`].
    fn subscribe(&self, number: usize, out: &mut Vec<u8>);

    /// Appends what the publisher says first; the server answers with [`Item::Ready`].
    fn open(&self, out: &mut Vec<u8>);

    /// Appends one event with this body.
    fn emit(&self, body: &[u8], out: &mut Vec<u8>);

    /// Appends events with these bodies, that leave together: as one, where the protocol has a word for that.
    fn emit_batch(&self, bodies: &[Vec<u8>], out: &mut Vec<u8>) {
        bodies.iter().for_each(|body| self.emit(body, out));
    }

    /// The first item of `bytes` and how many of them it takes; `None` while it is not whole.
    fn read<'a>(&self, bytes: &'a [u8]) -> Result<Option<(Item<'a>, usize)>, ProtocolError>;

    /// The bodies of an [`Item::Batch`], in order.
    fn unpack(&self, _batch: &[u8], _each: &mut dyn FnMut(&[u8])) -> Result<(), ProtocolError> {
        Err(ProtocolError::Malformed("a batch: this protocol has none"))
    }
}

/// One by which a supplier learns that its event is on disk.
pub trait Durable: Protocol {
    /// Appends what a supplier says first; the server answers with [`Item::Ready`].
    fn open_supplier(&self, out: &mut Vec<u8>);

    /// Appends one event that is to be kept; the server answers with [`Item::Kept`], in order.
    fn keep(&self, body: &[u8], out: &mut Vec<u8>);
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(expected) => write!(formatter, "what the server sends is not {expected}"),
            Self::Refused(words) => write!(formatter, "the server refuses: {words}"),
            Self::TooLong(len) => {
                write!(formatter, "the server sends an item of {len} bytes, {ITEM_BYTES_MAX} are read")
            }
        }
    }
}

impl std::error::Error for ProtocolError {}

/// The line that `bytes` start with, without its CR LF, and the length with it; `None` while it is not whole.
pub(crate) fn line(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, ProtocolError> {
    match bytes.iter().position(|&byte| byte == b'\n') {
        Some(end) if end > 0 && bytes[end - 1] == b'\r' => Ok(Some((&bytes[..end - 1], end + 1))),
        Some(_) => Err(ProtocolError::Malformed("a line that ends with CR LF")),
        None if bytes.len() > ITEM_BYTES_MAX => Err(ProtocolError::TooLong(bytes.len() as u64)),
        None => Ok(None),
    }
}

/// A length in decimal digits.
pub(crate) fn decimal(digits: &[u8]) -> Result<usize, ProtocolError> {
    if digits.is_empty() || digits.len() > 19 {
        return Err(ProtocolError::Malformed("a length in decimal digits"));
    }
    let mut value = 0u64;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return Err(ProtocolError::Malformed("a length in decimal digits"));
        }
        value = value * 10 + u64::from(digit - b'0');
    }
    bounded(value)
}

/// A length that is read at all.
pub(crate) fn bounded(len: u64) -> Result<usize, ProtocolError> {
    if len > ITEM_BYTES_MAX as u64 { Err(ProtocolError::TooLong(len)) } else { Ok(len as usize) }
}

/// A server's words for a message: printable, and not too many.
pub(crate) fn words(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(200)]).trim().to_owned()
}

/// The topic, subject or channel of a run.
pub const TOPIC: &str = "event";
/// Longer items are refused: the load's own are of some hundred bytes, greetings of some thousand.
pub const ITEM_BYTES_MAX: usize = 64 * 1024;

/// What every protocol's tests try.
#[cfg(test)]
pub(crate) mod suite {
    use super::*;
    use clustercore::proto::random::Random;

    /// Every item of `bytes`, read in pieces that end after each byte: the same items come out.
    pub fn every_split_reads_the_same(protocol: &impl Protocol, bytes: &[u8], expected: &[Item<'_>]) {
        let mut rest = bytes;
        for (number, wanted) in expected.iter().enumerate() {
            let (item, len) = protocol.read(rest).unwrap().expect("a whole item");
            assert_eq!(item, *wanted, "item {number}");
            for cut in 0..len {
                assert_eq!(protocol.read(&rest[..cut]), Ok(None), "item {number}, {cut} of {len} bytes");
            }
            rest = &rest[len..];
        }
        assert_eq!((rest, protocol.read(rest)), (&[][..], Ok(None)));
    }

    /// Noise, and good bytes with noise in them: an item lies within the bytes, and nothing panics.
    pub fn noise_is_survived(protocol: &impl Protocol, good: &[u8]) {
        let mut random = Random::new(7);
        for _ in 0..20_000 {
            let mut bytes = good.to_vec();
            if random.below(2) == 0 {
                bytes = (0..random.below(64)).map(|_| random.below(256) as u8).collect();
            }
            for _ in 0..random.below(4) {
                if !bytes.is_empty() {
                    let at = random.below(bytes.len() as u64) as usize;
                    bytes[at] = random.below(256) as u8;
                }
            }
            let mut rest = &bytes[..];
            while let Ok(Some((_, len))) = protocol.read(rest) {
                assert!(len > 0 && len <= rest.len(), "{len} of {} bytes: {bytes:?}", rest.len());
                rest = &rest[len..];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_digits_within_the_bound() {
        assert_eq!(decimal(b"64"), Ok(64));
        assert_eq!(decimal(b"65537"), Err(ProtocolError::TooLong(65537)));
        for text in [&b""[..], b"-1", b"6 4", b"99999999999999999999"] {
            assert!(matches!(decimal(text), Err(ProtocolError::Malformed(_))), "{text:?}");
        }
    }

    #[test]
    fn a_line_without_end_is_too_long_at_last() {
        assert_eq!(line(b"half a line"), Ok(None));
        assert_eq!(line(b"whole\r\nnext"), Ok(Some((&b"whole"[..], 7))));
        assert!(matches!(line(b"bare\n"), Err(ProtocolError::Malformed(_))));
        assert!(matches!(line(&vec![b'x'; ITEM_BYTES_MAX + 1]), Err(ProtocolError::TooLong(_))));
    }
}
