//! Where log records go: a callable of the program, called on the thread that polls.

use clustercore::log::{LogLevel, LogRecord};
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use std::sync::{Mutex, PoisonError};

/// A callable that takes `(level, text)`, or nothing.
pub struct Sink(Mutex<Option<Py<PyAny>>>);

impl Sink {
    /// A sink; without a callable, records are dropped.
    pub fn new(call: Option<Py<PyAny>>) -> Sink {
        Sink(Mutex::new(call))
    }

    /// Hands the records over. What the callable raises goes to `sys.unraisablehook`.
    pub fn write(&self, py: Python<'_>, records: Vec<LogRecord>) {
        if records.is_empty() {
            return;
        }
        let call =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|call| call.clone_ref(py));
        let Some(call) = call else { return };
        for record in records {
            if let Err(error) = call.call1(py, (level(record.level), record.text)) {
                error.write_unraisable(py, Some(call.bind(py)));
            }
        }
    }

    /// For the garbage collector: the callable may refer to the owner of this sink.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.0.try_lock() {
            Ok(call) => visit.call(&*call),
            Err(_) => Ok(()),
        }
    }

    /// Forgets the callable.
    pub fn clear(&self) {
        let call = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(call);
    }
}

fn level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warning",
        LogLevel::Info => "info",
    }
}
