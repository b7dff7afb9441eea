//! The shard: embedded in a loop of the program, owned by the thread that turns it.

use crate::argument::{count, seconds};
use crate::endpoint::Endpoint;
use crate::errors::Answer;
use crate::events;
use crate::exit::detached;
use crate::forwarder::Forwarder;
use crate::guard::Guarded;
use crate::message::MessageBatch;
use crate::names::Names;
use crate::node::driver_config;
use crate::sink::Sink;
use crate::socket::Socket;
use clustercore::forward::ForwarderConfig;
use clustercore::{Code, Error, ForwarderId, Result};
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::{PyDict, PyList};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, TryLockError};
use std::thread::ThreadId;

/// One ring, one loop, no thread of ours: wait until `fileno()` is readable or `next_timeout()` seconds
/// have passed, call `turn()`, then look at `events()`.
///
/// It belongs to the thread of its first turn; in others every call raises WrongThread. `driver`, `spin_us`
/// and `connections_max` as for Node; `seed` makes random choices repeatable; `log` is called with (level,
/// text) by `turn`.
///
/// Raises InvalidArgument, IoUringForbidden, UnsupportedKernel, OutOfMemory, DescriptorsExhausted.
#[pyclass(frozen, module = "clustercore", weakref)]
pub struct Shard {
    inner: Guarded<Mutex<Option<clustercore::Shard>>>,
    report: String,
    owner: OnceLock<ThreadId>,
    names: Names,
    sink: Sink,
    /// The descriptor is readable already, for what was asked since the last turn.
    rung: AtomicBool,
    /// What the last turn has brought was handed out.
    pub messages_taken: AtomicBool,
    pub datagrams_taken: AtomicBool,
}

#[pymethods]
impl Shard {
    #[new]
    #[pyo3(signature = (*, driver="auto", spin_us=0, connections_max=16384, seed=0, log=None))]
    fn new(
        driver: &str,
        spin_us: i64,
        connections_max: i64,
        seed: i64,
        log: Option<Py<PyAny>>,
    ) -> Answer<Shard> {
        let config = driver_config(spin_us, connections_max)?;
        let shard = clustercore::Shard::builder()
            .driver(driver.parse()?)
            .config(config)
            .seed(count("seed", seed, 0..=i64::MAX as u64)?)
            .build()?;
        Ok(Shard {
            report: shard.driver_report().to_owned(),
            inner: Guarded::new(Mutex::new(Some(shard))),
            owner: OnceLock::new(),
            names: Names::default(),
            sink: Sink::new(log),
            rung: AtomicBool::new(false),
            messages_taken: AtomicBool::new(true),
            datagrams_taken: AtomicBool::new(true),
        })
    }

    /// Which driver and features run, and why: "uring: multishot_accept, ...".
    #[getter]
    fn driver(&self) -> &str {
        &self.report
    }

    /// Makes a forwarder for one service; the options are those of Forwarder.
    ///
    /// Raises InvalidArgument, BadConfiguration, AlreadyExists (the name), Closed, WrongThread.
    #[pyo3(signature = (name, **options))]
    fn forwarder<'py>(
        slf: &Bound<'py, Self>,
        name: &str,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        slf.py().get_type::<Forwarder>().call((slf, name), options)
    }

    /// Opens an endpoint of reliable datagrams on "ip:port"; the options are those of Endpoint.
    ///
    /// Raises BadAddress, InsecureAddress, BadConfiguration, InvalidArgument, AddressInUse, AddressNotAvailable,
    /// PermissionDenied, TooLarge, Closed, WrongThread.
    #[pyo3(signature = (address, **options))]
    fn endpoint<'py>(
        slf: &Bound<'py, Self>,
        address: &str,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        slf.py().get_type::<Endpoint>().call((slf, address), options)
    }

    /// Binds a socket for plain datagrams to "ip:port"; the options are those of Socket.
    ///
    /// Raises BadAddress, InvalidArgument, AddressInUse, AddressNotAvailable, PermissionDenied, TooLarge, Closed,
    /// WrongThread.
    #[pyo3(signature = (address, **options))]
    fn bind<'py>(
        slf: &Bound<'py, Self>,
        address: &str,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        slf.py().get_type::<Socket>().call((slf, address), options)
    }

    /// Messages that the last turn has brought, of all endpoints, each once. The next turn gives their room back to the
    /// senders; what nobody has taken by then is lost.
    fn messages<'py>(slf: &Bound<'py, Self>) -> Answer<Bound<'py, PyList>> {
        crate::message::messages(slf)
    }

    /// As `messages`, but all in one buffer with offsets, for speed.
    fn message_batch(slf: &Bound<'_, Self>) -> Answer<MessageBatch> {
        crate::message::batch(slf)
    }

    /// What has happened to connections of all endpoints since the last call.
    fn connection_events<'py>(slf: &Bound<'py, Self>) -> Answer<Bound<'py, PyList>> {
        crate::connection_events::take(slf)
    }

    /// Plain datagrams that the last turn has brought, of all sockets, each once; what nobody has taken by the next one is
    /// lost.
    fn datagrams<'py>(slf: &Bound<'py, Self>) -> Answer<Bound<'py, PyList>> {
        crate::socket::datagrams(slf)
    }

    /// A descriptor that is readable when `turn` has something to do.
    fn fileno(&self, py: Python<'_>) -> Answer<i32> {
        self.with(py, |shard| shard.fd().ok_or_else(|| Error::from(Code::NotSupported)))
    }

    /// Seconds for which the descriptor may be waited for before `turn` has timers to run; None without
    /// timers, 0 for "turn now".
    fn next_timeout(&self, py: Python<'_>) -> Answer<Option<f64>> {
        Ok(self.with(py, |shard| Ok(shard.next_timeout()))?.map(|timeout| timeout.as_secs_f64()))
    }

    /// Does all there is to do now, and submits what came of it. Does not wait, unless `timeout` seconds
    /// are given: then for so long when there is nothing to do.
    ///
    /// Raises WrongThread, Closed; InputOutput when the driver can go no further.
    #[pyo3(signature = (timeout=0.0))]
    fn turn(&self, py: Python<'_>, timeout: f64) -> Answer<()> {
        let timeout = seconds("timeout", timeout)?;
        self.inner.get()?;
        let thread = std::thread::current().id();
        self.owner.get_or_init(|| thread);
        let records = self.with(py, |shard| {
            self.rung.store(false, Ordering::Relaxed);
            shard.turn_within(Some(timeout))?;
            self.messages_taken.store(false, Ordering::Relaxed);
            self.datagrams_taken.store(false, Ordering::Relaxed);
            Ok(shard.take_logs())
        })?;
        self.sink.write(py, records);
        py.check_signals()?;
        Ok(())
    }

    /// Events since the last call.
    fn events<'py>(&self, py: Python<'py>) -> Answer<Bound<'py, PyList>> {
        let news = self.with(py, |shard| Ok(shard.events().collect::<Vec<_>>()))?;
        let answer = PyList::empty(py);
        for (id, event) in &news {
            if let Some(event) = events::to_python(py, self.names.of(*id), event)? {
                answer.append(event)?;
            }
        }
        Ok(answer)
    }

    /// Ends all forwarders, endpoints, sockets and connections. Does nothing when called again. Raises WrongThread.
    fn close(&self, py: Python<'_>) -> Answer<()> {
        let inner = self.inner.get()?;
        self.check_thread()?;
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

    fn __repr__(&self) -> String {
        format!("<clustercore.Shard driver='{}'>", self.report.split(':').next().unwrap_or_default())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        self.sink.traverse(&visit)
    }

    fn __clear__(&self) {
        self.sink.clear();
    }
}

impl Shard {
    /// Does something with the shard, without the interpreter.
    pub fn with<T: Send>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut clustercore::Shard) -> Result<T> + Send,
    ) -> Answer<T> {
        let inner = self.inner.get()?;
        self.check_thread()?;
        // The lock is taken without the interpreter, so that nobody waits for one while holding the other.
        let (result, _busy) = detached(py, || {
            let mut shard = inner.lock().unwrap_or_else(PoisonError::into_inner);
            act(shard.as_mut().ok_or_else(|| Error::new(Code::Closed, "the shard is closed"))?)
        });
        Ok(result?)
    }

    /// As `with`, for what a turn has to carry out or has news of: the descriptor becomes readable, so that the loop
    /// around the shard turns it.
    pub fn command<T: Send>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut clustercore::Shard) -> Result<T> + Send,
    ) -> Answer<T> {
        self.with(py, |shard| {
            let result = act(shard);
            if let Some(waker) = shard.waker() {
                waker.wake();
            }
            result
        })
    }

    /// As `command`, for what is done many times a turn: the descriptor is rung once.
    pub fn push<T: Send>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut clustercore::Shard) -> Result<T> + Send,
    ) -> Answer<T> {
        self.with(py, |shard| {
            let result = act(shard);
            if !self.rung.swap(true, Ordering::Relaxed)
                && let Some(waker) = shard.waker()
            {
                waker.wake();
            }
            result
        })
    }

    /// Looks at the shard while holding the interpreter, to make Python's bytes of what it has. `act` must run no code of
    /// the program.
    pub fn look<T>(&self, act: impl FnOnce(&mut clustercore::Shard) -> Answer<T>) -> Answer<T> {
        let inner = self.inner.get()?;
        self.check_thread()?;
        let mut shard = match inner.try_lock() {
            Ok(shard) => shard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(Code::WrongThread, "another thread uses the shard").into());
            }
        };
        act(shard.as_mut().ok_or_else(|| Error::new(Code::Closed, "the shard is closed"))?)
    }

    fn check_thread(&self) -> Result<()> {
        match self.owner.get() {
            Some(owner) if *owner != std::thread::current().id() => Err(Error::new(
                Code::WrongThread,
                "the shard belongs to the thread of its first turn; use a node to be called from any thread",
            )),
            _ => Ok(()),
        }
    }

    /// Adds a forwarder under a name that no other has.
    pub fn add_forwarder(&self, py: Python<'_>, name: &str, config: ForwarderConfig) -> Answer<ForwarderId> {
        self.command(py, |shard| self.names.enter(name, || shard.add_forwarder(config)))
    }

    /// Ends a forwarder and frees its name.
    pub fn remove_forwarder(&self, py: Python<'_>, id: ForwarderId) -> Answer<()> {
        self.command(py, |shard| {
            shard.remove_forwarder(id)?;
            self.names.free(id);
            Ok(())
        })
    }
}
