//! A set of numbers as ranges, for what arrives mostly in order.

use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// Numbers seen: disjoint ranges that do not touch, ascending, at most `ranges_max` of them.
///
/// Everything below [`Ranges::floor`] counts as seen. When a range too many comes up, the lowest one goes, and all
/// up to its end counts as seen from then on.
#[derive(Clone, Debug, Default)]
pub struct Ranges {
    /// Start and end (exclusive) of each.
    ranges: Vec<(u64, u64)>,
    floor: u64,
}

impl Ranges {
    /// Nothing seen.
    pub const fn new() -> Ranges {
        Ranges { ranges: Vec::new(), floor: 0 }
    }

    /// Numbers below this one count as seen.
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// How many ranges there are above the floor.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether nothing above the floor was seen.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether `number` was seen.
    #[inline]
    pub fn contains(&self, number: u64) -> bool {
        if number < self.floor {
            return true;
        }
        match self.ranges.last() {
            None => false,
            Some(&(_, end)) if number >= end => false,
            _ => {
                let place = self.ranges.partition_point(|&(start, _)| start <= number);
                place > 0 && number < self.ranges[place - 1].1
            }
        }
    }

    /// Adds `number`; false when it was seen before.
    #[inline]
    pub fn insert(&mut self, number: u64, ranges_max: usize) -> bool {
        if let Some((_, end)) = self.ranges.last_mut()
            && number == *end
        {
            *end += 1;
            return true;
        }
        if self.contains(number) {
            return false;
        }
        self.insert_slow(number, number + 1, ranges_max);
        true
    }

    /// Adds `start..end`, seen before or not.
    pub fn insert_range(&mut self, start: u64, end: u64, ranges_max: usize) {
        let start = start.max(self.floor);
        if start < end {
            self.insert_slow(start, end, ranges_max);
        }
    }

    fn insert_slow(&mut self, start: u64, end: u64, ranges_max: usize) {
        // The first range that touches or follows, and the first that lies apart behind.
        let first = self.ranges.partition_point(|&(_, e)| e < start);
        let last = self.ranges.partition_point(|&(s, _)| s <= end);
        if first == last {
            if self.ranges.is_empty() {
                // Mostly it stays the only one.
                self.ranges.reserve_exact(1);
            }
            self.ranges.insert(first, (start, end));
        } else {
            let joined = (start.min(self.ranges[first].0), end.max(self.ranges[last - 1].1));
            self.ranges[first] = joined;
            self.ranges.drain(first + 1..last);
        }
        if self.ranges.len() > ranges_max.max(1) {
            let (_, end) = self.ranges.remove(0);
            self.floor = end;
            self.swallow();
        }
    }

    /// Raises the floor to `number`: all below counts as seen and is forgotten.
    pub fn forget_below(&mut self, number: u64) {
        if number <= self.floor {
            return;
        }
        self.floor = number;
        self.ranges.retain_mut(|(start, end)| {
            *start = (*start).max(number);
            *start < *end
        });
        self.swallow();
    }

    /// A range that starts at the floor belongs to what lies below it; kept while it is the only one, so that the highest stays known.
    fn swallow(&mut self) {
        if self.ranges.len() > 1 && self.ranges[0].0 == self.floor {
            self.floor = self.ranges.remove(0).1;
        }
    }

    /// The first number from the floor on that was not seen.
    pub fn first_missing(&self) -> u64 {
        match self.ranges.first() {
            Some(&(start, end)) if start == self.floor => end,
            _ => self.floor,
        }
    }

    /// The highest number seen above the floor.
    #[inline]
    pub fn highest(&self) -> Option<u64> {
        self.ranges.last().map(|&(_, end)| end - 1)
    }

    /// The ranges, the highest first.
    pub fn descending(&self) -> impl Iterator<Item = RangeInclusive<u64>> + '_ {
        self.ranges.iter().rev().map(|&(start, end)| start..=end - 1)
    }

    /// The ranges that were not seen within `start..end`, ascending.
    pub fn missing(&self, start: u64, end: u64, mut each: impl FnMut(u64, u64)) {
        let mut next = start.max(self.floor);
        for &(from, to) in &self.ranges {
            if from >= end {
                break;
            }
            if next < from {
                each(next, from);
            }
            next = next.max(to);
        }
        if next < end {
            each(next, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::vec;
    use proptest::prelude::*;

    #[test]
    fn a_number_is_new_once() {
        let mut ranges = Ranges::new();
        assert!(ranges.insert(0, 8) && ranges.insert(1, 8) && ranges.insert(5, 8) && ranges.insert(3, 8));
        assert!(!ranges.insert(1, 8) && !ranges.insert(5, 8));
        assert_eq!(ranges.descending().collect::<Vec<_>>(), vec![5..=5, 3..=3, 0..=1]);
        assert!(ranges.insert(4, 8));
        assert_eq!(ranges.descending().collect::<Vec<_>>(), vec![3..=5, 0..=1]);
        assert_eq!((ranges.first_missing(), ranges.highest()), (2, Some(5)));
    }

    #[test]
    fn beyond_the_bound_the_lowest_gap_counts_as_seen() {
        let mut ranges = Ranges::new();
        for number in [1, 3, 5] {
            ranges.insert(number, 2);
        }
        assert!(ranges.contains(0) && ranges.contains(1) && !ranges.contains(2) && !ranges.contains(4));
        assert_eq!(ranges.floor(), 2);
    }

    proptest! {
        #[test]
        fn same_as_a_plain_set(numbers in proptest::collection::vec(0u64..60, 0..80), cut in 0u64..40) {
            let mut ranges = Ranges::new();
            let mut plain = BTreeSet::new();
            for &number in &numbers {
                prop_assert_eq!(ranges.insert(number, 100), plain.insert(number));
            }
            for number in 0..61 {
                prop_assert_eq!(ranges.contains(number), plain.contains(&number));
            }
            let missing: Vec<u64> = {
                let mut all = vec![];
                ranges.missing(0, 61, |start, end| all.extend(start..end));
                all
            };
            prop_assert_eq!(missing, (0..61).filter(|number| !plain.contains(number)).collect::<Vec<_>>());
            ranges.forget_below(cut);
            for number in 0..61 {
                prop_assert_eq!(ranges.contains(number), number < cut || plain.contains(&number), "{}", number);
            }
            prop_assert_eq!(ranges.first_missing(), (cut..).find(|number| !plain.contains(number)).unwrap());
        }

        #[test]
        fn adding_ranges_is_adding_their_numbers(pairs in proptest::collection::vec((0u64..50, 0u64..10), 0..20)) {
            let (mut ranges, mut single) = (Ranges::new(), Ranges::new());
            for &(start, len) in &pairs {
                ranges.insert_range(start, start + len, 100);
                for number in start..start + len {
                    single.insert(number, 100);
                }
            }
            prop_assert_eq!(ranges.descending().collect::<Vec<_>>(), single.descending().collect::<Vec<_>>());
        }
    }
}
