//! Sockets as every program of a measurement uses them: TCP_NODELAY and cubic on both sides.
//!
//! The congestion control is set per socket because the system default may be another one (bbr without a pacing
//! queue halves bulk throughput on loopback), and a comparison in which one side runs on another is worth nothing.

use rustix::fd::{AsFd, OwnedFd};
use rustix::io::{Errno, Result};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use std::net::SocketAddr;

/// Sets TCP_NODELAY and, where the kernel allows it, cubic.
///
/// A kernel that offers no cubic, or does not allow it to this user, leaves the default; the caller's report
/// names the congestion control of the host. Errors: those of TCP_NODELAY.
pub fn tune(socket: impl AsFd) -> Result<()> {
    let socket = socket.as_fd();
    sockopt::set_tcp_nodelay(socket, true)?;
    match sockopt::set_tcp_congestion(socket, "cubic") {
        Ok(()) | Err(Errno::NOENT | Errno::PERM | Errno::ACCESS) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Opens a non-blocking TCP socket for `address`, tuned, not yet connected.
pub fn stream(address: SocketAddr) -> Result<OwnedFd> {
    open(address, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)
}

/// Opens a TCP socket for use on a ring, tuned, not yet connected.
///
/// It is a blocking one: on a non-blocking one io_uring answers EAGAIN instead of waiting.
pub fn ring_stream(address: SocketAddr) -> Result<OwnedFd> {
    open(address, SocketFlags::CLOEXEC)
}

/// Opens a listening TCP socket on `address` with a queue of `backlog` connections.
///
/// Accepted sockets inherit TCP_NODELAY and the congestion control from it (Linux), so accepting costs no further
/// system call.
pub fn listen(address: SocketAddr, backlog: i32) -> Result<OwnedFd> {
    let socket = rustix::net::socket_with(family(address), SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    tune(&socket)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, backlog)?;
    Ok(socket)
}

/// Raises the soft limit of open descriptors to the hard one and returns it.
pub fn raise_descriptor_limit() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // A refusal leaves the soft limit in force: running out of descriptors is then counted where it happens.
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

fn open(address: SocketAddr, flags: SocketFlags) -> Result<OwnedFd> {
    let socket = rustix::net::socket_with(family(address), SocketType::STREAM, flags, None)?;
    tune(&socket)?;
    Ok(socket)
}

fn family(address: SocketAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_sockets_inherit_nodelay_and_congestion_control() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), 8).unwrap();
        let address = SocketAddr::try_from(rustix::net::getsockname(&listener).unwrap()).unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        let accepted = rustix::net::accept(&listener).unwrap();
        assert!(sockopt::tcp_nodelay(&accepted).unwrap());
        assert_eq!(sockopt::tcp_congestion(&accepted).unwrap(), sockopt::tcp_congestion(&listener).unwrap());
        drop(client);
    }

    #[test]
    fn descriptor_limit_is_the_hard_one() {
        let limit = raise_descriptor_limit();
        let hard = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap_or(u64::MAX);
        assert_eq!(limit, hard);
    }
}
