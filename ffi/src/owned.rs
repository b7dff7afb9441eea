//! What belongs to the thread of its first turn, behind a handle.

use crate::fork::Birth;
use clustercore::{Code, Error, Result};
use std::sync::{Mutex, TryLockError};
use std::thread::ThreadId;

/// A thing with a loop of its own. Before its first turn any thread may use it, one at a time.
pub(crate) struct Owned<T> {
    birth: Birth,
    inner: Mutex<Inner<T>>,
}

struct Inner<T> {
    owner: Option<ThreadId>,
    thing: T,
}

impl<T> Owned<T> {
    pub fn new(thing: T) -> Owned<T> {
        Owned { birth: Birth::here(), inner: Mutex::new(Inner { owner: None, thing }) }
    }

    /// Errors: `WrongThread`, `Forked`, `Panic` when an earlier call met a defect.
    pub fn with<R>(&self, act: impl FnOnce(&mut T) -> Result<R>) -> Result<R> {
        self.act(false, act)
    }

    /// As [`Owned::with`]; from here on it belongs to this thread.
    pub fn turn<R>(&self, act: impl FnOnce(&mut T) -> Result<R>) -> Result<R> {
        self.act(true, act)
    }

    fn act<R>(&self, is_turn: bool, act: impl FnOnce(&mut T) -> Result<R>) -> Result<R> {
        self.birth.check()?;
        let mut inner = match self.inner.try_lock() {
            Ok(inner) => inner,
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(Code::WrongThread, "another thread uses the handle now"));
            }
            Err(TryLockError::Poisoned(_)) => {
                let text = "an earlier call on this handle met a defect in clustercore; free it";
                return Err(Error::new(Code::Panic, text));
            }
        };
        let here = std::thread::current().id();
        if inner.owner.is_some_and(|owner| owner != here) {
            return Err(Error::new(Code::WrongThread, "the handle belongs to the thread of its first turn"));
        }
        if is_turn {
            inner.owner = Some(here);
        }
        act(&mut inner.thing)
    }

    /// Ends it; in a child of its process it is forgotten, because its ring is the parent's.
    pub fn end(self) {
        if self.birth.check().is_err() {
            std::mem::forget(self);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_turn_decides_whose_it_is() {
        let owned = Owned::new(7);
        let elsewhere = |act: fn(&Owned<i32>) -> Result<i32>| {
            std::thread::scope(|scope| scope.spawn(|| act(&owned)).join().unwrap())
        };
        assert_eq!(elsewhere(|owned| owned.with(|it| Ok(*it))), Ok(7));
        assert_eq!(owned.turn(|it| Ok(*it + 1)), Ok(8));
        assert_eq!(owned.with(|it| Ok(*it)), Ok(7));
        let refused = elsewhere(|owned| owned.with(|it| Ok(*it))).unwrap_err();
        assert_eq!(refused.code(), Code::WrongThread);
    }

    #[test]
    fn a_defect_is_remembered() {
        let owned = Owned::new(());
        let panic = std::panic::AssertUnwindSafe(|| owned.with(|()| -> Result<()> { panic!("a defect") }));
        assert!(std::panic::catch_unwind(panic).is_err());
        assert_eq!(owned.with(|()| Ok(())).unwrap_err().code(), Code::Panic);
    }
}
