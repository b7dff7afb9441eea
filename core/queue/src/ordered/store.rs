//! The queue itself, for one thread.

use std::fmt;

use super::due::{Due, Heap};
use super::lists::Lists;
use super::{CAPACITY_MAX, Event, Order, WhenFull};

/// A bounded queue whose order may change while it is filled.
pub struct Store<T> {
    lists: Lists<T>,
    /// Filled in the order of deadlines only.
    heap: Heap,
    order: Order,
    when_full: WhenFull,
    arrivals: u64,
    counters: Counters,
}

/// What has happened in a store since it was made, in events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Discarded as the newest.
    pub dropped_newest: u64,
    /// Discarded as the oldest.
    pub dropped_oldest: u64,
    /// Discarded for their priority.
    pub dropped_lowest: u64,
    /// Given back because the store was full.
    pub refused: u64,
}

impl<T> Store<T> {
    /// Room for `capacity` events. Panics when that is not in `1..=` [`CAPACITY_MAX`].
    pub fn new(capacity: usize, order: Order, when_full: WhenFull) -> Self {
        assert!(
            (1..=CAPACITY_MAX).contains(&capacity),
            "capacity is {capacity}, limit is 1..={CAPACITY_MAX}"
        );
        let mut store = Self {
            lists: Lists::new(capacity),
            heap: Heap::new(capacity),
            order: Order::Arrival,
            when_full,
            arrivals: 0,
            counters: Counters::default(),
        };
        store.set_order(order);
        store
    }

    /// Puts an event in. Returns the one that was discarded for it, which may be itself.
    ///
    /// Errors: the event comes back when the store is full and refuses.
    pub fn push(&mut self, event: Event<T>) -> Result<Option<Event<T>>, Event<T>> {
        let mut discarded = None;
        if self.is_full() {
            match self.when_full {
                WhenFull::Refuse => {
                    self.counters.refused += 1;
                    return Err(event);
                }
                WhenFull::DropNewest => {
                    self.counters.dropped_newest += 1;
                    return Ok(Some(event));
                }
                WhenFull::DropOldest => {
                    self.counters.dropped_oldest += 1;
                    discarded = self.lists.oldest().and_then(|index| self.lists.remove(index));
                }
                WhenFull::DropLowest => {
                    self.counters.dropped_lowest += 1;
                    match self.lists.least_urgent() {
                        Some((index, priority)) if priority < event.priority => {
                            discarded = self.lists.remove(index);
                        }
                        _ => return Ok(Some(event)),
                    }
                }
            }
        }
        let (deadline_ns, arrival) = (event.deadline_ns, self.arrivals);
        self.arrivals += 1;
        let index = self.lists.append(event, arrival);
        if self.order == Order::Deadline {
            if self.heap.is_full() {
                self.rebuild();
            } else {
                self.heap.push(Due { deadline_ns, arrival, index });
            }
        }
        Ok(discarded)
    }

    /// Takes the next event in the order of now.
    pub fn pop(&mut self) -> Option<Event<T>> {
        let index = self.next()?;
        if self.order == Order::Deadline {
            self.heap.pop();
        }
        self.lists.remove(index)
    }

    /// The next event in the order of now.
    pub fn peek(&mut self) -> Option<&Event<T>> {
        let index = self.next()?;
        self.lists.event(index)
    }

    /// Changes the order in place; everything queued stays. Takes one pass over it when the new order is by deadline.
    pub fn set_order(&mut self, order: Order) {
        if order == self.order {
            return;
        }
        self.order = order;
        match order {
            Order::Deadline => self.rebuild(),
            Order::Arrival | Order::Priority => self.heap.clear(),
        }
    }

    /// Changes what happens to events that find the store full, from the next one on.
    pub fn set_when_full(&mut self, when_full: WhenFull) {
        self.when_full = when_full;
    }

    /// The order of now.
    pub fn order(&self) -> Order {
        self.order
    }

    /// What happens to events that find the store full.
    pub fn when_full(&self) -> WhenFull {
        self.when_full
    }

    /// Events queued.
    pub fn len(&self) -> usize {
        self.lists.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the next push finds no room.
    pub fn is_full(&self) -> bool {
        self.len() == self.capacity()
    }

    /// Events it holds.
    pub fn capacity(&self) -> usize {
        self.lists.capacity()
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Where the next event is. In the order of deadlines it is then on top of the heap.
    fn next(&mut self) -> Option<u32> {
        match self.order {
            Order::Arrival => self.lists.oldest(),
            Order::Priority => self.lists.most_urgent(),
            Order::Deadline => loop {
                let top = self.heap.top()?;
                if self.lists.arrival(top.index) == top.arrival {
                    break Some(top.index);
                }
                // Discarded meanwhile.
                self.heap.pop();
            },
        }
    }

    fn rebuild(&mut self) {
        let lists = &self.lists;
        self.heap.build(lists.iter().map(|(index, event)| Due {
            deadline_ns: event.deadline_ns,
            arrival: lists.arrival(index),
            index,
        }));
    }
}

impl<T> fmt::Debug for Store<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("order", &self.order)
            .field("when_full", &self.when_full)
            .finish()
    }
}
