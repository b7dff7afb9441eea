//! The receiving end: the lanes in turn.

use std::fmt;

use super::Shared;
use crate::spsc::Consumer;
use crate::sync::{Arc, Ordering};

/// The one receiving end of a queue. One thread at a time; may move between threads.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// Those whose sender is there or which are not empty yet.
    lanes: Vec<Consumer<T>>,
    /// The lane whose turn it is, if there is one.
    turn: usize,
    /// How many items it may still give before the next one's turn.
    left: usize,
}

impl<T> Receiver<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        Self { shared, lanes: Vec::new(), turn: 0, left: TURN_MAX }
    }

    /// Takes an item, the oldest of its sender. Never waits.
    ///
    /// Errors: `Empty` when there is none now, `Closed` when there is none and all senders are gone.
    #[inline]
    pub fn recv(&mut self) -> Result<T, RecvError> {
        match self.next_item() {
            Some(value) => Ok(value),
            None if !self.is_closed() => Err(RecvError::Empty),
            // The senders are gone, and all they sent is visible now: look a last time.
            None => self.next_item().ok_or(RecvError::Closed),
        }
    }

    /// Gives up to `count_max` items to `take`, those of a sender in their order. Returns how many; 0 is the time to ask
    /// [`is_closed`](Self::is_closed).
    ///
    /// A lane's room goes back to its sender at the end of its turn, also when `take` panics.
    #[inline]
    pub fn drain(&mut self, take: &mut impl FnMut(T), count_max: usize) -> usize {
        self.let_join();
        let (mut count, mut empty) = (0, 0);
        while count < count_max && empty < self.lanes.len() {
            let chunk_max = self.left.min(count_max - count);
            let Some(chunk) = self.lanes[self.turn].read_chunk_apart(chunk_max) else {
                self.pass_empty(&mut empty);
                continue;
            };
            let taken = chunk.len();
            (count, empty) = (count + taken, 0);
            chunk.drain().for_each(&mut *take);
            self.count_turn(taken);
        }
        count
    }

    /// Whether nothing is there now. This is the look to take between `Bell::prepare_sleep` and blocking.
    pub fn is_empty(&mut self) -> bool {
        self.let_join();
        self.lanes.iter_mut().all(Consumer::is_empty)
    }

    /// Whether all senders are gone. Everything they sent is visible to a `recv` after this said `true`.
    pub fn is_closed(&self) -> bool {
        // Acquire: pairs with the Releases in `Sender::drop`; orders all items before the answer.
        self.shared.senders.load(Ordering::Acquire) == 0
    }

    /// Lets senders send no more. What is in the queue stays to be received, and an item may still come from a sender that
    /// was about to send it; one that comes when nobody receives any longer stays in its lane until its sender goes.
    pub fn close(&mut self) {
        // Release: pairs with the Acquire in `Sender::is_closed`.
        self.shared.receiver_gone.store(true, Ordering::Release);
    }

    /// The number of items that each sender may have in the queue: what was asked for, rounded up to a power of two.
    pub fn capacity(&self) -> usize {
        self.shared.capacity
    }

    /// The number of lanes known of, each as large as [`capacity`](Self::capacity).
    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    #[inline]
    fn next_item(&mut self) -> Option<T> {
        self.let_join();
        let mut empty = 0;
        while empty < self.lanes.len() {
            if let Some(value) = self.lanes[self.turn].pop() {
                self.count_turn(1);
                return Some(value);
            }
            self.pass_empty(&mut empty);
        }
        None
    }

    /// Takes the lanes that were opened since the last look.
    #[inline]
    fn let_join(&mut self) {
        if !self.shared.joining.is_empty() {
            let Self { shared, lanes, .. } = self;
            shared.joining.take(|lane| lanes.push(lane));
        }
    }

    /// Counts items of the lane whose turn it is.
    #[inline]
    fn count_turn(&mut self, taken: usize) {
        self.left -= taken;
        if self.left == 0 {
            self.next_turn();
        }
    }

    /// Goes on from a lane that has nothing, and lets it go if nothing can come any more. Counts those that stay in `empty`.
    #[inline]
    fn pass_empty(&mut self, empty: &mut usize) {
        let lane = &mut self.lanes[self.turn];
        // In this order: what a sender sent before it went is visible once it is seen gone.
        if lane.is_abandoned() && lane.is_empty() {
            self.lanes.swap_remove(self.turn);
            self.left = TURN_MAX;
            if self.turn == self.lanes.len() {
                self.turn = 0;
            }
            return;
        }
        *empty += 1;
        self.next_turn();
    }

    #[inline]
    fn next_turn(&mut self) {
        self.left = TURN_MAX;
        self.turn += 1;
        if self.turn >= self.lanes.len() {
            self.turn = 0;
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        // The last owner of each lane drops what is left in it.
        self.close();
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("lanes", &self.lanes()).field("capacity", &self.capacity()).finish()
    }
}

/// Why nothing was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvError {
    /// There is nothing now.
    Empty,
    /// There is nothing, and all senders are gone for good.
    Closed,
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the queue is empty",
            Self::Closed => "all senders are gone",
        })
    }
}

impl std::error::Error for RecvError {}

/// Items that one lane gives before the others are looked at: long enough that a look at another lane's line costs little per
/// item, short enough that nobody waits long.
pub const TURN_MAX: usize = 64;
