//! Whose turn is next: supplier buffers that wait to be drained, consumers that wait to be served.
//!
//! A member is in at most once; its owner looks whether it still has work when its turn comes. No member starves: round
//! robin and weighted serve all that wait before anybody twice; by priority, a member that has waited for
//! [`AGEING_TURNS`] turns counts one priority more, so that one of priority p goes before any that came
//! `(255 - p) * AGEING_TURNS` turns after it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// How turns are given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Discipline {
    /// One after the other, one event in each turn of a supplier, one batch in each turn of a consumer.
    #[default]
    RoundRobin,
    /// One after the other, as many events in a turn as the weight says.
    Weighted,
    /// The highest priority first, with ageing.
    Priority,
}

/// Members that wait for their turn.
#[derive(Debug)]
pub(crate) struct Scheduler {
    discipline: Discipline,
    row: VecDeque<u32>,
    heap: BinaryHeap<Reverse<(i64, u64, u32)>>,
    turn: u64,
    entered: u64,
}

impl Scheduler {
    pub fn new(discipline: Discipline) -> Scheduler {
        Scheduler { discipline, row: VecDeque::new(), heap: BinaryHeap::new(), turn: 0, entered: 0 }
    }

    pub fn discipline(&self) -> Discipline {
        self.discipline
    }

    /// Changes the discipline; those who wait go on waiting, in the order in which they would have been served.
    pub fn set(&mut self, discipline: Discipline) {
        let heap = std::mem::take(&mut self.heap).into_sorted_vec();
        self.row.extend(heap.into_iter().rev().map(|Reverse((_, _, member))| member));
        self.discipline = discipline;
    }

    pub fn len(&self) -> usize {
        self.row.len() + self.heap.len()
    }

    /// A member begins to wait. The owner sees to it that it does not wait already.
    #[inline]
    pub fn enter(&mut self, member: u32, priority: u8) {
        if self.discipline != Discipline::Priority {
            return self.row.push_back(member);
        }
        // Who entered at turn t has priority p + (now - t) / AGEING_TURNS: the order of two never changes.
        let key = self.turn as i64 - i64::from(priority) * AGEING_TURNS;
        self.entered += 1;
        self.heap.push(Reverse((key, self.entered, member)));
    }

    /// Whose turn it is; the member waits no longer.
    #[inline]
    pub fn next(&mut self) -> Option<u32> {
        self.turn += 1;
        self.row.pop_front().or_else(|| self.heap.pop().map(|Reverse((_, _, member))| member))
    }

    /// Events in one turn of a supplier of this weight.
    pub fn quantum(&self, weight: u32) -> u32 {
        if self.discipline == Discipline::Weighted { weight.max(1) } else { 1 }
    }
}

/// Turns that count as much as one priority.
pub const AGEING_TURNS: i64 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// The shares of members that always have work, over `turns`.
    fn shares(discipline: Discipline, members: &[(u8, u32)], turns: usize) -> (Vec<u32>, Vec<usize>) {
        let mut scheduler = Scheduler::new(discipline);
        for (index, (priority, _)) in members.iter().enumerate() {
            scheduler.enter(index as u32, *priority);
        }
        let mut counts = vec![0; members.len()];
        let (mut last, mut longest) = (vec![0; members.len()], vec![0; members.len()]);
        for turn in 0..turns {
            let member = scheduler.next().unwrap();
            let index = member as usize;
            counts[index] += scheduler.quantum(members[index].1);
            longest[index] = longest[index].max(turn - last[index]);
            last[index] = turn;
            scheduler.enter(member, members[index].0);
        }
        (counts, longest)
    }

    #[test]
    fn round_robin_gives_everybody_the_same() {
        assert_eq!(shares(Discipline::RoundRobin, &[(0, 1), (255, 9), (7, 3)], 300).0, [100, 100, 100]);
    }

    #[test]
    fn weights_are_shares() {
        assert_eq!(shares(Discipline::Weighted, &[(0, 1), (255, 9), (7, 3)], 300).0, [100, 900, 300]);
    }

    #[test]
    fn the_lowest_priority_ages_and_is_served() {
        let (counts, longest) = shares(Discipline::Priority, &[(0, 1), (255, 1), (254, 1)], 20_000);
        assert!(counts[1] > counts[0] && counts[0] >= 19, "{counts:?}");
        assert!(longest[0] as i64 <= 255 * AGEING_TURNS + 3, "{longest:?}");
    }

    #[test]
    fn a_change_of_discipline_loses_nobody() {
        let mut scheduler = Scheduler::new(Discipline::Priority);
        for (member, priority) in [(1, 5), (2, 250), (3, 100)] {
            scheduler.enter(member, priority);
        }
        scheduler.set(Discipline::RoundRobin);
        scheduler.enter(4, 255);
        let order: Vec<u32> = std::iter::from_fn(|| scheduler.next()).collect();
        assert_eq!((order, scheduler.len()), (vec![2, 3, 1, 4], 0));
    }
}
