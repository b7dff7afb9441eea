//! Our own channel server: frames of a 4-byte little-endian length, a type byte and the rest.
//!
//! There is no channel server in this build yet: greeting and frame types are to be filled in with it, and [`IS_THERE`] set. Until
//! then the load driver refuses the protocol.

use super::protocol::{Item, Protocol, ProtocolError, bounded};

/// Whether this build has a channel server that could be measured.
pub const IS_THERE: bool = false;

/// The binary protocol of the channel server.
pub struct Channel;

impl Protocol for Channel {
    fn subscribe(&self, _number: usize, _out: &mut Vec<u8>) {}

    fn open(&self, _out: &mut Vec<u8>) {}

    fn emit(&self, body: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&((1 + body.len()) as u32).to_le_bytes());
        out.push(EMIT);
        out.extend_from_slice(body);
    }

    fn read<'a>(&self, bytes: &'a [u8]) -> Result<Option<(Item<'a>, usize)>, ProtocolError> {
        let Some((len, rest)) = bytes.split_first_chunk() else { return Ok(None) };
        let len = bounded(u32::from_le_bytes(*len).into())?;
        let Some(frame) = rest.get(..len) else { return Ok(None) };
        match frame {
            [DELIVER, body @ ..] => Ok(Some((Item::Event(body), 4 + len))),
            [_, ..] => Ok(Some((Item::Other, 4 + len))),
            [] => Err(ProtocolError::Malformed("a frame with its type")),
        }
    }
}

const EMIT: u8 = 1;
const DELIVER: u8 = 2;

#[cfg(test)]
mod tests {
    use super::super::protocol::suite;
    use super::*;

    const RECEIVED: &[u8] = b"\x05\x00\x00\x00\x02body\x01\x00\x00\x00\x09";

    #[test]
    fn a_subscriber_reads_bodies() {
        suite::every_split_reads_the_same(&Channel, RECEIVED, &[Item::Event(b"body"), Item::Other]);
        suite::noise_is_survived(&Channel, RECEIVED);
    }

    #[test]
    fn an_event_is_one_frame() {
        let mut out = Vec::new();
        Channel.emit(b"body", &mut out);
        assert_eq!(out, b"\x05\x00\x00\x00\x01body");
    }

    #[test]
    fn a_frame_without_a_type_is_an_error() {
        assert!(matches!(Channel.read(&[0; 4]), Err(ProtocolError::Malformed(_))));
    }
}
