//! The slab: entries in doubly linked lists by index, and which are free.

use super::Event;

/// Entries in one allocation, each in the list of all arrivals and in that of its priority.
pub(super) struct Lists<T> {
    entries: Box<[Entry<T>]>,
    free: u32,
    arrivals: Ends,
    levels: Box<[Ends]>,
    /// Bit `priority % 64` of word `priority / 64`: that list has entries.
    filled: [u64; 4],
    len: usize,
}

struct Entry<T> {
    /// `None` while free.
    event: Option<Event<T>>,
    /// Tells one use of the entry from its others, and who arrived first.
    arrival: u64,
    by_arrival: Links,
    /// Also the list of free entries.
    by_priority: Links,
}

#[derive(Clone, Copy)]
struct Links {
    before: u32,
    after: u32,
}

#[derive(Clone, Copy)]
struct Ends {
    first: u32,
    last: u32,
}

impl<T> Lists<T> {
    pub(super) fn new(capacity: usize) -> Self {
        let entries = (1..=capacity).map(|next| Entry {
            event: None,
            arrival: u64::MAX,
            by_arrival: Links { before: NONE, after: NONE },
            by_priority: Links { before: NONE, after: if next == capacity { NONE } else { next as u32 } },
        });
        let empty = Ends { first: NONE, last: NONE };
        Self {
            entries: entries.collect(),
            free: 0,
            arrivals: empty,
            levels: vec![empty; 256].into(),
            filled: [0; 4],
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn capacity(&self) -> usize {
        self.entries.len()
    }

    /// Appends to both lists. `arrival` grows from call to call; there is a free entry.
    pub(super) fn append(&mut self, event: Event<T>, arrival: u64) -> u32 {
        let index = self.free;
        let priority = usize::from(event.priority);
        let before = Links { before: self.arrivals.last, after: NONE };
        let level = Links { before: self.levels[priority].last, after: NONE };
        let entry = &mut self.entries[index as usize];
        self.free = entry.by_priority.after;
        *entry = Entry { event: Some(event), arrival, by_arrival: before, by_priority: level };
        match before.before {
            NONE => self.arrivals.first = index,
            last => self.entries[last as usize].by_arrival.after = index,
        }
        self.arrivals.last = index;
        match level.before {
            NONE => self.levels[priority].first = index,
            last => self.entries[last as usize].by_priority.after = index,
        }
        self.levels[priority].last = index;
        self.filled[priority / 64] |= 1 << (priority % 64);
        self.len += 1;
        index
    }

    /// Takes an entry out of both lists. `None` when it is free.
    pub(super) fn remove(&mut self, index: u32) -> Option<Event<T>> {
        let entry = &mut self.entries[index as usize];
        let event = entry.event.take()?;
        let (by_arrival, by_priority) = (entry.by_arrival, entry.by_priority);
        entry.by_priority.after = self.free;
        entry.arrival = u64::MAX;
        self.free = index;
        match by_arrival.before {
            NONE => self.arrivals.first = by_arrival.after,
            before => self.entries[before as usize].by_arrival.after = by_arrival.after,
        }
        match by_arrival.after {
            NONE => self.arrivals.last = by_arrival.before,
            after => self.entries[after as usize].by_arrival.before = by_arrival.before,
        }
        let priority = usize::from(event.priority);
        match by_priority.before {
            NONE => self.levels[priority].first = by_priority.after,
            before => self.entries[before as usize].by_priority.after = by_priority.after,
        }
        match by_priority.after {
            NONE => self.levels[priority].last = by_priority.before,
            after => self.entries[after as usize].by_priority.before = by_priority.before,
        }
        if self.levels[priority].first == NONE {
            self.filled[priority / 64] &= !(1 << (priority % 64));
        }
        self.len -= 1;
        Some(event)
    }

    pub(super) fn oldest(&self) -> Option<u32> {
        Self::some(self.arrivals.first)
    }

    /// The oldest of the highest priority.
    pub(super) fn most_urgent(&self) -> Option<u32> {
        let word = self.filled.iter().rposition(|word| *word != 0)?;
        let priority = word * 64 + 63 - self.filled[word].leading_zeros() as usize;
        Self::some(self.levels[priority].first)
    }

    /// The newest of the lowest priority, and that priority.
    pub(super) fn least_urgent(&self) -> Option<(u32, u8)> {
        let word = self.filled.iter().position(|word| *word != 0)?;
        let priority = word * 64 + self.filled[word].trailing_zeros() as usize;
        Some((self.levels[priority].last, priority as u8))
    }

    pub(super) fn event(&self, index: u32) -> Option<&Event<T>> {
        self.entries[index as usize].event.as_ref()
    }

    /// Which arrival the entry holds; `u64::MAX` when it is free.
    pub(super) fn arrival(&self, index: u32) -> u64 {
        self.entries[index as usize].arrival
    }

    /// All filled entries, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Event<T>)> {
        std::iter::successors(self.oldest(), |index| {
            Self::some(self.entries[*index as usize].by_arrival.after)
        })
        .filter_map(|index| Some((index, self.event(index)?)))
    }

    fn some(index: u32) -> Option<u32> {
        (index != NONE).then_some(index)
    }
}

/// The index that means "none".
const NONE: u32 = u32::MAX;

#[cfg(all(test, target_pointer_width = "64", not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn entry_takes_what_the_documentation_says() {
        assert_eq!(size_of::<Entry<u64>>() - size_of::<u64>(), 48);
    }
}
