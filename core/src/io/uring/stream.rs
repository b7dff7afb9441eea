//! Streams of the io_uring driver: what is in flight on each, and what its completions mean.

use super::splice::Splice;
use super::*;
use crate::io::sendq::{chunk_len, drop_chunk};

/// One stream. Small: idle ones are many.
#[derive(Debug)]
pub(super) struct Stream {
    pub fd: OwnedFd,
    pub recv: Recv,
    pub recv_op: Option<Op>,
    connect_op: Option<Op>,
    /// A send, or the wait for room before it.
    send_op: Option<Op>,
    /// Bytes of the send in flight that are not yet known to be taken.
    in_flight: usize,
    queue: SendQueue,
    dirty: bool,
    failed: bool,
    finish: Finish,
    pub splice: Option<Box<Splice>>,
}

/// What the owner wants to receive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Recv {
    /// Nothing.
    Idle,
    /// Into shared buffers, on and on.
    Shared,
    /// Nothing more: the end of `Shared` is under way.
    Stopping,
    /// Once, into a block.
    Block,
    /// The other side has ended.
    Ended,
}

/// What follows when the queue is empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Finish {
    Open,
    Shutdown,
    Close,
}

impl Stream {
    fn new(fd: OwnedFd, queue: SendQueue) -> Stream {
        Stream {
            fd,
            recv: Recv::Idle,
            recv_op: None,
            connect_op: None,
            send_op: None,
            in_flight: 0,
            queue,
            dirty: false,
            failed: false,
            finish: Finish::Open,
            splice: None,
        }
    }

    pub fn unsent(&self) -> usize {
        self.queue.unsent() + self.in_flight
    }

    /// Bytes that the peer has not acknowledged; 0 when the owner has closed the stream.
    pub fn outstanding(&self) -> usize {
        if self.finish == Finish::Close { 0 } else { self.unsent() + socket::unacknowledged(&self.fd) }
    }
}

impl UringDriver {
    /// Enters a socket. Errors: `ENFILE` when there are as many as may be; the socket is closed.
    pub(super) fn stream_insert(&mut self, fd: OwnedFd) -> io::Result<StreamId> {
        let queue = self.queues.pop().unwrap_or_default();
        self.streams.insert(Stream::new(fd, queue)).map_err(|_| io::Error::from_raw_os_error(libc::ENFILE))
    }

    pub(super) fn stream_connect(
        &mut self,
        address: SocketAddr,
        options: &StreamOptions,
    ) -> io::Result<StreamId> {
        let fd = socket::stream(address, options)?;
        let stream = self.stream_insert(fd)?;
        let state = self.streams.get_mut(stream).expect("just inserted");
        match self.ring.connect(state.fd.as_fd(), address.into(), Kind::Connect(stream)) {
            Ok(op) => state.connect_op = Some(op),
            Err(error) => {
                self.streams.remove(stream);
                return Err(error);
            }
        }
        Ok(stream)
    }

    pub(super) fn on_connect(&mut self, stream: StreamId, done: &Done, events: &mut Vec<Event>) {
        let Some(state) = self.streams.get_mut(stream) else { return };
        state.connect_op = None;
        if state.finish != Finish::Close {
            events.push(Event::Connected { stream, result: done.result.map(|_| ()) });
        }
    }

    pub(super) fn stream_recv(&mut self, stream: StreamId) {
        let Some(state) = self.streams.get_mut(stream) else { return };
        match state.recv {
            // The end of an earlier receive is still to come; it goes on from there.
            Recv::Stopping | Recv::Idle if !state.failed => state.recv = Recv::Shared,
            _ => return,
        }
        self.recv_arm(stream);
    }

    /// Puts a receive into flight where the stream wants one and has none.
    fn recv_arm(&mut self, stream: StreamId) {
        let Some(state) = self.streams.get_mut(stream) else { return };
        if state.recv != Recv::Shared || state.recv_op.is_some() {
            return;
        }
        let fd = state.fd.as_fd();
        let op = if self.ring.features().buffer_ring && self.ring.provide() > 0 {
            self.ring.recv_shared(fd, Kind::Recv(stream))
        } else {
            // No shared buffer is idle (or there is no buffer ring): one receive into a block keeps this stream going.
            self.ring.recv_block(fd, STARVED_BYTES, false, Kind::RecvBlock(stream))
        };
        match op {
            Ok(op) => state.recv_op = Some(op),
            Err(error) => self.fail(stream, Errno::from_io(&error)),
        }
    }

    pub(super) fn stream_recv_stop(&mut self, stream: StreamId) {
        let Some(state) = self.streams.get_mut(stream) else { return };
        if state.recv != Recv::Shared {
            return;
        }
        match state.recv_op {
            Some(op) => {
                state.recv = Recv::Stopping;
                self.ring.cancel(op);
            }
            None => {
                state.recv = Recv::Idle;
                self.ready.push(Event::RecvStopped { stream });
            }
        }
    }

    pub(super) fn stream_recv_block(&mut self, stream: StreamId, len_max: usize) {
        let Some(state) = self.streams.get_mut(stream) else { return };
        if state.recv != Recv::Idle || state.recv_op.is_some() || state.failed {
            return;
        }
        match self.ring.recv_block(state.fd.as_fd(), len_max, false, Kind::RecvBlock(stream)) {
            Ok(op) => {
                state.recv = Recv::Block;
                state.recv_op = Some(op);
            }
            Err(error) => self.fail(stream, Errno::from_io(&error)),
        }
    }

    /// A completion of a receive into shared buffers.
    pub(super) fn on_recv(&mut self, stream: StreamId, done: Done, events: &mut Vec<Event>) {
        let lease = match done.result {
            Ok(len) => self.lend(&done, len),
            // A buffer may be picked and the receive fail all the same.
            Err(_) => self.lend(&done, 0),
        };
        let Some(state) = self.streams.get_mut(stream).filter(|state| state.finish != Finish::Close) else {
            // The stream is gone, at least for its owner.
            if let Some(lease) = lease {
                self.ring.buffers_mut().release(lease);
            }
            return;
        };
        if !done.more {
            state.recv_op = None;
        }
        match (done.result, lease) {
            (_, Some(lease)) => events.push(Event::Data { stream, lease }),
            (Ok(0), None) => {
                state.recv = Recv::Ended;
                events.push(Event::End { stream });
                return;
            }
            (Err(Errno(libc::ECANCELED | libc::ENOBUFS | libc::EINTR | libc::EAGAIN)), None) => {}
            (Ok(_), None) => return self.fail_into(stream, Errno(libc::EIO), events),
            (Err(errno), None) => return self.fail_into(stream, errno, events),
        }
        self.after_recv(stream, done.more, events);
    }

    /// A completion of a receive into a block.
    pub(super) fn on_recv_block(&mut self, stream: StreamId, done: Done, events: &mut Vec<Event>) {
        let Held::Block(block) = done.held else { return };
        let len_max = self.ring.buffers().capacity(&block);
        let lease = match done.result {
            Ok(len) if len > 0 => Some(self.ring.buffers_mut().lend(block, 0, len as usize)),
            _ => {
                self.ring.buffers_mut().put_back(block);
                None
            }
        };
        let Some(state) = self.streams.get_mut(stream).filter(|state| state.finish != Finish::Close) else {
            if let Some(lease) = lease {
                self.ring.buffers_mut().release(lease);
            }
            return;
        };
        state.recv_op = None;
        if state.recv == Recv::Block {
            state.recv = Recv::Idle;
            if matches!(done.result, Err(Errno(libc::EINTR | libc::EAGAIN))) {
                // The owner was promised bytes, or an end.
                return self.stream_recv_block(stream, len_max);
            }
        }
        match (done.result, lease) {
            (_, Some(lease)) => events.push(Event::Data { stream, lease }),
            (Ok(_), None) => {
                state.recv = Recv::Ended;
                events.push(Event::End { stream });
                return;
            }
            (Err(Errno(libc::ECANCELED | libc::EINTR | libc::EAGAIN)), None) => {}
            (Err(errno), None) => return self.fail_into(stream, errno, events),
        }
        self.after_recv(stream, false, events);
    }

    fn after_recv(&mut self, stream: StreamId, more: bool, events: &mut Vec<Event>) {
        if more {
            return;
        }
        let Some(state) = self.streams.get_mut(stream) else { return };
        match state.recv {
            Recv::Stopping => {
                state.recv = Recv::Idle;
                events.push(Event::RecvStopped { stream });
            }
            Recv::Shared => self.recv_arm(stream),
            Recv::Idle | Recv::Block | Recv::Ended => {}
        }
    }

    pub(super) fn stream_send(&mut self, stream: StreamId, chunk: Chunk) {
        match self.streams.get_mut(stream) {
            Some(state) if !state.failed && state.finish == Finish::Open => {
                state.queue.push(chunk, self.ring.buffers_mut(), &mut self.spare);
                if !state.dirty {
                    state.dirty = true;
                    self.dirty.push(stream);
                }
            }
            _ => drop_chunk(chunk, self.ring.buffers_mut(), &mut self.spare),
        }
    }

    /// Turns what was queued into sends, one per stream.
    pub(super) fn flush_sends(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for stream in dirty.drain(..) {
            if let Some(state) = self.streams.get_mut(stream) {
                state.dirty = false;
                self.send_arm(stream);
            }
        }
        self.dirty = dirty;
    }

    fn send_arm(&mut self, stream: StreamId) {
        let Some(state) = self.streams.get_mut(stream) else { return };
        if state.send_op.is_some() || state.queue.is_empty() {
            return;
        }
        let mut flight = self.flights.pop().unwrap_or_else(SendFlight::new);
        flight.len = 0;
        flight.sent = 0;
        while flight.chunks.len() < SendFlight::CHUNKS_MAX && flight.len < FLIGHT_BYTES_MAX {
            let Some(chunk) = state.queue.pop() else { break };
            flight.len += chunk_len(&chunk);
            flight.chunks.push(chunk);
        }
        self.send_flight(stream, flight);
    }

    fn send_flight(&mut self, stream: StreamId, flight: Box<SendFlight>) {
        let Some(state) = self.streams.get_mut(stream) else { return };
        state.in_flight = flight.len - flight.sent;
        match self.ring.send(state.fd.as_fd(), flight, Kind::Send(stream)) {
            Ok(op) => state.send_op = Some(op),
            Err(error) => {
                state.send_op = None;
                state.in_flight = 0;
                self.fail(stream, Errno::from_io(&error));
            }
        }
    }

    pub(super) fn on_send(&mut self, stream: StreamId, done: Done, events: &mut Vec<Event>) {
        let Held::Send(mut flight) = done.held else { return };
        if let Ok(count) = done.result {
            flight.sent += count as usize;
        }
        let alive = self.streams.get(stream).is_some_and(|state| !state.failed);
        if alive && matches!(done.result, Err(Errno(libc::EAGAIN | libc::EINTR))) {
            // Nothing was taken, nothing is lost.
            return self.wait_to_send(stream, flight);
        }
        let partial = matches!(done.result, Ok(count) if count > 0) && flight.sent < flight.len;
        if partial && alive {
            if let Some(state) = self.streams.get_mut(stream) {
                state.send_op = None;
            }
            self.send_flight(stream, flight);
            if let Some(state) = self.streams.get(stream)
                && state.finish != Finish::Close
            {
                events.push(Event::Sent { stream, unsent: state.unsent() as u32 });
            }
            return;
        }
        self.recycle_flight(flight);
        let Some(state) = self.streams.get_mut(stream) else { return };
        state.send_op = None;
        state.in_flight = 0;
        match done.result {
            Ok(_) => {
                if state.finish != Finish::Close {
                    events.push(Event::Sent { stream, unsent: state.unsent() as u32 });
                }
                if state.queue.is_empty() { self.finish(stream) } else { self.send_arm(stream) }
            }
            Err(errno) => self.fail_into(stream, errno, events),
        }
    }

    fn wait_to_send(&mut self, stream: StreamId, flight: Box<SendFlight>) {
        let Some(state) = self.streams.get_mut(stream) else { return };
        match self.ring.wait_to_send(state.fd.as_fd(), flight, Kind::SendReady(stream)) {
            Ok(op) => state.send_op = Some(op),
            Err(error) => {
                state.send_op = None;
                state.in_flight = 0;
                self.fail(stream, Errno::from_io(&error));
            }
        }
    }

    /// There is room again, or an error that the send will meet.
    pub(super) fn on_send_ready(&mut self, stream: StreamId, done: Done, events: &mut Vec<Event>) {
        let Held::Send(flight) = done.held else { return };
        let alive = self.streams.get(stream).is_some_and(|state| !state.failed);
        match done.result {
            Ok(_) if alive => self.send_flight(stream, flight),
            result => {
                self.recycle_flight(flight);
                let Some(state) = self.streams.get_mut(stream) else { return };
                state.send_op = None;
                state.in_flight = 0;
                if let Err(errno) = result {
                    self.fail_into(stream, errno, events);
                }
            }
        }
    }

    fn recycle_flight(&mut self, mut flight: Box<SendFlight>) {
        for chunk in flight.chunks.drain(..) {
            drop_chunk(chunk, self.ring.buffers_mut(), &mut self.spare);
        }
        if self.flights.len() < FLIGHTS_KEPT_MAX {
            self.flights.push(flight);
        }
    }

    /// Does what was to follow the last byte.
    fn finish(&mut self, stream: StreamId) {
        let Some(state) = self.streams.get_mut(stream) else { return };
        match state.finish {
            Finish::Open => {}
            Finish::Shutdown => {
                let _ = rustix::net::shutdown(&state.fd, rustix::net::Shutdown::Write);
            }
            Finish::Close => self.remove(stream),
        }
    }

    pub(super) fn stream_shutdown(&mut self, stream: StreamId) {
        let Some(state) = self.streams.get_mut(stream) else { return };
        if state.finish != Finish::Open || state.failed {
            return;
        }
        state.finish = Finish::Shutdown;
        if state.unsent() == 0 {
            self.finish(stream);
        }
    }

    pub(super) fn stream_close(&mut self, stream: StreamId, how: Close) {
        let closed = |state: &Stream| state.finish == Finish::Close;
        let Some(state) = self.streams.get_mut(stream) else { return };
        if closed(state) {
            return;
        }
        if let Some(splice) = state.splice.take() {
            self.splice_drop(*splice);
        }
        let Some(state) = self.streams.get_mut(stream) else { return };
        // With bytes lost on the way, an end would make a part look whole.
        if how == Close::Abort || state.failed {
            socket::set_abort(&state.fd);
        }
        if how == Close::AfterSend && state.unsent() > 0 && !state.failed {
            state.finish = Finish::Close;
            self.park(stream);
            let oldest = self.lingering.add(stream, |stream| self.streams.get(stream).is_some_and(closed));
            if let Some(oldest) = oldest {
                self.abort(oldest);
            }
        } else {
            self.remove(stream);
        }
    }

    /// A stream that is closed for its owner but has bytes to send: it receives no more and tells nothing more.
    fn park(&mut self, stream: StreamId) {
        let Some(state) = self.streams.get_mut(stream) else { return };
        if let Some(op) = state.recv_op.take() {
            self.ring.cancel(op);
        }
        state.recv = Recv::Ended;
        self.parked.push(stream);
    }

    /// A peer that reads nothing must not keep the slot for good. Most streams have sent their last bytes one turn after they were parked, and
    /// cost nothing here.
    pub(super) fn limit_patience(&self, parked: &[StreamId]) {
        for state in parked.iter().filter_map(|stream| self.streams.get(*stream)) {
            socket::set_send_patience(&state.fd, PARKED_PATIENCE);
        }
    }

    /// Ends a stream with a reset for the other side.
    fn abort(&mut self, stream: StreamId) {
        if let Some(state) = self.streams.get(stream) {
            socket::set_abort(&state.fd);
        }
        self.remove(stream);
    }

    /// Ends a stream for good. What is in flight is cancelled and comes back to nobody.
    fn remove(&mut self, stream: StreamId) {
        let Some(mut state) = self.streams.remove(stream) else { return };
        if state.finish == Finish::Close {
            self.lingering.removed();
        }
        state.queue.clear(self.ring.buffers_mut(), &mut self.spare);
        // A connect that nobody answers would keep socket and slot for minutes.
        for op in [state.connect_op, state.recv_op, state.send_op].into_iter().flatten() {
            self.ring.cancel(op);
        }
        if let Some(splice) = state.splice.take() {
            self.splice_drop(*splice);
        }
        if self.queues.len() < QUEUES_KEPT_MAX && state.queue.is_small() {
            self.queues.push(state.queue);
        }
        self.ring.close(state.fd);
    }

    /// A stream that can go no further; told with the next turn.
    pub(super) fn fail(&mut self, stream: StreamId, errno: Errno) {
        let mut ready = std::mem::take(&mut self.ready);
        self.fail_into(stream, errno, &mut ready);
        self.ready = ready;
    }

    pub(super) fn fail_into(&mut self, stream: StreamId, errno: Errno, events: &mut Vec<Event>) {
        let Some(state) = self.streams.get_mut(stream) else { return };
        if state.finish == Finish::Close {
            // Its last bytes are lost: an end would make a part look whole.
            self.abort(stream);
            return;
        }
        if std::mem::replace(&mut state.failed, true) {
            return;
        }
        state.recv = Recv::Ended;
        state.queue.clear(self.ring.buffers_mut(), &mut self.spare);
        if let Some(op) = state.recv_op {
            self.ring.cancel(op);
        }
        events.push(Event::Failed { stream, errno });
    }
}

/// Bytes of the block a stream receives into when no shared buffer is idle.
const STARVED_BYTES: usize = 16 << 10;
/// Bytes of one send, about.
const FLIGHT_BYTES_MAX: usize = 512 << 10;
const FLIGHTS_KEPT_MAX: usize = 256;
const QUEUES_KEPT_MAX: usize = 256;
/// How long a peer may take to acknowledge the last bytes.
const PARKED_PATIENCE: Duration = Duration::from_secs(60);
