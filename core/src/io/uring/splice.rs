//! Splices of the io_uring driver: the plain system call when the ring says that there is something to move.

use super::*;
use crate::io::SpliceEnd;
use crate::io::uring::stream::Recv;
use crate::sys::splice::{SplicePump, SpliceStep};

/// A splice under way; kept with its source.
#[derive(Debug)]
pub(super) struct Splice {
    pub pump: SplicePump,
    target: StreamId,
    op: Option<Op>,
}

impl UringDriver {
    pub(super) fn splice_start(&mut self, source: StreamId, target: StreamId, len: u64) -> bool {
        if !self.config.mask.splice {
            return false;
        }
        let ready =
            |state: &Stream| state.recv == Recv::Idle && state.recv_op.is_none() && state.splice.is_none();
        if !self.streams.get(source).is_some_and(ready)
            || self.streams.get(target).is_none_or(|state| state.unsent() > 0)
        {
            return false;
        }
        let pipe = match self.pipes.pop() {
            Some(pipe) => pipe,
            None if self.pipes_out < self.config.pipes_max => match Pipe::new() {
                Ok(pipe) => pipe,
                Err(_) => return false,
            },
            None => return false,
        };
        self.pipes_out += 1;
        let splice = Box::new(Splice { pump: SplicePump::new(pipe, len), target, op: None });
        if let Some(state) = self.streams.get_mut(source) {
            state.splice = Some(splice);
        }
        let mut ready = std::mem::take(&mut self.ready);
        self.splice_advance(source, &mut ready);
        self.ready = ready;
        true
    }

    pub(super) fn on_splice_poll(&mut self, source: StreamId, done: &Done, events: &mut Vec<Event>) {
        let Some(splice) = self.streams.get_mut(source).and_then(|state| state.splice.as_mut()) else {
            return;
        };
        splice.op = None;
        if done.result == Err(Errno(libc::ECANCELED)) {
            return;
        }
        self.splice_advance(source, events);
    }

    fn splice_advance(&mut self, source: StreamId, events: &mut Vec<Event>) {
        let Some(mut splice) = self.streams.get_mut(source).and_then(|state| state.splice.take()) else {
            return;
        };
        let (Some(from), Some(to)) = (self.streams.get(source), self.streams.get(splice.target)) else {
            // The target was closed by its owner, who knows; the source is told.
            let (target, moved) = (splice.target, splice.pump.moved());
            self.splice_drop(*splice);
            events.push(Event::Spliced {
                source,
                target,
                moved,
                end: SpliceEnd::TargetFailed(Errno(libc::EPIPE)),
            });
            return;
        };
        let step = splice.pump.advance(from.fd.as_fd(), to.fd.as_fd());
        let (fd, mask) = match step {
            SpliceStep::WaitSource => (from.fd.as_fd(), POLLIN | libc::POLLRDHUP as u32),
            SpliceStep::WaitTarget => (to.fd.as_fd(), POLLOUT),
            SpliceStep::End(end) => {
                let (target, moved) = (splice.target, splice.pump.moved());
                self.splice_drop(*splice);
                events.push(Event::Spliced { source, target, moved, end });
                return;
            }
        };
        match self.ring.poll(fd, mask, false, Kind::Splice(source)) {
            Ok(op) => {
                splice.op = Some(op);
                if let Some(state) = self.streams.get_mut(source) {
                    state.splice = Some(splice);
                }
            }
            Err(error) => {
                let (target, moved, errno) = (splice.target, splice.pump.moved(), Errno::from_io(&error));
                self.splice_drop(*splice);
                events.push(Event::Spliced { source, target, moved, end: SpliceEnd::SourceFailed(errno) });
            }
        }
    }

    /// Ends a splice; its pipe is kept for the next one if nothing is left in it.
    pub(super) fn splice_drop(&mut self, splice: Splice) {
        if let Some(op) = splice.op {
            self.ring.cancel(op);
        }
        self.pipes_out -= 1;
        if let Some(pipe) = splice.pump.into_pipe()
            && self.pipes.len() < PIPES_KEPT_MAX
        {
            self.pipes.push(pipe);
        }
    }
}

const PIPES_KEPT_MAX: usize = 64;
