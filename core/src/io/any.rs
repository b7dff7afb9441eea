//! Either kernel driver, chosen at run time.

use super::epoll::EpollDriver;
use super::uring::UringDriver;
use super::{
    Buffers, Chunk, Close, DatagramCounters, DatagramId, DatagramOptions, Driver, DriverConfig, DriverKind,
    Event, Features, Instant, Lease, ListenOptions, ListenerId, StreamId, StreamOptions, Train, Waker,
};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

/// Which driver is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DriverChoice {
    /// io_uring where the system allows it, else epoll.
    #[default]
    Auto,
    /// io_uring or an error.
    Uring,
    /// epoll.
    Epoll,
}

impl std::str::FromStr for DriverChoice {
    type Err = crate::Error;
    fn from_str(text: &str) -> crate::Result<DriverChoice> {
        match text {
            "auto" => Ok(DriverChoice::Auto),
            "uring" => Ok(DriverChoice::Uring),
            "epoll" => Ok(DriverChoice::Epoll),
            _ => Err(crate::Error::new(
                crate::Code::InvalidArgument,
                format!("driver is {text:?}; it must be \"auto\", \"uring\" or \"epoll\""),
            )),
        }
    }
}

/// One of the kernel drivers.
pub enum AnyDriver {
    /// io_uring.
    Uring(Box<UringDriver>),
    /// epoll.
    Epoll(Box<EpollDriver>),
}

/// Opens the driver that was chosen. The text says which it is and why.
///
/// Errors: what the chosen driver says; with `Auto` what epoll says.
pub fn open(choice: DriverChoice, config: DriverConfig) -> crate::Result<(AnyDriver, String)> {
    let refused = match choice {
        DriverChoice::Epoll => "as configured".to_owned(),
        DriverChoice::Auto | DriverChoice::Uring => match UringDriver::new(config) {
            Ok(driver) => {
                let text = format!("uring: {}", driver.features());
                return Ok((AnyDriver::Uring(Box::new(driver)), text));
            }
            Err(error) if choice == DriverChoice::Uring => return Err(why_not_uring(&error)),
            Err(error) => why_not_uring(&error).to_string(),
        },
    };
    let driver =
        EpollDriver::new(config).map_err(|error| crate::Error::from_io("open an epoll driver", &error))?;
    let text = format!("epoll: {} ({refused})", driver.features());
    Ok((AnyDriver::Epoll(Box::new(driver)), text))
}

fn why_not_uring(error: &io::Error) -> crate::Error {
    use crate::{Code, Error};
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => Error::new(
            Code::IoUringForbidden,
            "io_uring is forbidden here (seccomp profile of the container, or kernel.io_uring_disabled): allow \
             io_uring_setup, io_uring_enter and io_uring_register, or use the epoll driver",
        ),
        Some(libc::ENOSYS) => Error::new(
            Code::UnsupportedKernel,
            "this kernel has no io_uring: use Linux 6.1 or newer, or the epoll driver",
        ),
        None if error.kind() == io::ErrorKind::Unsupported => Error::new(
            Code::UnsupportedKernel,
            format!("{error}: use Linux 6.1 or newer, or the epoll driver"),
        ),
        _ => Error::from_io("set up io_uring", error),
    }
}

macro_rules! each {
    ($self:ident, $driver:ident => $call:expr) => {
        match $self {
            AnyDriver::Uring($driver) => $call,
            AnyDriver::Epoll($driver) => $call,
        }
    };
}

impl AnyDriver {
    /// The descriptor of [`Driver::fd`], borrowed. Errors: `EMFILE`; `EEXIST` on another thread than the driver's.
    pub fn borrow_fd(&self) -> io::Result<BorrowedFd<'_>> {
        match self {
            AnyDriver::Uring(driver) => driver.borrow_fd(),
            AnyDriver::Epoll(driver) => Ok(driver.borrow_fd()),
        }
    }
}

impl Driver for AnyDriver {
    fn kind(&self) -> DriverKind {
        each!(self, d => d.kind())
    }
    fn features(&self) -> Features {
        each!(self, d => d.features())
    }
    fn now(&self) -> Instant {
        each!(self, d => d.now())
    }
    fn fd(&self) -> Option<RawFd> {
        each!(self, d => d.fd())
    }
    fn waker(&self) -> Option<Waker> {
        each!(self, d => d.waker())
    }
    fn listen(&mut self, address: SocketAddr, options: &ListenOptions) -> io::Result<ListenerId> {
        each!(self, d => d.listen(address, options))
    }
    fn listen_fd(&mut self, fd: OwnedFd) -> io::Result<ListenerId> {
        each!(self, d => d.listen_fd(fd))
    }
    fn listener_address(&self, listener: ListenerId) -> Option<SocketAddr> {
        each!(self, d => d.listener_address(listener))
    }
    fn accept_pause(&mut self, listener: ListenerId) {
        each!(self, d => d.accept_pause(listener));
    }
    fn accept_resume(&mut self, listener: ListenerId) {
        each!(self, d => d.accept_resume(listener));
    }
    fn unlisten(&mut self, listener: ListenerId) {
        each!(self, d => d.unlisten(listener));
    }
    fn connect(&mut self, address: SocketAddr, options: &StreamOptions) -> io::Result<StreamId> {
        each!(self, d => d.connect(address, options))
    }
    fn local_address(&self, stream: StreamId) -> Option<SocketAddr> {
        each!(self, d => d.local_address(stream))
    }
    fn recv(&mut self, stream: StreamId) {
        each!(self, d => d.recv(stream));
    }
    fn recv_stop(&mut self, stream: StreamId) {
        each!(self, d => d.recv_stop(stream));
    }
    fn recv_block(&mut self, stream: StreamId, len_max: usize) {
        each!(self, d => d.recv_block(stream, len_max));
    }
    fn buffer(&mut self) -> Vec<u8> {
        each!(self, d => d.buffer())
    }
    fn recycle(&mut self, buffer: Vec<u8>) {
        each!(self, d => d.recycle(buffer));
    }
    fn send(&mut self, stream: StreamId, chunk: Chunk) {
        each!(self, d => d.send(stream, chunk));
    }
    fn unsent(&self, stream: StreamId) -> usize {
        each!(self, d => d.unsent(stream))
    }
    fn outstanding(&self, stream: StreamId) -> usize {
        each!(self, d => d.outstanding(stream))
    }
    fn shutdown(&mut self, stream: StreamId) {
        each!(self, d => d.shutdown(stream));
    }
    fn close(&mut self, stream: StreamId, how: Close) {
        each!(self, d => d.close(stream, how));
    }
    fn splice(&mut self, source: StreamId, target: StreamId, len: u64) -> bool {
        each!(self, d => d.splice(source, target, len))
    }
    fn spliced(&self, source: StreamId) -> u64 {
        each!(self, d => d.spliced(source))
    }
    fn bind_datagram(&mut self, address: SocketAddr, options: &DatagramOptions) -> io::Result<DatagramId> {
        each!(self, d => d.bind_datagram(address, options))
    }
    fn datagram_address(&self, socket: DatagramId) -> Option<SocketAddr> {
        each!(self, d => d.datagram_address(socket))
    }
    fn datagram_receive_buffer(&self, socket: DatagramId) -> Option<usize> {
        each!(self, d => d.datagram_receive_buffer(socket))
    }
    fn datagram_counters(&self, socket: DatagramId) -> Option<DatagramCounters> {
        each!(self, d => d.datagram_counters(socket))
    }
    fn send_datagrams(&mut self, socket: DatagramId, to: SocketAddr, train: Train) {
        each!(self, d => d.send_datagrams(socket, to, train));
    }
    fn datagrams_unsent(&self, socket: DatagramId) -> usize {
        each!(self, d => d.datagrams_unsent(socket))
    }
    fn close_datagram(&mut self, socket: DatagramId) {
        each!(self, d => d.close_datagram(socket));
    }
    fn buffers(&self) -> &Buffers {
        each!(self, d => d.buffers())
    }
    fn retain(&mut self, lease: &Lease) -> Lease {
        each!(self, d => d.retain(lease))
    }
    fn split(&mut self, lease: &mut Lease, count: usize) -> Lease {
        each!(self, d => d.split(lease, count))
    }
    fn bytes_mut(&mut self, lease: &mut Lease) -> Option<&mut [u8]> {
        each!(self, d => d.bytes_mut(lease))
    }
    fn keep(&mut self, lease: Lease) -> Lease {
        each!(self, d => d.keep(lease))
    }
    fn release(&mut self, lease: Lease) {
        each!(self, d => d.release(lease));
    }
    fn turn(&mut self, timeout: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()> {
        each!(self, d => d.turn(timeout, events))
    }
    fn pending(&self) -> bool {
        each!(self, d => d.pending())
    }
    fn streams_open(&self) -> usize {
        each!(self, d => d.streams_open())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    #[test]
    fn a_kernel_that_is_too_old_is_told_as_such_and_what_to_do() {
        let none = why_not_uring(&io::Error::from_raw_os_error(libc::ENOSYS));
        let old =
            why_not_uring(&io::Error::new(io::ErrorKind::Unsupported, "io_uring of this kernel is too old"));
        for error in [none, old] {
            assert_eq!(error.code(), Code::UnsupportedKernel);
            assert!(error.to_string().contains("use Linux 6.1 or newer, or the epoll driver"), "{error}");
        }
        let forbidden = why_not_uring(&io::Error::from_raw_os_error(libc::EPERM));
        assert_eq!(forbidden.code(), Code::IoUringForbidden);
    }
}
