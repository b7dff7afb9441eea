//! A zero-copy data plane for clusters on io_uring.

pub mod io;
pub mod sys;
