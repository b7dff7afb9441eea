//! Streamed calls, served.

use crate::call_server::CallContext;
use crate::channel::exception;
use crate::errors::Answer;
use crate::exit::detached;
use crate::payload::Payload;
use clustercore::calls::{CallFailure, Context, Failure, Metadata, Outcome, Parts};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyBytes;
use std::task::Poll;

/// The parts of a streamed call, for its handler: an iterator of those of its arguments. `send` sends those of its results.
#[pyclass(frozen, module = "clustercore")]
pub struct CallParts {
    parts: Parts,
}

#[pymethods]
impl CallParts {
    /// Sends a part of the results, waiting for room; other threads run meanwhile. Raises CallFailed when nobody waits for the call, or the
    /// part is longer than 64 KiB.
    fn send(&self, py: Python<'_>, part: Payload<'_>) -> Answer<()> {
        let part = part.as_bytes().to_vec();
        let (sent, _busy) = detached(py, || self.parts.send(&part));
        sent.map_err(|failure| raised(py, failure))?;
        Ok(())
    }

    /// Sends a part if there is room for it now. Raises as `send`.
    fn try_send(&self, py: Python<'_>, part: Payload<'_>) -> Answer<bool> {
        match self.parts.try_send(part.as_bytes()) {
            Poll::Ready(sent) => {
                sent.map_err(|failure| raised(py, failure))?;
                Ok(true)
            }
            Poll::Pending => Ok(false),
        }
    }

    /// The next part of the arguments if one is there now, else None; False when no more come. Raises CallFailed when nobody waits for the call.
    fn try_next(&self, py: Python<'_>) -> Answer<Py<PyAny>> {
        match self.parts.try_next() {
            Poll::Ready(next) => match next.map_err(|failure| raised(py, failure))? {
                Some(part) => Ok(PyBytes::new(py, &part).into_any().unbind()),
                None => Ok(pyo3::types::PyBool::new(py, false).to_owned().into_any().unbind()),
            },
            Poll::Pending => Ok(py.None()),
        }
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> Answer<Option<Bound<'py, PyBytes>>> {
        let (next, _busy) = detached(py, || self.parts.next());
        let next = next.map_err(|failure| raised(py, failure))?;
        Ok(next.map(|part| PyBytes::new(py, &part)))
    }
}

impl CallParts {
    pub fn new(parts: Parts) -> CallParts {
        CallParts { parts }
    }
}

/// Whether a handler was made by `clustercore.streamed`.
pub fn is_streamed(handler: &Bound<'_, PyAny>) -> bool {
    handler.getattr("__clustercore_streamed__").and_then(|mark| mark.is_truthy()).unwrap_or(false)
}

/// Runs a handler with the parts of its call.
pub fn run(
    py: Python<'_>,
    handler: &Py<PyAny>,
    context: &Context<'_>,
    arguments: &[u8],
    parts: &Parts,
    results: &mut Vec<u8>,
) -> std::result::Result<(), Failure> {
    let called = (|| {
        let run = RUN.import(py, "clustercore._calls", "run_streamed")?;
        let context = CallContext::of(py, context)?;
        let parts = CallParts::new(parts.clone());
        let answer = run.call1((handler, context, PyBytes::new(py, arguments), parts))?;
        let bytes: Payload<'_> = answer.extract()?;
        results.extend_from_slice(bytes.as_bytes());
        Ok(())
    })();
    called.map_err(|error: PyErr| crate::call_server::failure_of(py, &error))
}

/// A failure as a handler sees it, and may raise it further.
fn raised(py: Python<'_>, failure: Failure) -> PyErr {
    let Failure { status, text } = failure;
    let failure = CallFailure { status, outcome: Outcome::Executed, text, metadata: Metadata::new() };
    exception(py, &failure).unwrap_or_else(|error| error)
}

static RUN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
