//! Packets: headers and the bodies of those without a connection.
//!
//! ```text
//! data   0x40+phase 1 | source shard 1 | number 6 | receiver's id 8 | frames | trailer
//! others kind 1 | source shard 1 | version 2 | zero 4 | target 8 | source 8 | body | CRC-32C 4
//! ```
//!
//! See `docs/protocol/datagram.md`, "Packets".

use super::id::WireId;
use super::parameters::RefuseCode;
use crate::wire::{Malformed, Reader};
use alloc::vec::Vec;

/// The version spoken here.
pub const VERSION: u16 = 1;
/// Bytes of a data packet before its frames.
pub const HEADER_BYTES: usize = 16;
/// Bytes of any Init; also where the search for the path's MTU starts.
pub const INIT_BYTES: usize = 1200;
/// Highest packet number.
pub const NUMBER_MAX: u64 = (1 << 48) - 1;
/// Bytes of the trailer of packets without a connection.
pub const CHECK_BYTES: usize = 4;
const LONG_HEADER_BYTES: usize = 24;
/// Bytes of a Reset.
pub const RESET_BYTES: usize = LONG_HEADER_BYTES + 16 + CHECK_BYTES;
/// Longest cookie.
pub const COOKIE_BYTES_MAX: usize = 64;

const DATA: u8 = 0x40;
const INIT: u8 = 0x61;
const COOKIE: u8 = 0x63;
const ACCEPT: u8 = 0x65;
const VERSIONS: u8 = 0x67;
const RESET: u8 = 0x69;
const REFUSE: u8 = 0x6b;

/// Header of a data packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DataHeader {
    /// Which of two keys.
    pub phase: bool,
    /// Shard of the sender.
    pub source_shard: u8,
    /// Packet number, 48 bits.
    pub number: u64,
    /// Connection id of the receiver.
    pub target: WireId,
}

impl DataHeader {
    /// Writes the header to the first [`HEADER_BYTES`] of `out`.
    #[inline]
    pub fn write(&self, out: &mut [u8]) {
        let first =
            u64::from(DATA | u8::from(self.phase)) | u64::from(self.source_shard) << 8 | self.number << 16;
        out[..8].copy_from_slice(&first.to_le_bytes());
        out[8..16].copy_from_slice(&self.target.0.to_le_bytes());
    }

    /// Reads a header; `None` when it is no data packet.
    #[inline]
    pub fn read(bytes: &[u8]) -> Option<DataHeader> {
        let (first, rest) = bytes.split_first_chunk::<8>()?;
        let (target, _) = rest.split_first_chunk::<8>()?;
        let first = u64::from_le_bytes(*first);
        let kind = first as u8;
        if kind & !1 != DATA {
            return None;
        }
        Some(DataHeader {
            phase: kind & 1 == 1,
            source_shard: (first >> 8) as u8,
            number: first >> 16,
            target: WireId(u64::from_le_bytes(*target)),
        })
    }
}

/// A packet without a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Long<'a> {
    /// Shard of the sender.
    pub source_shard: u8,
    /// Version; of an Init the one asked for.
    pub version: u16,
    /// Whom it is for.
    pub target: u64,
    /// Whom it is from; of a Reset the id that is not known.
    pub source: WireId,
    /// What it says.
    pub body: Body<'a>,
}

/// Body of a packet without a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body<'a> {
    /// A client wants a connection.
    Init {
        /// The client's epoch.
        epoch: u64,
        /// Empty at first.
        cookie: &'a [u8],
        /// Parameters, or a handshake message that contains them.
        handshake: &'a [u8],
    },
    /// Come again with this.
    Cookie(&'a [u8]),
    /// The connection is there.
    Accept {
        /// The server's epoch.
        epoch: u64,
        /// Parameters, or a handshake message that contains them.
        handshake: &'a [u8],
    },
    /// Versions spoken here, two bytes each.
    Versions(&'a [u8]),
    /// The id is not known (any more): the token proves that it was ours.
    Reset([u8; 16]),
    /// No connection.
    Refuse(RefuseCode),
}

impl Body<'_> {
    /// In a word, for people.
    pub fn name(&self) -> &'static str {
        match self {
            Body::Init { .. } => "init",
            Body::Cookie(_) => "cookie",
            Body::Accept { .. } => "accept",
            Body::Versions(_) => "versions",
            Body::Reset(_) => "reset",
            Body::Refuse(_) => "refuse",
        }
    }
}

impl<'a> Long<'a> {
    /// Appends the packet with its check; an Init is padded.
    pub fn write(&self, check: impl Fn(&[u8]) -> u32, out: &mut Vec<u8>) {
        let start = out.len();
        let kind = match self.body {
            Body::Init { .. } => INIT,
            Body::Cookie(_) => COOKIE,
            Body::Accept { .. } => ACCEPT,
            Body::Versions(_) => VERSIONS,
            Body::Reset(_) => RESET,
            Body::Refuse(_) => REFUSE,
        };
        out.extend_from_slice(&[kind, self.source_shard]);
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.target.to_le_bytes());
        out.extend_from_slice(&self.source.0.to_le_bytes());
        match &self.body {
            Body::Init { epoch, cookie, handshake } => {
                out.extend_from_slice(&epoch.to_le_bytes());
                put_short(out, cookie);
                put_handshake(out, handshake);
                out.resize((start + INIT_BYTES - CHECK_BYTES).max(out.len()), 0);
            }
            Body::Cookie(cookie) => put_short(out, cookie),
            Body::Accept { epoch, handshake } => {
                out.extend_from_slice(&epoch.to_le_bytes());
                put_handshake(out, handshake);
            }
            Body::Versions(versions) => {
                out.push((versions.len() / 2) as u8);
                out.extend_from_slice(versions);
            }
            Body::Reset(token) => out.extend_from_slice(token),
            Body::Refuse(code) => out.extend_from_slice(&(*code as u16).to_le_bytes()),
        }
        let check = check(&out[start..]);
        out.extend_from_slice(&check.to_le_bytes());
    }

    /// Reads a packet whose check is right. Errors: `Malformed` for anything else.
    pub fn read(bytes: &'a [u8], check: impl Fn(&[u8]) -> u32) -> Result<Long<'a>, Malformed> {
        let (content, trailer) = bytes.split_last_chunk::<CHECK_BYTES>().ok_or(Malformed)?;
        if content.len() < LONG_HEADER_BYTES || check(content) != u32::from_le_bytes(*trailer) {
            return Err(Malformed);
        }
        let mut reader = Reader::new(content);
        let kind = reader.u8()?;
        let source_shard = reader.u8()?;
        let version = reader.u16()?;
        reader.bytes(4)?;
        let target = reader.u64()?;
        let source = WireId(reader.u64()?);
        let body = match kind {
            INIT if bytes.len() >= INIT_BYTES => {
                let epoch = reader.u64()?;
                let cookie = short(&mut reader)?;
                Body::Init { epoch, cookie, handshake: handshake(&mut reader)? }
            }
            COOKIE => Body::Cookie(short(&mut reader)?),
            ACCEPT => Body::Accept { epoch: reader.u64()?, handshake: handshake(&mut reader)? },
            VERSIONS => {
                let count = usize::from(reader.u8()?);
                Body::Versions(reader.bytes(2 * count)?)
            }
            RESET => Body::Reset(reader.bytes(16)?.try_into().map_err(|_| Malformed)?),
            REFUSE => Body::Refuse(RefuseCode::from_wire(reader.u16()?)),
            _ => return Err(Malformed),
        };
        Ok(Long { source_shard, version, target, source, body })
    }

    /// Whether the first byte is that of such a packet.
    pub fn is_one(bytes: &[u8]) -> bool {
        bytes.first().is_some_and(|kind| kind & 0xe0 == 0x60)
    }
}

fn put_short(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

fn put_handshake(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn short<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let len = usize::from(reader.u8()?);
    if len > COOKIE_BYTES_MAX {
        return Err(Malformed);
    }
    reader.bytes(len)
}

fn handshake<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let len = usize::from(reader.u16()?);
    reader.bytes(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(bytes: &[u8]) -> u32 {
        bytes.iter().fold(1, |sum: u32, &byte| sum.rotate_left(5) ^ u32::from(byte))
    }

    #[test]
    fn every_body_comes_back() {
        let bodies = [
            Body::Init { epoch: 9, cookie: &[1, 2], handshake: &[3, 4, 5] },
            Body::Cookie(&[7; COOKIE_BYTES_MAX]),
            Body::Accept { epoch: 1 << 60, handshake: &[] },
            Body::Versions(&[1, 0, 2, 0]),
            Body::Reset([5; 16]),
            Body::Refuse(RefuseCode::Full),
        ];
        for body in bodies {
            let is_init = matches!(body, Body::Init { .. });
            let packet = Long { source_shard: 3, version: VERSION, target: 77, source: WireId(88), body };
            let mut bytes = Vec::new();
            packet.write(sum, &mut bytes);
            assert_eq!(Long::read(&bytes, sum).as_ref(), Ok(&packet));
            assert_eq!(is_init, bytes.len() == INIT_BYTES, "only an Init is padded");
            bytes[1] ^= 1;
            assert_eq!(Long::read(&bytes, sum), Err(Malformed));
        }
    }

    #[test]
    fn a_short_init_is_refused_so_that_no_answer_is_longer() {
        let packet = Long {
            source_shard: 0,
            version: VERSION,
            target: 0,
            source: WireId(0),
            body: Body::Init { epoch: 0, cookie: &[], handshake: &[] },
        };
        let mut bytes = Vec::new();
        packet.write(sum, &mut bytes);
        bytes.truncate(600);
        let check = sum(&bytes[..596]);
        bytes[596..].copy_from_slice(&check.to_le_bytes());
        assert_eq!(Long::read(&bytes, sum), Err(Malformed));
    }

    proptest! {
        #[test]
        fn data_headers_come_back(phase: bool, source_shard: u8, number in 0..=NUMBER_MAX, target: u64) {
            let header = DataHeader { phase, source_shard, number, target: WireId(target) };
            let mut bytes = [0; HEADER_BYTES];
            header.write(&mut bytes);
            prop_assert_eq!(DataHeader::read(&bytes), Some(header));
            prop_assert!(!Long::is_one(&bytes));
        }

        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = DataHeader::read(&bytes);
            if bytes.len() > CHECK_BYTES {
                let at = bytes.len() - CHECK_BYTES;
                let check = sum(&bytes[..at]);
                bytes[at..].copy_from_slice(&check.to_le_bytes());
            }
            let _ = Long::read(&bytes, sum);
        }
    }
}
