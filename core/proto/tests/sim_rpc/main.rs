//! Calls under a simulated network: seeds, faults, and what must hold.

mod cases;
mod corpus;
#[path = "../sim_datagram/net.rs"]
mod net;
mod program;
#[path = "../sim_datagram/replay.rs"]
mod replay;
#[path = "../../../../tests/fuzz/src/rpc/mod.rs"]
mod rpc;
mod script;
#[path = "../sim_datagram/security.rs"]
mod security;
mod world;
