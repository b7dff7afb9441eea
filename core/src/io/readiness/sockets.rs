//! What the readiness driver asks of a system: sockets that never block, and news when one could go on.

use crate::io::train_queue::Part;
use crate::io::{
    DatagramOptions, DriverKind, Errno, Features, Instant, ListenOptions, StreamId, StreamOptions, Waker,
};
use crate::sys::message::Arrived;
use crate::sys::splice::SpliceStep;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{OwnedFd, RawFd};
use std::time::Duration;

/// Sockets of one system: the kernel's behind epoll, or the simulator's.
///
/// Calls never block: what cannot go on says `EAGAIN`, and [`Sockets::wait`] tells of the socket once it could (the edge, not
/// the level), from [`Sockets::watch`] on. Dropping a socket closes it as `close(2)` does.
pub trait Sockets {
    /// A listening socket or a stream.
    type Socket;
    /// A datagram socket.
    type Datagram;
    /// A splice under way.
    type Pump;

    /// Which driver this makes.
    fn kind(&self) -> DriverKind;
    /// What is used of what the system has.
    fn features(&self) -> Features;
    /// Time now, since the start.
    fn now(&self) -> Instant;
    /// See [`crate::io::Driver::fd`].
    fn fd(&self) -> Option<RawFd>;
    /// See [`crate::io::Driver::waker`].
    fn waker(&self) -> Option<Waker>;
    /// Whether the program runs at all: a simulated host may be paused.
    fn is_running(&self) -> bool {
        true
    }
    /// Whether `wait` has news that no descriptor shows.
    fn has_news(&self) -> bool {
        false
    }

    /// A socket that listens.
    fn listen(&mut self, address: SocketAddr, options: &ListenOptions) -> io::Result<Self::Socket>;
    /// A listening socket that somebody else made.
    fn adopt(&mut self, fd: OwnedFd) -> io::Result<Self::Socket>;
    /// The next connection that waits.
    fn accept(&mut self, listener: &Self::Socket) -> Result<(Self::Socket, SocketAddr), Errno>;
    /// A socket to connect with.
    fn stream(&mut self, address: SocketAddr, options: &StreamOptions) -> io::Result<Self::Socket>;
    /// Starts to connect: `EINPROGRESS`, then news when it has ended.
    fn connect(&mut self, socket: &Self::Socket, address: SocketAddr) -> Result<(), Errno>;
    /// The error the socket holds, taken.
    fn take_error(&mut self, socket: &Self::Socket) -> Option<Errno>;
    /// The address the socket is bound to.
    fn local_address(&self, socket: &Self::Socket) -> Option<SocketAddr>;
    /// Fills `bytes`; 0 means that the other side has ended.
    fn recv(&mut self, socket: &Self::Socket, bytes: &mut [u8]) -> Result<usize, Errno>;
    /// Takes some of the bytes, at least one.
    fn send(&mut self, socket: &Self::Socket, slices: &[IoSlice<'_>]) -> Result<usize, Errno>;
    /// Bytes taken by `send` that the other side has not acknowledged.
    fn unacknowledged(&self, socket: &Self::Socket) -> usize;
    /// No more from this side.
    fn shutdown(&mut self, socket: &Self::Socket);
    /// Makes the close to come a reset.
    fn set_abort(&mut self, socket: &Self::Socket);
    /// What is left to send is given up when the other side takes nothing for that long.
    fn set_send_patience(&mut self, socket: &Self::Socket, patience: Duration);
    /// Tells the edges of this socket from now on, and what is ready already.
    fn watch(&mut self, socket: &Self::Socket, token: Token) -> Result<(), Errno>;

    /// A datagram socket.
    fn datagram(&mut self, address: SocketAddr, options: &DatagramOptions) -> io::Result<Self::Datagram>;
    /// As `watch`, for a datagram socket.
    fn watch_datagram(&mut self, socket: &Self::Datagram, token: Token) -> Result<(), Errno>;
    /// The address the socket is bound to.
    fn datagram_address(&self, socket: &Self::Datagram) -> Option<SocketAddr>;
    /// Bytes that may wait to be received.
    fn datagram_receive_buffer(&self, socket: &Self::Datagram) -> Option<usize>;
    /// Sends the first datagrams of the part, as many as travel together; returns how many bytes that were. Nothing was sent when it fails.
    fn send_datagrams(&mut self, socket: &Self::Datagram, part: &Part) -> Result<usize, Errno>;
    /// Receives one datagram or one train: how many bytes, and what came with them.
    fn recv_datagrams(
        &mut self,
        socket: &Self::Datagram,
        bytes: &mut [u8],
    ) -> Result<(usize, Arrived), Errno>;

    /// Starts a splice of `len` bytes, if there is a pipe for it.
    fn pump(&mut self, len: u64) -> Option<Self::Pump>;
    /// Moves what can be moved now. It may say "wait" although more could be moved; then bytes have moved.
    fn pump_advance(
        &mut self,
        pump: &mut Self::Pump,
        source: &Self::Socket,
        target: &Self::Socket,
    ) -> SpliceStep;
    /// Bytes handed to the target so far.
    fn pump_moved(&self, pump: &Self::Pump) -> u64;
    /// Gives the pipe back.
    fn pump_end(&mut self, pump: Self::Pump);

    /// Waits until something is ready, at most `timeout` (`None`: no limit), spinning for the first `spin`; appends news, a bounded
    /// number.
    fn wait(&mut self, timeout: Option<Duration>, spin: Duration, news: &mut Vec<News>) -> io::Result<()>;
}

/// An edge: what a socket could do again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct News {
    /// Whose.
    pub token: Token,
    /// There is something to read, or an end, or an error.
    pub readable: bool,
    /// There is room, or an error.
    pub writable: bool,
    /// The other side has ended or failed: reading goes on to the very end.
    pub ended: bool,
}

/// Who is told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Token {
    /// A stream.
    Stream(StreamId),
    /// A listener.
    Listener(u32),
    /// A datagram socket.
    Datagram(u32),
    /// The waker.
    Waker,
}

impl Token {
    /// In 64 bits: generation or 0, two bits of kind, 30 bits of index.
    pub fn to_bits(self) -> u64 {
        match self {
            Token::Stream(id) => u64::from(id.generation) << 32 | u64::from(id.index),
            Token::Listener(id) => KIND_LISTENER | u64::from(id),
            Token::Datagram(id) => KIND_DATAGRAM | u64::from(id),
            Token::Waker => KIND_MASK,
        }
    }

    /// From what `to_bits` made.
    pub fn from_bits(bits: u64) -> Token {
        let index = (bits & INDEX_MASK) as u32;
        match bits & KIND_MASK {
            0 => Token::Stream(StreamId { index, generation: (bits >> 32) as u32 }),
            KIND_LISTENER => Token::Listener(index),
            KIND_DATAGRAM => Token::Datagram(index),
            _ => Token::Waker,
        }
    }
}

const KIND_MASK: u64 = 3 << 30;
const KIND_LISTENER: u64 = 1 << 30;
const KIND_DATAGRAM: u64 = 2 << 30;
const INDEX_MASK: u64 = (1 << 30) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_64_bits() {
        let last = StreamId { index: (1 << 30) - 1, generation: u32::MAX };
        for token in
            [Token::Stream(last), Token::Listener(0), Token::Listener(7), Token::Datagram(9), Token::Waker]
        {
            assert_eq!(Token::from_bits(token.to_bits()), token);
        }
    }
}
