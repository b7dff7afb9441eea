//! The parts of a streamed call of ours, between its shard and its owner.

use super::CallError;
use super::caller::{Call, Caller, State};
use std::collections::VecDeque;
use std::task::{Poll, Waker};

/// Parts of one call. Those that came are bounded by the credit that the server has; those that are sent are the shard's at once.
#[derive(Default)]
pub(super) struct Flow {
    arrived: VecDeque<Vec<u8>>,
    /// The owner sends no more.
    pub is_ended: bool,
    /// The server knows that, or will without our doing.
    pub is_end_sent: bool,
    /// A part has left or come: the call is not made again.
    pub is_begun: bool,
    /// Something came since the owner looked.
    is_stirred: bool,
    /// Tells of it in [`Caller::stirred`].
    pub token: Option<u64>,
    waker: Option<Waker>,
}

impl Flow {
    /// Of a call whose owner is told by a token, or who looks by itself.
    pub fn new(token: Option<u64>) -> Flow {
        Flow { token, ..Flow::default() }
    }
}

impl Caller {
    /// Sends a part. Errors: `WouldBlock`: the flow stirs when to go on; `TooLarge`; `NoSuchCall`: the call has ended, or its parts have.
    pub fn send_part(&mut self, place: usize, bytes: &[u8]) -> std::result::Result<(), CallError> {
        let Caller { shard, endpoint, calls, .. } = self;
        let Some(Call { state, flow: Some(flow), .. }) = calls.get_mut(place).and_then(Option::as_mut) else {
            return Err(CallError::NoSuchCall);
        };
        match state {
            _ if flow.is_ended => Err(CallError::NoSuchCall),
            State::Waiting(_) => Err(CallError::WouldBlock),
            State::Outstanding(name) => match shard.send_arguments(*endpoint, *name, bytes, false) {
                Ok(()) => {
                    flow.is_begun = true;
                    Ok(())
                }
                // Its end is on its way to us.
                Err(CallError::NotOpen) => Err(CallError::WouldBlock),
                Err(error) => Err(error),
            },
            State::Ended(_) | State::Taken => Err(CallError::NoSuchCall),
        }
    }

    /// No more parts are sent.
    pub fn end_parts(&mut self, place: usize) {
        if let Some(flow) = self.flow(place) {
            flow.is_ended = true;
            self.send_end(place);
        }
    }

    /// Tells the server that the parts have ended, if that can be now and was not done.
    fn send_end(&mut self, place: usize) {
        let Caller { shard, endpoint, calls, .. } = self;
        if let Some(Call { state: State::Outstanding(name), flow: Some(flow), .. }) =
            calls.get_mut(place).and_then(Option::as_mut)
            && flow.is_ended
            && !flow.is_end_sent
        {
            // One that does not go now goes when there is room; one that is over needs none.
            flow.is_end_sent = shard.send_arguments(*endpoint, *name, &[], true).is_ok();
        }
    }

    /// The next part of the results; `None` when the call has ended and all were taken.
    pub fn take_part(&mut self, place: usize) -> Poll<Option<Vec<u8>>> {
        let Caller { shard, endpoint, calls, .. } = self;
        let Some(Call { state, flow: Some(flow), .. }) = calls.get_mut(place).and_then(Option::as_mut) else {
            return Poll::Ready(None);
        };
        match (flow.arrived.pop_front(), state) {
            (Some(part), State::Outstanding(name)) => {
                shard.consume_part(*endpoint, *name, true, part.len());
                Poll::Ready(Some(part))
            }
            (Some(part), _) => Poll::Ready(Some(part)),
            (None, State::Ended(_) | State::Taken) => Poll::Ready(None),
            (None, _) => Poll::Pending,
        }
    }

    /// A part of the results has come.
    pub fn on_part(&mut self, place: usize, bytes: Vec<u8>, is_last: bool) {
        let Some(flow) = self.flow(place) else { return };
        flow.is_begun = true;
        // The empty end of the parts is none of them.
        if !(is_last && bytes.is_empty()) {
            flow.arrived.push_back(bytes);
        }
        self.stir(place);
    }

    /// There is room for parts, or the call was made.
    pub fn on_room(&mut self, place: usize) {
        self.send_end(place);
        self.stir(place);
    }

    /// Tells the owner of a flow that something came.
    pub fn stir(&mut self, place: usize) {
        let Some(Some(call)) = self.calls.get_mut(place) else { return };
        let number = call.number;
        let Some(flow) = &mut call.flow else { return };
        let was_stirred = std::mem::replace(&mut flow.is_stirred, true);
        if let Some(waker) = flow.waker.take() {
            waker.wake();
        }
        if flow.token.is_some() && !was_stirred {
            self.stirred.push_back((place, number));
        }
    }

    /// The token of the next flow on which something came.
    pub fn next_stirred(&mut self) -> Option<u64> {
        loop {
            let (place, number) = self.stirred.pop_front()?;
            if let Some(Some(Call { number: known, flow: Some(flow), .. })) = self.calls.get_mut(place)
                && *known == number
            {
                flow.is_stirred = false;
                return flow.token;
            }
        }
    }

    /// Ready when something came on a flow since the last time; else `waker` is woken by it.
    pub fn poll_stirred(&mut self, place: usize, waker: &Waker) -> Poll<()> {
        let Some(Some(call)) = self.calls.get_mut(place) else { return Poll::Ready(()) };
        let is_over = matches!(call.state, State::Ended(_) | State::Taken);
        let Some(flow) = &mut call.flow else { return Poll::Ready(()) };
        if is_over || std::mem::take(&mut flow.is_stirred) {
            return Poll::Ready(());
        }
        flow.waker = Some(waker.clone());
        Poll::Pending
    }

    fn flow(&mut self, place: usize) -> Option<&mut Flow> {
        self.calls.get_mut(place)?.as_mut()?.flow.as_deref_mut()
    }
}
