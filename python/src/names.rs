//! Names of forwarders: unique within their owner, and what events call them by.

use clustercore::{Code, Error, ForwarderId, Result};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Name by number; a closed forwarder's name stays for events that are still under way, and may be taken
/// again.
#[derive(Default)]
pub struct Names(Mutex<Vec<Entry>>);

struct Entry {
    id: ForwarderId,
    name: String,
    open: bool,
}

impl Names {
    /// Adds a forwarder unless its name is taken. Errors: `AlreadyExists`, and those of `add`.
    pub fn enter(&self, name: &str, add: impl FnOnce() -> Result<ForwarderId>) -> Result<ForwarderId> {
        let mut entries = self.lock();
        if entries.iter().any(|entry| entry.open && entry.name == name) {
            return Err(Error::new(Code::AlreadyExists, format!("there is a forwarder {name:?} already")));
        }
        let id = add()?;
        // The place of a forwarder that has ended is used again: its name goes, so that there are never more than places.
        entries.retain(|entry| entry.id.index() != id.index());
        entries.push(Entry { id, name: name.to_owned(), open: true });
        Ok(id)
    }

    /// Lets the name be taken again.
    pub fn free(&self, id: ForwarderId) {
        if let Some(entry) = self.lock().iter_mut().find(|entry| entry.id == id) {
            entry.open = false;
        }
    }

    /// The name of a forwarder.
    pub fn of(&self, id: ForwarderId) -> String {
        self.lock().iter().find(|entry| entry.id == id).map(|entry| entry.name.clone()).unwrap_or_default()
    }

    /// Forwarders that are open.
    pub fn ids(&self) -> Vec<ForwarderId> {
        self.lock().iter().filter(|entry| entry.open).map(|entry| entry.id).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
