//! The driver where io_uring is forbidden: epoll, edge-triggered, and plain system calls.
//!
//! Behaviour is that of the other drivers (`core/tests/driver`); the price is a system call per receive and per send. Needs
//! nothing newer than Linux 4.18 (UDP segmentation offload), and does without that too.

use super::readiness::{News, ReadinessDriver, Sockets, Token};
use super::{
    DatagramOptions, DriverConfig, DriverKind, Errno, Features, Instant, ListenOptions, Part, StreamOptions,
    Waker,
};
use crate::sys::message::Arrived;
use crate::sys::splice::{Pipe, SplicePump, SpliceStep};
use crate::sys::{datagram, socket};
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::net::{self, RecvFlags, SendAncillaryBuffer, SendFlags, SocketFlags};
use std::cell::Cell;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

/// The epoll driver.
pub type EpollDriver = ReadinessDriver<EpollSockets>;

impl EpollDriver {
    /// Opens it. Errors: `EMFILE`, `ENOMEM`; `EINVAL` for buffers that cannot be.
    pub fn new(config: DriverConfig) -> io::Result<EpollDriver> {
        Self::with_sockets(config, EpollSockets::new(&config)?)
    }

    /// The epoll descriptor.
    pub fn borrow_fd(&self) -> BorrowedFd<'_> {
        self.sockets().epoll.as_fd()
    }
}

/// The kernel's sockets behind an epoll descriptor.
pub struct EpollSockets {
    epoll: OwnedFd,
    waker: Arc<OwnedFd>,
    features: Features,
    /// Pipes that are not in use.
    pipes: Vec<Pipe>,
    pipes_used: usize,
    pipes_max: usize,
    /// What the last wait told: token and flags, without the pointer that the kernel's form may hold.
    events: Vec<(u64, epoll::EventFlags)>,
}

impl EpollSockets {
    fn new(config: &DriverConfig) -> io::Result<EpollSockets> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let waker = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &waker, epoll::EventData::new_u64(Token::Waker.to_bits()), epoll::EventFlags::IN)?;
        Ok(EpollSockets {
            epoll,
            waker: Arc::new(waker),
            features: Features { udp_offload: true, splice: crate::sys::splice::is_safe(), ..Features::NONE }
                .and(config.mask),
            pipes: Vec::new(),
            pipes_used: 0,
            pipes_max: config.pipes_max,
            events: Vec::with_capacity(NEWS_MAX),
        })
    }

    fn watch_fd(&self, fd: impl AsFd, token: Token) -> Result<(), Errno> {
        use epoll::EventFlags as Flags;
        let flags = Flags::IN | Flags::OUT | Flags::RDHUP | Flags::ET;
        Ok(epoll::add(&self.epoll, fd, epoll::EventData::new_u64(token.to_bits()), flags)?)
    }

    fn poll(&mut self, timeout: Option<Duration>) -> rustix::io::Result<usize> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        });
        let mut events = [const { std::mem::MaybeUninit::<epoll::Event>::uninit() }; NEWS_MAX];
        let (filled, _) = epoll::wait(&self.epoll, &mut events, timeout.as_ref())?;
        self.events.clear();
        self.events.extend(filled.iter().map(|event| (event.data.u64(), event.flags)));
        Ok(filled.len())
    }

    /// Spins, then blocks.
    fn poll_spinning(&mut self, timeout: Option<Duration>, spin: Duration) -> rustix::io::Result<usize> {
        if timeout == Some(Duration::ZERO) || spin.is_zero() {
            return self.poll(timeout);
        }
        let spin = timeout.map_or(spin, |timeout| spin.min(timeout));
        let start = std::time::Instant::now();
        loop {
            let count = self.poll(Some(Duration::ZERO))?;
            let spun = start.elapsed();
            if count > 0 {
                return Ok(count);
            }
            if spun >= spin {
                return self.poll(timeout.map(|timeout| timeout.saturating_sub(spun)));
            }
            std::hint::spin_loop();
        }
    }
}

impl Sockets for EpollSockets {
    type Socket = OwnedFd;
    type Datagram = DatagramSocket;
    type Pump = SplicePump;

    fn kind(&self) -> DriverKind {
        DriverKind::Epoll
    }

    fn features(&self) -> Features {
        self.features
    }

    fn now(&self) -> Instant {
        super::clock::now()
    }

    fn fd(&self) -> Option<RawFd> {
        Some(self.epoll.as_raw_fd())
    }

    fn waker(&self) -> Option<Waker> {
        Some(Waker(Arc::clone(&self.waker)))
    }

    fn listen(&mut self, address: SocketAddr, options: &ListenOptions) -> io::Result<OwnedFd> {
        socket::listen(address, options)
    }

    fn adopt(&mut self, fd: OwnedFd) -> io::Result<OwnedFd> {
        socket::check_listening(&fd)?;
        socket::set_stream_options(&fd, &StreamOptions::default());
        Ok(fd)
    }

    fn accept(&mut self, listener: &OwnedFd) -> Result<(OwnedFd, SocketAddr), Errno> {
        let (fd, peer) = net::acceptfrom_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
        // Other families than IP cannot be listened on here; a peer without an address is gone already.
        let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok()).ok_or(Errno(libc::ECONNABORTED))?;
        Ok((fd, peer))
    }

    fn stream(&mut self, address: SocketAddr, options: &StreamOptions) -> io::Result<OwnedFd> {
        socket::stream(address, options)
    }

    fn connect(&mut self, socket: &OwnedFd, address: SocketAddr) -> Result<(), Errno> {
        Ok(net::connect(socket, &address)?)
    }

    fn take_error(&mut self, socket: &OwnedFd) -> Option<Errno> {
        socket::take_error(socket).map(Errno::from)
    }

    fn local_address(&self, socket: &OwnedFd) -> Option<SocketAddr> {
        socket::local_address(socket)
    }

    fn recv(&mut self, socket: &OwnedFd, bytes: &mut [u8]) -> Result<usize, Errno> {
        let (count, _) = net::recv(socket, bytes, RecvFlags::empty())?;
        Ok(count)
    }

    fn send(&mut self, socket: &OwnedFd, slices: &[IoSlice<'_>]) -> Result<usize, Errno> {
        // A broken pipe is an error here, never a signal to the program that embeds us.
        Ok(net::sendmsg(socket, slices, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL)?)
    }

    fn unacknowledged(&self, socket: &OwnedFd) -> usize {
        socket::unacknowledged(socket)
    }

    fn shutdown(&mut self, socket: &OwnedFd) {
        // Fails on a connection that is gone, which the next read tells.
        let _ = net::shutdown(socket, net::Shutdown::Write);
    }

    fn set_abort(&mut self, socket: &OwnedFd) {
        socket::set_abort(socket);
    }

    fn set_send_patience(&mut self, socket: &OwnedFd, patience: Duration) {
        socket::set_send_patience(socket, patience);
    }

    fn watch(&mut self, socket: &OwnedFd, token: Token) -> Result<(), Errno> {
        self.watch_fd(socket, token)
    }

    fn datagram(&mut self, address: SocketAddr, options: &DatagramOptions) -> io::Result<DatagramSocket> {
        let fd = datagram::bind(address, options)?;
        let offload = self.features.udp_offload;
        if offload {
            datagram::set_coalescing(&fd);
        }
        let segments_max = Cell::new(if offload { datagram::segments_max() } else { 1 });
        Ok(DatagramSocket { fd, segments_max })
    }

    fn watch_datagram(&mut self, socket: &DatagramSocket, token: Token) -> Result<(), Errno> {
        self.watch_fd(&socket.fd, token)
    }

    fn datagram_address(&self, socket: &DatagramSocket) -> Option<SocketAddr> {
        socket::local_address(&socket.fd)
    }

    fn datagram_receive_buffer(&self, socket: &DatagramSocket) -> Option<usize> {
        datagram::receive_buffer(&socket.fd)
    }

    fn send_datagrams(&mut self, socket: &DatagramSocket, part: &Part) -> Result<usize, Errno> {
        socket.send(part)
    }

    fn recv_datagrams(
        &mut self,
        socket: &DatagramSocket,
        bytes: &mut [u8],
    ) -> Result<(usize, Arrived), Errno> {
        datagram::receive(&socket.fd, bytes).map_err(|error| Errno::from_io(&error))
    }

    fn pump(&mut self, len: u64) -> Option<SplicePump> {
        if !self.features.splice || self.pipes_used >= self.pipes_max {
            return None;
        }
        let pipe = match self.pipes.pop() {
            Some(pipe) => pipe,
            None => Pipe::new().ok()?,
        };
        self.pipes_used += 1;
        Some(SplicePump::new(pipe, len))
    }

    fn pump_advance(&mut self, pump: &mut SplicePump, source: &OwnedFd, target: &OwnedFd) -> SpliceStep {
        pump.advance(source.as_fd(), target.as_fd())
    }

    fn pump_moved(&self, pump: &SplicePump) -> u64 {
        pump.moved()
    }

    fn pump_end(&mut self, pump: SplicePump) {
        self.pipes_used -= 1;
        self.pipes.extend(pump.into_pipe());
    }

    fn wait(&mut self, timeout: Option<Duration>, spin: Duration, news: &mut Vec<News>) -> io::Result<()> {
        use epoll::EventFlags as Flags;
        match self.poll_spinning(timeout, spin) {
            Ok(_) => {}
            // A signal: whoever embeds the driver may want to look at it.
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
        for &(token, flags) in &self.events {
            let token = Token::from_bits(token);
            if token == Token::Waker {
                let _ = rustix::io::read(&*self.waker, &mut [0; 8]);
            }
            let ended = flags.intersects(Flags::RDHUP | Flags::HUP | Flags::ERR);
            let (readable, writable) = (flags.contains(Flags::IN), flags.contains(Flags::OUT));
            news.push(News { token, readable, writable, ended });
        }
        Ok(())
    }
}

/// A UDP socket.
#[derive(Debug)]
pub struct DatagramSocket {
    fd: OwnedFd,
    /// Datagrams that the kernel cuts from one send; 1 where it cuts none.
    segments_max: Cell<usize>,
}

impl DatagramSocket {
    fn send(&self, part: &Part) -> Result<usize, Errno> {
        let bytes = part.bytes();
        let bytes = &bytes[..part.step(self.segments_max.get()).min(bytes.len())];
        let segment = (bytes.len() > part.segment).then_some(part.segment as u16);
        datagram::send(&self.fd, part.to, bytes, segment, part.ecn).map_err(|error| {
            if segment.is_some() && error.raw_os_error() == Some(libc::EIO) {
                // The device cannot: no train of this socket goes that way.
                self.segments_max.set(1);
            }
            Errno::from_io(&error)
        })
    }
}

impl AsFd for DatagramSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<rustix::io::Errno> for Errno {
    fn from(errno: rustix::io::Errno) -> Errno {
        Errno(errno.raw_os_error())
    }
}

/// News taken from the kernel in one wait.
const NEWS_MAX: usize = 256;
