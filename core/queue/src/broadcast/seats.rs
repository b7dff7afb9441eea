//! Where readers are: one word each, on a cache line of its own.
//!
//! A word says that the seat is vacant, or a position and whether the reader is reading there (pinned). Only the
//! reader that sits there writes it; writers look.

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicU64, AtomicUsize, Ordering};

/// All seats of a ring.
pub(super) struct Seats {
    seats: Box<[CachePadded<AtomicU64>]>,
    /// Seats from here on were never taken.
    high_water: CachePadded<AtomicUsize>,
}

/// What a seat says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The next event that the reader wants.
    pub position: u64,
    /// Whether it is in the middle of a batch that starts there.
    pub is_pinned: bool,
}

impl Seats {
    pub(super) fn new(readers_max: usize) -> Self {
        assert!(readers_max > 0, "readers_max is 0, at least 1 is needed");
        Self {
            seats: (0..readers_max).map(|_| CachePadded::new(AtomicU64::new(VACANT))).collect(),
            high_water: CachePadded::new(AtomicUsize::new(0)),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.seats.len()
    }

    /// Takes the first vacant seat, at `position`. `None` when there is none.
    ///
    /// A writer may not see this yet: see `Reader::join`.
    pub(super) fn take(&self, position: u64) -> Option<usize> {
        let word = position << 1;
        let index = self.seats.iter().position(|seat| {
            // Relaxed, both: the fence of `Reader::join` makes it an Acquire that pairs with the Release in `leave`, so that
            // our `set` hands on what was read from this seat before us.
            seat.compare_exchange(VACANT, word, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        })?;
        // Relaxed: ordered before a writer's look by the fences of `Reader::join` and `Shared::make_room`.
        self.high_water.fetch_max(index + 1, Ordering::Relaxed);
        Some(index)
    }

    /// Says where the reader of this seat is.
    #[inline]
    pub(super) fn set(&self, index: usize, position: u64, is_pinned: bool) {
        // Release: our reads below `position` come before the Acquire in `get`, and so before their slots are used again.
        self.seats[index].store(position << 1 | u64::from(is_pinned), Ordering::Release);
    }

    pub(super) fn leave(&self, index: usize) {
        // Release: as in `set`, for all that we read.
        self.seats[index].store(VACANT, Ordering::Release);
    }

    /// What the seat says; `None` when it is vacant.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<Place> {
        // Acquire: pairs with the Releases in `set` and `leave`: that reader is done with all below.
        let word = self.seats[index].load(Ordering::Acquire);
        (word != VACANT).then_some(Place { position: word >> 1, is_pinned: word & 1 == 1 })
    }

    /// All taken seats.
    #[inline]
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, Place)> {
        // Relaxed: see `take`.
        let count = self.high_water.load(Ordering::Relaxed);
        (0..count).filter_map(|index| Some((index, self.get(index)?)))
    }

    pub(super) fn taken(&self) -> usize {
        self.iter().count()
    }
}

/// No position gets there.
const VACANT: u64 = u64::MAX;
