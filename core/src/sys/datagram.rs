//! Datagram sockets: made, told their options, and used by plain calls (the io_uring driver sends and receives through its ring).

use crate::io::{DatagramOptions, Ecn, SteerByByte};
use crate::sys::message::{Arrived, MessageHead};
use crate::sys::socket::{self, FLAGS, family};
use rustix::net::{self, SocketType};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::OnceLock;

/// A UDP socket, bound. Errors: `EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL`, `EMFILE`, ...; `EINVAL` for a steering that cannot be meant.
pub fn bind(address: SocketAddr, options: &DatagramOptions) -> io::Result<OwnedFd> {
    let fd = net::socket_with(family(&address), SocketType::DGRAM, FLAGS, None)?;
    if address.is_ipv6() {
        set(&fd, libc::SOL_IPV6, libc::IPV6_V6ONLY, i32::from(options.ipv6_only))?;
    }
    if options.reuse_port {
        set(&fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    }
    set_buffer(&fd, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, options.receive_buffer_bytes)?;
    set_buffer(&fd, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, options.send_buffer_bytes)?;
    // An IPv6 socket may carry IPv4 as well; a kernel without the one family's option has the other's.
    let v6 = address.is_ipv6();
    if options.ecn {
        let ecn = i32::from(Ecn::Capable0 as u8);
        for (name, value) in [(libc::IP_TOS, ecn), (libc::IP_RECVTOS, 1)] {
            allow(set(&fd, libc::SOL_IP, name, value), v6)?;
        }
        if v6 {
            set(&fd, libc::SOL_IPV6, libc::IPV6_TCLASS, ecn)?;
            set(&fd, libc::SOL_IPV6, libc::IPV6_RECVTCLASS, 1)?;
        }
    }
    if options.dont_fragment {
        allow(set(&fd, libc::SOL_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE), v6)?;
        if v6 {
            set(&fd, libc::SOL_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE)?;
        }
    }
    net::bind(&fd, &address)?;
    if let Some(steer) = options.steer {
        set_steering(&fd, steer)?;
    }
    Ok(fd)
}

/// Asks the kernel to hand over several datagrams of one sender as one train (UDP_GRO, 5.0). Whether it will.
pub fn set_coalescing(fd: impl AsFd) -> bool {
    set(fd, libc::SOL_UDP, libc::UDP_GRO, 1).is_ok()
}

/// Bytes that may wait to be received, as one would ask for them (the kernel's own figure is twice that).
pub fn receive_buffer(fd: impl AsFd) -> Option<usize> {
    net::sockopt::socket_recv_buffer_size(fd).ok().map(|bytes| bytes / 2)
}

/// Datagrams that the kernel cuts from one send: 128 (6.3 and newer), 64, or 1 when it cuts none. Found out once, by sending to ourselves.
pub fn segments_max() -> usize {
    static FOUND: OnceLock<usize> = OnceLock::new();
    *FOUND.get_or_init(|| {
        // Without a working loopback nothing is known, so what all kernels since 4.18 have.
        try_segments().unwrap_or(64)
    })
}

fn try_segments() -> io::Result<usize> {
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let fd = bind(here, &DatagramOptions::default())?;
    let to = socket::local_address(&fd).ok_or(io::ErrorKind::AddrNotAvailable)?;
    for segments in [128, 64] {
        match send(&fd, to, &[0; 128][..segments], Some(1), None) {
            Ok(_) => return Ok(segments),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(1)
}

/// Sends `bytes` as one datagram, or cut into datagrams of `segment` bytes. Errors: as sendmsg(2).
pub fn send(
    fd: impl AsFd,
    to: SocketAddr,
    bytes: &[u8],
    segment: Option<u16>,
    ecn: Option<Ecn>,
) -> io::Result<usize> {
    let mut head = MessageHead::new();
    let message = head.prepare_send(to, bytes.as_ptr(), bytes.len(), segment, ecn);
    // SAFETY: the message points at `head` and `bytes`, which outlive the call.
    let sent = unsafe { libc::sendmsg(fd.as_fd().as_raw_fd(), message, libc::MSG_NOSIGNAL) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Receives a datagram or a train of them: how many bytes, and what came with them. Errors: as recvmsg(2).
pub fn receive(fd: impl AsFd, bytes: &mut [u8]) -> io::Result<(usize, Arrived)> {
    let mut head = MessageHead::new();
    let message = head.prepare_receive(bytes.as_mut_ptr(), bytes.len());
    // SAFETY: the message points at `head` and `bytes`, which outlive the call and are ours alone.
    let received = unsafe { libc::recvmsg(fd.as_fd().as_raw_fd(), message, 0) };
    let len = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    Ok((len, head.arrived()))
}

/// The larger of what the process may force and what it may ask for.
fn set_buffer(fd: &OwnedFd, force: libc::c_int, ask: libc::c_int, bytes: usize) -> io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    // The kernel doubles the figure.
    let bytes = i32::try_from(bytes).unwrap_or(i32::MAX).min(i32::MAX / 2);
    set(fd, libc::SOL_SOCKET, force, bytes).or_else(|_| set(fd, libc::SOL_SOCKET, ask, bytes))
}

/// Classic BPF, which sees the payload only: the byte, modulo the count, is the number of the socket (SO_ATTACH_REUSEPORT_CBPF, 4.5).
fn set_steering(fd: &OwnedFd, steer: SteerByByte) -> io::Result<()> {
    if !(1..=256).contains(&steer.shards) || steer.offset > u32::from(u16::MAX) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("steering by byte {} to {} shards; 1 to 256 is possible", steer.offset, steer.shards),
        ));
    }
    let step = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let mut program = [
        step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, steer.offset),
        step(libc::BPF_ALU | BPF_MOD | libc::BPF_K, steer.shards),
        step(libc::BPF_RET | BPF_A, 0),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    set(fd, libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_CBPF, program)
}

fn allow(outcome: io::Result<()>, may_fail: bool) -> io::Result<()> {
    if may_fail { Ok(()) } else { outcome }
}

/// Sets an option whose value is plain data.
fn set<T: Copy>(fd: impl AsFd, level: libc::c_int, name: libc::c_int, value: T) -> io::Result<()> {
    let (fd, len) = (fd.as_fd().as_raw_fd(), size_of::<T>() as libc::socklen_t);
    // SAFETY: the value lives through the call and `len` is its size; what a program points at lives in the caller.
    let result = unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `BPF_MOD` and `BPF_A` of linux/filter.h.
const BPF_MOD: u32 = 0x90;
const BPF_A: u32 = 0x10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_cuts_as_many_as_it_says() {
        let max = segments_max();
        assert!([1, 64, 128].contains(&max), "{max}");
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let fd = bind(here, &DatagramOptions::default()).unwrap();
        let to = socket::local_address(&fd).unwrap();
        assert_eq!(send(&fd, to, &[1, 2, 3], None, None).unwrap(), 3);
        let mut bytes = [0; 16];
        let (len, arrived) = receive(&fd, &mut bytes).unwrap();
        assert_eq!((&bytes[..len], arrived.from), (&[1u8, 2, 3][..], Some(to)));
        assert_eq!(receive(&fd, &mut bytes).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let fd = bind(here, &DatagramOptions::default()).unwrap();
        let to = socket::local_address(&fd).unwrap();
        send(&fd, to, &[7; 100], None, None).unwrap();
        let (len, arrived) = receive(&fd, &mut [0; 99]).unwrap();
        assert!(arrived.truncated && len == 99);
    }
}
