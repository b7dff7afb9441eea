//! A client of calls: one name, its servers, calls as futures.

use super::caller::{Caller, Link, State};
use super::ended::{CallConfig, CallFailure, Ended, failure};
use super::flow::Flow;
use super::names::Names;
use super::{ChannelConfig, Outcome, Stats, Status, Streamed};
use crate::error::{Code, Error, Result};
use crate::messages::EndpointConfig;
use crate::proto::random::Random;
use crate::security::Mode;
use crate::shard::Shard;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::RawFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

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
    inner: Arc<Mutex<Caller>>,
}

/// Names a submitted call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CallHandle {
    pub(super) place: usize,
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
        let inner = Caller {
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
            stirred: VecDeque::new(),
            has_fresh: false,
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
        let place = self.lock().enter(method, arguments, config, None, None);
        Pending { channel: self.clone(), place }
    }

    /// Makes a call whose end is told by [`Channel::ended`] with the same token: for who has no futures, or very many calls.
    pub fn submit(&self, method: &str, arguments: Vec<u8>, config: CallConfig, token: u64) -> CallHandle {
        let mut inner = self.lock();
        let place = inner.enter(method, arguments, config, Some(token), None);
        CallHandle { place, number: inner.numbers }
    }

    /// Makes a streamed call: `arguments` may be empty and are what the handler has before any part. It leaves with the next turn.
    ///
    /// It is made again as every call is, while no part has left or come.
    pub fn stream(&self, method: &str, arguments: Vec<u8>, config: CallConfig) -> Streamed {
        self.enter_stream(method, arguments, config, None)
    }

    /// The same, told of by [`Channel::stirred`] with a token.
    pub fn stream_with_token(
        &self,
        method: &str,
        arguments: Vec<u8>,
        config: CallConfig,
        token: u64,
    ) -> Streamed {
        self.enter_stream(method, arguments, config, Some(token))
    }

    /// The token of a streamed call on which something came since it was told: parts, room for them, its end.
    pub fn stirred(&self) -> Option<u64> {
        self.lock().next_stirred()
    }

    fn enter_stream(
        &self,
        method: &str,
        arguments: Vec<u8>,
        config: CallConfig,
        token: Option<u64>,
    ) -> Streamed {
        let mut inner = self.lock();
        let place = inner.enter(method, arguments, config, None, Some(Flow::new(token)));
        let handle = CallHandle { place, number: inner.numbers };
        drop(inner);
        Streamed::new(self.clone(), handle)
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

    pub(super) fn lock(&self) -> MutexGuard<'_, Caller> {
        // Who panicked in an interceptor has left nothing half done that a turn does not set right.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has been counted of its calls and their parts.
    pub fn stats(&self) -> Stats {
        let inner = self.lock();
        // Its endpoint was opened with calls.
        inner.shard.call_stats(inner.endpoint).unwrap_or_default()
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
        self.channel.lock().forget(self.place);
    }
}

/// A turn that waits is over after this at the latest.
pub(super) const TURN_MAX: Duration = Duration::from_millis(100);
