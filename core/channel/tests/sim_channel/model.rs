//! The plain model: lists that are searched from end to end, no index, no timer.

use clustercore_channel::qos::{Acknowledgement, Discard, Order, Settings};
use clustercore_channel::{Event, Instant, QueueStats};
use std::collections::{BTreeMap, VecDeque};

/// An accepted event.
#[derive(Clone, Debug)]
pub struct Kept {
    pub event: Event,
    pub number: u64,
    pub offset: u64,
    pub priority: u8,
    pub expiry: Instant,
    pub start: Instant,
    pub is_persistent: bool,
    pub receipt: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum State {
    Unwritten,
    Held,
    Ready,
    InFlight { due: Instant, member: usize },
    Waiting { due: Instant },
}

/// An event on its way to one queue.
#[derive(Clone, Debug)]
pub struct Item {
    pub kept: Kept,
    pub state: State,
    pub tries: u16,
    /// When it became ready among those with its key.
    pub key_turn: Option<u64>,
}

#[derive(Debug, Default)]
pub struct Member {
    pub is_pull: bool,
    pub is_connected: bool,
    pub is_suspended: bool,
    pub is_blocked: bool,
    pub paced_until: Instant,
    pub is_gone: bool,
}

/// A consumer, or a group of them.
#[derive(Debug)]
pub struct Queue {
    pub settings: Settings,
    /// Wants numbers with `number % modulus == 0`; fails over those with `number % 7 == 0` when it is not 1.
    pub modulus: u64,
    pub items: Vec<Item>,
    pub members: Vec<Member>,
    pub stats: QueueStats,
    pub cursor: Option<u64>,
    pub turns: u64,
}

#[derive(Default)]
pub struct Model {
    pub queues: BTreeMap<usize, Queue>,
    pub buffer: VecDeque<Kept>,
    pub buffer_settings: Settings,
    pub spread: u64,
    pub expired: u64,
    pub discarded: u64,
    pub failed: u64,
    pub offset_next: u64,
    /// In order; true when it is written.
    pub pending: VecDeque<(Kept, bool)>,
    pub retention_max: usize,
    pub retained: VecDeque<(Kept, bool)>,
    pub unwanted: u64,
    pub confirmed: Vec<u64>,
    pub lost: Vec<u64>,
}

pub fn wants(modulus: u64, number: u64) -> bool {
    modulus == 1 || (!number.is_multiple_of(7) && number.is_multiple_of(modulus))
}

impl Queue {
    pub fn bytes(&self) -> u64 {
        self.items.iter().map(|item| item.kept.event.size() as u64).sum()
    }

    fn is_full_for(&self, size: u64) -> bool {
        self.items.len() >= self.settings.length_max as usize || self.bytes() + size > self.settings.bytes_max
    }

    fn may_give_way(item: &Item) -> bool {
        !matches!(item.state, State::Unwritten | State::InFlight { .. })
    }

    fn victim(&self, priority: u8) -> Option<usize> {
        let all = self.items.iter().enumerate().filter(|(_, item)| Queue::may_give_way(item));
        match self.settings.discard {
            Discard::Oldest => all.min_by_key(|(_, item)| item.kept.offset).map(|(place, _)| place),
            Discard::LowestPriority => {
                let lowest = all.min_by_key(|(_, item)| (item.kept.priority, item.kept.offset));
                lowest.filter(|(_, item)| item.kept.priority <= priority).map(|(place, _)| place)
            }
            Discard::Newest | Discard::Refuse => None,
        }
    }

    pub fn offer(&mut self, now: Instant, kept: &Kept, is_written: bool) {
        let size = kept.event.size() as u64;
        self.stats.queued += 1;
        while self.is_full_for(size) {
            self.stats.discarded += 1;
            match self.victim(kept.priority).filter(|_| size <= self.settings.bytes_max) {
                Some(place) => {
                    self.items.remove(place);
                }
                None => return,
            }
        }
        let state = if is_written { State::Held } else { State::Unwritten };
        self.items.push(Item { kept: kept.clone(), state, tries: 0, key_turn: None });
        self.advance(now);
    }

    /// What time does by itself.
    pub fn advance(&mut self, now: Instant) {
        let is_due = |item: &&Item| matches!(item.state, State::InFlight { due, .. } if due <= now);
        while let Some(offset) = self.items.iter().find(is_due).map(|item| item.kept.offset) {
            self.fail(now, offset, false);
        }
        let before = self.items.len();
        self.items.retain(|item| {
            matches!(item.state, State::InFlight { .. } | State::Unwritten) || item.kept.expiry > now
        });
        self.stats.expired += (before - self.items.len()) as u64;
        for item in &mut self.items {
            if matches!(item.state, State::Waiting { due } if due <= now) {
                item.state = State::Ready;
            }
        }
        let mut starting: Vec<usize> = (0..self.items.len())
            .filter(|place| self.items[*place].state == State::Held && self.items[*place].kept.start <= now)
            .collect();
        starting.sort_by_key(|place| (self.items[*place].kept.start, self.items[*place].kept.offset));
        for place in starting {
            self.turns += 1;
            self.items[place].state = State::Ready;
            self.items[place].key_turn = Some(self.turns);
        }
    }

    /// True when it died.
    pub fn fail(&mut self, now: Instant, offset: u64, is_for_good: bool) -> bool {
        let place = self.items.iter().position(|item| item.kept.offset == offset).unwrap();
        let item = &mut self.items[place];
        let is_dead = is_for_good || item.tries >= self.settings.tries_max;
        if is_dead {
            self.stats.dead += 1;
            self.items.remove(place);
        } else if item.kept.expiry <= now {
            self.stats.expired += 1;
            self.items.remove(place);
        } else {
            item.state = State::Waiting { due: now + self.settings.backoff_after(item.tries) };
            self.advance(now);
        }
        is_dead
    }

    /// What comes next, in order.
    fn deliverable(&self) -> Vec<&Item> {
        let is_first_of_key = |item: &Item| {
            let Some(key) = item.kept.event.key() else { return true };
            let mut same = self.items.iter().filter(|other| other.kept.event.key() == Some(key));
            self.settings.acknowledgement == Acknowledgement::None
                || same.all(|other| other.key_turn.is_none_or(|turn| turn >= item.key_turn.unwrap()))
        };
        let ready = self.items.iter().filter(|item| item.state == State::Ready && is_first_of_key(item));
        let mut ready: Vec<&Item> = ready.collect();
        match self.settings.order {
            Order::Fifo => ready.sort_by_key(|item| item.kept.offset),
            Order::Priority => ready.sort_by_key(|item| (255 - item.kept.priority, item.kept.offset)),
            Order::Deadline => ready.sort_by_key(|item| (item.kept.expiry, item.kept.offset)),
        }
        ready
    }

    fn window(&self, member: usize) -> usize {
        if self.settings.acknowledgement == Acknowledgement::None {
            return usize::MAX;
        }
        let flying = self
            .items
            .iter()
            .filter(|it| matches!(it.state, State::InFlight { member: holder, .. } if holder == member))
            .count();
        (self.settings.in_flight_max as usize).saturating_sub(flying)
    }

    pub fn next_batch(&self, now: Instant, member: usize, max: usize) -> Vec<u64> {
        let it = &self.members[member];
        let is_open = it.is_connected && !it.is_suspended && !it.is_gone;
        if !is_open || (!it.is_pull && (it.is_blocked || it.paced_until > now)) {
            return Vec::new();
        }
        let max = max.min(self.window(member));
        self.deliverable().into_iter().take(max).map(|item| item.kept.offset).collect()
    }

    /// The first `taken` of a batch were taken by a member.
    pub fn give(&mut self, now: Instant, member: usize, batch: &[u64], taken: usize) {
        for offset in &batch[..taken] {
            let place = self.items.iter().position(|item| item.kept.offset == *offset).unwrap();
            self.items[place].tries += 1;
            self.stats.delivered += 1;
            self.stats.redelivered += u64::from(self.items[place].tries > 1);
            if self.settings.acknowledgement == Acknowledgement::None {
                self.items.remove(place);
                self.stats.settled += 1;
            } else {
                let due = now + self.settings.acknowledge_timeout;
                self.items[place].state = State::InFlight { due, member };
            }
        }
        self.members[member].is_blocked |= taken < batch.len();
        if !self.members[member].is_pull && !self.settings.pacing.is_zero() {
            self.members[member].paced_until = now + self.settings.pacing;
        }
    }

    pub fn disconnect(&mut self, now: Instant, member: usize) {
        self.members[member].is_connected = false;
        self.members[member].is_blocked = false;
        for item in &mut self.items {
            if matches!(item.state, State::InFlight { member: holder, .. } if holder == member) {
                item.state = State::Ready;
            }
        }
        self.advance(now);
    }

    pub fn set(&mut self, settings: Settings) {
        self.settings = settings;
        let is_over = |queue: &Queue| {
            queue.items.len() > settings.length_max as usize || queue.bytes() > settings.bytes_max
        };
        while is_over(self) {
            let all = self.items.iter().enumerate().filter(|(_, item)| Queue::may_give_way(item));
            let victim = match settings.discard {
                Discard::Newest => all.max_by_key(|(_, item)| item.kept.offset).map(|(place, _)| place),
                _ => self.victim(255),
            };
            let Some(place) = victim else { break };
            self.items.remove(place);
            self.stats.discarded += 1;
        }
    }
}

impl Model {
    pub fn advance(&mut self, now: Instant) {
        self.queues.values_mut().for_each(|queue| queue.advance(now));
        self.refill(now);
    }

    /// What becomes of a new event at a full buffer: true when it is refused, `None` when it gave way.
    pub fn buffer(&mut self, kept: Kept) -> bool {
        let settings = self.buffer_settings;
        while self.buffer.len() >= settings.length_max as usize {
            let place = match settings.discard {
                Discard::Oldest => Some(0),
                Discard::LowestPriority => {
                    let lowest =
                        self.buffer.iter().enumerate().min_by_key(|(place, it)| (it.priority, *place));
                    lowest.filter(|(_, it)| it.priority <= kept.priority).map(|(place, _)| place)
                }
                _ => None,
            };
            let Some(place) = place else {
                if settings.discard == Discard::Refuse || kept.is_persistent {
                    return true;
                }
                self.discarded += 1;
                return false;
            };
            let victim = self.buffer.remove(place).unwrap();
            self.discarded += 1;
            if victim.is_persistent {
                self.lost.push(victim.receipt);
            }
        }
        self.buffer.push_back(kept);
        false
    }

    pub fn spread(&mut self, now: Instant) {
        while let Some(mut kept) = self.buffer.front().cloned() {
            let size = kept.event.size() as u64;
            if kept.expiry <= now {
                self.expired += 1;
                self.finish(&kept);
                self.buffer.pop_front();
                continue;
            }
            let wanting = self.queues.values().filter(|it| wants(it.modulus, kept.number));
            let mut wanting = wanting.collect::<Vec<_>>();
            let is_wanted = !wanting.is_empty();
            wanting.retain(|it| it.settings.discard == Discard::Refuse && it.cursor.is_none());
            if wanting.iter().any(|it| size <= it.settings.bytes_max && it.is_full_for(size)) {
                break;
            }
            self.buffer.pop_front();
            self.spread += 1;
            let is_retaining = self.retention_max > 0 || self.queues.values().any(|it| it.cursor.is_some());
            if !is_wanted && !is_retaining {
                self.unwanted += 1;
                self.finish(&kept);
                continue;
            }
            kept.offset = self.offset_next;
            self.offset_next += 1;
            let waits = kept.is_persistent || !self.pending.is_empty();
            if is_retaining {
                self.retained.push_back((kept.clone(), !kept.is_persistent));
                self.trim();
            }
            for queue in self.queues.values_mut() {
                if wants(queue.modulus, kept.number) && queue.cursor.is_none() {
                    queue.offer(now, &kept, !waits);
                }
            }
            if waits {
                let is_written = !kept.is_persistent;
                self.pending.push_back((kept, is_written));
            }
        }
        self.refill(now);
    }

    fn finish(&mut self, kept: &Kept) {
        if kept.is_persistent {
            self.confirmed.push(kept.receipt);
        }
    }

    fn trim(&mut self) {
        while self.retained.len() > self.retention_max {
            self.retained.pop_front();
        }
    }

    /// The first `count` of what is being written are on disk, or could not be written.
    pub fn written(&mut self, now: Instant, last: u64, is_failed: bool) {
        for place in 0..self.pending.len() {
            let (kept, is_written) = self.pending[place].clone();
            if is_written || kept.offset > last {
                continue;
            }
            self.pending[place].1 = true;
            if is_failed {
                self.failed += 1;
                self.spread -= 1;
                self.lost.push(kept.receipt);
                self.retained.retain(|(it, _)| it.offset != kept.offset);
                for queue in self.queues.values_mut() {
                    let before = queue.items.len();
                    queue.items.retain(|it| it.kept.offset != kept.offset);
                    queue.stats.dropped += (before - queue.items.len()) as u64;
                }
            } else {
                self.confirmed.push(kept.receipt);
                for (it, is_written) in &mut self.retained {
                    *is_written |= it.offset == kept.offset;
                }
            }
        }
        while self.pending.front().is_some_and(|(_, is_written)| *is_written) {
            let (kept, _) = self.pending.pop_front().unwrap();
            for queue in self.queues.values_mut() {
                for item in &mut queue.items {
                    if item.kept.offset == kept.offset && item.state == State::Unwritten {
                        item.state = State::Held;
                    }
                }
                queue.advance(now);
            }
        }
        self.refill(now);
    }

    pub fn refill(&mut self, now: Instant) {
        for queue in self.queues.values_mut() {
            while let Some(cursor) = queue.cursor {
                let Some(place) = self.retained.iter().position(|(it, _)| it.offset >= cursor) else {
                    let is_none_before = self.retained.is_empty();
                    queue.stats.missed += (self.offset_next - cursor) * u64::from(is_none_before);
                    queue.cursor = None;
                    break;
                };
                let (kept, is_written) = &self.retained[place];
                let size = kept.event.size() as u64;
                if !is_written || (queue.is_full_for(size) && size <= queue.settings.bytes_max) {
                    break;
                }
                if place == 0 {
                    queue.stats.missed += kept.offset - cursor;
                }
                queue.cursor = Some(kept.offset + 1);
                if wants(queue.modulus, kept.number) {
                    queue.offer(now, kept, true);
                }
            }
        }
        self.trim();
    }
}
