//! What waits for one consumer, or for one group of consumers.

use crate::channel::Verdict;
use crate::delivery::{Chain, Deliveries, List, NONE, State};
use crate::event::Text;
use crate::lane::Reading;
use crate::predicate::Change;
use crate::qos::{Acknowledgement, Discard, Order, Settings};
use crate::stats::QueueStats;
use clustercore_proto::time::Instant;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// A bounded queue. Its deliveries hang in chains: by age those that nobody works on, by turn those of one state.
#[derive(Debug)]
pub(crate) struct Queue {
    pub settings: Settings,
    pub members: Vec<u32>,
    pub route: u32,
    /// Filters, and what they change.
    pub mappings: Box<[(u32, Change)]>,
    pub len: u32,
    pub bytes: u64,
    /// Where a replay has come to; `None` when it gets events as they come.
    pub cursor: Option<u64>,
    /// The retention keeps what its replay has not come to.
    pub is_durable: bool,
    /// Supplier buffers that wait for room.
    pub stalled: Vec<u32>,
    pub stats: QueueStats,
    pub age: List,
    pub unwritten: List,
    pub urgent: List,
    pub ready_len: u32,
    /// The quick lane: events that only wait for their turn, in order. What may expire, be acknowledged, wait for its time or
    /// go by priority is a delivery instead; both are one queue, by offset.
    pub plain: VecDeque<Plain>,
    /// While its quick lane is one shared with other queues, where it is in that; it holds nothing else then.
    pub reading: Option<Reading>,
    /// By priority, or all in one, the highest last.
    levels: Vec<(u8, List)>,
    deadlines: BTreeMap<(Instant, u64), u32>,
    /// By priority and age, kept where the lowest gives way.
    ranks: BTreeMap<(u8, u64), u32>,
    /// Ordering keys of which one is under way; the others wait.
    keys: HashMap<Text, List>,
}

/// An event of the quick lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain {
    pub offset: u64,
    pub kept: u32,
    pub size: u32,
}

/// What gives way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Victim {
    /// A delivery.
    Delivery(u32),
    /// The first of the quick lane.
    Plain,
}

impl Queue {
    pub fn new(settings: Settings, mappings: Box<[(u32, Change)]>) -> Queue {
        Queue {
            settings,
            members: Vec::new(),
            route: 0,
            mappings,
            len: 0,
            bytes: 0,
            cursor: None,
            is_durable: false,
            stalled: Vec::new(),
            stats: QueueStats::default(),
            age: List::EMPTY,
            unwritten: List::EMPTY,
            urgent: List::EMPTY,
            ready_len: 0,
            plain: VecDeque::new(),
            reading: None,
            levels: Vec::new(),
            deadlines: BTreeMap::new(),
            ranks: BTreeMap::new(),
            keys: HashMap::new(),
        }
    }

    /// True when an event of `size` bytes does not fit beside what is there.
    #[inline]
    pub fn is_full_for(&self, size: usize) -> bool {
        self.len >= self.settings.length_max || self.bytes + size as u64 > self.settings.bytes_max
    }

    /// What gives way to one of this priority; `None` for the one that comes.
    pub fn victim(&self, all: &Deliveries, priority: u8) -> Option<Victim> {
        match self.settings.discard {
            Discard::Oldest => self.oldest(all),
            Discard::Newest | Discard::Refuse => None,
            Discard::LowestPriority => {
                let (&(lowest, _), &index) = self.ranks.first_key_value()?;
                (lowest <= priority).then_some(Victim::Delivery(index))
            }
        }
    }

    fn oldest(&self, all: &Deliveries) -> Option<Victim> {
        let first = self.plain.front().map_or(u64::MAX, |plain| plain.offset);
        match self.age.head {
            NONE => (!self.plain.is_empty()).then_some(Victim::Plain),
            head if all[head].offset < first => Some(Victim::Delivery(head)),
            _ => Some(Victim::Plain),
        }
    }

    /// The newest that nobody works on; [`Victim::Plain`] stands for the last of the quick lane here.
    pub fn newest(&self, all: &Deliveries) -> Option<Victim> {
        let last = self.plain.back().map(|plain| plain.offset);
        match self.age.tail {
            NONE => last.map(|_| Victim::Plain),
            tail if last.is_none_or(|last| all[tail].offset > last) => Some(Victim::Delivery(tail)),
            _ => Some(Victim::Plain),
        }
    }

    /// One event less, and how it ended.
    #[inline]
    pub fn count_out(&mut self, size: u64, verdict: Verdict) {
        self.len -= 1;
        self.bytes -= size;
        match verdict {
            Verdict::Settled => self.stats.settled += 1,
            Verdict::Expired => self.stats.expired += 1,
            Verdict::Discarded => self.stats.discarded += 1,
            Verdict::Dead => self.stats.dead += 1,
            Verdict::Dropped => self.stats.dropped += 1,
        }
    }

    /// The settings allow the quick lane.
    #[inline]
    pub fn is_plain(&self) -> bool {
        let Settings { order, discard, acknowledgement, .. } = self.settings;
        is_plain(order, discard, acknowledgement) && self.mappings.is_empty()
    }

    /// Something may be handed over, of what is not in a shared lane.
    #[inline]
    pub fn has_ready(&self) -> bool {
        self.ready_len > 0 || !self.plain.is_empty()
    }

    /// Nobody works on it.
    #[inline]
    pub fn enter_age(&mut self, all: &mut Deliveries, index: u32) {
        self.age.insert(all, Chain::Age, index);
        if self.settings.discard == Discard::LowestPriority {
            self.ranks.insert((all[index].priority, all[index].offset), index);
        }
    }

    #[inline]
    pub fn leave_age(&mut self, all: &mut Deliveries, index: u32) {
        self.age.remove(all, Chain::Age, index);
        if self.settings.discard == Discard::LowestPriority {
            self.ranks.remove(&(all[index].priority, all[index].offset));
        }
    }

    /// It may be handed over.
    #[inline]
    pub fn enter_ready(&mut self, all: &mut Deliveries, index: u32) {
        all[index].state = State::Ready;
        self.ready_len += 1;
        if self.settings.order == Order::Deadline {
            self.deadlines.insert((all[index].expiry, all[index].offset), index);
            return;
        }
        let level = self.level(all[index].priority);
        let place = match self.levels.binary_search_by_key(&level, |(level, _)| *level) {
            Ok(place) => place,
            Err(place) => {
                self.levels.insert(place, (level, List::EMPTY));
                place
            }
        };
        self.levels[place].1.insert(all, Chain::Turn, index);
    }

    #[inline]
    pub fn leave_ready(&mut self, all: &mut Deliveries, index: u32) {
        self.ready_len -= 1;
        if self.settings.order == Order::Deadline {
            self.deadlines.remove(&(all[index].expiry, all[index].offset));
            return;
        }
        let level = self.level(all[index].priority);
        let place = self.levels.binary_search_by_key(&level, |(level, _)| *level).expect("entered before");
        self.levels[place].1.remove(all, Chain::Turn, index);
        if self.levels[place].1.is_empty() && self.levels.len() > 1 {
            self.levels.remove(place);
        }
    }

    /// Whose turn it is.
    #[inline]
    pub fn first_ready(&self) -> Option<u32> {
        if self.settings.order == Order::Deadline {
            return self.deadlines.first_key_value().map(|(_, index)| *index);
        }
        self.levels.iter().rev().map(|(_, list)| list.head).find(|head| *head != NONE)
    }

    /// Takes the ordering key, or waits for it.
    pub fn take_key(&mut self, all: &mut Deliveries, index: u32, key: &Text) -> bool {
        if let Some(waiting) = self.keys.get_mut(key) {
            all[index].state = State::Parked;
            waiting.insert_before(all, Chain::Turn, index, NONE);
            return false;
        }
        all[index].holds_key = true;
        self.keys.insert(key.clone(), List::EMPTY);
        true
    }

    /// One that waits for its key goes away.
    pub fn leave_key(&mut self, all: &mut Deliveries, index: u32, key: &Text) {
        let waiting = self.keys.get_mut(key).expect("it waited for this key");
        waiting.remove(all, Chain::Turn, index);
    }

    /// The holder of the key is done: who has it now.
    pub fn pass_key(&mut self, all: &mut Deliveries, key: &Text) -> Option<u32> {
        let waiting = self.keys.get_mut(key).expect("it was held");
        let next = waiting.head;
        if next == NONE {
            self.keys.remove(key);
            return None;
        }
        waiting.remove(all, Chain::Turn, next);
        all[next].holds_key = true;
        Some(next)
    }

    /// Deliveries that wait for their ordering key, and keys.
    pub fn parked(&self, all: &Deliveries) -> (usize, usize) {
        let parked = self.keys.values().map(|list| list.iter(all, Chain::Turn).count()).sum();
        (parked, self.keys.len())
    }

    /// Sets other settings: what waits is put in order anew.
    pub fn set(&mut self, all: &mut Deliveries, settings: Settings) {
        let waiting: Vec<u32> = self.age.iter(all, Chain::Age).collect();
        let ready: Vec<u32> = waiting.iter().copied().filter(|it| all[*it].state == State::Ready).collect();
        ready.iter().for_each(|index| self.leave_ready(all, *index));
        self.ranks.clear();
        self.settings = settings;
        self.levels.clear();
        for index in ready {
            self.enter_ready(all, index);
        }
        if self.settings.discard == Discard::LowestPriority {
            self.ranks = waiting.iter().map(|it| ((all[*it].priority, all[*it].offset), *it)).collect();
        }
    }

    fn level(&self, priority: u8) -> u8 {
        if self.settings.order == Order::Priority { priority } else { 0 }
    }

    /// What must hold between calls.
    pub fn check_invariants(&self, all: &Deliveries) {
        let ages: Vec<u32> = self.age.iter(all, Chain::Age).collect();
        assert!(ages.is_sorted_by_key(|it| all[*it].offset), "by age");
        assert!(self.plain.is_empty() || self.is_plain());
        assert!(self.reading.is_none() || (self.len == 0 && self.cursor.is_none() && self.is_plain()));
        assert!(self.plain.iter().is_sorted_by_key(|it| it.offset), "the quick lane by age");
        let ready = ages.iter().filter(|it| all[**it].state == State::Ready).count();
        assert_eq!(ready, self.ready_len as usize, "the ready ones are counted");
        let chained: usize = self.levels.iter().map(|(_, list)| list.iter(all, Chain::Turn).count()).sum();
        assert_eq!(ready, chained + self.deadlines.len(), "the ready ones have a turn");
        let parked = ages.iter().filter(|it| all[**it].state == State::Parked).count();
        assert_eq!(parked, self.parked(all).0, "who waits for a key is in its chain");
        if self.settings.discard == Discard::LowestPriority {
            assert_eq!(self.ranks.len(), ages.len(), "all that may give way are ranked");
        }
        let QueueStats { queued, settled, expired, discarded, dead, dropped, .. } = self.stats;
        let sum = settled + expired + discarded + dead + dropped + u64::from(self.len);
        assert_eq!(queued, sum, "every event is accounted for: {:?}, {} in the queue", self.stats, self.len);
    }
}

/// Nothing is looked at but the order of acceptance.
pub(crate) fn is_plain(order: Order, discard: Discard, acknowledgement: Acknowledgement) -> bool {
    order == Order::Fifo && discard != Discard::LowestPriority && acknowledgement == Acknowledgement::None
}
