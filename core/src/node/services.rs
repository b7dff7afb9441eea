//! The services of a node by the number of their forwarders.

use crate::counters::CounterBlock;
use crate::error::Result;
use crate::forward::Service;
use crate::shard::{FORWARDERS_MAX, ForwarderId, no_such_forwarder, too_many_forwarders};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

/// A service with the counters of each shard's forwarder.
#[derive(Clone)]
pub(super) struct Entry {
    pub service: Arc<Service>,
    pub counters: Vec<Arc<CounterBlock>>,
}

/// What a number stands for.
enum Slot {
    /// Nothing: to be used again.
    Free,
    /// A forwarder that is coming.
    Held,
    /// A forwarder on every shard.
    Live(Entry),
    /// One that is going: to be used again when the last shard has let go of it.
    Going(Arc<Service>),
}

/// The table. A number is held while shards are asked, so that no lock is.
#[derive(Default)]
pub(super) struct Services {
    slots: RwLock<Vec<Slot>>,
}

impl Services {
    /// A number that nobody else gets.
    ///
    /// Errors: `TooLarge`.
    pub fn hold(&self) -> Result<ForwarderId> {
        let mut slots = self.write();
        let free = |slot: &Slot| match slot {
            Slot::Free => true,
            Slot::Going(service) => service.is_ended(),
            Slot::Held | Slot::Live(_) => false,
        };
        let index = match slots.iter().position(free) {
            Some(index) => index,
            None if slots.len() >= FORWARDERS_MAX => return Err(too_many_forwarders()),
            None => {
                slots.push(Slot::Free);
                slots.len() - 1
            }
        };
        slots[index] = Slot::Held;
        Ok(ForwarderId(index as u16))
    }

    /// A held number is in use from now on.
    pub fn fill(&self, id: ForwarderId, entry: Entry) {
        self.set(id, Slot::Live(entry));
    }

    /// A held number is free when no shard has a forwarder of the service any more.
    pub fn give_up(&self, id: ForwarderId, service: Arc<Service>) {
        self.set(id, Slot::Going(service));
    }

    /// Takes a forwarder out of use; its number is free when no shard has it any more.
    ///
    /// Errors: `NoSuchForwarder`.
    pub fn take(&self, id: ForwarderId) -> Result<Arc<Service>> {
        let mut slots = self.write();
        let slot = slots.get_mut(usize::from(id.0)).ok_or_else(|| no_such_forwarder(id))?;
        let Slot::Live(entry) = slot else { return Err(no_such_forwarder(id)) };
        let service = Arc::clone(&entry.service);
        *slot = Slot::Going(Arc::clone(&service));
        Ok(service)
    }

    /// The forwarder of that number.
    ///
    /// Errors: `NoSuchForwarder`.
    pub fn get(&self, id: ForwarderId) -> Result<Entry> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        match slots.get(usize::from(id.0)) {
            Some(Slot::Live(entry)) => Ok(entry.clone()),
            _ => Err(no_such_forwarder(id)),
        }
    }

    fn set(&self, id: ForwarderId, slot: Slot) {
        if let Some(place) = self.write().get_mut(usize::from(id.0)) {
            *place = slot;
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Slot>> {
        self.slots.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::forward::ForwarderConfig;

    #[test]
    fn numbers_are_used_again_and_end_at_the_limit() {
        let services = Services::default();
        let entry = Entry { service: Service::new(ForwarderConfig::default(), 1), counters: Vec::new() };
        for number in 0..FORWARDERS_MAX {
            assert_eq!(services.hold().unwrap(), ForwarderId(number as u16));
        }
        assert_eq!(services.hold().unwrap_err().code(), Code::TooLarge);
        let (id, service) = (ForwarderId(7), Arc::clone(&entry.service));
        assert!(services.take(id).is_err() && services.get(id).is_err(), "held is not in use");
        services.fill(id, entry);
        assert!(services.get(id).is_ok());
        assert!(services.take(id).is_ok() && services.take(id).is_err() && services.get(id).is_err());
        assert_eq!(services.hold().unwrap_err().code(), Code::TooLarge, "a shard has it still");
        service.end_shard(0);
        assert_eq!(services.hold().unwrap(), id);
    }
}
