//! The PROXY protocol, versions 1 and 2: who the client is, said in front of the stream by a proxy that is
//! believed.
//!
//! Decoding is incremental and strict and looks at no more than [`PROXY_BYTES_MAX`] bytes. Only listen for it
//! where every sender is a proxy of yours: anyone can write such a header.
//!
//! Version 2, all numbers big-endian:
//! ```text
//!  0               12    13    14        16
//! +----------------+-----+-----+---------+----------------------------+-------------------------------+
//! | signature (12) | 2|c | f|t | len (2) | addresses: 12, 36 or 216   | TLVs: type, len (2), value    |
//! +----------------+-----+-----+---------+----------------------------+-------------------------------+
//!   c: 0 LOCAL, 1 PROXY    f: 0 unspecified, 1 IPv4, 2 IPv6, 3 Unix    t: 0 unspecified, 1 stream, 2 datagram
//! ```
//! Source: HAProxy, doc/proxy-protocol.txt.

use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::str::FromStr;

/// What a header says about its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProxyHeader {
    /// The proxy speaks for itself, for example a health check (version 2, LOCAL): use the socket's addresses.
    Local,
    /// The proxy does not say, or says it in a family without IP addresses: use the socket's addresses.
    Unknown,
    /// TCP between these two, both of the same family.
    Tcp {
        /// The client.
        source: SocketAddr,
        /// The address that the client connected to.
        destination: SocketAddr,
    },
}

/// A header at the start of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decoded {
    /// Bytes that the header took; the stream proper starts there.
    pub len: usize,
    /// What it says.
    pub header: ProxyHeader,
}

/// Why the start of a stream is not a header. The connection is closed without an answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ProxyError {
    /// Neither signature.
    NotProxy,
    /// A version 1 line above 107 bytes or a version 2 header above [`PROXY_BYTES_MAX`].
    TooLong,
    /// A malformed line, or bytes that do not make up the announced addresses or TLVs.
    Syntax,
    /// A version, command, family or transport that does not exist or does not come over TCP.
    Unsupported,
    /// The checksum TLV does not match.
    Checksum,
}

/// Decodes the header at the start of `input`; `Ok(None)` when more bytes are needed.
///
/// What cannot become a header is refused at its first wrong byte. A checksum is verified when there is one;
/// other TLVs are skipped.
pub fn decode(input: &[u8]) -> Result<Option<Decoded>, ProxyError> {
    if is_prefix(input, SIGNATURE) {
        decode_v2(input)
    } else if is_prefix(input, b"PROXY ") {
        decode_v1(input)
    } else {
        Err(ProxyError::NotProxy)
    }
}

/// Appends a version 1 line to `out`. [`ProxyHeader::Local`] has no form in version 1 and becomes `UNKNOWN`.
///
/// Addresses of different families are both written as IPv6.
pub fn encode_v1(header: &ProxyHeader, out: &mut Vec<u8>) {
    // Writing to a vector cannot fail.
    let _ = match *header {
        ProxyHeader::Local | ProxyHeader::Unknown => write!(Text(out), "PROXY UNKNOWN\r\n"),
        ProxyHeader::Tcp { source, destination } => match same_family(source.ip(), destination.ip()) {
            Pair::V4(from, to) => {
                write!(Text(out), "PROXY TCP4 {from} {to} {} {}\r\n", source.port(), destination.port())
            }
            Pair::V6(from, to) => {
                write!(Text(out), "PROXY TCP6 {from} {to} {} {}\r\n", source.port(), destination.port())
            }
        },
    };
}

/// Appends a version 2 header to `out`, with a CRC32C TLV when `checksum`.
///
/// Addresses of different families are both written as IPv6.
pub fn encode_v2(header: &ProxyHeader, checksum: bool, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(SIGNATURE);
    let command = if *header == ProxyHeader::Local { 0x20 } else { 0x21 };
    out.extend_from_slice(&[command, 0, 0, 0]);
    if let ProxyHeader::Tcp { source, destination } = *header {
        out[start + 13] = match same_family(source.ip(), destination.ip()) {
            Pair::V4(from, to) => {
                out.extend_from_slice(&from.octets());
                out.extend_from_slice(&to.octets());
                FAMILY_TCP4
            }
            Pair::V6(from, to) => {
                out.extend_from_slice(&from.octets());
                out.extend_from_slice(&to.octets());
                FAMILY_TCP6
            }
        };
        out.extend_from_slice(&source.port().to_be_bytes());
        out.extend_from_slice(&destination.port().to_be_bytes());
    }
    if checksum {
        out.extend_from_slice(&[TLV_CRC32C, 0, 4, 0, 0, 0, 0]);
    }
    let len = (out.len() - start - V2_FIXED_LEN) as u16;
    out[start + 14..start + V2_FIXED_LEN].copy_from_slice(&len.to_be_bytes());
    if checksum {
        let sum = crc32c(&[&out[start..]]);
        let at = out.len() - 4;
        out[at..].copy_from_slice(&sum.to_be_bytes());
    }
}

fn decode_v1(input: &[u8]) -> Result<Option<Decoded>, ProxyError> {
    let window = &input[..input.len().min(V1_BYTES_MAX)];
    let Some(end) = window.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return if window.len() == V1_BYTES_MAX { Err(ProxyError::TooLong) } else { Ok(None) };
    };
    match window.get(end..end + 2) {
        Some(b"\r\n") => {}
        // The CR may be the last byte there is; then its LF would have to fit too.
        None if window[end] == b'\r' && window.len() < V1_BYTES_MAX => return Ok(None),
        None if window[end] == b'\r' => return Err(ProxyError::TooLong),
        _ => return Err(ProxyError::Syntax),
    }
    let line = core::str::from_utf8(&window[..end]).map_err(|_| ProxyError::Syntax)?;
    let header = parse_line(line).ok_or(ProxyError::Syntax)?;
    Ok(Some(Decoded { len: end + 2, header }))
}

fn parse_line(line: &str) -> Option<ProxyHeader> {
    let mut words = line.split(' ');
    let (_, family) = (words.next()?, words.next()?);
    if family == "UNKNOWN" {
        // What follows is to be ignored.
        return Some(ProxyHeader::Unknown);
    }
    let mut word = || words.next();
    let (from, to, source_port, destination_port) = (word()?, word()?, word()?, word()?);
    if word().is_some() {
        return None;
    }
    let (from, to) = match family {
        "TCP4" => (IpAddr::V4(Ipv4Addr::from_str(from).ok()?), IpAddr::V4(Ipv4Addr::from_str(to).ok()?)),
        "TCP6" => (IpAddr::V6(Ipv6Addr::from_str(from).ok()?), IpAddr::V6(Ipv6Addr::from_str(to).ok()?)),
        _ => return None,
    };
    Some(ProxyHeader::Tcp {
        source: SocketAddr::new(from, parse_port(source_port)?),
        destination: SocketAddr::new(to, parse_port(destination_port)?),
    })
}

/// Digits only, without zeros in front: the library's parser would take a plus sign.
fn parse_port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

fn decode_v2(input: &[u8]) -> Result<Option<Decoded>, ProxyError> {
    // What is wrong is said as soon as its byte is there.
    let command = match input.get(12) {
        None => return Ok(None),
        Some(byte @ (0x20 | 0x21)) => byte & 0x0f,
        Some(_) => return Err(ProxyError::Unsupported),
    };
    let family = match input.get(13) {
        None => return Ok(None),
        Some(&byte) if byte >> 4 <= 3 && byte & 0x0f <= 2 => byte,
        Some(_) => return Err(ProxyError::Unsupported),
    };
    let Some(&[high, low]) = input.get(14..V2_FIXED_LEN) else { return Ok(None) };
    let len = V2_FIXED_LEN + usize::from(u16::from_be_bytes([high, low]));
    if len > PROXY_BYTES_MAX {
        return Err(ProxyError::TooLong);
    }
    let Some(whole) = input.get(..len) else { return Ok(None) };
    let body = &whole[V2_FIXED_LEN..];
    if command == 0 {
        // A receiver of LOCAL ignores all that follows, whatever it is.
        return Ok(Some(Decoded { len, header: ProxyHeader::Local }));
    }
    let (addresses, header) = parse_addresses(family, body)?;
    check_tlvs(whole, V2_FIXED_LEN + addresses)?;
    Ok(Some(Decoded { len, header }))
}

/// The length of the address block and what it says.
fn parse_addresses(family: u8, body: &[u8]) -> Result<(usize, ProxyHeader), ProxyError> {
    let port = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    match family {
        FAMILY_TCP4 => {
            let Some((&[a, b, c, d, e, f, g, h], _)) = body.split_first_chunk::<8>() else {
                return Err(ProxyError::Syntax);
            };
            if body.len() < 12 {
                return Err(ProxyError::Syntax);
            }
            let source = SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), port(8));
            let destination = SocketAddr::new(Ipv4Addr::new(e, f, g, h).into(), port(10));
            Ok((12, ProxyHeader::Tcp { source, destination }))
        }
        FAMILY_TCP6 => {
            let (Some(from), Some(to)) =
                (body.first_chunk::<16>(), body.get(16..36).and_then(|rest| rest.first_chunk::<16>()))
            else {
                return Err(ProxyError::Syntax);
            };
            let source = SocketAddr::new(Ipv6Addr::from(*from).into(), port(32));
            let destination = SocketAddr::new(Ipv6Addr::from(*to).into(), port(34));
            Ok((36, ProxyHeader::Tcp { source, destination }))
        }
        // Unix sockets have no address that we could pass on.
        FAMILY_UNIX_STREAM if body.len() >= 216 => Ok((216, ProxyHeader::Unknown)),
        FAMILY_UNIX_STREAM => Err(ProxyError::Syntax),
        // Of an unspecified family nothing is known, not even how long its addresses are; so the rest is
        // skipped unread, as for LOCAL.
        0x00 => Ok((body.len(), ProxyHeader::Unknown)),
        _ => Err(ProxyError::Unsupported),
    }
}

/// Goes over the TLVs from `at` and verifies the checksum where there is one.
fn check_tlvs(whole: &[u8], mut at: usize) -> Result<(), ProxyError> {
    while at < whole.len() {
        let Some(&[kind, high, low]) = whole.get(at..at + 3) else { return Err(ProxyError::Syntax) };
        let value_len = usize::from(u16::from_be_bytes([high, low]));
        let value = whole.get(at + 3..at + 3 + value_len).ok_or(ProxyError::Syntax)?;
        if kind == TLV_CRC32C {
            let Ok(sum) = <[u8; 4]>::try_from(value) else { return Err(ProxyError::Syntax) };
            // The sum is over the whole header with this field as zeros.
            let parts = [&whole[..at + 3], &[0; 4], &whole[at + 7..]];
            if crc32c(&parts) != u32::from_be_bytes(sum) {
                return Err(ProxyError::Checksum);
            }
        }
        at += 3 + value_len;
    }
    Ok(())
}

fn crc32c(parts: &[&[u8]]) -> u32 {
    let mut digest = CRC32C.digest();
    for part in parts {
        digest.update(part);
    }
    digest.finalize()
}

/// Whether one of the two is the start of the other.
fn is_prefix(input: &[u8], signature: &[u8]) -> bool {
    let len = input.len().min(signature.len());
    input[..len] == signature[..len]
}

enum Pair {
    V4(Ipv4Addr, Ipv4Addr),
    V6(Ipv6Addr, Ipv6Addr),
}

fn same_family(from: IpAddr, to: IpAddr) -> Pair {
    let wide = |ip| match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Pair::V4(from, to),
        _ => Pair::V6(wide(from), wide(to)),
    }
}

struct Text<'a>(&'a mut Vec<u8>);

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// The most bytes of a header: what every path carries in one segment.
pub const PROXY_BYTES_MAX: usize = 536;

/// The most bytes of a version 1 line, its CRLF included.
const V1_BYTES_MAX: usize = 107;

/// A table of 1 KiB is enough: a header comes once per connection. The faster crates need `std`.
static CRC32C: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED_LEN: usize = 16;
const FAMILY_TCP4: u8 = 0x11;
const FAMILY_TCP6: u8 = 0x21;
const FAMILY_UNIX_STREAM: u8 = 0x31;
const TLV_CRC32C: u8 = 0x03;
