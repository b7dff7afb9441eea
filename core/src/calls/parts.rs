//! The parts of a streamed call that is served, between its handler and the loop.
//!
//! A [`Line`] is shared by both: parts that came and were not read, parts that are to be sent. The first are bounded by the credit that the caller has
//! (`part_window` of [`super::Config`]), the second by the same number here; who sends more waits, who reads more than came waits too. The handler
//! rings the loop once for all that it has done since the loop looked.

use super::{CallId, Failure, PART_OVERHEAD, Status};
use crate::error::Error;
use crate::io::{Driver, Waker};
use crate::messages::EndpointId;
use crate::proto::rpc::CallError;
use crate::shard::Shard;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Instant;

/// Parts of the arguments and of the results of one streamed call, for its handler.
///
/// The verbs that wait are for handlers on threads of the pool; who answers in the loop takes those with `try_`. Clones are of the same call.
#[derive(Clone)]
pub struct Parts {
    line: Arc<Line>,
}

impl Parts {
    pub(super) fn new(line: Arc<Line>) -> Parts {
        Parts { line }
    }

    /// The next part of the arguments, waiting for it; `None` when no more come.
    ///
    /// Errors: what to return from the handler: the call was cancelled, is late, or its caller is gone.
    pub fn next(&self) -> std::result::Result<Option<Vec<u8>>, Failure> {
        let mut state = self.line.lock();
        loop {
            match self.line.take(&mut state) {
                Poll::Ready(part) => return self.line.unlock_and_ring(state, part),
                Poll::Pending => state = self.line.wait(state),
            }
        }
    }

    /// Sends a part of the results, waiting for room.
    ///
    /// Errors: what to return from the handler: as [`Parts::next`], and `OutOfRange` for a part of more than `part_bytes_max`.
    pub fn send(&self, part: &[u8]) -> std::result::Result<(), Failure> {
        let mut state = self.line.lock();
        loop {
            match self.line.put(&mut state, part) {
                Poll::Ready(put) => return self.line.unlock_and_ring(state, put),
                Poll::Pending => state = self.line.wait(state),
            }
        }
    }

    /// As [`Parts::next`] without waiting.
    pub fn try_next(&self) -> Poll<std::result::Result<Option<Vec<u8>>, Failure>> {
        let mut state = self.line.lock();
        let taken = self.line.take(&mut state);
        self.line.unlock_and_ring(state, taken)
    }

    /// As [`Parts::send`] without waiting: what is pending was not sent.
    pub fn try_send(&self, part: &[u8]) -> Poll<std::result::Result<(), Failure>> {
        let mut state = self.line.lock();
        let put = self.line.put(&mut state, part);
        self.line.unlock_and_ring(state, put)
    }

    /// `Ok` while the caller waits for the call; else why it does not.
    pub fn status(&self) -> Status {
        self.line.over(&self.line.lock()).map_or(Status::Ok, |failure| failure.status)
    }

    /// Bytes of results that are to be sent and wait for the caller to read, each part 16 more than it has.
    pub fn waiting(&self) -> u64 {
        self.line.lock().outgoing_cost
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("call", &self.line.call).finish_non_exhaustive()
    }
}

/// What handler and loop share of a call.
pub(super) struct Line {
    pub endpoint: EndpointId,
    pub call: CallId,
    bounds: Bounds,
    deadline: Option<Instant>,
    bell: Arc<Bell>,
    state: Mutex<State>,
    /// The loop has done something for the handler.
    stirred: Condvar,
}

/// How much may wait in a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub part_bytes_max: usize,
    pub part_window: u64,
}

#[derive(Default)]
struct State {
    arrived: VecDeque<Vec<u8>>,
    /// No more arrive.
    is_last: bool,
    /// Lengths of parts that were read since the loop looked, and what they cost.
    read: Vec<usize>,
    read_cost: u64,
    outgoing: VecDeque<Vec<u8>>,
    outgoing_cost: u64,
    over: Option<Failure>,
    /// The bell has the line already.
    is_listed: bool,
    /// There is something for the loop to do.
    is_due: bool,
}

impl Line {
    pub fn new(
        endpoint: EndpointId,
        call: CallId,
        bounds: Bounds,
        deadline: Option<Instant>,
        has_parts: bool,
        bell: Arc<Bell>,
    ) -> Line {
        let state = Mutex::new(State { is_last: !has_parts, ..State::default() });
        Line { endpoint, call, bounds, deadline, bell, state, stirred: Condvar::new() }
    }

    /// A part of the arguments has come. The credit of its caller bounds how many.
    pub fn arrive(&self, part: &[u8], is_last: bool) {
        let mut state = self.lock();
        // The empty end of the parts is none of them.
        if !(is_last && part.is_empty()) {
            state.arrived.push_back(part.to_vec());
        }
        state.is_last |= is_last;
        drop(state);
        self.stirred.notify_all();
    }

    /// Nobody waits for the call any more.
    pub fn close(&self, why: Failure) {
        let mut state = self.lock();
        state.over.get_or_insert(why);
        state.outgoing.clear();
        state.outgoing_cost = 0;
        drop(state);
        self.stirred.notify_all();
    }

    /// In the loop: gives credit for what was read and sends what can go. True when nothing is left to be sent.
    pub fn pump<D: Driver>(&self, shard: &mut Shard<D>) -> bool {
        let mut state = self.lock();
        state.is_listed = false;
        for len in std::mem::take(&mut state.read) {
            shard.consume_part(self.endpoint, self.call, false, len);
        }
        state.read_cost = 0;
        let before = state.outgoing.len();
        while let Some(part) = state.outgoing.front() {
            match shard.send_results(self.endpoint, self.call, part) {
                Ok(()) => {
                    state.outgoing_cost -= cost(part.len());
                    state.outgoing.pop_front();
                }
                Err(CallError::WouldBlock) => break,
                Err(error) => {
                    let text = Error::from(error).to_string();
                    state.over.get_or_insert_with(|| Failure::new(Status::Cancelled, text));
                    state.outgoing.clear();
                    state.outgoing_cost = 0;
                }
            }
        }
        let (is_empty, has_moved) = (state.outgoing.is_empty(), state.outgoing.len() < before);
        drop(state);
        if has_moved {
            self.stirred.notify_all();
        }
        is_empty
    }

    fn take(&self, state: &mut State) -> Poll<std::result::Result<Option<Vec<u8>>, Failure>> {
        if let Some(failure) = self.over(state) {
            return Poll::Ready(Err(failure));
        }
        match state.arrived.pop_front() {
            Some(part) => {
                state.read.push(part.len());
                state.read_cost += cost(part.len());
                state.is_due |= state.arrived.is_empty() || state.read_cost >= self.bounds.part_window / 4;
                Poll::Ready(Ok(Some(part)))
            }
            None if state.is_last => Poll::Ready(Ok(None)),
            None => Poll::Pending,
        }
    }

    fn put(&self, state: &mut State, part: &[u8]) -> Poll<std::result::Result<(), Failure>> {
        if let Some(failure) = self.over(state) {
            return Poll::Ready(Err(failure));
        }
        let (len, max) = (part.len(), self.bounds.part_bytes_max);
        if len > max {
            let text = format!("a part of the results is {len} bytes, limit is {max}: send it as several");
            return Poll::Ready(Err(Failure::new(Status::OutOfRange, text)));
        }
        if state.outgoing_cost + cost(len) > self.bounds.part_window {
            return Poll::Pending;
        }
        state.outgoing.push_back(part.to_vec());
        state.outgoing_cost += cost(len);
        state.is_due = true;
        Poll::Ready(Ok(()))
    }

    fn over(&self, state: &State) -> Option<Failure> {
        let is_late = self.deadline.is_some_and(|deadline| deadline <= Instant::now());
        let late = || Failure::new(Status::DeadlineExceeded, "the deadline has passed");
        state.over.clone().or_else(|| is_late.then(late))
    }

    /// Until the loop has done something, or the deadline has passed.
    fn wait<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        match self.deadline {
            None => self.stirred.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                self.stirred.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }

    fn unlock_and_ring<T>(&self, mut state: MutexGuard<'_, State>, result: T) -> T {
        let is_due = std::mem::take(&mut state.is_due);
        if is_due && !std::mem::replace(&mut state.is_listed, true) {
            drop(state);
            self.bell.ring((self.endpoint, self.call));
        }
        result
    }

    /// A handler that panicked did so outside of the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lines that have something for the loop to do.
pub(super) struct Bell {
    lines: Mutex<Vec<(EndpointId, CallId)>>,
    waker: Option<Waker>,
}

impl Bell {
    pub fn new(waker: Option<Waker>) -> Bell {
        Bell { lines: Mutex::default(), waker }
    }

    /// The lines that rang since the last call.
    pub fn take(&self) -> Vec<(EndpointId, CallId)> {
        std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn ring(&self, line: (EndpointId, CallId)) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(line);
        let is_first = lines.len() == 1;
        drop(lines);
        // Whoever comes to the empty list rings; the loop takes the whole list.
        if is_first && let Some(waker) = &self.waker {
            waker.wake();
        }
    }
}

fn cost(len: usize) -> u64 {
    len as u64 + PART_OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::datagram::Connection;

    fn line(has_parts: bool) -> Arc<Line> {
        let call = CallId { connection: Connection { index: 0, generation: 0 }, slot: 0, sequence: 1 };
        let bounds = Bounds { part_bytes_max: 50, part_window: 100 };
        let bell = Arc::new(Bell::new(None));
        Arc::new(Line::new(EndpointId(0), call, bounds, None, has_parts, bell))
    }

    #[test]
    fn parts_come_in_order_and_the_empty_end_is_none() {
        let line = line(true);
        let parts = Parts::new(Arc::clone(&line));
        assert_eq!(parts.try_next(), Poll::Pending);
        line.arrive(b"a", false);
        line.arrive(b"", false);
        line.arrive(b"", true);
        assert_eq!(parts.next().unwrap().as_deref(), Some(&b"a"[..]));
        assert_eq!(parts.next().unwrap().as_deref(), Some(&b""[..]), "an empty part is one");
        assert_eq!(parts.next().unwrap(), None);
        assert_eq!(line.bell.take().len(), 1, "the loop is rung once for all");
    }

    #[test]
    fn no_more_waits_to_be_sent_than_the_window_and_no_part_is_too_long() {
        let parts = Parts::new(line(false));
        assert_eq!(parts.next().unwrap(), None, "its arguments came whole");
        let failure = parts.send(&[0; 51]).unwrap_err();
        assert_eq!(failure.status, Status::OutOfRange);
        assert!(failure.text.contains("51 bytes, limit is 50"), "{failure}");
        assert_eq!(parts.try_send(&[0; 50]), Poll::Ready(Ok(())));
        assert_eq!(parts.try_send(&[0; 19]), Poll::Pending);
        assert_eq!(parts.try_send(&[0; 18]), Poll::Ready(Ok(())));
        assert_eq!(parts.waiting(), 100);
    }

    #[test]
    fn a_closed_line_fails_both_ways_and_wakes_who_waits() {
        let line = line(true);
        let parts = Parts::new(Arc::clone(&line));
        let waits = std::thread::spawn(move || parts.next().unwrap_err().status);
        line.close(Failure::new(Status::Cancelled, "cancelled by its caller"));
        assert_eq!(waits.join().unwrap(), Status::Cancelled);
        let parts = Parts::new(line);
        assert!(matches!(parts.try_send(b"x"), Poll::Ready(Err(_))));
        assert_eq!(parts.status(), Status::Cancelled);
    }
}
