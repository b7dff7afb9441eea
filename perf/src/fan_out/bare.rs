//! The floor's protocol: `floor-fan-out` passes on what the publisher says as it came, so that the framing is between publisher and
//! subscribers alone.
//!
//! ```text
//! role      1 byte   's' or 'p', the first a connection says
//! ready     4 bytes  0, the answer
//! event     4 bytes  bytes that follow, little-endian
//!          16 bytes  0, as long as a head usually is
//!                    body
//! ```

use super::protocol::{Item, Protocol, ProtocolError, bounded};

/// The framing of `floor-fan-out`.
pub struct Bare;

impl Protocol for Bare {
    fn subscribe(&self, _number: usize, out: &mut Vec<u8>) {
        out.push(SUBSCRIBER);
    }

    fn open(&self, out: &mut Vec<u8>) {
        out.push(PUBLISHER);
    }

    fn emit(&self, body: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&((HEAD_BYTES + body.len()) as u32).to_le_bytes());
        out.extend_from_slice(&[0; HEAD_BYTES]);
        out.extend_from_slice(body);
    }

    fn read<'a>(&self, bytes: &'a [u8]) -> Result<Option<(Item<'a>, usize)>, ProtocolError> {
        let Some((len, rest)) = bytes.split_first_chunk() else { return Ok(None) };
        let len = bounded(u32::from_le_bytes(*len).into())?;
        if len == 0 {
            return Ok(Some((Item::Ready, READY.len())));
        }
        match rest.get(..len) {
            Some(content) => match content.get(HEAD_BYTES..) {
                Some(body) => Ok(Some((Item::Event(body), READY.len() + len))),
                None => Err(ProtocolError::Malformed("an event with its head")),
            },
            None => Ok(None),
        }
    }
}

/// The first byte of a connection that events are sent to.
pub const SUBSCRIBER: u8 = b's';
/// The first byte of a connection that events come from.
pub const PUBLISHER: u8 = b'p';
/// What the server answers to either.
pub const READY: [u8; 4] = [0; 4];

const HEAD_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::super::protocol::suite;
    use super::*;

    #[test]
    fn a_subscriber_reads_what_the_publisher_says() {
        let mut bytes = READY.to_vec();
        Bare.emit(b"body", &mut bytes);
        Bare.emit(b"", &mut bytes);
        suite::every_split_reads_the_same(
            &Bare,
            &bytes,
            &[Item::Ready, Item::Event(b"body"), Item::Event(b"")],
        );
        suite::noise_is_survived(&Bare, &bytes);
    }

    #[test]
    fn other_lengths_are_errors() {
        assert_eq!(Bare.read(&[255; 8]), Err(ProtocolError::TooLong(u32::MAX.into())));
        assert!(matches!(Bare.read(&[2, 0, 0, 0, 1, 1]), Err(ProtocolError::Malformed(_))));
    }
}
