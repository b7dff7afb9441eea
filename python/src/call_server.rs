//! Servers of remote procedure calls.

use crate::argument::{address, count, seconds};
use crate::call_parts::{self, CallParts, is_streamed};
use crate::channel::metadata_dict;
use crate::errors::Answer;
use crate::exit::detached;
use crate::guard::Guarded;
use crate::key::{Key, mode};
use crate::payload::Payload;
use clustercore::calls::{self, CallId, Context, Failure, Place, ServerConfig, Service, Status};
use clustercore::io::DriverConfig;
use clustercore::proto::rpc;
use clustercore::security::PublicKey;
use clustercore::{Code, EndpointConfig, EndpointId, Error, Result, Shard};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Serves procedures on "ip:port". It belongs to the thread of its first turn: `serve`, or `turn` in a loop of yours.
///
/// `add` makes services. Handlers run on `workers` threads, where they may wait, in the loop, or when the program takes their calls
/// by `deferred`; `queue_max` calls may wait, more are refused as busy. `key` is the server's Key, in secure mode, and `allow` the
/// public keys that are let in, None for all; clear calls outside loopback must be asked for by `insecure`.
///
/// Raises BadAddress, InsecureAddress, BadConfiguration, AddressInUse, AddressNotAvailable, PermissionDenied, InvalidArgument.
#[pyclass(frozen, module = "clustercore", weakref)]
pub struct CallServer {
    inner: Guarded<Mutex<Option<Serving>>>,
    /// Deferred calls with parts that were not replied to.
    streams: Mutex<HashMap<(EndpointId, CallId), Py<DeferredCall>>>,
    address: String,
}

struct Serving {
    shard: Shard,
    server: calls::Server,
}

#[pymethods]
impl CallServer {
    #[new]
    #[pyo3(signature = (address, *, workers=4, queue_max=1024, key=None, allow=None, insecure=false, driver="auto",
        spin_us=0, calls_max=16384))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        address: &str,
        workers: i64,
        queue_max: i64,
        key: Option<Py<Key>>,
        allow: Option<&Bound<'_, PyAny>>,
        insecure: bool,
        driver: &str,
        spin_us: i64,
        calls_max: i64,
    ) -> Answer<CallServer> {
        let wanted = self::address(address)?;
        let spin: u64 = count("spin_us", spin_us, 0..=1_000_000)?;
        let config = DriverConfig { spin_ns: spin * 1000, ..DriverConfig::default() };
        let mut shard = Shard::builder().driver(driver.parse()?).config(config).build()?;
        let calls =
            rpc::Config { calls_max: count("calls_max", calls_max, 1..=1 << 24)?, ..rpc::Config::default() };
        let endpoint = EndpointConfig {
            security: mode(key.as_ref().map(Py::get), allow)?,
            insecure,
            calls: Some(calls),
            ..EndpointConfig::default()
        };
        let id = shard.open_endpoint(wanted, endpoint)?;
        let address = shard.endpoint_address(id)?.to_string();
        let server = calls::Server::new(ServerConfig {
            workers: count("workers", workers, 1..=1024)?,
            queue_max: count("queue_max", queue_max, 1..=1 << 20)?,
        });
        let inner = Guarded::new(Mutex::new(Some(Serving { shard, server })));
        Ok(CallServer { inner, streams: Mutex::default(), address })
    }

    /// Where it listens, "ip:port".
    #[getter]
    fn address(&self) -> &str {
        &self.address
    }

    /// Adds a service "package.Service" of methods: a dictionary of names and handlers, each called with a CallContext and the arguments
    /// and returning the results, both bytes. What a handler raises is the caller's CallFailed: the status of a CallFailed, else
    /// UNKNOWN. `place` is "worker", "loop" or "deferred"; handlers of deferred methods may be None. Those that `streamed` has made serve streamed
    /// calls, on workers when `place` is "loop". A service that is there gets more methods.
    ///
    /// Raises BadConfiguration, InvalidArgument, Closed, WrongThread.
    #[pyo3(signature = (service, methods, *, place="worker"))]
    fn add(&self, py: Python<'_>, service: &str, methods: &Bound<'_, PyDict>, place: &str) -> Answer<()> {
        let places = [("worker", Place::Worker), ("loop", Place::Loop), ("deferred", Place::Owner)];
        let place = crate::argument::choice("place", place, &places)?;
        let mut made = Service::new(service);
        for (name, handler) in methods {
            let name: String = name.extract()?;
            made = if is_streamed(&handler) && place == Place::Owner {
                made.deferred_streamed(&name)
            } else if is_streamed(&handler) {
                let handler = handler.unbind();
                made.streamed(&name, move |context, arguments, parts, results| {
                    Python::attach(|py| call_parts::run(py, &handler, context, arguments, parts, results))
                })
            } else if place == Place::Owner {
                made.deferred(&name)
            } else {
                let handler = handler.unbind();
                made.method(&name, place, move |context, arguments, results| {
                    Python::attach(|py| run(py, &handler, context, arguments, results))
                })
            };
        }
        self.with(py, |serving| serving.server.add(made))
    }

    /// Says whether a service is well; "" is the whole server. `grpc.health.v1.Health/Check` asks for it.
    fn set_health(&self, py: Python<'_>, service: &str, is_serving: bool) -> Answer<()> {
        self.with(py, |serving| {
            serving.server.health().set(service, is_serving);
            Ok(())
        })
    }

    /// Does all there is to do now; waits for at most `timeout` seconds when that is nothing. Raises WrongThread, Closed, InputOutput.
    #[pyo3(signature = (timeout=0.0))]
    fn turn(&self, py: Python<'_>, timeout: f64) -> Answer<()> {
        let timeout = seconds("timeout", timeout)?;
        self.with(py, |serving| serving.server.turn(&mut serving.shard, Some(timeout)))?;
        py.check_signals()?;
        Ok(())
    }

    /// Serves for so many seconds, or until a signal ends it; other threads run meanwhile.
    #[pyo3(signature = (seconds=None))]
    fn serve(&self, py: Python<'_>, seconds: Option<f64>) -> Answer<()> {
        let end = seconds.map(|value| self::seconds("seconds", value)).transpose()?;
        let end = end.map(|length| Instant::now() + length);
        while end.is_none_or(|end| end > Instant::now()) {
            self.with(py, |serving| {
                let until = Instant::now() + SIGNALS_EVERY;
                while Instant::now() < until && end.is_none_or(|end| end > Instant::now()) {
                    serving.server.turn(&mut serving.shard, Some(SIGNALS_EVERY))?;
                }
                Ok(())
            })?;
            py.check_signals()?;
        }
        Ok(())
    }

    /// Calls of deferred methods that have come, each once: to be answered by `reply`.
    fn deferred<'py>(&self, py: Python<'py>) -> Answer<Bound<'py, PyList>> {
        let taken = self
            .with(py, |serving| Ok(std::iter::from_fn(|| serving.server.deferred()).collect::<Vec<_>>()))?;
        let answer = PyList::empty(py);
        for call in taken {
            let context = CallContext {
                method: call.method.to_string(),
                metadata: metadata_dict(py, call.metadata.borrow())?.unbind(),
                caller: call.caller.map(caller_text),
                deadline: call.deadline,
                is_cancelled: Some(call.is_cancelled),
            };
            let name = (call.endpoint, call.call);
            let arguments = PyBytes::new(py, &call.arguments).unbind();
            let parts = call.parts.map(|parts| Py::new(py, CallParts::new(parts))).transpose()?;
            let is_streamed = parts.is_some();
            let call = DeferredCall { name: Some(name), context: Py::new(py, context)?, arguments, parts };
            let call = Py::new(py, call)?;
            if is_streamed {
                self.streams().insert(name, call.clone_ref(py));
            }
            answer.append(call)?;
        }
        Ok(answer)
    }

    /// Deferred streamed calls on which something came since they were told: parts, room for them, their cancellation.
    fn stirred<'py>(&self, py: Python<'py>) -> Answer<Bound<'py, PyList>> {
        let names =
            self.with(py, |serving| Ok(std::iter::from_fn(|| serving.server.stirred()).collect::<Vec<_>>()))?;
        let calls: Vec<Py<DeferredCall>> = {
            let streams = self.streams();
            names.iter().filter_map(|name| streams.get(name)).map(|call| call.clone_ref(py)).collect()
        };
        Ok(PyList::new(py, calls)?)
    }

    /// Answers a deferred call with results, or with an exception such as CallFailed. False when nobody waits for it any more.
    fn reply(&self, py: Python<'_>, call: &DeferredCall, results: &Bound<'_, PyAny>) -> Answer<bool> {
        let Some((endpoint, name)) = call.name else { return Ok(false) };
        let removed = self.streams().remove(&(endpoint, name));
        // Not under the lock.
        drop(removed);
        let outcome = match results.extract::<Payload<'_>>() {
            Ok(bytes) => Ok(bytes.as_bytes().to_vec()),
            Err(_) => Err(failure_of(py, &PyErr::from_value(results.clone()))),
        };
        self.with(py, |serving| {
            let outcome = outcome.as_ref().map(Vec::as_slice);
            let replied = serving.server.reply(&mut serving.shard, endpoint, name, outcome);
            if let Some(waker) = serving.shard.waker() {
                waker.wake();
            }
            match replied {
                Ok(()) => Ok(true),
                Err(error) if error.code() == Code::NoSuchCall => Ok(false),
                Err(error) => Err(error),
            }
        })
    }

    /// A descriptor that is readable when `turn` has something to do.
    fn fileno(&self, py: Python<'_>) -> Answer<i32> {
        self.with(py, |serving| serving.shard.fd().ok_or_else(|| Error::from(Code::NotSupported)))
    }

    /// Seconds for which the descriptor may be waited for before a turn is due all the same; None: for ever.
    fn next_timeout(&self, py: Python<'_>) -> Answer<Option<f64>> {
        let next = self.with(py, |serving| Ok(serving.shard.next_timeout()))?;
        Ok(next.map(|timeout| timeout.as_secs_f64()))
    }

    /// Ends it. Callers find their connections silent. Does nothing when called again.
    fn close(&self, py: Python<'_>) -> Answer<()> {
        let inner = self.inner.get()?;
        let ((), _busy) = detached(py, || drop(inner.lock().unwrap_or_else(PoisonError::into_inner).take()));
        Ok(())
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, pyo3::types::PyTuple>) -> Answer<()> {
        self.close(py)
    }
}

impl CallServer {
    fn streams(&self) -> MutexGuard<'_, HashMap<(EndpointId, CallId), Py<DeferredCall>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T: Send>(&self, py: Python<'_>, act: impl FnOnce(&mut Serving) -> Result<T> + Send) -> Answer<T> {
        let inner = self.inner.get()?;
        let (result, _busy) = detached(py, || {
            let mut serving = inner.lock().unwrap_or_else(PoisonError::into_inner);
            act(serving.as_mut().ok_or_else(|| Error::new(Code::Closed, "the server is closed"))?)
        });
        Ok(result?)
    }
}

/// What a handler knows of a call besides its arguments.
#[pyclass(frozen, module = "clustercore")]
pub struct CallContext {
    /// "package.Service/Method".
    #[pyo3(get)]
    method: String,
    /// What travelled with it: a dictionary of str and bytes.
    #[pyo3(get)]
    metadata: Py<PyDict>,
    /// The public key of the caller, in secure mode; else None.
    #[pyo3(get)]
    caller: Option<String>,
    deadline: Option<Instant>,
    is_cancelled: Option<Arc<AtomicBool>>,
}

#[pymethods]
impl CallContext {
    /// Seconds until its deadline; None without one.
    #[getter]
    fn time_left(&self) -> Option<f64> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()).as_secs_f64())
    }

    /// Whether its caller wants it no more: known of deferred calls, else false.
    #[getter]
    fn is_cancelled(&self) -> bool {
        // Relaxed: a hint.
        self.is_cancelled.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed))
    }
}

/// A call of a deferred method: `CallServer.reply` answers it.
#[pyclass(frozen, module = "clustercore")]
pub struct DeferredCall {
    name: Option<(EndpointId, CallId)>,
    /// What is known of it.
    #[pyo3(get)]
    context: Py<CallContext>,
    /// Its arguments.
    #[pyo3(get)]
    arguments: Py<PyBytes>,
    /// The parts of a streamed one, else None.
    #[pyo3(get)]
    parts: Option<Py<CallParts>>,
}

impl CallContext {
    pub fn of(py: Python<'_>, context: &Context<'_>) -> PyResult<CallContext> {
        Ok(CallContext {
            method: context.method.to_owned(),
            metadata: metadata_dict(py, context.metadata)?.unbind(),
            caller: context.caller.map(caller_text),
            deadline: context.deadline,
            is_cancelled: None,
        })
    }
}

fn run(
    py: Python<'_>,
    handler: &Py<PyAny>,
    context: &Context<'_>,
    arguments: &[u8],
    results: &mut Vec<u8>,
) -> std::result::Result<(), Failure> {
    let called = (|| {
        let context = CallContext::of(py, context)?;
        let answer = handler.bind(py).call1((context, PyBytes::new(py, arguments)))?;
        let bytes: Payload<'_> = answer.extract()?;
        results.extend_from_slice(bytes.as_bytes());
        Ok(())
    })();
    called.map_err(|error: PyErr| failure_of(py, &error))
}

/// What an exception says to the caller.
pub fn failure_of(py: Python<'_>, error: &PyErr) -> Failure {
    let value = error.value(py);
    let status = value.getattr("status").ok().and_then(|status| status.extract::<String>().ok());
    let known = status.and_then(|name| Status::ALL.into_iter().find(|status| status.name() == name));
    let text = match known {
        Some(_) => value.getattr("text").and_then(|text| text.extract::<String>()).unwrap_or_default(),
        None => error.to_string(),
    };
    Failure::new(known.unwrap_or(Status::Unknown), text)
}

fn caller_text(key: [u8; 32]) -> String {
    PublicKey::from_bytes(key).map_or_else(String::new, |key| key.to_string())
}

const SIGNALS_EVERY: Duration = Duration::from_millis(100);
