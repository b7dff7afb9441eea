//! What the handles of a channel share: its shard, its link to a server, its calls.

use super::channel::Interceptor;
use super::ended::{CallConfig, CallFailure, Ended, Reply, failure};
use super::flow::Flow;
use super::names::Target;
use super::{
    Arguments, CallError, CallId, CallOptions, ChannelConfig, Incoming, IncomingReply, Method, Outcome,
    Status,
};
use crate::error::{Error, Result};
use crate::messages::EndpointId;
use crate::proto::datagram::{Connection, Event};
use crate::proto::random::Random;
use crate::proto::rpc::Attempt;
use crate::shard::Shard;
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

/// One shard, one link to a server, and the calls of a channel.
pub(super) struct Caller {
    pub shard: Shard,
    pub endpoint: EndpointId,
    pub targets: Vec<Target>,
    pub next_target: usize,
    pub link: Link,
    pub config: ChannelConfig,
    pub interceptors: Vec<Arc<dyn Interceptor>>,
    pub calls: Vec<Option<Call>>,
    pub free: Vec<usize>,
    /// Places of calls that wait for the connection, for room, or for their time.
    pub waiting: Vec<usize>,
    /// Submitted calls that have ended.
    pub ended: VecDeque<(u64, Ended)>,
    /// Flows of submitted streamed calls on which something came.
    pub stirred: VecDeque<(usize, u64)>,
    /// A streamed call waits for the next turn.
    pub has_fresh: bool,
    /// Calls so far.
    pub numbers: u64,
    pub random: Random,
}

pub(super) enum Link {
    Down { until: Instant, failures: u32 },
    Connecting { connection: Connection, failures: u32 },
    Up(Connection),
}

pub(super) struct Call {
    pub number: u64,
    /// Of a submitted one.
    pub token: Option<u64>,
    pub name: String,
    pub method: Method,
    pub arguments: Vec<u8>,
    pub config: CallConfig,
    pub deadline: Option<Instant>,
    pub attempt: u32,
    pub state: State,
    pub waker: Option<Waker>,
    /// Its parts, when it is streamed.
    pub flow: Option<Box<Flow>>,
}

pub(super) enum State {
    /// Not before this.
    Waiting(Instant),
    Outstanding(CallId),
    Ended(Ended),
    Taken,
}

impl Caller {
    pub fn enter(
        &mut self,
        name: &str,
        arguments: Vec<u8>,
        mut config: CallConfig,
        token: Option<u64>,
        flow: Option<Flow>,
    ) -> usize {
        let now = Instant::now();
        self.numbers += 1;
        let mut refused = None;
        for interceptor in self.interceptors.clone() {
            if let Err(failed) = interceptor.before(name, &mut config) {
                refused = Some(failed);
                break;
            }
        }
        let in_use = self.calls.len() - self.free.len();
        if in_use >= self.config.calls_max {
            let text = format!("{in_use} calls have not ended, which is the limit");
            refused = Some(failure(Status::ResourceExhausted, Outcome::NotExecuted, text));
        }
        let is_streamed = flow.is_some();
        let deadline = config.timeout.map(|timeout| now + timeout);
        let call = Call {
            number: self.numbers,
            token,
            name: name.to_string(),
            method: Method::new(name),
            arguments,
            config,
            deadline,
            attempt: 1,
            state: State::Waiting(now),
            waker: None,
            flow: flow.map(Box::new),
        };
        let place = self.free.pop().unwrap_or_else(|| {
            self.calls.push(None);
            self.calls.len() - 1
        });
        self.calls[place] = Some(call);
        match refused {
            Some(failed) => self.end(place, Err(failed)),
            // Made with the next turn: until then its arguments may end with it.
            None if is_streamed => {
                self.waiting.push(place);
                self.has_fresh = true;
            }
            None if !self.launch(now, place) => self.waiting.push(place),
            None => {}
        }
        place
    }

    /// Makes a waiting call, if that can be now. False: it goes on waiting.
    fn launch(&mut self, now: Instant, place: usize) -> bool {
        let Caller { shard, endpoint, link, calls, .. } = self;
        let Some(call) = calls[place].as_mut() else { return true };
        let State::Waiting(from) = call.state else { return true };
        if call.deadline.is_some_and(|deadline| deadline <= now) {
            let late = failure(
                Status::DeadlineExceeded,
                Outcome::NotExecuted,
                "the deadline passed before it was made",
            );
            self.end(place, Err(late));
            return true;
        }
        let Link::Up(connection) = *link else { return false };
        if from > now {
            return false;
        }
        let has_parts = call.flow.as_ref().is_some_and(|flow| !flow.is_ended);
        let arguments = Arguments { method: call.method, bytes: &call.arguments, has_parts };
        let options = CallOptions {
            timeout: call.deadline.map(|deadline| deadline - now),
            metadata: call.config.metadata.borrow(),
            token: place as u64,
            is_streamed: call.flow.is_some(),
        };
        match shard.call(*endpoint, connection, &arguments, &options) {
            Ok(name) => {
                call.state = State::Outstanding(name);
                if let Some(flow) = &mut call.flow {
                    flow.is_end_sent = !has_parts;
                    self.on_room(place);
                }
                true
            }
            Err(CallError::WouldBlock | CallError::TooManyCalls { .. } | CallError::NotOpen) => false,
            Err(error) => {
                let text = Error::from(error).to_string();
                self.end(place, Err(failure(Status::OutOfRange, Outcome::NotExecuted, text)));
                true
            }
        }
    }

    pub fn turn(&mut self, timeout: Duration) -> Result<()> {
        let now = Instant::now();
        self.connect(now);
        if std::mem::take(&mut self.has_fresh) {
            self.launch_waiting(now);
        }
        let until = self.next_wake(now).map_or(timeout, |due| due.min(timeout));
        self.shard.turn_for(Some(until))?;
        let now = Instant::now();
        let events: Vec<Event> = self.shard.connection_events().map(|(_, event)| event).collect();
        for event in events {
            self.on_event(now, &event);
        }
        // What came is lent by the shard: taken down, then dealt with.
        let came: Vec<(usize, Came)> =
            self.shard.call_events().filter_map(|(_, incoming)| Came::of(incoming)).collect();
        for (place, came) in came {
            match came {
                Came::Ended(ended) => self.on_ended(now, place, ended),
                Came::Part { bytes, is_last } => self.on_part(place, bytes, is_last),
                Came::Room => self.on_room(place),
            }
        }
        self.launch_waiting(now);
        Ok(())
    }

    fn launch_waiting(&mut self, now: Instant) {
        let waiting = std::mem::take(&mut self.waiting);
        for place in waiting {
            if !self.launch(now, place) {
                self.waiting.push(place);
            }
        }
    }

    fn connect(&mut self, now: Instant) {
        let Link::Down { until, failures } = self.link else { return };
        if until > now {
            return;
        }
        let target = self.targets[self.next_target % self.targets.len()];
        self.next_target += 1;
        match self.shard.connect(self.endpoint, target.address, target.key) {
            Ok(connection) => self.link = Link::Connecting { connection, failures },
            Err(_) => self.link = Link::Down { until: now + self.backoff(failures), failures: failures + 1 },
        }
    }

    fn backoff(&self, failures: u32) -> Duration {
        let rounds = failures / self.targets.len() as u32;
        self.config
            .reconnect
            .saturating_mul(1 << rounds.min(7))
            .min(self.config.reconnect.saturating_mul(100))
    }

    fn on_event(&mut self, now: Instant, event: &Event) {
        match (event, &self.link) {
            (Event::Connected { connection, .. }, Link::Connecting { connection: own, .. })
                if connection == own =>
            {
                self.link = Link::Up(*connection);
            }
            (Event::Gone { connection, .. }, Link::Connecting { connection: own, failures })
                if connection == own =>
            {
                let failures = *failures;
                self.link = Link::Down { until: now + self.backoff(failures), failures: failures + 1 };
            }
            (Event::Gone { connection, .. }, Link::Up(own)) if connection == own => {
                self.link = Link::Down { until: now, failures: 0 };
            }
            _ => {}
        }
    }

    fn on_ended(&mut self, now: Instant, place: usize, ended: Ended) {
        let Some(Some(call)) = self.calls.get_mut(place) else { return };
        if call.attempt == u32::MAX {
            // Nobody waits for it.
            self.release(place);
            return;
        }
        if let Err(failed) = &ended {
            if failed.status == Status::Unavailable && failed.outcome == Outcome::Unknown {
                self.leave();
            }
            let Some(Some(call)) = self.calls.get_mut(place) else { return };
            let attempt = Attempt {
                number: call.attempt,
                status: failed.status,
                outcome: failed.outcome,
                is_idempotent: call.config.is_idempotent,
                left: call.deadline.map(|deadline| deadline.saturating_duration_since(now)),
            };
            let is_begun = call.flow.as_ref().is_some_and(|flow| flow.is_begun);
            if !is_begun && let Some(wait) = self.config.retry.again(&attempt, &mut self.random) {
                call.attempt += 1;
                call.state = State::Waiting(now + wait);
                self.waiting.push(place);
                return;
            }
        }
        self.end(place, ended);
    }

    /// The server has let a call go unanswered: the next one has its turn.
    fn leave(&mut self) {
        if let Link::Up(connection) = self.link {
            // Its other calls end with it. One that is over already needs no closing.
            let _ = self.shard.close_connection(self.endpoint, connection, 0, "", false);
            self.link = Link::Down { until: Instant::now(), failures: 0 };
        }
    }

    pub fn end(&mut self, place: usize, ended: Ended) {
        let Some(Some(call)) = self.calls.get_mut(place) else { return };
        for interceptor in self.interceptors.iter().rev() {
            interceptor.after(&call.name, &ended);
        }
        if let Some(token) = call.token {
            self.ended.push_back((token, ended));
            return self.release(place);
        }
        call.state = State::Ended(ended);
        if let Some(waker) = call.waker.take() {
            waker.wake();
        }
        self.stir(place);
    }

    pub fn cancel(&mut self, place: usize) {
        let Some(Some(call)) = self.calls.get(place) else { return };
        match call.state {
            State::Outstanding(name) => {
                // One that has just ended needs no cancelling.
                let _ = self.shard.cancel_call(self.endpoint, name);
            }
            State::Waiting(_) => {
                let cancelled =
                    failure(Status::Cancelled, Outcome::NotExecuted, "cancelled before it was made");
                self.end(place, Err(cancelled));
            }
            State::Ended(_) | State::Taken => {}
        }
    }

    /// Nobody waits for the end of a call that was cancelled.
    pub fn forget(&mut self, place: usize) {
        match self.calls.get_mut(place) {
            // Its reply finds nobody; then its place is free.
            Some(Some(call)) if matches!(call.state, State::Outstanding(_)) => {
                call.waker = None;
                call.flow = None;
                call.config.is_idempotent = false;
                call.attempt = u32::MAX;
            }
            Some(Some(_)) => self.release(place),
            _ => {}
        }
    }

    pub fn release(&mut self, place: usize) {
        self.calls[place] = None;
        self.free.push(place);
    }

    /// Until a waiting call or the next try to connect is due.
    pub fn next_wake(&self, now: Instant) -> Option<Duration> {
        let calls = self.waiting.iter().filter_map(|place| self.calls[*place].as_ref()).flat_map(|call| {
            let from = match (&call.state, &self.link) {
                (State::Waiting(from), Link::Up(_)) => Some((*from).max(now + RETRY_ROOM)),
                _ => None,
            };
            [from, call.deadline].into_iter().flatten()
        });
        let link = match self.link {
            Link::Down { until, .. } => Some(until),
            _ => None,
        };
        calls.chain(link).min().map(|due| due.saturating_duration_since(now))
    }
}

/// What a turn has brought to a call.
enum Came {
    Ended(Ended),
    Part { bytes: Vec<u8>, is_last: bool },
    Room,
}

impl Came {
    /// With the place of the call.
    fn of(incoming: Incoming<'_>) -> Option<(usize, Came)> {
        match incoming {
            Incoming::Reply(IncomingReply { token, status, outcome, metadata, text, results, .. }) => {
                let metadata = metadata.to_owned();
                let ended = if status == Status::Ok {
                    Ok(Reply { results: results.to_vec(), metadata })
                } else {
                    Err(CallFailure { status, outcome, text: text.to_string(), metadata })
                };
                Some((token as usize, Came::Ended(ended)))
            }
            Incoming::Part { token, is_ours: true, is_last, bytes, .. } => {
                Some((token as usize, Came::Part { bytes: bytes.to_vec(), is_last }))
            }
            Incoming::Writable { token, is_ours: true, .. } => Some((token as usize, Came::Room)),
            _ => None,
        }
    }
}

/// A call that found no room is tried again after this, unless something happens before.
const RETRY_ROOM: Duration = Duration::from_millis(1);
