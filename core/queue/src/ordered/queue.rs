//! A store behind lanes: many producers, one consumer.

use std::fmt;

use super::{Counters, Event, Options, Order, Store, WhenFull};
use crate::mpsc::{self, SendError};

/// A queue for any number of producers and one consumer.
///
/// Panics when a capacity is 0 or beyond its limit, or `look_every` is 0.
pub fn queue<T>(options: Options) -> (Sender<T>, Receiver<T>) {
    assert!(options.look_every > 0, "look_every is 0, at least 1 is needed");
    let store = Store::new(options.capacity, options.order, options.when_full);
    let (sender, receiver) = mpsc::ring(options.lane_capacity);
    (
        Sender { lanes: sender },
        Receiver { lanes: receiver, store, look_every: options.look_every, until_look: 0 },
    )
}

/// A sending end. Clone one per thread.
///
/// What is sent is seen by the receiver's next call; nobody is woken: ring the [`Bell`](crate::bell::Bell) yourself.
pub struct Sender<T> {
    lanes: mpsc::Sender<Event<T>>,
}

impl<T> Sender<T> {
    /// Sends one event.
    ///
    /// Errors: `Full` when the lane is, whatever the store's policy: the receiver does not keep up. `Closed` when it is gone. Both
    /// give the event back.
    #[inline]
    pub fn try_send(&mut self, event: Event<T>) -> Result<(), SendError<Event<T>>> {
        self.lanes.try_send(event)
    }

    /// Sends events of `events` in one step, as many as there is room for. Returns how many; errors as of [`try_send`](Self::try_send), with nothing in them.
    #[inline]
    pub fn try_send_many<I>(&mut self, events: &mut I) -> Result<usize, SendError<()>>
    where
        I: ExactSizeIterator<Item = Event<T>>,
    {
        self.lanes.try_send_many(events)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { lanes: self.lanes.clone() }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

/// The receiving end: one thread at a time.
pub struct Receiver<T> {
    lanes: mpsc::Receiver<Event<T>>,
    store: Store<T>,
    look_every: usize,
    /// Events that `pop` may take before it looks for arrivals.
    until_look: usize,
}

impl<T> Receiver<T> {
    /// Takes the next event in the order of now, among those that had arrived at the last look: see [`Options::look_every`]. `None` when
    /// there is none at all. What the store discards on the way is dropped and counted.
    #[inline]
    pub fn pop(&mut self) -> Option<Event<T>> {
        if self.until_look == 0 || self.store.is_empty() {
            self.arrive(&mut drop);
        }
        self.until_look -= 1;
        self.store.pop()
    }

    /// Gives up to `count_max` events to `take`, in order, after one look for arrivals. Returns how many.
    #[inline]
    pub fn pop_many(&mut self, count_max: usize, take: &mut impl FnMut(Event<T>)) -> usize {
        self.arrive(&mut drop);
        let mut count = 0;
        while count < count_max
            && let Some(event) = self.store.pop()
        {
            count += 1;
            take(event);
        }
        count
    }

    /// Moves what has arrived into the store: at most a store's capacity, so that it ends. What the store discards goes to `discarded`.
    ///
    /// Returns how many have arrived. Under [`WhenFull::Refuse`] what finds no room stays in its lane.
    #[inline]
    pub fn arrive(&mut self, discarded: &mut impl FnMut(Event<T>)) -> usize {
        self.until_look = self.look_every;
        let capacity = self.store.capacity();
        let count_max = match self.store.when_full() {
            WhenFull::Refuse => capacity - self.store.len(),
            _ => capacity,
        };
        if count_max == 0 {
            return 0;
        }
        let store = &mut self.store;
        let mut put = |event| match store.push(event) {
            Ok(None) => {}
            // Refused it cannot be: no more are taken than there is room for.
            Ok(Some(event)) | Err(event) => discarded(event),
        };
        self.lanes.drain(&mut put, count_max)
    }

    /// The next event in the order of now, among all that have arrived.
    pub fn peek(&mut self) -> Option<&Event<T>> {
        self.arrive(&mut drop);
        self.store.peek()
    }

    /// Changes the order in place; everything queued stays.
    pub fn set_order(&mut self, order: Order) {
        self.store.set_order(order);
    }

    /// Changes what happens to events that find the store full, from the next one on.
    pub fn set_when_full(&mut self, when_full: WhenFull) {
        self.store.set_when_full(when_full);
    }

    /// Events in the store; there may be more in the lanes.
    pub fn stored(&self) -> usize {
        self.store.len()
    }

    /// Whether nothing is there, neither in the store nor in a lane. The look to take between `Bell::prepare_sleep` and blocking.
    pub fn is_empty(&mut self) -> bool {
        self.store.is_empty() && self.lanes.is_empty()
    }

    /// Whether all senders are gone. All they sent comes out of a `pop` after this said `true`.
    pub fn is_closed(&self) -> bool {
        self.lanes.is_closed()
    }

    /// What has happened in the store so far.
    pub fn counters(&self) -> Counters {
        self.store.counters()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("store", &self.store).finish_non_exhaustive()
    }
}
