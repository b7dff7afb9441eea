//! Message headers of datagrams: the address, the bytes, and the control messages beside them.
//!
//! Source: sendmsg(2), recvmsg(2), cmsg(3), udp(7): UDP_SEGMENT (4.18), UDP_GRO (5.0); ip(7): IP_TOS; ipv6(7): IPV6_TCLASS;
//! `io_uring_prep_recvmsg_multishot(3)`.

use crate::io::Ecn;
use crate::sys::socket::RawAddress;
use std::net::{SocketAddr, SocketAddrV6};

/// A header with room for address and control messages. Reused from message to message; it stays where it is while the kernel uses it.
#[derive(Debug)]
pub struct MessageHead {
    address: RawAddress,
    control: Control,
    vector: libc::iovec,
    message: libc::msghdr,
}

// SAFETY: the raw pointers inside are only set by `prepare_*` and only read by the kernel.
unsafe impl Send for MessageHead {}

/// What came with received bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrived {
    /// The sender; `None` for other families than IP.
    pub from: Option<SocketAddr>,
    /// Bytes of each datagram when the kernel joined several (UDP_GRO).
    pub segment: Option<usize>,
    /// The mark of congestion control, where the socket asked for it.
    pub ecn: Ecn,
    /// The bytes did not fit.
    pub truncated: bool,
}

impl MessageHead {
    /// Points nowhere.
    pub fn new() -> MessageHead {
        // SAFETY: `iovec` is plain data for which zero is a value.
        let vector = unsafe { std::mem::zeroed() };
        // SAFETY: and so is `msghdr`.
        let message = unsafe { std::mem::zeroed() };
        MessageHead { address: RawAddress::empty(), control: Control([0; CONTROL_BYTES]), vector, message }
    }

    /// For a message to be received into `room` bytes at `pointer`.
    pub fn prepare_receive(&mut self, pointer: *mut u8, room: usize) -> *mut libc::msghdr {
        self.vector = libc::iovec { iov_base: pointer.cast(), iov_len: room };
        let (name, name_len) = self.address.parts_mut();
        self.message.msg_name = name;
        self.message.msg_namelen = name_len;
        self.message.msg_iov = &raw mut self.vector;
        self.message.msg_iovlen = 1;
        self.message.msg_control = self.control.0.as_mut_ptr().cast();
        self.message.msg_controllen = CONTROL_BYTES;
        &raw mut self.message
    }

    /// For many messages, each received into a buffer that the kernel picks, laid out as [`parse_picked`] reads it.
    pub fn prepare_picked(&mut self) -> *const libc::msghdr {
        self.message.msg_namelen = NAME_BYTES as u32;
        self.message.msg_controllen = CONTROL_BYTES;
        &raw const self.message
    }

    /// What came, after the receive has ended well.
    pub fn arrived(&self) -> Arrived {
        let control = &self.control.0[..self.message.msg_controllen.min(CONTROL_BYTES)];
        arrived(self.address.to_address(), control, self.message.msg_flags)
    }

    /// For `len` bytes at `pointer` to be sent; with `segment` the kernel cuts them into datagrams of so many bytes.
    pub fn prepare_send(
        &mut self,
        to: SocketAddr,
        pointer: *const u8,
        len: usize,
        segment: Option<u16>,
        ecn: Option<Ecn>,
    ) -> *const libc::msghdr {
        self.address.set(to);
        self.vector = libc::iovec { iov_base: pointer.cast_mut().cast(), iov_len: len };
        let (name, name_len) = self.address.parts();
        self.message.msg_name = name.cast_mut().cast();
        self.message.msg_namelen = name_len;
        self.message.msg_iov = &raw mut self.vector;
        self.message.msg_iovlen = 1;
        let mut used = 0;
        if let Some(segment) = segment {
            used = self.control.put(used, libc::SOL_UDP, libc::UDP_SEGMENT, &segment.to_ne_bytes());
        }
        if let Some(ecn) = ecn {
            let is_v4 = match to {
                SocketAddr::V4(_) => true,
                SocketAddr::V6(to) => to.ip().to_ipv4_mapped().is_some(),
            };
            let (level, kind) =
                if is_v4 { (libc::SOL_IP, libc::IP_TOS) } else { (libc::SOL_IPV6, libc::IPV6_TCLASS) };
            used = self.control.put(used, level, kind, &i32::from(ecn as u8).to_ne_bytes());
        }
        self.message.msg_control =
            if used == 0 { std::ptr::null_mut() } else { self.control.0.as_mut_ptr().cast() };
        self.message.msg_controllen = used;
        &raw const self.message
    }
}

/// Reads what the kernel wrote into a buffer that it picked: a head of four words, the address, the control messages, then the
/// payload, whose length it says as well. `None` for what the kernel cannot have written.
///
/// ```text
/// 0        4           8           12     16          44             128
/// +--------+-----------+-----------+------+-----------+--------------+------------
/// | namelen| controllen| payloadlen| flags| name (28) | control (84) | payload ...
/// +--------+-----------+-----------+------+-----------+--------------+------------
/// ```
pub fn parse_picked(buffer: &[u8]) -> Option<(Arrived, usize)> {
    let head = buffer.get(..PICKED_HEAD_BYTES)?;
    let word =
        |place: usize| u32::from_ne_bytes([head[place], head[place + 1], head[place + 2], head[place + 3]]);
    let (control_len, payload_len, flags) = (word(4) as usize, word(8) as usize, word(12));
    let control = &head[PICKED_CONTROL..][..control_len.min(CONTROL_BYTES)];
    let from = to_address(&head[PICKED_NAME..PICKED_CONTROL]);
    let arrived = arrived(from, control, flags.cast_signed());
    (payload_len <= buffer.len() - PICKED_HEAD_BYTES || arrived.truncated).then_some((arrived, payload_len))
}

fn arrived(from: Option<SocketAddr>, mut control: &[u8], flags: libc::c_int) -> Arrived {
    let mut arrived =
        Arrived { from, segment: None, ecn: Ecn::NotCapable, truncated: flags & libc::MSG_TRUNC != 0 };
    while let Some((level, kind, data, rest)) = next_control(control) {
        match (level, kind, data) {
            (libc::SOL_UDP, libc::UDP_GRO, &[a, b, c, d, ..]) => {
                arrived.segment =
                    usize::try_from(i32::from_ne_bytes([a, b, c, d])).ok().filter(|len| *len > 0);
            }
            (libc::SOL_IP, libc::IP_TOS, &[tos, ..]) => arrived.ecn = Ecn::from_bits(tos),
            (libc::SOL_IPV6, libc::IPV6_TCLASS, &[a, b, c, d, ..]) => {
                arrived.ecn = Ecn::from_bits(i32::from_ne_bytes([a, b, c, d]) as u8);
            }
            _ => {}
        }
        control = rest;
    }
    arrived
}

/// An address in the kernel's form; `None` for other families than IP.
fn to_address(name: &[u8]) -> Option<SocketAddr> {
    let (family, rest) = name.split_first_chunk::<2>()?;
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let port = u16::from_be_bytes(*port);
    match i32::from(u16::from_ne_bytes(*family)) {
        libc::AF_INET => Some(SocketAddr::from((*rest.first_chunk::<4>()?, port))),
        libc::AF_INET6 => {
            let (flow, rest) = rest.split_first_chunk::<4>()?;
            let (ip, rest) = rest.split_first_chunk::<16>()?;
            let scope = u32::from_ne_bytes(*rest.first_chunk::<4>()?);
            Some(SocketAddrV6::new((*ip).into(), port, u32::from_be_bytes(*flow), scope).into())
        }
        _ => None,
    }
}

/// The first control message: level, type, data; and what follows it.
fn next_control(control: &[u8]) -> Option<(i32, i32, &[u8], &[u8])> {
    const WORD: usize = size_of::<usize>();
    let (len, rest) = control.split_first_chunk::<WORD>()?;
    let (level, rest) = rest.split_first_chunk::<4>()?;
    let (kind, _) = rest.split_first_chunk::<4>()?;
    let len = usize::from_ne_bytes(*len);
    let data = control.get(CONTROL_HEAD_BYTES..len)?;
    let rest = control.get(len.next_multiple_of(WORD)..).unwrap_or(&[]);
    Some((i32::from_ne_bytes(*level), i32::from_ne_bytes(*kind), data, rest))
}

/// Control messages, aligned as their headers want it.
#[derive(Debug)]
#[repr(align(8))]
struct Control([u8; CONTROL_BYTES]);

impl Control {
    /// Writes a message at `place`; returns the place behind it.
    fn put(&mut self, place: usize, level: i32, kind: i32, data: &[u8]) -> usize {
        let len = CONTROL_HEAD_BYTES + data.len();
        let end = place + len.next_multiple_of(size_of::<usize>());
        let room = &mut self.0[place..end];
        let (head, rest) = room.split_at_mut(size_of::<usize>());
        head.copy_from_slice(&len.to_ne_bytes());
        rest[..4].copy_from_slice(&level.to_ne_bytes());
        rest[4..8].copy_from_slice(&kind.to_ne_bytes());
        rest[8..8 + data.len()].copy_from_slice(data);
        end
    }
}

const CONTROL_HEAD_BYTES: usize = size_of::<libc::cmsghdr>();
/// Room for three control messages: segment, traffic class, and one to spare.
const CONTROL_BYTES: usize = 84;
/// An IPv6 address in the kernel's form.
const NAME_BYTES: usize = size_of::<libc::sockaddr_in6>();
const PICKED_NAME: usize = 16;
const PICKED_CONTROL: usize = PICKED_NAME + NAME_BYTES;
/// What comes before the payload in a buffer that the kernel picked: two cache lines.
pub const PICKED_HEAD_BYTES: usize = PICKED_CONTROL + CONTROL_BYTES;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_with_a_train_is_read_again() {
        assert_eq!(PICKED_HEAD_BYTES, 128);
        let mut control = Control([0; CONTROL_BYTES]);
        let used = control.put(0, libc::SOL_UDP, libc::UDP_GRO, &1200i32.to_ne_bytes());
        let used = control.put(used, libc::SOL_IP, libc::IP_TOS, &[3]);
        let mut buffer = vec![0; PICKED_HEAD_BYTES + 5];
        buffer[4..8].copy_from_slice(&(used as u32).to_ne_bytes());
        buffer[8..12].copy_from_slice(&5u32.to_ne_bytes());
        buffer[PICKED_CONTROL..][..CONTROL_BYTES].copy_from_slice(&control.0);
        buffer[PICKED_NAME..][..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
        buffer[PICKED_NAME + 2..][..6].copy_from_slice(&[0, 80, 192, 0, 2, 1]);
        let (arrived, len) = parse_picked(&buffer).unwrap();
        assert_eq!(arrived.from, Some("192.0.2.1:80".parse().unwrap()));
        assert_eq!((arrived.segment, arrived.ecn, arrived.truncated), (Some(1200), Ecn::Congested, false));
        assert_eq!(len, 5);
    }

    #[test]
    fn nonsense_is_no_message() {
        assert_eq!(parse_picked(&[0; PICKED_HEAD_BYTES - 1]), None);
        let mut buffer = vec![0xff; PICKED_HEAD_BYTES];
        buffer[12..16].copy_from_slice(&0u32.to_ne_bytes());
        assert_eq!(parse_picked(&buffer), None, "more payload than there is");
        assert!(next_control(&[0xff; 40]).is_none() && next_control(&[0; 40]).is_none());
    }
}
