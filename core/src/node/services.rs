//! The services of a node by the place of their forwarders.

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

/// A place, and the forwarder that has it or had it last.
struct Place {
    id: ForwarderId,
    slot: Slot,
}

/// What an id stands for.
enum Slot {
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
    places: RwLock<Vec<Place>>,
}

impl Services {
    /// An id that nobody else gets, at a place that nobody else has.
    ///
    /// Errors: `TooLarge`.
    pub fn hold(&self) -> Result<ForwarderId> {
        let mut places = self.write();
        let free = |place: &&mut Place| matches!(&place.slot, Slot::Going(service) if service.is_ended());
        if let Some(place) = places.iter_mut().find(free) {
            *place = Place { id: place.id.next(), slot: Slot::Held };
            return Ok(place.id);
        }
        if places.len() >= FORWARDERS_MAX {
            return Err(too_many_forwarders());
        }
        let id = ForwarderId::new(places.len() as u16, 0);
        places.push(Place { id, slot: Slot::Held });
        Ok(id)
    }

    /// A held id is in use from now on.
    pub fn fill(&self, id: ForwarderId, entry: Entry) {
        self.set(id, Slot::Live(entry));
    }

    /// The place of a held id is free when no shard has a forwarder of the service any more.
    pub fn give_up(&self, id: ForwarderId, service: Arc<Service>) {
        self.set(id, Slot::Going(service));
    }

    /// Takes a forwarder out of use; its place is free when no shard has it any more.
    ///
    /// Errors: `NoSuchForwarder`.
    pub fn take(&self, id: ForwarderId) -> Result<Arc<Service>> {
        let mut places = self.write();
        let place = places.get_mut(usize::from(id.index())).filter(|place| place.id == id);
        let place = place.ok_or_else(|| no_such_forwarder(id))?;
        let Slot::Live(entry) = &place.slot else { return Err(no_such_forwarder(id)) };
        let service = Arc::clone(&entry.service);
        place.slot = Slot::Going(Arc::clone(&service));
        Ok(service)
    }

    /// The forwarder of that id.
    ///
    /// Errors: `NoSuchForwarder`.
    pub fn get(&self, id: ForwarderId) -> Result<Entry> {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        match places.get(usize::from(id.index())) {
            Some(Place { id: other, slot: Slot::Live(entry) }) if *other == id => Ok(entry.clone()),
            _ => Err(no_such_forwarder(id)),
        }
    }

    fn set(&self, id: ForwarderId, slot: Slot) {
        if let Some(place) = self.write().get_mut(usize::from(id.index())).filter(|place| place.id == id) {
            place.slot = slot;
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Place>> {
        self.places.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::forward::ForwarderConfig;

    #[test]
    fn places_are_used_again_and_end_at_the_limit() {
        let services = Services::default();
        let entry = Entry { service: Service::new(ForwarderConfig::default(), 1), counters: Vec::new() };
        for number in 0..FORWARDERS_MAX {
            assert_eq!(services.hold().unwrap(), ForwarderId::new(number as u16, 0));
        }
        assert_eq!(services.hold().unwrap_err().code(), Code::TooLarge);
        let (id, service) = (ForwarderId::new(7, 0), Arc::clone(&entry.service));
        assert!(services.take(id).is_err() && services.get(id).is_err(), "held is not in use");
        services.fill(id, entry);
        assert!(services.get(id).is_ok());
        assert!(services.take(id).is_ok() && services.take(id).is_err() && services.get(id).is_err());
        assert_eq!(services.hold().unwrap_err().code(), Code::TooLarge, "a shard has it still");
        service.end_shard(0);
        let next = services.hold().unwrap();
        assert_eq!((next.index(), next.generation()), (7, 1));
        services.fill(id, Entry { service: Arc::clone(&service), counters: Vec::new() });
        assert!(services.get(next).is_err(), "an old id fills nobody's place");
        services.fill(next, Entry { service, counters: Vec::new() });
        assert!(services.get(next).is_ok() && services.get(id).is_err() && services.take(id).is_err());
    }
}
