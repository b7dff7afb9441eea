//! Splices: bytes from one stream to another without passing through here.

use super::ReadinessDriver;
use super::sockets::{Sockets, Token};
use super::stream::{Phase, Receive, Splice};
use crate::io::{Event, SpliceEnd, StreamId};
use crate::sys::splice::SpliceStep;

impl<S: Sockets> ReadinessDriver<S> {
    /// Starts one, if both streams are free for it and there is a pipe.
    pub(super) fn start_splice(&mut self, source: StreamId, target: StreamId, len: u64) -> bool {
        let free_source = self.owned(source).is_some_and(|stream| {
            matches!(stream.phase, Phase::Open)
                && stream.receive == Receive::Idle
                && stream.splice.is_none()
                && stream.gives_bytes()
        });
        let free_target = self.owned(target).is_some_and(|stream| {
            matches!(stream.phase, Phase::Open)
                && stream.queue.is_empty()
                && stream.spliced_by.is_none()
                && stream.takes_bytes()
        });
        if !free_source || !free_target || source == target {
            return false;
        }
        let Some(pump) = self.sockets.pump(len) else { return false };
        if let Some(stream) = self.wish(source) {
            stream.splice = Some(Box::new(Splice { target, pump }));
        }
        if let Some(stream) = self.streams.get_mut(target) {
            stream.spliced_by = Some(source);
        }
        true
    }

    /// Moves what can be moved now.
    pub(super) fn drive_splice(&mut self, source: StreamId, events: &mut Vec<Event>) {
        let Some(mut splice) = self.streams.get_mut(source).and_then(|stream| stream.splice.take()) else {
            return;
        };
        let (Some(from), Some(to)) = (self.streams.get(source), self.streams.get(splice.target)) else {
            return self.sockets.pump_end(splice.pump);
        };
        let before = self.sockets.pump_moved(&splice.pump);
        let step = match (from.failure(), to.failure()) {
            // The other direction has met the error, and with it taken the socket's only word of it.
            (Some(errno), _) => SpliceStep::End(SpliceEnd::SourceFailed(errno)),
            (_, Some(errno)) => SpliceStep::End(SpliceEnd::TargetFailed(errno)),
            _ => self.sockets.pump_advance(&mut splice.pump, &from.socket, &to.socket),
        };
        let moved = self.sockets.pump_moved(&splice.pump);
        let target = splice.target;
        match step {
            SpliceStep::End(end) => {
                self.sockets.pump_end(splice.pump);
                events.push(Event::Spliced { source, target, moved, end });
                // What both were asked meanwhile, and what the source has behind the spliced bytes.
                if let Some(stream) = self.wish(target) {
                    stream.spliced_by = None;
                    stream.try_all();
                }
                if let Some(stream) = self.wish(source) {
                    stream.try_all();
                }
            }
            SpliceStep::WaitSource | SpliceStep::WaitTarget => {
                // The pump may stop for fairness only; no edge would come then. It has moved something in that case.
                for id in [source, target] {
                    if let Some(stream) = self.streams.get_mut(id) {
                        stream.watch(id, &mut self.sockets, &mut self.work, events);
                    }
                }
                if let Some(stream) = self.streams.get_mut(source) {
                    stream.splice = Some(splice);
                    if moved > before {
                        self.work.again(Token::Stream(source), &mut stream.queued);
                    }
                }
            }
        }
    }

    /// Ends the splices that a stream takes part in, without an event.
    pub(super) fn cancel_splices(&mut self, stream: StreamId) {
        let Some(found) = self.streams.get_mut(stream) else { return };
        let source = if found.splice.is_some() { Some(stream) } else { None };
        for source in [source, found.spliced_by.take()].into_iter().flatten() {
            let Some(splice) = self.streams.get_mut(source).and_then(|stream| stream.splice.take()) else {
                continue;
            };
            if let Some(target) = self.wish(splice.target) {
                target.spliced_by = None;
            }
            self.sockets.pump_end(splice.pump);
        }
    }
}
