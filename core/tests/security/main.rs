//! The datagram machine with the real ciphers: two endpoints joined by a pipe in memory that loses, reorders and repeats.

mod capture;
mod cases;
mod pipe;
#[path = "../../proto/tests/sim_datagram/wireshark.rs"]
mod wireshark;
