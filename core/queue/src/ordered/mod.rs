//! A bounded queue that gives out by arrival, by priority or by deadline, and changes between them while filled.
//!
//! [`Store`] is the queue itself, for one thread and without a clock: all entries lie in one slab, and each is in a list
//! of its priority and in the list of all arrivals, so that giving out by arrival or priority, and discarding by
//! either, take the same few steps however many there are. By deadline there is a heap beside them, built when that order is
//! asked for. So [`Store::set_order`] loses nothing, and costs nothing but that heap.
//!
//! [`queue`] puts it behind [`mpsc`](crate::mpsc), a lane per sender: producers never touch the store and never wait for one
//! another; the one consumer moves what has arrived into the store before it takes the next out.
//!
//! Bounds: the store's capacity, and `lane_capacity` for each sender. Memory per entry of the store, taken at the start: 48
//! bytes and the value, and 48 bytes for the heap. What "arrives first" means between senders is the order in which the
//! receiver comes by their lanes.
//!
//! ```
//! use clustercore_queue::ordered::{Event, Order, Options, queue};
//!
//! let (mut sender, mut receiver) = queue(Options { order: Order::Priority, ..Options::default() });
//! sender.try_send(Event { priority: 1, ..Event::new("slow") }).unwrap();
//! sender.try_send(Event { priority: 9, deadline_ns: 700, ..Event::new("fast") }).unwrap();
//! sender.try_send(Event { priority: 5, deadline_ns: 300, ..Event::new("soon") }).unwrap();
//! assert_eq!(receiver.pop().unwrap().value, "fast");
//! receiver.set_order(Order::Deadline);
//! assert_eq!(receiver.pop().unwrap().value, "soon");
//! assert_eq!(receiver.pop().unwrap().value, "slow");
//! ```
//!
//! Source: bitmap of levels over lists, as in the O(1) scheduler of Linux 2.6; heap of four children per node, LaMarca and
//! Ladner 1996.

mod due;
mod lists;
mod queue;
mod store;

pub use self::queue::{Receiver, Sender, queue};
pub use self::store::{Counters, Store};

/// What is queued, and what it is ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<T> {
    /// The payload.
    pub value: T,
    /// 255 is the most urgent, 0 the least.
    pub priority: u8,
    /// When it is due, in nanoseconds of the caller's clock; [`NO_DEADLINE`] is after all others.
    pub deadline_ns: u64,
}

impl<T> Event<T> {
    /// Priority 0, no deadline.
    pub fn new(value: T) -> Self {
        Self { value, priority: 0, deadline_ns: NO_DEADLINE }
    }
}

/// The deadline of an event that has none.
pub const NO_DEADLINE: u64 = u64::MAX;

/// Which event comes out next. Among equals, the one that arrived first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The oldest.
    #[default]
    Arrival,
    /// The one of the highest priority.
    Priority,
    /// The one of the earliest deadline.
    Deadline,
}

/// What happens to an event that finds the store full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// It comes back. In a [`queue`]: it stays in its sender's lane until there is room, and the sender sees the lane full.
    #[default]
    Refuse,
    /// It is discarded.
    DropNewest,
    /// The event that arrived first is discarded, and it is kept.
    DropOldest,
    /// Of the lowest priority present, its own included, the newest is discarded.
    DropLowest,
}

/// Bounds and policy of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Events the store holds: `1..=` [`CAPACITY_MAX`].
    pub capacity: usize,
    /// Events of one sender on their way to the store, rounded up as [`mpsc::ring`](crate::mpsc::ring) does.
    pub lane_capacity: usize,
    /// How many events [`Receiver::pop`] takes from the store before it looks for arrivals again, at least 1: so many may come out
    /// before an urgent one that has just arrived, and a look at the lanes is paid for as many.
    pub look_every: usize,
    /// The order at the start.
    pub order: Order,
    /// What happens to an event that finds the store full.
    pub when_full: WhenFull,
}

impl Default for Options {
    /// 1024 events, as many of each sender on their way, a look every 32, by arrival, refuse when full.
    fn default() -> Self {
        Self {
            capacity: 1024,
            lane_capacity: 1024,
            look_every: 32,
            order: Order::default(),
            when_full: WhenFull::default(),
        }
    }
}

/// The largest capacity of a store.
pub const CAPACITY_MAX: usize = u32::MAX as usize - 1;

#[cfg(all(test, not(loom)))]
mod tests;
