//! Handles that have crossed a fork.
//!
//! Rings are not mapped in a child and threads do not exist there, so a handle that was made before is of no
//! use. A counter that each child raises tells, for the price of one load.

use clustercore::{Code, Error, Result};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// In which process, counted in forks, something was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Birth(u32);

impl Birth {
    pub fn here() -> Birth {
        static REGISTER: Once = Once::new();
        REGISTER.call_once(|| {
            // SAFETY: the function only raises an atomic counter, which is allowed between fork and exec.
            let result = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
            // It can only fail for want of memory; then a child is not told apart.
            debug_assert_eq!(result, 0);
        });
        Birth::now()
    }

    /// Errors: `Forked` in a child of the process it was made in.
    pub fn check(self) -> Result<()> {
        if self == Birth::now() {
            return Ok(());
        }
        Err(Error::new(
            Code::Forked,
            "the handle was made before fork; rings and threads stay behind: make a new one here",
        ))
    }

    fn now() -> Birth {
        // Relaxed: a child starts with one thread, which raised it itself.
        Birth(FORKS.load(Ordering::Relaxed))
    }
}

unsafe extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

static FORKS: AtomicU32 = AtomicU32::new(0);
