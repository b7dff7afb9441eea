//! A client of calls: one name, its servers, calls as futures.

use super::names::{Names, Target};
use super::{
    Arguments, CallError, CallId, CallOptions, Incoming, IncomingReply, Metadata, Method, Outcome,
    RetryPolicy, Status,
};
use crate::error::{Code, Error, Result};
use crate::io::DriverChoice;
use crate::messages::{EndpointConfig, EndpointId};
use crate::proto::datagram::{Connection, Event};
use crate::proto::random::Random;
use crate::proto::rpc::Attempt;
use crate::security::Mode;
use crate::shard::Shard;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::RawFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How a channel reaches its servers.
#[derive(Debug)]
pub struct ChannelConfig {
    /// auto, uring or epoll.
    pub driver: DriverChoice,
    /// Spins for so long before it waits: for who has a core to spare.
    pub spin: Duration,
    /// Bounds and times of calls.
    pub calls: crate::proto::rpc::Config,
    /// Own key, in secure mode.
    pub security: Option<Mode>,
    /// Clear calls to addresses outside loopback, in so many words.
    pub insecure: bool,
    /// When and how often calls are made again.
    pub retry: RetryPolicy,
    /// Calls that have not ended, the waiting ones included.
    pub calls_max: usize,
    /// Wait before a server that could not be reached is tried again; doubled each time, up to a hundredfold.
    pub reconnect: Duration,
}

impl Default for ChannelConfig {
    fn default() -> ChannelConfig {
        ChannelConfig {
            driver: DriverChoice::Auto,
            spin: Duration::ZERO,
            calls: crate::proto::rpc::Config::default(),
            security: None,
            insecure: false,
            retry: RetryPolicy::default(),
            calls_max: 65_536,
            reconnect: Duration::from_millis(20),
        }
    }
}

/// How one call is made.
#[derive(Clone, Debug, Default)]
pub struct CallConfig {
    /// It has failed when it has not ended after this long, all attempts together.
    pub timeout: Option<Duration>,
    /// Travels with it.
    pub metadata: Metadata,
    /// It may be executed twice as well as once.
    pub is_idempotent: bool,
}

/// The results of a call, or how it failed.
pub type Ended = std::result::Result<Reply, CallFailure>;

/// What a call brought.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reply {
    /// Its results.
    pub results: Vec<u8>,
    /// Travelled with them.
    pub metadata: Metadata,
}

/// How a call failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallFailure {
    /// Why.
    pub status: Status,
    /// Whether it was executed.
    pub outcome: Outcome,
    /// In words.
    pub text: String,
    /// Travelled with it.
    pub metadata: Metadata,
}

impl std::fmt::Display for CallFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let outcome = match self.outcome {
            Outcome::Executed => "executed",
            Outcome::NotExecuted => "not executed",
            Outcome::Unknown => "perhaps executed",
        };
        write!(f, "{} ({outcome}): {}", self.status, self.text)
    }
}

impl CallFailure {
    /// A reply came whose results cannot be read: for stubs.
    pub fn unreadable(error: &dyn std::fmt::Display) -> CallFailure {
        failure(Status::DataLoss, Outcome::Executed, format!("the results cannot be read: {error}"))
    }
}

impl std::error::Error for CallFailure {}

impl From<CallFailure> for Error {
    fn from(failure: CallFailure) -> Error {
        Error::new(Code::CallFailed, failure.to_string())
    }
}

/// Looks at every call of a channel before it is made and after it has ended.
pub trait Interceptor: Send + Sync {
    /// Before the first attempt: may add metadata, or end the call.
    fn before(&self, _method: &str, _call: &mut CallConfig) -> std::result::Result<(), CallFailure> {
        Ok(())
    }

    /// After the last one.
    fn after(&self, _method: &str, _ended: &Ended) {}
}

/// Calls to the servers of a name, on a shard of its own, which belongs to the thread of its first turn. Clones are the same channel.
///
/// It connects to one server at a time, to the next when that one is gone. Nothing happens but in [`Channel::turn`], [`Channel::block_on`] and
/// [`Pending::wait`].
#[derive(Clone)]
pub struct Channel {
    inner: Arc<Mutex<Inner>>,
}

/// Names a submitted call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CallHandle {
    place: usize,
    number: u64,
}

impl CallHandle {
    /// As two numbers, for a foreign language.
    pub fn to_raw(self) -> (u64, u64) {
        (self.place as u64, self.number)
    }

    /// From two numbers; any two are fine, those of no call name none.
    pub fn from_raw(place: u64, number: u64) -> CallHandle {
        CallHandle { place: usize::try_from(place).unwrap_or(usize::MAX), number }
    }
}

/// A call that has not ended: a future of [`Ended`]. Dropping it cancels the call.
pub struct Pending {
    channel: Channel,
    place: usize,
}

struct Inner {
    shard: Shard,
    endpoint: EndpointId,
    targets: Vec<Target>,
    next_target: usize,
    link: Link,
    config: ChannelConfig,
    interceptors: Vec<Arc<dyn Interceptor>>,
    calls: Vec<Option<Call>>,
    free: Vec<usize>,
    /// Places of calls that wait for the connection, for room, or for their time.
    waiting: Vec<usize>,
    /// Submitted calls that have ended.
    ended: VecDeque<(u64, Ended)>,
    /// Calls so far.
    numbers: u64,
    random: Random,
}

enum Link {
    Down { until: Instant, failures: u32 },
    Connecting { connection: Connection, failures: u32 },
    Up(Connection),
}

struct Call {
    number: u64,
    /// Of a submitted one.
    token: Option<u64>,
    name: String,
    method: Method,
    arguments: Vec<u8>,
    config: CallConfig,
    deadline: Option<Instant>,
    attempt: u32,
    state: State,
    waker: Option<Waker>,
}

enum State {
    /// Not before this.
    Waiting(Instant),
    Outstanding(CallId),
    Ended(Ended),
    Taken,
}

impl Channel {
    /// A channel to the servers of a name, which `names` knows or which is an address itself.
    ///
    /// Errors: `NoSuchService`, `InsecureAddress` (a server outside loopback, no key, and nobody said `insecure`), `BadConfiguration`, and those of
    /// [`Shard::open_endpoint`].
    pub fn open(name: &str, names: &Names, mut config: ChannelConfig) -> Result<Channel> {
        let targets = names.resolve(name)?;
        let is_far = targets.iter().find(|target| !target.address.ip().is_loopback());
        let is_clear = matches!(config.security, None | Some(Mode::Clear));
        if let Some(far) = is_far
            && is_clear
            && !config.insecure
        {
            let text =
                format!("{} is outside loopback: give a key, or say that it is to be insecure", far.address);
            return Err(Error::new(Code::InsecureAddress, text));
        }
        let is_v6 = targets.iter().any(|target| target.address.is_ipv6());
        let any: SocketAddr = match (is_v6, is_far.is_some()) {
            (true, true) => (Ipv6Addr::UNSPECIFIED, 0).into(),
            (true, false) => (Ipv6Addr::LOCALHOST, 0).into(),
            (false, true) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            (false, false) => (Ipv4Addr::LOCALHOST, 0).into(),
        };
        let spin_ns = u64::try_from(config.spin.as_nanos()).unwrap_or(u64::MAX);
        let driver = crate::io::DriverConfig { spin_ns, ..crate::io::DriverConfig::default() };
        let mut shard = Shard::builder().driver(config.driver).config(driver).build()?;
        let endpoint_config = EndpointConfig {
            security: config.security.take(),
            insecure: config.insecure,
            calls: Some(config.calls.clone()),
            ..EndpointConfig::default()
        };
        let endpoint = shard.open_endpoint(any, endpoint_config)?;
        let seed = shard.endpoint_address(endpoint)?.port();
        let inner = Inner {
            shard,
            endpoint,
            targets,
            next_target: 0,
            link: Link::Down { until: Instant::now(), failures: 0 },
            config,
            interceptors: Vec::new(),
            calls: Vec::new(),
            free: Vec::new(),
            waiting: Vec::new(),
            ended: VecDeque::new(),
            numbers: 0,
            random: Random::new(u64::from(seed) ^ u64::from(std::process::id()) << 16),
        };
        Ok(Channel { inner: Arc::new(Mutex::new(inner)) })
    }

    /// Adds an interceptor: the first added is the first before and the last after a call.
    pub fn intercept(&self, interceptor: impl Interceptor + 'static) {
        self.lock().interceptors.push(Arc::new(interceptor));
    }

    /// Makes a call of a method, `package.Service/Method`. It leaves with the next turn.
    pub fn call(&self, method: &str, arguments: Vec<u8>, config: CallConfig) -> Pending {
        let place = self.lock().enter(method, arguments, config, None);
        Pending { channel: self.clone(), place }
    }

    /// Makes a call whose end is told by [`Channel::ended`] with the same token: for who has no futures, or very many calls.
    pub fn submit(&self, method: &str, arguments: Vec<u8>, config: CallConfig, token: u64) -> CallHandle {
        let mut inner = self.lock();
        let place = inner.enter(method, arguments, config, Some(token));
        CallHandle { place, number: inner.numbers }
    }

    /// Asks the server to end a submitted call; its end is told as ever. One that has ended is left alone.
    pub fn cancel(&self, call: CallHandle) {
        let mut inner = self.lock();
        let is_it = matches!(inner.calls.get(call.place), Some(Some(known)) if known.number == call.number);
        if is_it {
            inner.cancel(call.place);
        }
    }

    /// A submitted call that has ended, and its token.
    pub fn ended(&self) -> Option<(u64, Ended)> {
        self.lock().ended.pop_front()
    }

    /// Readable when a turn has something to do; see [`Shard::fd`].
    pub fn fd(&self) -> Option<RawFd> {
        self.lock().shard.fd()
    }

    /// How long [`Channel::fd`] may be waited for before a turn is due all the same.
    pub fn next_timeout(&self) -> Option<Duration> {
        let inner = self.lock();
        let own = inner.next_wake(Instant::now());
        [inner.shard.next_timeout(), own].into_iter().flatten().min()
    }

    /// Does what there is to do, waiting for at most `timeout` when that is nothing. Errors: as [`Shard::turn`].
    pub fn turn(&self, timeout: Duration) -> Result<()> {
        self.lock().turn(timeout)
    }

    /// Turns until a future has ended, which may join many calls. Errors: as [`Channel::turn`].
    pub fn block_on<F: Future>(&self, future: F) -> Result<F::Output> {
        let mut future = std::pin::pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return Ok(output);
            }
            self.turn(TURN_MAX)?;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Who panicked in an interceptor has left nothing half done that a turn does not set right.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls that have not ended.
    pub fn outstanding(&self) -> usize {
        let inner = self.lock();
        inner
            .calls
            .iter()
            .flatten()
            .filter(|call| !matches!(call.state, State::Ended(_) | State::Taken))
            .count()
    }
}

impl Pending {
    /// Turns the channel until the call has ended. Errors of the channel are failures of the call.
    pub fn wait(self) -> Ended {
        let channel = self.channel.clone();
        channel
            .block_on(self)
            .unwrap_or_else(|error| Err(failure(Status::Unavailable, Outcome::Unknown, error.to_string())))
    }

    /// How it has ended, if it has; once.
    pub fn now(&mut self) -> Option<Ended> {
        match Pin::new(self).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(ended) => Some(ended),
            Poll::Pending => None,
        }
    }

    /// Asks the server to end it; how it ends is told as ever.
    pub fn cancel(&self) {
        self.channel.lock().cancel(self.place);
    }
}

impl Future for Pending {
    type Output = Ended;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ended> {
        let mut inner = self.channel.lock();
        let Some(Some(call)) = inner.calls.get_mut(self.place) else {
            return Poll::Ready(Err(failure(Status::Internal, Outcome::Unknown, "polled after its end")));
        };
        match std::mem::replace(&mut call.state, State::Taken) {
            State::Ended(ended) => Poll::Ready(ended),
            state => {
                call.state = state;
                call.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.cancel();
        let mut inner = self.channel.lock();
        let place = self.place;
        match inner.calls.get(place) {
            // Its reply finds nobody; then its place is free.
            Some(Some(Call { state: State::Outstanding(_), .. })) => {
                if let Some(Some(call)) = inner.calls.get_mut(place) {
                    call.waker = None;
                    call.config.is_idempotent = false;
                    call.attempt = u32::MAX;
                }
            }
            Some(Some(_)) => inner.release(place),
            _ => {}
        }
    }
}

impl Inner {
    fn enter(&mut self, name: &str, arguments: Vec<u8>, mut config: CallConfig, token: Option<u64>) -> usize {
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
        };
        let place = self.free.pop().unwrap_or_else(|| {
            self.calls.push(None);
            self.calls.len() - 1
        });
        self.calls[place] = Some(call);
        match refused {
            Some(failed) => self.end(place, Err(failed)),
            None if !self.launch(now, place) => self.waiting.push(place),
            None => {}
        }
        place
    }

    /// Makes a waiting call, if that can be now. False: it goes on waiting.
    fn launch(&mut self, now: Instant, place: usize) -> bool {
        let Inner { shard, endpoint, link, calls, .. } = self;
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
        let arguments = Arguments { method: call.method, bytes: &call.arguments, has_parts: false };
        let options = CallOptions {
            timeout: call.deadline.map(|deadline| deadline - now),
            metadata: call.config.metadata.borrow(),
            token: place as u64,
            is_streamed: false,
        };
        match shard.call(*endpoint, connection, &arguments, &options) {
            Ok(name) => {
                call.state = State::Outstanding(name);
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

    fn turn(&mut self, timeout: Duration) -> Result<()> {
        let now = Instant::now();
        self.connect(now);
        let until = self.next_wake(now).map_or(timeout, |due| due.min(timeout));
        self.shard.turn_for(Some(until))?;
        let now = Instant::now();
        let events: Vec<Event> = self.shard.connection_events().map(|(_, event)| event).collect();
        for event in events {
            self.on_event(now, &event);
        }
        // The replies are lent by the shard: taken down, then dealt with.
        let mut ended = Vec::new();
        for (_, incoming) in self.shard.call_events() {
            if let Incoming::Reply(IncomingReply {
                token, status, outcome, metadata, text, results, ..
            }) = incoming
            {
                let metadata = metadata.to_owned();
                let result = if status == Status::Ok {
                    Ok(Reply { results: results.to_vec(), metadata })
                } else {
                    Err(CallFailure { status, outcome, text: text.to_string(), metadata })
                };
                ended.push((token as usize, result));
            }
        }
        for (place, result) in ended {
            self.on_ended(now, place, result);
        }
        let waiting = std::mem::take(&mut self.waiting);
        for place in waiting {
            if !self.launch(now, place) {
                self.waiting.push(place);
            }
        }
        Ok(())
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
            if let Some(wait) = self.config.retry.again(&attempt, &mut self.random) {
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

    fn end(&mut self, place: usize, ended: Ended) {
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
    }

    fn cancel(&mut self, place: usize) {
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

    fn release(&mut self, place: usize) {
        self.calls[place] = None;
        self.free.push(place);
    }

    /// Until a waiting call or the next try to connect is due.
    fn next_wake(&self, now: Instant) -> Option<Duration> {
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

fn failure(status: Status, outcome: Outcome, text: impl Into<String>) -> CallFailure {
    CallFailure { status, outcome, text: text.into(), metadata: Metadata::new() }
}

/// A turn that waits is over after this at the latest.
const TURN_MAX: Duration = Duration::from_millis(100);
/// A call that found no room is tried again after this, unless something happens before.
const RETRY_ROOM: Duration = Duration::from_millis(1);
