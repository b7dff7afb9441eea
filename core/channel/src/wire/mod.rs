//! The channel protocol: what participants and a channel server say to each other over streams, messages and calls.
//!
//! By byte and by event: docs/protocol/channel.md.

mod code;
mod deliver;
mod frame;
mod packed;
mod piece;
mod splitter;
mod stored;
mod view;

pub use code::Code;
pub use deliver::{Delivered, put_deliver, put_emit, take_delivered, view_delivered};
pub use frame::{Deliveries, Frame, FrameError};
pub use packed::{Packer, Unpacker, WireError};
pub use piece::{piece, piece_frames};
pub use splitter::Splitter;
pub use stored::{put_stored, take_stored};
pub use view::EventView;

/// The version of the protocol that is spoken here.
pub const VERSION: u64 = 1;
