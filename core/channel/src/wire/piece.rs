//! What a part of the streamed call carries: a message `Piece` of docs/protocol/channels.proto, so that stubs in any language can speak.
//!
//! ```text
//! message Piece { bytes frames = 1; }
//! ```
//!
//! Source: Protocol Buffers, "Encoding"; groups, which proto3 does not have, are refused.

use clustercore_proto::wire::{Malformed, Reader, varint};

/// A part with these bytes of the protocol.
pub fn piece(frames: &[u8]) -> Vec<u8> {
    let mut part = Vec::with_capacity(1 + varint::LEN_MAX + frames.len());
    part.push(FRAMES);
    varint::put(&mut part, frames.len() as u64);
    part.extend_from_slice(frames);
    part
}

/// The bytes of the protocol in a part; none when there is no such field. The last one counts, fields of later versions are passed over.
///
/// Errors: it is no message.
pub fn piece_frames(part: &[u8]) -> Result<&[u8], Malformed> {
    let mut reader = Reader::new(part);
    let mut frames = &[][..];
    while !reader.is_empty() {
        let tag = reader.varint_u32()?;
        let (field, kind) = (tag >> 3, tag & 7);
        if field == 0 {
            return Err(Malformed);
        }
        let bytes = match kind {
            0 => {
                reader.varint()?;
                continue;
            }
            1 => reader.bytes(8)?,
            2 => {
                let len = usize::try_from(reader.varint()?).map_err(|_| Malformed)?;
                reader.bytes(len)?
            }
            5 => reader.bytes(4)?,
            _ => return Err(Malformed),
        };
        if tag == u32::from(FRAMES) {
            frames = bytes;
        }
    }
    Ok(frames)
}

/// Field 1, of a length.
const FRAMES: u8 = 1 << 3 | 2;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_piece_is_what_protocol_buffers_say() {
        assert_eq!(piece(b"ab"), b"\x0a\x02ab");
        assert_eq!(piece_frames(b"\x0a\x02ab"), Ok(&b"ab"[..]));
        assert_eq!(piece_frames(b""), Ok(&b""[..]), "no field: its default");
        assert_eq!(piece_frames(b"\x0a\x01a\x0a\x01b"), Ok(&b"b"[..]), "the last one counts");
        let others = b"\x10\x96\x01\x19abcdefgh\x22\x03xyz\x2dabcd\x0a\x01f";
        assert_eq!(piece_frames(others), Ok(&b"f"[..]), "fields that we do not know");
        for wrong in
            [&b"\x0a"[..], b"\x0a\x02a", b"\x02\x00", b"\x0b", b"\x0c", b"\x19abc", b"\x2dabc", b"\x10"]
        {
            assert_eq!(piece_frames(wrong), Err(Malformed), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn any_frames_come_back_and_any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let part = piece(&bytes);
            prop_assert_eq!(piece_frames(&part), Ok(&bytes[..]));
            if let Ok(found) = piece_frames(&bytes) {
                prop_assert!(found.len() <= bytes.len());
            }
        }
    }
}
