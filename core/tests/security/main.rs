//! The datagram machine with the real ciphers: two endpoints joined by a pipe in memory that loses, reorders and repeats.

mod cases;
mod pipe;
