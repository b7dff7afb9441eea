//! Reliable datagrams under a simulated network: seeds, faults, and what must hold.

mod app;
mod cases;
mod net;
mod node;
mod script;
mod security;
mod world;
