//! What the fuzz targets check, as plain functions.
//!
//! The ordinary tests of `core/proto` and `core/channel` include these files too: for generated input, and for the inputs that
//! fuzzing has found (`corpus/`).

pub mod channel_peer;
pub mod chunks;
pub mod cloudevents;
pub mod datagram;
pub mod heads;
pub mod hook;
pub mod http_face;
pub mod job;
pub mod proxy;
pub mod rpc;

// The simulator of datagrams, as the ordinary tests have it.
#[path = "../../../core/proto/tests/sim_datagram/app.rs"]
pub mod app;
#[path = "../../../core/proto/tests/sim_datagram/net.rs"]
pub mod net;
#[path = "../../../core/proto/tests/sim_datagram/node.rs"]
pub mod node;
#[path = "../../../core/proto/tests/sim_datagram/security.rs"]
pub mod security;
#[path = "../../../core/proto/tests/sim_datagram/world.rs"]
pub mod world;
