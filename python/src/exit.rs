//! The end of the interpreter, and calls that go on without it.
//!
//! A thread that asks for the interpreter while that is being taken down is ended by it with `pthread_exit` (before
//! 3.14), which unwinds through frames of Rust and aborts the process. So whoever comes back from a wait says so first;
//! the exit waits for those who did, and who comes later stays parked until the process is gone.

use pyo3::prelude::*;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

/// A thread in native code that needs the interpreter until this is dropped.
pub struct Busy(());

/// Does something without the interpreter, possibly for long: other Python threads run meanwhile.
///
/// The second value is to be kept until the call returns to Python, or waits again.
pub fn detached<T: Send>(py: Python<'_>, act: impl FnOnce() -> T + Send) -> (T, Busy) {
    py.detach(|| {
        let result = act();
        (result, Busy::enter())
    })
}

impl Busy {
    fn enter() -> Busy {
        // SeqCst here and in `end`: either the exit sees this thread, or this thread sees the exit.
        BUSY.fetch_add(1, Ordering::SeqCst);
        if EXITING.load(Ordering::SeqCst) && EXIT_THREAD.get() != Some(&std::thread::current().id()) {
            BUSY.fetch_sub(1, Ordering::SeqCst);
            loop {
                std::thread::park();
            }
        }
        Busy(())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        BUSY.fetch_sub(1, Ordering::SeqCst);
    }
}

/// In a child after fork: the other threads stayed in the parent.
pub fn forget_threads() {
    BUSY.store(0, Ordering::SeqCst);
}

/// Makes Python tell of its end.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let at_exit = pyo3::wrap_pyfunction!(end, module)?;
    module.py().import("atexit")?.call_method1("register", (at_exit,))?;
    Ok(())
}

#[pyfunction]
fn end(py: Python<'_>) {
    let _ = EXIT_THREAD.set(std::thread::current().id());
    EXITING.store(true, Ordering::SeqCst);
    py.detach(|| {
        let limit = Instant::now() + PATIENCE;
        while BUSY.load(Ordering::SeqCst) > 0 && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
}

// Below zero after a fork from within a log sink: signed, so that this means nobody.
static BUSY: AtomicIsize = AtomicIsize::new(0);
static EXITING: AtomicBool = AtomicBool::new(false);
static EXIT_THREAD: OnceLock<ThreadId> = OnceLock::new();
/// A log sink that takes longer is not waited for.
const PATIENCE: Duration = Duration::from_secs(1);
