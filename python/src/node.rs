//! The node: shards on threads of ours, commanded from any Python thread.

use crate::argument::{count, seconds};
use crate::errors::Answer;
use crate::events;
use crate::exit::detached;
use crate::forwarder::Forwarder;
use crate::guard::Guarded;
use crate::names::Names;
use crate::sink::Sink;
use clustercore::forward::ForwarderConfig;
use clustercore::io::DriverConfig;
use clustercore::{ForwarderId, Result};
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::{PyDict, PyList};
use std::time::{Duration, Instant};

/// Shards on threads of their own, and a handle for any thread.
///
/// `shards` threads (1 to 256); `driver` is "auto", "uring" or "epoll"; `spin_us` microseconds of spinning
/// before a shard blocks; `connections_max` connections per shard, those to back ends included; `log` is
/// called with (level, text) by `poll`, on the thread that polls. Use it as a context manager, or call
/// `close`.
///
/// Raises InvalidArgument, IoUringForbidden, UnsupportedKernel, OutOfMemory, DescriptorsExhausted.
#[pyclass(frozen, module = "clustercore", weakref)]
pub struct Node {
    inner: Guarded<clustercore::Node>,
    names: Names,
    sink: Sink,
}

#[pymethods]
impl Node {
    #[new]
    #[pyo3(signature = (*, shards=1, driver="auto", spin_us=0, connections_max=16384, log=None))]
    fn new(
        py: Python<'_>,
        shards: i64,
        driver: &str,
        spin_us: i64,
        connections_max: i64,
        log: Option<Py<PyAny>>,
    ) -> Answer<Node> {
        let builder = clustercore::Node::builder()
            .shards(count("shards", shards, 1..=256)?)
            .driver(driver.parse()?)
            .config(driver_config(spin_us, connections_max)?);
        let (inner, _busy) = detached(py, || builder.build());
        let inner = inner?;
        Ok(Node { inner: Guarded::new(inner), names: Names::default(), sink: Sink::new(log) })
    }

    /// Which driver and features run, and why: "uring: multishot_accept, ...".
    #[getter]
    fn driver(&self) -> Answer<&str> {
        Ok(self.inner.get()?.driver_report())
    }

    /// How many shards it has.
    #[getter]
    fn shards(&self) -> Answer<usize> {
        Ok(self.inner.get()?.shards())
    }

    /// Makes a forwarder for one service, on every shard; the options are those of Forwarder.
    ///
    /// Raises InvalidArgument, BadConfiguration, AlreadyExists (the name), Closed.
    #[pyo3(signature = (name, **options))]
    fn forwarder<'py>(
        slf: &Bound<'py, Self>,
        name: &str,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        slf.py().get_type::<Forwarder>().call((slf, name), options)
    }

    /// Waits until events are there and takes them, at most `max`; an empty list after `timeout` seconds.
    /// None waits without limit.
    ///
    /// Other threads run meanwhile, and a signal's handler may raise from here. Raises Closed, also when
    /// the node is closed during the wait.
    #[pyo3(signature = (timeout=None, *, max=1024))]
    fn poll<'py>(&self, py: Python<'py>, timeout: Option<f64>, max: i64) -> Answer<Bound<'py, PyList>> {
        let max = count("max", max, 1..=1 << 20)?;
        let timeout = timeout.map(|timeout| seconds("timeout", timeout)).transpose()?;
        let end = timeout.map(|timeout| Instant::now() + timeout);
        let answer = PyList::empty(py);
        loop {
            let node = self.inner.get()?;
            let left = end.map_or(WAIT_MAX, |end| end.saturating_duration_since(Instant::now()));
            let (batch, _busy) = detached(py, || node.poll(Some(left.min(WAIT_MAX)), max));
            let batch = batch?;
            let had_logs = !batch.logs.is_empty();
            self.sink.write(py, batch.logs);
            for (id, event) in &batch.events {
                if let Some(event) = events::to_python(py, self.names.of(*id), event)? {
                    answer.append(event)?;
                }
            }
            // Before the events are handed over they would be lost to an exception.
            if !answer.is_empty() {
                return Ok(answer);
            }
            py.check_signals()?;
            // Behind log records there may be events, or the news that the node is closed.
            if !had_logs && end.is_some_and(|end| Instant::now() >= end) {
                return Ok(answer);
            }
        }
    }

    /// A descriptor that is readable when `poll` has something to bring, for `select` and event loops.
    fn fileno(&self) -> Answer<i32> {
        Ok(self.inner.get()?.event_fd())
    }

    /// Counters by label, summed over all forwarders; see `clustercore.counters()`.
    fn counters<'py>(&self, py: Python<'py>) -> Answer<Bound<'py, PyDict>> {
        let node = self.inner.get()?;
        let mut sums: Vec<(&str, u64)> =
            clustercore::counters::COUNTERS.iter().map(|(_, label, _, _)| (*label, 0)).collect();
        for id in self.names.ids() {
            // One that was closed meanwhile counts no more.
            for (sum, (_, value)) in sums.iter_mut().zip(node.counters(id).unwrap_or_default()) {
                sum.1 = sum.1.wrapping_add(value);
            }
        }
        let answer = PyDict::new(py);
        for (label, value) in sums {
            answer.set_item(label, value)?;
        }
        Ok(answer)
    }

    /// Ends all threads, forwarders and connections. Does nothing when called again.
    fn close(&self, py: Python<'_>) -> Answer<()> {
        let node = self.inner.get()?;
        let ((), _busy) = detached(py, || node.close());
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
        match self.inner.get() {
            Ok(node) => {
                let driver = node.driver_report().split(':').next().unwrap_or_default();
                format!("<clustercore.Node shards={} driver='{driver}'>", node.shards())
            }
            Err(_) => "<clustercore.Node of the parent process>".to_owned(),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        self.sink.traverse(&visit)
    }

    fn __clear__(&self) {
        self.sink.clear();
    }
}

impl Node {
    /// Does something without the interpreter.
    pub fn with<T: Send>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&clustercore::Node) -> Result<T> + Send,
    ) -> Answer<T> {
        let node = self.inner.get()?;
        let (result, _busy) = detached(py, || act(node));
        Ok(result?)
    }

    /// Adds a forwarder under a name that no other has.
    pub fn add_forwarder(&self, py: Python<'_>, name: &str, config: ForwarderConfig) -> Answer<ForwarderId> {
        self.with(py, |node| self.names.enter(name, || node.add_forwarder(config)))
    }

    /// Ends a forwarder and frees its name.
    pub fn remove_forwarder(&self, py: Python<'_>, id: ForwarderId) -> Answer<()> {
        self.with(py, |node| {
            node.remove_forwarder(id)?;
            self.names.free(id);
            Ok(())
        })
    }
}

/// Sizes and bounds from Python's arguments.
pub fn driver_config(spin_us: i64, connections_max: i64) -> Result<DriverConfig> {
    let spin_us: u64 = count("spin_us", spin_us, 0..=1_000_000)?;
    let streams_max = count("connections_max", connections_max, 16..=1 << 20)?;
    Ok(DriverConfig { spin_ns: spin_us * 1000, streams_max, ..DriverConfig::default() })
}

/// No wait is longer than this: a signal that came just before it began, or a close that another poller
/// saw, is then noticed.
const WAIT_MAX: Duration = Duration::from_secs(1);
