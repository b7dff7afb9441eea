//! Listening: connections are taken until none waits, a bounded number per turn.

use super::ReadinessDriver;
use super::sockets::{Sockets, Token};
use super::stream::{Phase, Stream};
use crate::io::{Errno, Event, ListenerId};
use std::net::SocketAddr;

/// A listening socket.
pub struct Listener<S: Sockets> {
    pub socket: S::Socket,
    /// Asked for once: owners ask for it with each connection.
    pub address: Option<SocketAddr>,
    pub queued: bool,
    pub paused: bool,
    /// Connections may wait.
    pub ready: bool,
    watched: bool,
}

impl<S: Sockets> ReadinessDriver<S> {
    /// Accepts on a socket from the next turn on.
    pub(super) fn add_listener(&mut self, socket: S::Socket) -> ListenerId {
        let id = self.number();
        let address = self.sockets.local_address(&socket);
        let mut listener =
            Listener { socket, address, queued: false, paused: false, ready: true, watched: false };
        self.work.again(Token::Listener(id), &mut listener.queued);
        self.listeners.insert(id, listener);
        ListenerId(id)
    }

    /// Accepts what waits.
    pub(super) fn drive_listener(&mut self, id: u32, events: &mut Vec<Event>) {
        let Some(listener) = self.listeners.get_mut(&id) else { return };
        listener.queued = false;
        let mut failed = None;
        for _ in 0..ACCEPTS_PER_TURN {
            if listener.paused || !listener.ready || failed.is_some() {
                break;
            }
            if self.streams.len() >= self.config.streams_max {
                // Connections wait in the backlog meanwhile.
                failed = Some(Errno(libc::ENFILE));
                break;
            }
            match self.sockets.accept(&listener.socket) {
                Ok((socket, peer)) => {
                    let Ok(stream) = self.streams.insert(Stream::new(socket, Phase::Open)) else { break };
                    events.push(Event::Accepted { listener: ListenerId(id), stream, peer });
                }
                Err(Errno(libc::EAGAIN)) => listener.ready = false,
                Err(errno) if is_exhaustion(errno) => failed = Some(errno),
                // The connection is gone before it was taken (ECONNABORTED and the like, accept(2)): on to the next.
                Err(_) => {}
            }
        }
        if !listener.watched && !listener.ready {
            match self.sockets.watch(&listener.socket, Token::Listener(id)) {
                Ok(()) => listener.watched = true,
                Err(errno) => failed = Some(errno),
            }
        }
        if let Some(errno) = failed {
            listener.paused = true;
            events.push(Event::AcceptFailed { listener: ListenerId(id), errno });
        } else if listener.ready && !listener.paused {
            self.work.again(Token::Listener(id), &mut listener.queued);
        }
    }
}

/// Whether accepting again at once would fail again.
fn is_exhaustion(errno: Errno) -> bool {
    matches!(errno.0, libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::EINVAL | libc::EBADF)
}

/// Connections taken from one listener in one turn, then the others have theirs.
const ACCEPTS_PER_TURN: usize = 64;
