//! The guard against fork: rings and threads stay in the parent.
//!
//! A counter goes up in every child that Python forks. A handle remembers the count it was made under;
//! under another one it refuses to work, and is leaked rather than closed, since its ring and descriptors
//! are the parent's.

use clustercore::{Code, Error, Result};
use pyo3::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

/// A value that is of use only in the process that made it.
pub struct Guarded<T> {
    value: Option<T>,
    forks: u64,
}

impl<T> Guarded<T> {
    /// A value of this process.
    pub fn new(value: T) -> Guarded<T> {
        Guarded { value: Some(value), forks: forks() }
    }

    /// The value. Errors: `Forked` in a child of the process that made it.
    pub fn get(&self) -> Result<&T> {
        match &self.value {
            Some(value) if self.forks == forks() => Ok(value),
            _ => Err(Error::new(
                Code::Forked,
                "made before fork and used in the child; make nodes and shards after it",
            )),
        }
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        if self.forks != forks() {
            std::mem::forget(self.value.take());
        }
    }
}

/// Makes Python tell of forks; once per interpreter.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let options = pyo3::types::PyDict::new(py);
    options.set_item("after_in_child", pyo3::wrap_pyfunction!(note_fork, module)?)?;
    py.import("os")?.call_method("register_at_fork", (), Some(&options))?;
    Ok(())
}

#[pyfunction]
fn note_fork() {
    // Relaxed: a child begins with one thread.
    FORKS.fetch_add(1, Ordering::Relaxed);
    crate::exit::forget_threads();
}

fn forks() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

static FORKS: AtomicU64 = AtomicU64::new(0);
