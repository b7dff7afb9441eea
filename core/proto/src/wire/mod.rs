//! Words of the wire: numbers of variable length, and reading from bytes that nobody vouches for.

mod reader;
pub mod varint;

pub use reader::{Malformed, Reader};
