//! Sockets: made, bound, told their options. Thin words over `rustix`, shared by the kernel drivers.

use crate::io::{ListenOptions, StreamOptions};
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

fn family(address: &SocketAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}

const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

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

/// The error a socket holds, taken; `None` when it holds none.
pub fn take_error(fd: impl AsFd) -> Option<rustix::io::Errno> {
    match sockopt::socket_error(fd) {
        Ok(Ok(())) => None,
        Ok(Err(errno)) | Err(errno) => Some(errno),
    }
}

/// A UDP socket, bound. Errors: as [`listen`].
pub fn datagram(address: SocketAddr) -> io::Result<OwnedFd> {
    let fd = net::socket_with(family(&address), SocketType::DGRAM, FLAGS, None)?;
    net::bind(&fd, &address)?;
    Ok(fd)
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
