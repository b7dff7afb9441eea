//! Numbers of exchanges, and the table behind them.

use alloc::vec::Vec;
use core::fmt;

/// An exchange of one connection: a slot, and how often it was used before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId(u32);

/// Exchanges of a connection at a time.
pub const EXCHANGES_MAX: usize = 1 << SLOT_BITS;
const SLOT_BITS: u32 = 14;

impl ExchangeId {
    /// From a message; every number is one.
    pub const fn from_wire(value: u32) -> ExchangeId {
        ExchangeId(value)
    }

    /// As in a message.
    pub const fn to_wire(self) -> u32 {
        self.0
    }

    /// Its slot: dense, below [`EXCHANGES_MAX`], used again.
    pub const fn slot(self) -> usize {
        self.0 as usize & (EXCHANGES_MAX - 1)
    }

    /// Who has the slot next.
    const fn next(self) -> ExchangeId {
        ExchangeId(self.0.wrapping_add(1 << SLOT_BITS))
    }
}

impl fmt::Debug for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot(), self.0 >> SLOT_BITS)
    }
}

/// Exchanges under way, by number. Memory grows with use.
#[derive(Debug)]
pub struct Exchanges<T> {
    slots: Vec<(ExchangeId, Option<T>)>,
    free: Vec<u16>,
}

impl<T> Default for Exchanges<T> {
    fn default() -> Self {
        Exchanges { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Exchanges<T> {
    /// How many are under way.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Begins one. `None`: there are [`EXCHANGES_MAX`].
    pub fn begin(&mut self, thing: T) -> Option<ExchangeId> {
        if let Some(slot) = self.free.pop() {
            let (id, place) = &mut self.slots[usize::from(slot)];
            *place = Some(thing);
            return Some(*id);
        }
        if self.slots.len() == EXCHANGES_MAX {
            return None;
        }
        let id = ExchangeId(self.slots.len() as u32);
        self.slots.push((id, Some(thing)));
        Some(id)
    }

    /// One that is under way.
    #[inline]
    pub fn get(&self, id: ExchangeId) -> Option<&T> {
        let (current, thing) = self.slots.get(id.slot())?;
        thing.as_ref().filter(|_| *current == id)
    }

    /// Ends one; its number is not used again until its slot has been used 2^18 times.
    pub fn end(&mut self, id: ExchangeId) -> Option<T> {
        self.get(id)?;
        let (current, thing) = self.slots.get_mut(id.slot())?;
        *current = current.next();
        self.free.push(id.slot() as u16);
        thing.take()
    }

    /// Numbers of all that are under way.
    pub fn ids(&self) -> impl Iterator<Item = ExchangeId> + '_ {
        self.slots.iter().filter(|(_, thing)| thing.is_some()).map(|(id, _)| *id)
    }
}

/// Exchanges of a peer, at the handler: the numbers are the peer's. Memory grows with the highest slot in use.
#[derive(Debug)]
pub struct Accepted<T> {
    slots: Vec<Option<(ExchangeId, Option<T>)>>,
    len: usize,
}

impl<T> Default for Accepted<T> {
    fn default() -> Self {
        Accepted { slots: Vec::new(), len: 0 }
    }
}

/// What an open has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opened<T> {
    /// It is under way; the peer has given up the one that had its slot, whose abort is still to come.
    New(Option<T>),
    /// It was overtaken by one that had its slot later: nobody waits for it.
    Late,
    /// The peer opens what it has opened before.
    Again,
}

impl<T> Accepted<T> {
    /// How many are under way.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The peer opens one.
    pub fn open(&mut self, id: ExchangeId, thing: T) -> Opened<T> {
        if self.slots.len() <= id.slot() {
            self.slots.resize_with(id.slot() + 1, || None);
        }
        let place = &mut self.slots[id.slot()];
        match place {
            Some((last, _)) if *last == id => return Opened::Again,
            // Of two numbers of a slot the later one is ahead by less than half of all.
            Some((last, _)) if id.0.wrapping_sub(last.0) > u32::MAX / 2 => return Opened::Late,
            _ => {}
        }
        let before = place.replace((id, Some(thing))).and_then(|(_, thing)| thing);
        self.len += usize::from(before.is_none());
        Opened::New(before)
    }

    /// One that is under way.
    #[inline]
    pub fn get(&self, id: ExchangeId) -> Option<&T> {
        let (current, thing) = self.slots.get(id.slot())?.as_ref()?;
        thing.as_ref().filter(|_| *current == id)
    }

    /// One that is under way, to be changed.
    #[inline]
    pub fn get_mut(&mut self, id: ExchangeId) -> Option<&mut T> {
        let (current, thing) = self.slots.get_mut(id.slot())?.as_mut()?;
        if *current == id { thing.as_mut() } else { None }
    }

    /// Ends one.
    pub fn end(&mut self, id: ExchangeId) -> Option<T> {
        self.get(id)?;
        let (_, thing) = self.slots.get_mut(id.slot())?.as_mut()?;
        self.len -= 1;
        thing.take()
    }

    /// Ends all.
    pub fn drain(&mut self) -> impl Iterator<Item = T> + '_ {
        self.len = 0;
        self.slots.drain(..).flatten().filter_map(|(_, thing)| thing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_that_was_overtaken_finds_its_slot_gone() {
        let mut accepted = Accepted::default();
        let first = ExchangeId::from_wire(5);
        let second = first.next();
        assert_eq!(accepted.open(second, "second"), Opened::New(None));
        assert_eq!(accepted.open(first, "first"), Opened::Late);
        assert_eq!(accepted.open(second, "again"), Opened::Again);
        assert_eq!(accepted.open(second.next(), "third"), Opened::New(Some("second")));
        assert_eq!((accepted.len(), accepted.get(second)), (1, None));
        assert_eq!(accepted.end(second.next()), Some("third"));
        assert_eq!(accepted.open(second, "late all the same"), Opened::Late);
        assert_eq!((accepted.len(), accepted.drain().count()), (0, 0));
    }

    #[test]
    fn late_is_told_from_new_when_numbers_wrap_around() {
        let mut accepted = Accepted::default();
        let last = ExchangeId::from_wire(u32::MAX);
        assert_eq!(accepted.open(last, 1), Opened::New(None));
        assert_eq!(accepted.open(last.next(), 2), Opened::New(Some(1)));
        assert_eq!(accepted.open(last, 1), Opened::Late);
        assert_eq!(accepted.drain().collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn a_number_that_is_over_finds_nobody_although_its_slot_is_used_again() {
        let mut exchanges = Exchanges::default();
        let first = exchanges.begin("first").unwrap();
        let other = exchanges.begin("other").unwrap();
        assert_eq!(exchanges.end(first), Some("first"));
        let second = exchanges.begin("second").unwrap();
        assert_eq!((second.slot(), second == first), (first.slot(), false));
        assert!(exchanges.get(first).is_none() && exchanges.end(first).is_none());
        assert_eq!((exchanges.get(second), exchanges.get(other)), (Some(&"second"), Some(&"other")));
        assert!(exchanges.ids().eq([second, other]));
    }

    #[test]
    fn there_are_no_more_than_slots() {
        let mut exchanges = Exchanges::default();
        let last = (0..EXCHANGES_MAX).map(|number| exchanges.begin(number).unwrap()).last().unwrap();
        assert_eq!((exchanges.begin(0), exchanges.len()), (None, EXCHANGES_MAX));
        exchanges.end(last);
        assert_eq!(exchanges.begin(0).map(ExchangeId::slot), Some(last.slot()));
    }

    #[test]
    fn numbers_wrap_around() {
        let id = ExchangeId::from_wire(u32::MAX);
        assert_eq!((id.next().slot(), id.next().to_wire()), (EXCHANGES_MAX - 1, EXCHANGES_MAX as u32 - 1));
    }
}
