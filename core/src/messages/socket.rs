//! Names of endpoints and plain sockets, and the tables behind them.

use std::fmt;

/// An endpoint of reliable datagrams of a shard: place and generation, so that one that is closed reaches nobody.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EndpointId(pub(crate) u32);

/// A socket for plain datagrams of a shard: place and generation, likewise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SocketId(pub(crate) u32);

macro_rules! name {
    ($name:ident) => {
        impl $name {
            /// As a number, for other languages.
            pub fn to_raw(self) -> u32 {
                self.0
            }
            /// From the number; one that was never given reaches nobody.
            pub fn from_raw(raw: u32) -> $name {
                $name(raw)
            }
        }
        impl From<Place> for $name {
            fn from(place: Place) -> $name {
                $name(u32::from(place.index) | u32::from(place.generation) << 16)
            }
        }
        impl From<$name> for Place {
            fn from(name: $name) -> Place {
                Place { index: name.0 as u16, generation: (name.0 >> 16) as u16 }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let place = Place::from(*self);
                if place.generation == 0 {
                    write!(f, "{}", place.index)
                } else {
                    write!(f, "{}.{}", place.index, place.generation)
                }
            }
        }
    };
}
name!(EndpointId);
name!(SocketId);

/// A place in a table, and which life of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub index: u16,
    pub generation: u16,
}

/// Things in numbered places that are used again under a new generation.
#[derive(Debug)]
pub(crate) struct Places<T> {
    slots: Vec<(u16, Option<T>)>,
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Places { slots: Vec::new() }
    }
}

impl<T> Places<T> {
    /// Puts something into a free place; gives it back when there are [`PLACES_MAX`].
    pub fn insert(&mut self, thing: T) -> Result<Place, T> {
        let index = self.slots.iter().position(|(_, slot)| slot.is_none()).unwrap_or(self.slots.len());
        if index >= PLACES_MAX {
            return Err(thing);
        }
        if index == self.slots.len() {
            self.slots.push((0, None));
        }
        self.slots[index].1 = Some(thing);
        Ok(Place { index: index as u16, generation: self.slots[index].0 })
    }

    pub fn get(&self, place: impl Into<Place>) -> Option<&T> {
        let place = place.into();
        let (generation, slot) = self.slots.get(usize::from(place.index))?;
        slot.as_ref().filter(|_| *generation == place.generation)
    }

    #[inline]
    pub fn get_mut(&mut self, place: impl Into<Place>) -> Option<&mut T> {
        let place = place.into();
        let (generation, slot) = self.slots.get_mut(usize::from(place.index))?;
        slot.as_mut().filter(|_| *generation == place.generation)
    }

    pub fn remove(&mut self, place: impl Into<Place>) -> Option<T> {
        let place = place.into();
        self.get(place)?;
        let (generation, slot) = &mut self.slots[usize::from(place.index)];
        *generation = generation.wrapping_add(1);
        slot.take()
    }

    pub fn iter(&self) -> impl Iterator<Item = (Place, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, (generation, slot))| {
            Some((Place { index: index as u16, generation: *generation }, slot.as_ref()?))
        })
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Place, &mut T)> {
        self.slots.iter_mut().enumerate().filter_map(|(index, (generation, slot))| {
            Some((Place { index: index as u16, generation: *generation }, slot.as_mut()?))
        })
    }
}

/// Places of a table.
pub(crate) const PLACES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_over_reaches_nobody() {
        let mut places = Places::default();
        let first: EndpointId = places.insert("first").unwrap().into();
        assert_eq!(places.remove(first), Some("first"));
        let second: EndpointId = places.insert("second").unwrap().into();
        assert_eq!((places.get(first), places.get(second)), (None, Some(&"second")));
        assert_eq!((first.to_string(), second.to_string()), ("0".into(), "0.1".into()));
        assert_eq!(EndpointId::from_raw(second.to_raw()), second);
    }
}
