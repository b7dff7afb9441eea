//! Reliable datagrams under a simulated network: seeds, faults, and what must hold.

mod app;
mod capture;
mod cases;
mod corpus;
#[path = "../../../../tests/fuzz/src/datagram/mod.rs"]
mod datagram;
mod net;
mod node;
mod script;
mod security;
mod trace;
mod wireshark;
mod world;
