//! A streamed call of ours, as its owner has it.

use super::caller::State;
use super::channel::{Channel, TURN_MAX};
use super::ended::{Ended, failure};
use super::{CallError, CallHandle, Outcome, Status};
use crate::error::{Code, Error, Result};
use std::future::poll_fn;
use std::task::Poll;

/// A call whose arguments, results or both come in parts. Dropping it cancels the call.
///
/// The verbs that wait turn the channel meanwhile. Who turns it elsewhere takes those with `try_`, and learns by [`Streamed::stirred`] or
/// [`Channel::stirred`] when to go on. A part that is not taken makes the server wait once `part_window` bytes have come.
pub struct Streamed {
    channel: Channel,
    handle: CallHandle,
}

impl Streamed {
    pub(super) fn new(channel: Channel, handle: CallHandle) -> Streamed {
        Streamed { channel, handle }
    }

    /// Sends a part of the arguments, waiting for room.
    ///
    /// Errors: `TooLarge` (`part_bytes_max`), `NoSuchCall`: the call has ended, [`Streamed::status`] tells how, or its parts have; and those of
    /// [`Channel::turn`].
    pub fn send(&self, part: &[u8]) -> Result<()> {
        while !self.try_send(part)? {
            self.channel.turn(TURN_MAX)?;
        }
        Ok(())
    }

    /// Sends a part if there is room for it now. Errors: `TooLarge`, `NoSuchCall`.
    pub fn try_send(&self, part: &[u8]) -> Result<bool> {
        match self.channel.lock().send_part(self.handle.place, part) {
            Ok(()) => Ok(true),
            Err(CallError::WouldBlock) => Ok(false),
            Err(CallError::NoSuchCall) => {
                Err(Error::new(Code::NoSuchCall, "the call has ended, or its parts have: its status tells"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Sends no more parts. Does nothing when said before.
    pub fn end(&self) {
        self.channel.lock().end_parts(self.handle.place);
    }

    /// The next part of the results, waiting for it; `None` when the call has ended. Errors: those of [`Channel::turn`].
    pub fn take(&self) -> Result<Option<Vec<u8>>> {
        loop {
            if let Poll::Ready(part) = self.try_take() {
                return Ok(part);
            }
            self.channel.turn(TURN_MAX)?;
        }
    }

    /// The next part of the results, if one is there; `None` when the call has ended and all parts were taken.
    pub fn try_take(&self) -> Poll<Option<Vec<u8>>> {
        self.channel.lock().take_part(self.handle.place)
    }

    /// How the call has ended, waiting for it. Parts that were not taken are dropped.
    pub fn status(self) -> Ended {
        loop {
            match self.take() {
                Ok(Some(_)) => {}
                Ok(None) => return self.try_status().unwrap_or_else(over),
                Err(error) => return Err(failure(Status::Unavailable, Outcome::Unknown, error.to_string())),
            }
        }
    }

    /// How the call has ended, if it has; once.
    pub fn try_status(&self) -> Option<Ended> {
        let mut inner = self.channel.lock();
        let call = inner.calls.get_mut(self.handle.place)?.as_mut()?;
        match std::mem::replace(&mut call.state, State::Taken) {
            State::Ended(ended) => Some(ended),
            state => {
                call.state = state;
                None
            }
        }
    }

    /// Asks the server to end the call; how it ends is told as ever.
    pub fn cancel(&self) {
        self.channel.lock().cancel(self.handle.place);
    }

    /// Until something comes: a part, room for one, the end of the call. Comes before it is waited for, it is not waited for.
    pub fn stirred(&self) -> impl Future<Output = ()> {
        poll_fn(|context| self.channel.lock().poll_stirred(self.handle.place, context.waker()))
    }

    /// Names it among the calls of its channel.
    pub fn handle(&self) -> CallHandle {
        self.handle
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        let mut inner = self.channel.lock();
        inner.cancel(self.handle.place);
        inner.forget(self.handle.place);
    }
}

impl std::fmt::Debug for Streamed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streamed").field("handle", &self.handle).finish_non_exhaustive()
    }
}

fn over() -> Ended {
    Err(failure(Status::Internal, Outcome::Unknown, "asked for after its end was told"))
}
