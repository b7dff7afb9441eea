//! One event on its way to one consumer, and the chains that deliveries hang in.

use crate::slots::Slots;
use crate::timers::NO_TIMER;
use clustercore_proto::time::Instant;

/// A delivery. The table of its states is in docs/channel.md.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// The event's place in the store.
    pub event: u32,
    pub queue: u32,
    /// The consumer's proxy while it is in flight.
    pub holder: u32,
    pub timer: u32,
    /// Of the event: the order of acceptance.
    pub offset: u64,
    pub expiry: Instant,
    pub tries: u16,
    pub priority: u8,
    pub state: State,
    /// Others with its ordering key wait for it.
    pub holds_key: bool,
    links: [Link; 2],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// Its event is not on disk yet.
    Unwritten,
    /// Its earliest delivery is to come.
    Held,
    /// It may be handed over.
    Ready,
    /// An earlier one with its ordering key is not done.
    Parked,
    /// It is being handed over.
    Picked,
    /// Its consumer has it and has not acknowledged it.
    InFlight,
    /// It waits for its next try.
    Waiting,
    /// It goes directly: before all others, whatever the pace.
    Urgent,
}

/// The chain of those that nobody works on, and the chain of the state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Chain {
    Age = 0,
    Turn = 1,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    previous: u32,
    next: u32,
}

/// First and last of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct List {
    pub head: u32,
    pub tail: u32,
}

/// No delivery.
pub(crate) const NONE: u32 = u32::MAX;

pub(crate) type Deliveries = Slots<Delivery>;

impl Delivery {
    pub fn new(event: u32, queue: u32, offset: u64, priority: u8, expiry: Instant) -> Delivery {
        Delivery {
            event,
            queue,
            holder: NONE,
            timer: NO_TIMER,
            offset,
            expiry,
            tries: 0,
            priority,
            state: State::Unwritten,
            holds_key: false,
            links: [Link { previous: NONE, next: NONE }; 2],
        }
    }

    pub fn next(&self, chain: Chain) -> u32 {
        self.links[chain as usize].next
    }
}

impl List {
    pub const EMPTY: List = List { head: NONE, tail: NONE };

    pub fn is_empty(&self) -> bool {
        self.head == NONE
    }

    /// Puts one in by its offset. Those that come again go near the head, new ones to the tail.
    #[inline]
    pub fn insert(&mut self, all: &mut Deliveries, chain: Chain, index: u32) {
        let offset = all[index].offset;
        let mut next = NONE;
        if self.head != NONE && all[self.tail].offset > offset {
            next = self.head;
            while all[next].offset < offset {
                next = all[next].next(chain);
            }
        }
        self.insert_before(all, chain, index, next);
    }

    /// Puts one in before `next`, at the end for [`NONE`].
    #[inline]
    pub fn insert_before(&mut self, all: &mut Deliveries, chain: Chain, index: u32, next: u32) {
        let previous = if next == NONE { self.tail } else { all[next].links[chain as usize].previous };
        all[index].links[chain as usize] = Link { previous, next };
        match previous {
            NONE => self.head = index,
            previous => all[previous].links[chain as usize].next = index,
        }
        match next {
            NONE => self.tail = index,
            next => all[next].links[chain as usize].previous = index,
        }
    }

    #[inline]
    pub fn remove(&mut self, all: &mut Deliveries, chain: Chain, index: u32) {
        let Link { previous, next } = all[index].links[chain as usize];
        match previous {
            NONE => self.head = next,
            previous => all[previous].links[chain as usize].next = next,
        }
        match next {
            NONE => self.tail = previous,
            next => all[next].links[chain as usize].previous = previous,
        }
    }

    pub fn iter<'a>(&self, all: &'a Deliveries, chain: Chain) -> impl Iterator<Item = u32> + 'a {
        let head = Some(self.head).filter(|head| *head != NONE);
        std::iter::successors(head, move |index| Some(all[*index].next(chain)).filter(|next| *next != NONE))
    }
}
