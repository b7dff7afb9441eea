//! A connection of the load driver: a socket, and what of an item has arrived.

use super::protocol::{ITEM_BYTES_MAX, Item, Protocol, ProtocolError};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use std::{fmt, io};

/// Why a run is over before its time.
#[derive(Debug)]
pub enum LoadError {
    /// The kernel refuses something.
    Kernel(io::Error),
    /// What came is not in the protocol, or a refusal.
    Protocol(ProtocolError),
    /// The server closed a connection.
    Closed,
    /// A connection got no answer to its greeting.
    NotReady(Duration),
    /// An event has not the bytes that were emitted.
    Length {
        /// Bytes that came.
        got: usize,
        /// Bytes that were emitted.
        emitted: usize,
    },
    /// An event is lost, came twice or out of order.
    Disorder {
        /// Number of the event that came.
        got: u64,
        /// Number of the one that was next.
        expected: u64,
    },
    /// Not all events came.
    Late {
        /// Deliveries that came.
        delivered: u64,
        /// Deliveries of all that was emitted.
        expected: u64,
        /// How long they were waited for.
        within: Duration,
    },
}

/// One connection to the server.
pub struct Connection {
    socket: OwnedFd,
    /// The front of an item that is not whole.
    rest: Vec<u8>,
}

impl Connection {
    /// Connects, says `greeting`, and waits until the server is ready. The socket does not block from then on.
    pub fn open(
        to: SocketAddr,
        greeting: &[u8],
        protocol: &impl Protocol,
        buffer: &mut [u8],
        patience: Duration,
    ) -> Result<Self, LoadError> {
        let socket = crate::socket::ring_stream(to)?;
        rustix::net::connect(&socket, &to)?;
        rustix::io::ioctl_fionbio(&socket, true)?;
        let mut connection = Self { socket, rest: Vec::new() };
        connection.say(greeting)?;
        let (deadline, mut is_ready) = (Instant::now() + patience, false);
        while !is_ready {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !connection.wait(left)? {
                return Err(LoadError::NotReady(patience));
            }
            connection.read(protocol, buffer, |item| {
                is_ready |= item == Item::Ready;
                Ok(())
            })?;
        }
        Ok(connection)
    }

    /// Leaves little room for what nobody is going to read.
    pub fn narrow(&self) -> Result<(), LoadError> {
        Ok(rustix::net::sockopt::set_socket_recv_buffer_size(&self.socket, 4096)?)
    }

    /// Reads once and hands out the whole items; a question is answered here. False when nothing had arrived.
    ///
    /// `buffer` has [`BUFFER_BYTES`] and may be shared by connections.
    pub fn read(
        &mut self,
        protocol: &impl Protocol,
        buffer: &mut [u8],
        mut each: impl FnMut(Item<'_>) -> Result<(), LoadError>,
    ) -> Result<bool, LoadError> {
        let kept = self.rest.len();
        buffer[..kept].copy_from_slice(&self.rest);
        let received = match rustix::net::recv(&self.socket, &mut buffer[kept..], RecvFlags::empty()) {
            Ok((0, _)) => return Err(LoadError::Closed),
            Ok((received, _)) => received,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let mut bytes = &buffer[..kept + received];
        while let Some((item, len)) = protocol.read(bytes)? {
            match item {
                Item::Question(answer) => self.say(answer)?,
                Item::Batch(batch) => {
                    let mut result = Ok(());
                    protocol.unpack(batch, &mut |body| {
                        if result.is_ok() {
                            result = each(Item::Event(body));
                        }
                    })?;
                    result?;
                }
                item => each(item)?,
            }
            bytes = &bytes[len..];
        }
        if bytes.len() > REST_BYTES_MAX {
            return Err(ProtocolError::TooLong(bytes.len() as u64).into());
        }
        self.rest.clear();
        self.rest.extend_from_slice(bytes);
        Ok(true)
    }

    /// Sends what the socket takes of `bytes` now and returns how many it took.
    pub fn send(&self, bytes: &[u8]) -> Result<usize, LoadError> {
        match rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) => Ok(sent),
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a few bytes on a socket whose buffer is as good as empty.
    fn say(&self, bytes: &[u8]) -> Result<(), LoadError> {
        if self.send(bytes)? == bytes.len() { Ok(()) } else { Err(LoadError::Closed) }
    }

    /// Waits for at most `left` until something has arrived; false when nothing has.
    pub fn wait(&self, left: Duration) -> Result<bool, LoadError> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&left)) {
            Ok(count) => Ok(count > 0),
            Err(Errno::INTR) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(error) => error.fmt(formatter),
            Self::Protocol(error) => error.fmt(formatter),
            Self::Closed => formatter.write_str("the server closed a connection"),
            Self::NotReady(patience) => {
                write!(formatter, "the server did not answer a greeting within {patience:?}")
            }
            Self::Length { got, emitted } => {
                write!(formatter, "an event of {got} bytes came, {emitted} were emitted")
            }
            Self::Disorder { got, expected } => {
                write!(formatter, "event {got} came where {expected} was next")
            }
            Self::Late { delivered, expected, within } => {
                write!(formatter, "{delivered} of {expected} deliveries came within {within:?}")
            }
        }
    }
}

impl std::error::Error for LoadError {}

impl From<ProtocolError> for LoadError {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<Errno> for LoadError {
    fn from(error: Errno) -> Self {
        Self::Kernel(error.into())
    }
}

impl From<io::Error> for LoadError {
    fn from(error: io::Error) -> Self {
        Self::Kernel(error)
    }
}

/// A head on top of the longest item.
const REST_BYTES_MAX: usize = 2 * ITEM_BYTES_MAX;
/// What a buffer to read into has: always room for more than the rest of an item.
pub const BUFFER_BYTES: usize = REST_BYTES_MAX + 256 * 1024;
