//! Recognises what a supplier sends again, within a bounded window.
//!
//! By source and id: the last `window` events of the channel, kept as two keyed hashes of 64 bits (a supplier cannot
//! make another's event look like a repeat). By sequence, where events carry one: for each source the highest
//! number and which of the 64 below it have come; what is further behind counts as a repeat.

use crate::event::{Event, Text};
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{Hash, Hasher};

/// The window of a channel.
#[derive(Debug)]
pub(crate) struct Seen {
    window: usize,
    keys: [(u64, u64); 2],
    names: HashSet<Name>,
    order: VecDeque<Name>,
    /// Accepted, and not yet on disk: a repeat of these cannot be acknowledged.
    open: HashSet<Name>,
    sources: HashMap<Text, Sequences>,
    sources_order: VecDeque<Text>,
}

type Name = (u64, u64);

#[derive(Debug)]
struct Sequences {
    highest: u64,
    /// Bit n stands for `highest - n`.
    bits: u64,
}

/// What is known of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sight {
    /// It has not come yet, as far as the window reaches.
    New,
    /// It has come and is done.
    Repeat,
    /// It has come and is not on disk yet.
    Open,
}

impl Seen {
    pub fn new(window: usize, seed: u64) -> Seen {
        let mut random = clustercore_proto::random::Random::new(seed);
        let keys = std::array::from_fn(|_| (random.next_u64(), random.next_u64()));
        let (names, open, order) = (HashSet::new(), HashSet::new(), VecDeque::new());
        Seen { window, keys, names, order, open, sources: HashMap::new(), sources_order: VecDeque::new() }
    }

    pub fn is_off(&self) -> bool {
        self.window == 0
    }

    pub fn look(&self, event: &Event) -> Sight {
        if self.is_off() {
            return Sight::New;
        }
        let name = self.name(event);
        if self.open.contains(&name) {
            return Sight::Open;
        }
        let number = event.sequence().zip(self.sources.get(event.source()));
        let is_old = number.is_some_and(|(number, sequences)| sequences.has(number));
        if is_old || self.names.contains(&name) { Sight::Repeat } else { Sight::New }
    }

    /// It is accepted; `is_open` until [`Seen::close`] when it has to go to disk first.
    pub fn enter(&mut self, event: &Event, is_open: bool) {
        if self.is_off() {
            return;
        }
        let name = self.name(event);
        if is_open {
            self.open.insert(name);
        }
        if self.names.insert(name) {
            self.order.push_back(name);
        }
        while self.order.len() > self.window {
            let oldest = self.order.pop_front().expect("longer than the window");
            self.names.remove(&oldest);
        }
        if let Some(number) = event.sequence() {
            self.enter_number(event.source(), number);
        }
    }

    /// It is on disk, or will never be: then it may come again.
    pub fn close(&mut self, event: &Event, is_kept: bool) {
        if self.is_off() {
            return;
        }
        let name = self.name(event);
        self.open.remove(&name);
        if is_kept {
            return;
        }
        if self.names.remove(&name) {
            self.order.retain(|it| *it != name);
        }
        if let Some((number, sequences)) = event.sequence().zip(self.sources.get_mut(event.source())) {
            sequences.clear(number);
        }
    }

    fn enter_number(&mut self, source: &Text, number: u64) {
        if let Some(sequences) = self.sources.get_mut(source) {
            return sequences.enter(number);
        }
        if self.sources_order.len() >= self.window {
            let oldest = self.sources_order.pop_front().expect("as many as the window");
            self.sources.remove(&oldest);
        }
        self.sources.insert(source.clone(), Sequences { highest: number, bits: 1 });
        self.sources_order.push_back(source.clone());
    }

    fn name(&self, event: &Event) -> Name {
        #[allow(deprecated)] // The only keyed hash of std whose keys are given.
        let hash = |(first, second)| {
            let mut hasher = std::hash::SipHasher::new_with_keys(first, second);
            (event.source(), event.id()).hash(&mut hasher);
            hasher.finish()
        };
        (hash(self.keys[0]), hash(self.keys[1]))
    }
}

impl Sequences {
    fn has(&self, number: u64) -> bool {
        match self.highest.checked_sub(number) {
            None => false,
            Some(behind) => behind >= 64 || self.bits >> behind & 1 == 1,
        }
    }

    fn enter(&mut self, number: u64) {
        if let Some(ahead) = number.checked_sub(self.highest).filter(|ahead| *ahead > 0) {
            self.bits = if ahead >= 64 { 0 } else { self.bits << ahead };
            self.highest = number;
        }
        let behind = self.highest - number;
        if behind < 64 {
            self.bits |= 1 << behind;
        }
    }

    fn clear(&mut self, number: u64) {
        if let Some(behind) = self.highest.checked_sub(number).filter(|behind| *behind < 64) {
            self.bits &= !(1 << behind);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventLimits;

    fn event(id: u32, sequence: Option<u64>) -> Event {
        let mut builder = Event::builder(id.to_string(), "s", "t");
        if let Some(sequence) = sequence {
            builder = builder.sequence(sequence);
        }
        builder.build(&EventLimits::default()).unwrap()
    }

    #[test]
    fn repeats_are_known_within_the_window_and_no_further() {
        let mut seen = Seen::new(3, 7);
        (0..3).for_each(|id| seen.enter(&event(id, None), false));
        assert!((0..3).all(|id| seen.look(&event(id, None)) == Sight::Repeat));
        seen.enter(&event(3, None), false);
        assert_eq!(seen.look(&event(0, None)), Sight::New);
        assert_eq!(seen.look(&event(1, None)), Sight::Repeat);
        assert_eq!(Seen::new(0, 7).look(&event(1, None)), Sight::New);
    }

    #[test]
    fn what_is_not_on_disk_is_open_and_what_failed_may_come_again() {
        let mut seen = Seen::new(3, 7);
        seen.enter(&event(1, Some(5)), true);
        assert_eq!(seen.look(&event(1, Some(5))), Sight::Open);
        seen.close(&event(1, Some(5)), false);
        assert_eq!(seen.look(&event(1, Some(5))), Sight::New);
        seen.enter(&event(1, Some(5)), true);
        seen.close(&event(1, Some(5)), true);
        assert_eq!(seen.look(&event(1, Some(5))), Sight::Repeat);
    }

    #[test]
    fn sequences_know_gaps_and_what_is_too_far_behind() {
        let mut seen = Seen::new(2, 7);
        seen.enter(&event(1, Some(100)), false);
        seen.enter(&event(2, Some(103)), false);
        let sight = |seen: &Seen, number| seen.look(&event(99, Some(number)));
        let expected = [(100, Sight::Repeat), (101, Sight::New), (103, Sight::Repeat), (104, Sight::New)];
        for (number, is) in expected {
            assert_eq!(sight(&seen, number), is, "{number}");
        }
        assert_eq!(sight(&seen, 39), Sight::Repeat);
        assert_eq!(sight(&seen, 40), Sight::New);
    }
}
