//! The cases that every driver passes.

mod datagrams;
mod receive;
mod send;
mod splice;
mod streams;

pub use crate::random::random_operations;
pub use crate::random_trains::random_trains;
pub use datagrams::*;
pub use receive::*;
pub use send::*;
pub use splice::*;
pub use streams::*;
