//! Sockets: made, bound, told their options. Thin words over `rustix`, shared by the kernel drivers.

use crate::io::{ListenOptions, StreamOptions};
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

pub(super) fn family(address: &SocketAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}

/// Of every socket here.
pub(super) const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// A TCP socket that is bound and listens. Errors: `EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL`, `EMFILE`, ...
pub fn listen(address: SocketAddr, options: &ListenOptions) -> io::Result<OwnedFd> {
    let fd = net::socket_with(family(&address), SocketType::STREAM, FLAGS, None)?;
    sockopt::set_socket_reuseaddr(&fd, true)?;
    if options.reuse_port {
        sockopt::set_socket_reuseport(&fd, true)?;
    }
    set_stream_options(&fd, &options.stream);
    net::bind(&fd, &address)?;
    net::listen(&fd, options.backlog)?;
    Ok(fd)
}

/// A TCP socket to connect with. Errors: `EMFILE`, ...
pub fn stream(address: SocketAddr, options: &StreamOptions) -> io::Result<OwnedFd> {
    let fd = net::socket_with(family(&address), SocketType::STREAM, FLAGS, None)?;
    set_stream_options(&fd, options);
    Ok(fd)
}

/// Sets what the options ask for. A kernel without the congestion control keeps its own; that is not an error.
pub fn set_stream_options(fd: impl AsFd, options: &StreamOptions) {
    if let Some(name) = options.congestion {
        let _ = sockopt::set_tcp_congestion(&fd, name);
    }
    if options.nodelay {
        let _ = sockopt::set_tcp_nodelay(&fd, true);
    }
}

/// The local address, for IP sockets.
pub fn local_address(fd: impl AsFd) -> Option<SocketAddr> {
    net::getsockname(fd).ok()?.try_into().ok()
}

/// The address at the other end, for IP sockets.
pub fn peer_address(fd: impl AsFd) -> Option<SocketAddr> {
    net::getpeername(fd).ok().flatten()?.try_into().ok()
}

/// Makes the next `close` send a reset.
pub fn set_abort(fd: impl AsFd) {
    let _ = sockopt::set_socket_linger(fd, Some(std::time::Duration::ZERO));
}

/// Gives up on a peer that has acknowledged nothing for so long (TCP_USER_TIMEOUT).
pub fn set_send_patience(fd: impl AsFd, patience: std::time::Duration) {
    let _ = sockopt::set_tcp_user_timeout(fd, u32::try_from(patience.as_millis()).unwrap_or(u32::MAX));
}

/// Bytes of a stream that the peer has not acknowledged, sent or not (SIOCOUTQ, tcp(7)); 0 when it is not connected.
pub fn unacknowledged(fd: impl AsFd) -> usize {
    let fd = std::os::fd::AsRawFd::as_raw_fd(&fd.as_fd());
    let mut count: libc::c_int = 0;
    // SAFETY: the request writes one int, into a place that lives through the call. SIOCOUTQ is TIOCOUTQ by number.
    let result = unsafe { libc::ioctl(fd, libc::TIOCOUTQ, &raw mut count) };
    if result == 0 { usize::try_from(count).unwrap_or(0) } else { 0 }
}

/// The error a socket holds, taken; `None` when it holds none.
pub fn take_error(fd: impl AsFd) -> Option<rustix::io::Errno> {
    match sockopt::socket_error(fd) {
        Ok(Ok(())) => None,
        Ok(Err(errno)) | Err(errno) => Some(errno),
    }
}

/// Whether a socket that somebody else made is a listening TCP socket. Errors: `EINVAL` when not, with the reason in words.
pub fn check_listening(fd: impl AsFd) -> io::Result<()> {
    let kind = sockopt::socket_type(&fd)?;
    if kind != SocketType::STREAM || !sockopt::socket_acceptconn(&fd)? {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the descriptor is not a listening TCP socket: bind(2) and listen(2) it first",
        ));
    }
    rustix::fs::fcntl_setfl(&fd, rustix::fs::fcntl_getfl(&fd)? | rustix::fs::OFlags::NONBLOCK)?;
    Ok(())
}

/// An address as the kernel wants it behind a pointer.
#[derive(Clone, Copy, Debug)]
pub struct RawAddress {
    storage: libc::sockaddr_storage,
    len: libc::socklen_t,
}

impl RawAddress {
    /// Room for any address the kernel may write.
    pub fn empty() -> RawAddress {
        // SAFETY: `sockaddr_storage` is plain bytes, for which all zeroes is a value.
        let storage = unsafe { std::mem::zeroed() };
        RawAddress { storage, len: size_of::<libc::sockaddr_storage>() as libc::socklen_t }
    }

    /// The pointer and length that `connect(2)` takes; valid while `self` stays where it is.
    pub fn parts(&self) -> (*const libc::sockaddr, libc::socklen_t) {
        ((&raw const self.storage).cast(), self.len)
    }

    /// The pointer and room that `recvmsg(2)` takes; valid while `self` stays where it is.
    pub fn parts_mut(&mut self) -> (*mut libc::c_void, libc::socklen_t) {
        ((&raw mut self.storage).cast(), size_of::<libc::sockaddr_storage>() as libc::socklen_t)
    }

    /// Becomes that address.
    pub fn set(&mut self, address: SocketAddr) {
        match address {
            SocketAddr::V4(v4) => {
                let value = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from(*v4.ip()).to_be() },
                    sin_zero: [0; 8],
                };
                // SAFETY: a `sockaddr_in` fits in the storage and is aligned less strictly.
                unsafe { (&raw mut self.storage).cast::<libc::sockaddr_in>().write(value) };
                self.len = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            }
            SocketAddr::V6(v6) => {
                let value = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo().to_be(),
                    sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                    sin6_scope_id: v6.scope_id(),
                };
                // SAFETY: a `sockaddr_in6` fits in the storage and is aligned less strictly.
                unsafe { (&raw mut self.storage).cast::<libc::sockaddr_in6>().write(value) };
                self.len = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            }
        }
    }

    /// As an IP address and port; `None` for other families.
    pub fn to_address(self) -> Option<SocketAddr> {
        match i32::from(self.storage.ss_family) {
            libc::AF_INET => {
                // SAFETY: the family says that the storage holds a `sockaddr_in`, which is plain bytes and fits.
                let raw: libc::sockaddr_in = unsafe { std::mem::transmute_copy(&self.storage) };
                Some(SocketAddr::new(
                    std::net::Ipv4Addr::from(u32::from_be(raw.sin_addr.s_addr)).into(),
                    u16::from_be(raw.sin_port),
                ))
            }
            libc::AF_INET6 => {
                // SAFETY: the family says that the storage holds a `sockaddr_in6`, which is plain bytes and fits.
                let raw: libc::sockaddr_in6 = unsafe { std::mem::transmute_copy(&self.storage) };
                let address = std::net::Ipv6Addr::from(raw.sin6_addr.s6_addr);
                let flow = u32::from_be(raw.sin6_flowinfo);
                Some(
                    std::net::SocketAddrV6::new(
                        address,
                        u16::from_be(raw.sin6_port),
                        flow,
                        raw.sin6_scope_id,
                    )
                    .into(),
                )
            }
            _ => None,
        }
    }
}

impl From<SocketAddr> for RawAddress {
    fn from(address: SocketAddr) -> RawAddress {
        let mut raw = RawAddress::empty();
        raw.set(address);
        raw
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_the_kernels_form() {
        for text in ["127.0.0.1:80", "[::1]:8080", "[fe80::1]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(RawAddress::from(address).to_address(), Some(address));
        }
        assert_eq!(RawAddress::empty().to_address(), None);
    }
}
