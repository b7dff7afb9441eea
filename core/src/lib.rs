//! A zero-copy data plane for clusters on io_uring.
