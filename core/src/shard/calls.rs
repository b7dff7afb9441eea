//! Remote procedure calls of a shard: what their owner asks.

use super::Shard;
use crate::calls::{
    Answer, Arguments, CallError, CallId, CallOptions, Config, Incoming, IncomingCall, ReplyError, Results,
    Stats,
};
use crate::error::{Code, Error, Result};
use crate::io::{Driver, Instant};
use crate::messages::{Endpoint, EndpointId};
use crate::proto::datagram::Connection;
use crate::proto::rpc::Calls;

impl<D: Driver> Shard<D> {
    /// Makes a call on an open connection: it leaves with the next turn. Its end is told by [`Incoming::Reply`], exactly once.
    ///
    /// Errors: no call was made. `TooManyCalls`, `TooLarge`, `WouldBlock` (an event `Writable` tells when to go on), `NotOpen` (also
    /// when the endpoint is not open, or was opened without calls).
    #[inline]
    pub fn call(
        &mut self,
        id: EndpointId,
        connection: Connection,
        arguments: &Arguments<'_>,
        options: &CallOptions<'_>,
    ) -> std::result::Result<CallId, CallError> {
        let now = self.time();
        let (calls, machine) = self.calls_of(id).ok_or(CallError::NotOpen)?;
        calls.call(now, machine, connection, arguments, options)
    }

    /// Asks the server to end a call of ours. Its reply tells what became of it.
    ///
    /// Errors: `NoSuchCall`.
    pub fn cancel_call(&mut self, id: EndpointId, call: CallId) -> std::result::Result<(), CallError> {
        let now = self.time();
        let (calls, machine) = self.calls_of(id).ok_or(CallError::NoSuchCall)?;
        calls.cancel(now, machine, call)
    }

    /// Sends a part of the arguments of a streamed call of ours.
    ///
    /// Errors: `WouldBlock` ([`Incoming::Writable`], or an event `Writable` of the connection, tells when to go on), `TooLarge`, `NoSuchCall`,
    /// `NotOpen`.
    pub fn send_arguments(
        &mut self,
        id: EndpointId,
        call: CallId,
        bytes: &[u8],
        is_last: bool,
    ) -> std::result::Result<(), CallError> {
        let (calls, machine) = self.calls_of(id).ok_or(CallError::NoSuchCall)?;
        calls.send_arguments(machine, call, bytes, is_last)
    }

    /// Sends a part of the results of a streamed call that is served; its reply ends them.
    ///
    /// Errors: as [`Shard::send_arguments`].
    pub fn send_results(
        &mut self,
        id: EndpointId,
        call: CallId,
        bytes: &[u8],
    ) -> std::result::Result<(), CallError> {
        let (calls, machine) = self.calls_of(id).ok_or(CallError::NoSuchCall)?;
        calls.send_results(machine, call, bytes)
    }

    /// The owner has read a part of a call, ours or one that is served, of so many bytes: there is room for more.
    pub fn consume_part(&mut self, id: EndpointId, call: CallId, is_ours: bool, len: usize) {
        if let Some((calls, machine)) = self.calls_of(id) {
            calls.consume(machine, call, is_ours, len);
        }
    }

    /// Replies to a call that is served: it leaves with the next turn.
    ///
    /// Errors: `NoSuchCall`: nobody waits for it.
    #[inline]
    pub fn reply(
        &mut self,
        id: EndpointId,
        call: CallId,
        results: &Results<'_>,
    ) -> std::result::Result<(), ReplyError> {
        let (calls, machine) = self.calls_of(id).ok_or(ReplyError::NoSuchCall)?;
        calls.reply(machine, call, results)
    }

    /// What the last turn has told of calls, lent until the next one.
    pub fn call_events(&self) -> impl Iterator<Item = (EndpointId, Incoming<'_>)> {
        self.arrivals.calls(&self.driver)
    }

    /// Answers the calls that the last turn has brought: `handler` is given each and writes the results behind what is in its buffer. Whatever else
    /// was told stays for [`Shard::call_events`], which tells of these calls too.
    pub fn answer_calls(
        &mut self,
        mut handler: impl FnMut(EndpointId, &IncomingCall<'_>, &mut Vec<u8>) -> Answer,
    ) {
        let Shard { endpoints, arrivals, driver, results, .. } = self;
        for (id, incoming) in arrivals.calls(&*driver) {
            let Incoming::Call(call) = incoming else { continue };
            results.clear();
            let answer = handler(id, &call, results);
            let Some(Endpoint { machine, calls: Some(calls), .. }) = endpoints.get_mut(id) else { continue };
            let text = || std::str::from_utf8(results).unwrap_or("the handler wrote words that are no text");
            let results = match answer {
                Answer::Later => continue,
                Answer::Done => Results { bytes: results, ..Results::default() },
                Answer::Failed(status) => Results { status, text: text(), ..Results::default() },
                Answer::Refused(status) => {
                    Results { status, text: text(), is_not_executed: true, ..Results::default() }
                }
            };
            // Nobody waits for a call that was given up meanwhile.
            let _ = calls.reply(machine, call.call, &results);
        }
    }

    /// What an endpoint has counted of its calls. Errors: `NoSuchEndpoint`, `WrongState` (it was opened without calls).
    pub fn call_stats(&self, id: EndpointId) -> Result<Stats> {
        let calls = self.endpoint(id)?.calls.as_ref();
        calls
            .map(Calls::stats)
            .ok_or_else(|| Error::new(Code::WrongState, format!("endpoint {id} was opened without calls")))
    }

    /// Bounds of the calls of an endpoint; `None` when it is not open, or was opened without calls.
    pub fn call_config(&self, id: EndpointId) -> Option<&Config> {
        self.endpoint(id).ok()?.calls.as_ref().map(Calls::config)
    }

    /// Driver time, in which deadlines of calls are told.
    pub fn now(&self) -> Instant {
        self.time()
    }

    #[inline]
    fn calls_of(
        &mut self,
        id: EndpointId,
    ) -> Option<(&mut Calls, &mut crate::proto::datagram::Endpoint<crate::security::EndpointSecurity>)> {
        let Endpoint { machine, calls, .. } = self.endpoints.get_mut(id)?;
        Some((calls.as_mut()?, machine))
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Error {
        match error {
            CallError::NotOpen => Error::from(Code::NotConnected),
            CallError::WouldBlock => Error::from(Code::WouldBlock),
            CallError::NoSuchCall => Error::from(Code::NoSuchCall),
            CallError::TooManyCalls { max } => {
                Error::new(Code::TooManyCalls, format!("{max} calls are outstanding, which is the limit"))
            }
            CallError::TooLarge { len, max } => {
                Error::new(Code::TooLarge, format!("the call carries {len} bytes, limit is {max}"))
            }
        }
    }
}

impl From<ReplyError> for Error {
    fn from(ReplyError::NoSuchCall: ReplyError) -> Error {
        Error::from(Code::NoSuchCall)
    }
}
