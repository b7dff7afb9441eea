//! Clients of remote procedure calls.

use crate::argument::{address, count, invalid, seconds};
use crate::errors::Answer;
use crate::exit::detached;
use crate::guard::Guarded;
use crate::key::{Key, mode};
use crate::payload::Payload;
use crate::stream::Stream;
use clustercore::calls::{
    self, CallConfig, CallFailure, ChannelConfig, Ended, Metadata, MetadataRef, Names, Outcome, RetryPolicy,
};
use clustercore::proto::rpc;
use clustercore::security::PublicKey;
use clustercore::{Code, Error};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Calls procedures of the servers of a name, over reliable datagrams. It belongs to the thread of its first turn.
///
/// `name` is in `names`, a dictionary of names and their servers ("ip:port", or a pair of that and the server's public key), or
/// is itself "ip:port". It connects to one server at a time, to the next when that one is gone. Calls are made again up to `attempts`
/// times when they were not executed, or when it is not known and they are idempotent. A call of which nothing is heard for `silence`
/// seconds has failed. `slots` calls may be under way, `calls_max` may wait besides. `key` is this end's Key, in secure
/// mode; clear calls outside loopback must be asked for by `insecure`.
///
/// Raises NoSuchService, InsecureAddress, BadConfiguration, BadAddress, BadKey, InvalidArgument.
#[pyclass(frozen, module = "clustercore", weakref)]
pub struct Channel {
    pub(crate) inner: Guarded<calls::Channel>,
    /// What the owner gave to calls that have not ended, by token.
    owners: Mutex<Owners>,
}

#[derive(Default)]
struct Owners {
    waiting: Vec<Option<Py<PyAny>>>,
    free: Vec<usize>,
}

#[pymethods]
impl Channel {
    #[new]
    #[pyo3(signature = (name, *, names=None, key=None, insecure=false, driver="auto", spin_us=0, slots=4096,
        calls_max=65536, attempts=4, silence=10.0))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        name: &str,
        names: Option<&Bound<'_, PyDict>>,
        key: Option<Py<Key>>,
        insecure: bool,
        driver: &str,
        spin_us: i64,
        slots: i64,
        calls_max: i64,
        attempts: i64,
        silence: f64,
    ) -> Answer<Channel> {
        let config = ChannelConfig {
            driver: driver.parse()?,
            spin: Duration::from_micros(count("spin_us", spin_us, 0..=1_000_000)?),
            calls: rpc::Config {
                slots_max: count("slots", slots, 1..=1 << 20)?,
                silence_max: seconds("silence", silence)?,
                ..rpc::Config::default()
            },
            security: mode(key.as_ref().map(Py::get), None)?,
            insecure,
            retry: RetryPolicy {
                attempts_max: count("attempts", attempts, 1..=1000)?,
                ..RetryPolicy::default()
            },
            calls_max: count("calls_max", calls_max, 1..=1 << 24)?,
            ..ChannelConfig::default()
        };
        let names = match names {
            Some(names) => read_names(names)?,
            None => Names::new(),
        };
        let inner = Guarded::new(calls::Channel::open(name, &names, config)?);
        Ok(Channel { inner, owners: Mutex::default() })
    }

    /// Calls `method`, "package.Service/Method", and waits for its results; other threads run meanwhile. `timeout` is in seconds,
    /// `metadata` a dictionary of str and bytes.
    ///
    /// Raises CallFailed, with status, outcome and metadata.
    #[pyo3(signature = (method, arguments, *, timeout=None, metadata=None, idempotent=false))]
    fn call(
        &self,
        py: Python<'_>,
        method: &str,
        arguments: Payload<'_>,
        timeout: Option<f64>,
        metadata: Option<&Bound<'_, PyDict>>,
        idempotent: bool,
    ) -> Answer<Py<PyBytes>> {
        let channel = self.inner.get()?;
        let config = call_config(timeout, metadata, idempotent)?;
        let mut pending = channel.call(method, arguments.as_bytes().to_vec(), config);
        loop {
            let (ended, _busy) = detached(py, || -> clustercore::Result<Option<Ended>> {
                // Signals are looked at between pieces of the wait.
                let until = Instant::now() + SIGNALS_EVERY;
                loop {
                    if let Some(ended) = pending.now() {
                        return Ok(Some(ended));
                    }
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(None);
                    }
                    channel.turn(left)?;
                }
            });
            match ended? {
                Some(Ok(reply)) => return Ok(PyBytes::new(py, &reply.results).unbind()),
                Some(Err(failure)) => return Err(exception(py, &failure)?.into()),
                None => py.check_signals()?,
            }
        }
    }

    /// Makes a call and does not wait: `ended` gives its results, with `owner`, which may be anything. Returns what `cancel` takes.
    #[pyo3(signature = (method, arguments, owner, *, timeout=None, metadata=None, idempotent=false))]
    #[allow(clippy::too_many_arguments)]
    fn submit(
        &self,
        method: &str,
        arguments: Payload<'_>,
        owner: Py<PyAny>,
        timeout: Option<f64>,
        metadata: Option<&Bound<'_, PyDict>>,
        idempotent: bool,
    ) -> Answer<CallHandle> {
        let channel = self.inner.get()?;
        let config = call_config(timeout, metadata, idempotent)?;
        let token = {
            let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
            let token = owners.free.pop().unwrap_or_else(|| {
                owners.waiting.push(None);
                owners.waiting.len() - 1
            });
            owners.waiting[token] = Some(owner);
            token
        };
        Ok(CallHandle(channel.submit(method, arguments.as_bytes().to_vec(), config, token as u64)))
    }

    /// Makes a streamed call of `method`, "package.Service/Method", with `arguments` before any part: the parts of its results are what the
    /// Stream yields. `parts` is an iterable of those of its arguments, sent while results are taken; without it, `Stream.send` and
    /// `Stream.end` send them. With a `token`, `stirred` tells when something comes.
    #[pyo3(signature = (method, arguments=None, parts=None, *, timeout=None, metadata=None, idempotent=false, token=None))]
    #[allow(clippy::too_many_arguments)]
    fn stream(
        &self,
        method: &str,
        arguments: Option<Payload<'_>>,
        parts: Option<&Bound<'_, PyAny>>,
        timeout: Option<f64>,
        metadata: Option<&Bound<'_, PyDict>>,
        idempotent: bool,
        token: Option<u64>,
    ) -> Answer<Stream> {
        let channel = self.inner.get()?;
        let config = call_config(timeout, metadata, idempotent)?;
        let parts = parts.map(|parts| parts.try_iter()).transpose()?;
        let arguments = arguments.map_or_else(Vec::new, |bytes| bytes.as_bytes().to_vec());
        let made = match token {
            Some(token) => channel.stream_with_token(method, arguments, config, token),
            None => channel.stream(method, arguments, config),
        };
        Ok(Stream::new(channel.clone(), made, parts.map(Bound::unbind)))
    }

    /// Tokens of streamed calls on which something came since they were told: parts, room for them, their end.
    fn stirred(&self) -> Answer<Vec<u64>> {
        let channel = self.inner.get()?;
        Ok(std::iter::from_fn(|| channel.stirred()).collect())
    }

    /// Asks the server to end a submitted call; how it ends is told as ever. Does nothing when it has ended.
    fn cancel(&self, call: &CallHandle) -> Answer<()> {
        self.inner.get()?.cancel(call.0);
        Ok(())
    }

    /// Submitted calls that have ended: a list of (owner, results or CallFailed).
    fn ended<'py>(&self, py: Python<'py>) -> Answer<Bound<'py, PyList>> {
        let channel = self.inner.get()?;
        let answer = PyList::empty(py);
        while let Some((token, ended)) = channel.ended() {
            let owner = {
                let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
                let token = token as usize;
                owners.free.push(token);
                owners.waiting[token].take()
            };
            answer.append((owner, value(py, &ended)?))?;
        }
        Ok(answer)
    }

    /// Does all there is to do now; waits for at most `timeout` seconds when that is nothing. Raises WrongThread, InputOutput.
    #[pyo3(signature = (timeout=0.0))]
    fn turn(&self, py: Python<'_>, timeout: f64) -> Answer<()> {
        let (channel, timeout) = (self.inner.get()?, seconds("timeout", timeout)?);
        if timeout.is_zero() {
            // Nothing is waited for: cheaper than to let go of the interpreter.
            channel.turn(timeout)?;
        } else {
            let (turned, _busy) = detached(py, || channel.turn(timeout));
            turned?;
        }
        py.check_signals()?;
        Ok(())
    }

    /// A descriptor that is readable when `turn` has something to do.
    fn fileno(&self) -> Answer<i32> {
        Ok(self.inner.get()?.fd().ok_or_else(|| Error::from(Code::NotSupported))?)
    }

    /// Seconds for which the descriptor may be waited for before a turn is due all the same; None: for ever.
    fn next_timeout(&self) -> Answer<Option<f64>> {
        Ok(self.inner.get()?.next_timeout().map(|timeout| timeout.as_secs_f64()))
    }

    /// Calls that have not ended.
    #[getter]
    fn outstanding(&self) -> Answer<usize> {
        Ok(self.inner.get()?.outstanding())
    }
}

/// Names a submitted call, for `Channel.cancel`.
#[pyclass(frozen, module = "clustercore")]
pub struct CallHandle(calls::CallHandle);

fn call_config(
    timeout: Option<f64>,
    metadata: Option<&Bound<'_, PyDict>>,
    idempotent: bool,
) -> Answer<CallConfig> {
    let timeout = timeout.map(|timeout| seconds("timeout", timeout)).transpose()?;
    let metadata = metadata.map_or(Ok(Metadata::new()), read_metadata)?;
    Ok(CallConfig { timeout, metadata, is_idempotent: idempotent })
}

fn read_metadata(pairs: &Bound<'_, PyDict>) -> Answer<Metadata> {
    let mut metadata = Metadata::new();
    for (key, value) in pairs {
        let value: Payload<'_> = value.extract()?;
        metadata.push(&key.extract::<String>()?, value.as_bytes());
    }
    Ok(metadata)
}

/// Pairs as a dictionary; of a key that is there twice, the last.
pub fn metadata_dict<'py>(py: Python<'py>, pairs: MetadataRef<'_>) -> PyResult<Bound<'py, PyDict>> {
    let answer = PyDict::new(py);
    for (key, value) in pairs.iter() {
        answer.set_item(key, PyBytes::new(py, value))?;
    }
    Ok(answer)
}

fn read_names(given: &Bound<'_, PyDict>) -> Answer<Names> {
    let mut names = Names::new();
    for (name, servers) in given {
        let name: String = name.extract()?;
        let servers = match servers.cast_into::<PyList>() {
            Ok(list) => list,
            Err(error) => PyList::new(given.py(), [error.into_inner()])?,
        };
        for server in servers {
            if let Ok(text) = server.extract::<String>() {
                names.add(&name, address(&text)?, None);
            } else {
                let (text, key): (String, String) = server.extract().map_err(|_| {
                    invalid(format!("a server of {name} is neither \"ip:port\" nor that with a public key"))
                })?;
                names.add(&name, address(&text)?, Some(*PublicKey::parse(&key)?.as_bytes()));
            }
        }
    }
    Ok(names)
}

fn value(py: Python<'_>, ended: &Ended) -> PyResult<Py<PyAny>> {
    match ended {
        Ok(reply) => Ok(PyBytes::new(py, &reply.results).into_any().unbind()),
        Err(failure) => Ok(exception(py, failure)?.into_value(py).into_any()),
    }
}

pub fn exception(py: Python<'_>, failure: &CallFailure) -> PyResult<PyErr> {
    let outcome = match failure.outcome {
        Outcome::Executed => "executed",
        Outcome::NotExecuted => "not executed",
        Outcome::Unknown => "unknown",
    };
    let make = MAKE_FAILURE.import(py, "clustercore._calls", "failure")?;
    let metadata = metadata_dict(py, failure.metadata.borrow())?;
    let error = make.call1((failure.status.name(), outcome, failure.text.as_str(), metadata))?;
    Ok(PyErr::from_value(error))
}

static MAKE_FAILURE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
pub const SIGNALS_EVERY: Duration = Duration::from_millis(100);
