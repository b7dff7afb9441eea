//! Events as small typed classes.

use clustercore::forward::ForwardEvent;
use clustercore::proto::policy::{Cause, FailureKind};
use pyo3::prelude::*;

/// A drain is over: nothing is in flight any more, or its deadline has passed with some left.
#[pyclass(frozen, get_all, eq, hash, module = "clustercore")]
#[derive(PartialEq, Eq, Hash)]
pub struct BackendDrained {
    /// Name of the forwarder.
    forwarder: String,
    /// Key of the back end.
    backend: u32,
    /// Whether nothing is in flight any more.
    finished: bool,
    /// Requests still in flight.
    in_flight: u32,
}

#[pymethods]
impl BackendDrained {
    #[classattr]
    #[allow(non_upper_case_globals)]
    const __match_args__: (&'static str, &'static str, &'static str, &'static str) =
        ("forwarder", "backend", "finished", "in_flight");

    #[new]
    fn new(forwarder: String, backend: u32, finished: bool, in_flight: u32) -> Self {
        BackendDrained { forwarder, backend, finished, in_flight }
    }

    fn __repr__(&self) -> String {
        let BackendDrained { forwarder, backend, finished, in_flight } = self;
        let finished = if *finished { "True" } else { "False" };
        format!(
            "BackendDrained(forwarder='{forwarder}', backend={backend}, finished={finished}, in_flight={in_flight})"
        )
    }
}

/// A back end is distrusted and gets no requests for a while.
#[pyclass(frozen, get_all, eq, module = "clustercore")]
#[derive(PartialEq)]
pub struct BackendEjected {
    /// Name of the forwarder.
    forwarder: String,
    /// Key of the back end.
    backend: u32,
    /// For how long at least, in seconds.
    duration: f64,
    /// Why, for people.
    reason: String,
}

#[pymethods]
impl BackendEjected {
    #[classattr]
    #[allow(non_upper_case_globals)]
    const __match_args__: (&'static str, &'static str, &'static str, &'static str) =
        ("forwarder", "backend", "duration", "reason");

    #[new]
    fn new(forwarder: String, backend: u32, duration: f64, reason: String) -> Self {
        BackendEjected { forwarder, backend, duration, reason }
    }

    fn __repr__(&self) -> String {
        let BackendEjected { forwarder, backend, duration, reason } = self;
        format!(
            "BackendEjected(forwarder='{forwarder}', backend={backend}, duration={duration}, reason='{reason}')"
        )
    }
}

/// A back end is trusted again.
#[pyclass(frozen, get_all, eq, hash, module = "clustercore")]
#[derive(PartialEq, Eq, Hash)]
pub struct BackendReturned {
    /// Name of the forwarder.
    forwarder: String,
    /// Key of the back end.
    backend: u32,
}

#[pymethods]
impl BackendReturned {
    #[classattr]
    #[allow(non_upper_case_globals)]
    const __match_args__: (&'static str, &'static str) = ("forwarder", "backend");

    #[new]
    fn new(forwarder: String, backend: u32) -> Self {
        BackendReturned { forwarder, backend }
    }

    fn __repr__(&self) -> String {
        format!("BackendReturned(forwarder='{}', backend={})", self.forwarder, self.backend)
    }
}

/// Messages to a back end's job handler do not get through: its requests go by TCP until they do.
#[pyclass(frozen, get_all, eq, hash, module = "clustercore")]
#[derive(PartialEq, Eq, Hash)]
pub struct PathBroken {
    /// Name of the forwarder.
    forwarder: String,
    /// Key of the back end.
    backend: u32,
    /// Why, for people.
    reason: String,
}

#[pymethods]
impl PathBroken {
    #[classattr]
    #[allow(non_upper_case_globals)]
    const __match_args__: (&'static str, &'static str, &'static str) = ("forwarder", "backend", "reason");

    #[new]
    fn new(forwarder: String, backend: u32, reason: String) -> Self {
        PathBroken { forwarder, backend, reason }
    }

    fn __repr__(&self) -> String {
        let PathBroken { forwarder, backend, reason } = self;
        format!("PathBroken(forwarder='{forwarder}', backend={backend}, reason='{reason}')")
    }
}

/// Messages to a back end's job handler get through again.
#[pyclass(frozen, get_all, eq, hash, module = "clustercore")]
#[derive(PartialEq, Eq, Hash)]
pub struct PathRestored {
    /// Name of the forwarder.
    forwarder: String,
    /// Key of the back end.
    backend: u32,
}

#[pymethods]
impl PathRestored {
    #[classattr]
    #[allow(non_upper_case_globals)]
    const __match_args__: (&'static str, &'static str) = ("forwarder", "backend");

    #[new]
    fn new(forwarder: String, backend: u32) -> Self {
        PathRestored { forwarder, backend }
    }

    fn __repr__(&self) -> String {
        format!("PathRestored(forwarder='{}', backend={})", self.forwarder, self.backend)
    }
}

/// The first request has to wait, since no back end may take it.
#[pyclass(frozen, get_all, eq, hash, module = "clustercore")]
#[derive(PartialEq, Eq, Hash)]
pub struct Saturated {
    /// Name of the forwarder.
    forwarder: String,
    /// Requests in flight on the shard that says so.
    in_flight: u32,
}

#[pymethods]
impl Saturated {
    #[classattr]
    #[allow(non_upper_case_globals)]
    const __match_args__: (&'static str, &'static str) = ("forwarder", "in_flight");

    #[new]
    fn new(forwarder: String, in_flight: u32) -> Self {
        Saturated { forwarder, in_flight }
    }

    /// Always None: all back ends are meant.
    #[getter]
    fn backend(&self) -> Option<u32> {
        None
    }

    fn __repr__(&self) -> String {
        format!("Saturated(forwarder='{}', in_flight={})", self.forwarder, self.in_flight)
    }
}

/// Accepting clients has stopped for a while.
#[pyclass(frozen, get_all, eq, hash, module = "clustercore")]
#[derive(PartialEq, Eq, Hash)]
pub struct AcceptPaused {
    /// Name of the forwarder.
    forwarder: String,
    /// The kernel's error number (errno.EMFILE, ...), or 0 when there are as many clients as may be.
    errno: i32,
}

#[pymethods]
impl AcceptPaused {
    #[classattr]
    #[allow(non_upper_case_globals)]
    const __match_args__: (&'static str, &'static str) = ("forwarder", "errno");

    #[new]
    fn new(forwarder: String, errno: i32) -> Self {
        AcceptPaused { forwarder, errno }
    }

    /// Always None: no back end is meant.
    #[getter]
    fn backend(&self) -> Option<u32> {
        None
    }

    fn __repr__(&self) -> String {
        format!("AcceptPaused(forwarder='{}', errno={})", self.forwarder, self.errno)
    }
}

/// The event as an object of its class; `None` for an event that has no class here.
pub fn to_python(py: Python<'_>, forwarder: String, event: &ForwardEvent) -> PyResult<Option<Py<PyAny>>> {
    let object = match *event {
        ForwardEvent::BackendDrained { backend, in_flight } => {
            let finished = in_flight == 0;
            Py::new(py, BackendDrained { forwarder, backend: backend.0, finished, in_flight })?.into_any()
        }
        ForwardEvent::BackendEjected { backend, duration, cause } => {
            let duration = duration.as_secs_f64();
            Py::new(py, BackendEjected { forwarder, backend: backend.0, duration, reason: reason(cause) })?
                .into_any()
        }
        ForwardEvent::BackendReturned { backend } => {
            Py::new(py, BackendReturned { forwarder, backend: backend.0 })?.into_any()
        }
        ForwardEvent::PathBroken { backend, why } => {
            let reason = why.to_string();
            Py::new(py, PathBroken { forwarder, backend: backend.0, reason })?.into_any()
        }
        ForwardEvent::PathRestored { backend } => {
            Py::new(py, PathRestored { forwarder, backend: backend.0 })?.into_any()
        }
        ForwardEvent::Saturated { in_flight } => Py::new(py, Saturated { forwarder, in_flight })?.into_any(),
        ForwardEvent::AcceptPaused { errno } => Py::new(py, AcceptPaused { forwarder, errno })?.into_any(),
        _ => return Ok(None),
    };
    Ok(Some(object))
}

fn reason(cause: Cause) -> String {
    match cause {
        Cause::Failures { count, last } => format!("{count} failures in a row, the last: {}", words(last)),
        Cause::ErrorRatio { failures, requests } => {
            format!("{failures} of the last {requests} requests failed")
        }
        Cause::Probes { count } => format!("{count} probes in a row failed"),
        Cause::Trial(kind) => format!("failed on trial: {}", words(kind)),
    }
}

fn words(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Connect => "no connection",
        FailureKind::Timeout => "no answer in time",
        FailureKind::Reset => "the connection broke",
        FailureKind::Protocol => "the answer was not valid",
        FailureKind::ServerError => "a server error (5xx)",
    }
}
