//! One participant: its proxies, and what is to be sent to it.

use crate::event::Text;
use crate::id::{ChannelId, ConsumerProxyId, SupplierProxyId};
use crate::principal::Principal;
use crate::wire::{Frame, Splitter, Unpacker};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A participant's connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SessionId {
    /// The place, used again and fit for indexing a side table.
    pub index: u32,
    /// Counts the uses of the place.
    pub generation: u32,
}

/// Bytes for a participant: frames, whole ones.
#[derive(Clone, Debug)]
pub enum Piece {
    /// Its own.
    Own(Vec<u8>),
    /// The same ones go to others too.
    Shared(Arc<Vec<u8>>),
}

impl Piece {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Piece::Own(bytes) => bytes,
            Piece::Shared(bytes) => bytes,
        }
    }
}

pub(super) struct Session {
    /// `None` before it has said who it is.
    pub principal: Option<Principal>,
    /// Its own name, for people.
    pub name: Text,
    pub splitter: Splitter,
    pub unpacker: Unpacker,
    pub suppliers: BTreeMap<u64, SupplierHandle>,
    pub consumers: BTreeMap<u64, ConsumerHandle>,
    pub pieces: VecDeque<Piece>,
    /// Bytes in `pieces` and those that the face has not got rid of.
    pub unsent: usize,
    /// What `pieces` holds.
    pub waiting: usize,
    /// Some consumer of it took less than it was given.
    pub is_blocked: bool,
    /// In the row of those who have something to be sent.
    pub is_queued: bool,
    /// It ends when what is to be sent is sent.
    pub is_ending: bool,
}

pub(super) struct SupplierHandle {
    pub channel: ChannelId,
    pub proxy: ConsumerProxyId,
    /// Goes with the handle.
    pub is_own: bool,
    pub is_pulled: bool,
    /// The number of the event that comes next.
    pub next: u64,
    /// It sends again what is refused for now.
    pub is_patient: bool,
    /// The event of that number was refused and is not coming again, so it may be left out.
    pub may_skip: bool,
}

pub(super) struct ConsumerHandle {
    pub channel: ChannelId,
    pub proxy: SupplierProxyId,
}

impl Session {
    pub fn new(frame_bytes_max: usize) -> Session {
        Session {
            principal: None,
            name: Text::default(),
            splitter: Splitter::new(frame_bytes_max),
            unpacker: Unpacker::default(),
            suppliers: BTreeMap::new(),
            consumers: BTreeMap::new(),
            pieces: VecDeque::new(),
            unsent: 0,
            waiting: 0,
            is_blocked: false,
            is_queued: false,
            is_ending: false,
        }
    }

    /// Appends a frame behind what waits already.
    pub fn put(&mut self, frame: &Frame<'_>) {
        self.write(|out| frame.put(out));
    }

    /// Appends what `write` writes behind what waits already.
    pub fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let is_open = matches!(self.pieces.back(), Some(Piece::Own(bytes)) if bytes.len() < PIECE_BYTES_MAX);
        if !is_open {
            self.pieces.push_back(Piece::Own(Vec::with_capacity(PIECE_BYTES_FIRST)));
        }
        let Some(Piece::Own(bytes)) = self.pieces.back_mut() else { return };
        let before = bytes.len();
        write(bytes);
        let added = bytes.len() - before;
        self.unsent += added;
        self.waiting += added;
    }

    /// Appends bytes that others get too.
    pub fn share(&mut self, bytes: &Arc<Vec<u8>>) {
        self.unsent += bytes.len();
        self.waiting += bytes.len();
        self.pieces.push_back(Piece::Shared(Arc::clone(bytes)));
    }
}

const PIECE_BYTES_FIRST: usize = 256;
/// Own frames are put together up to this.
const PIECE_BYTES_MAX: usize = 64 * 1024;
