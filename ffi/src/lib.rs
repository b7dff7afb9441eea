//! Floor 6: the C interface of clustercore.
//!
//! Handles are opaque, options are structs whose first field is their size, what can fail returns a
//! `clc_status`. Nothing unwinds into C, and every pointer is compared with NULL first. The header
//! `c-include/clustercore.h` is generated from this crate; `docs/c-interface.md` is the guide.
//!
//! | file | noun |
//! | --- | --- |
//! | `status` | what a call returns, and the words to an error |
//! | `options`, `text`, `fork` | what comes in: sized structs, strings; a handle that has crossed a fork |
//! | `owned` | what belongs to the thread of its first turn |
//! | `shard`, `shard_options`, `node` | the two kinds of owner |
//! | `forwarder`, `forwarder_options`, `backend`, `counter`, `latency` | a forwarder of either |
//! | `socket`, `endpoint`, `endpoint_options`, `endpoint_report` | plain datagrams and reliable ones, of a shard |
//! | `message`, `connection_event` | what has arrived through them, and what became of connections |
//! | `channel`, `call_server` | remote procedure calls, made and served |
//! | `stream`, `call_parts` | those that are streamed |
//! | `channel_server`, `channel_access` | a server of event channels, and who may come |
//! | `participant`, `participant_options`, `participant_take`, `participant_news` | suppliers, consumers, what they are told |
//! | `channel_event`, `channel_field` | their events |
//! | `ip_port`, `udp` | addresses as numbers; four calls on datagrams for small programs |
//! | `event`, `log` | what it has to say |
//! | `scaler`, `auto_thresholds` | the machine that decides when to borrow a back end; thresholds that are learnt |
//! | `pool`, `pool_options`, `lease` | the nodes that several services borrow from |
//! | `job` | a service that takes requests in messages itself |
//! | `key` | keys of endpoints in secure mode |

// The names are those of the C interface.
#![allow(non_camel_case_types)]

mod auto_thresholds;
mod backend;
mod call_parts;
mod call_server;
mod channel;
mod channel_access;
mod channel_event;
mod channel_field;
mod channel_server;
mod connection_event;
mod counter;
mod endpoint;
mod endpoint_options;
mod endpoint_report;
mod event;
mod fork;
mod forwarder;
mod forwarder_options;
mod ip_port;
mod job;
mod key;
mod latency;
mod lease;
mod log;
mod message;
mod node;
mod options;
mod owned;
mod participant;
mod participant_news;
mod participant_options;
mod participant_take;
mod pool;
mod pool_options;
mod scaler;
mod shard;
mod shard_options;
mod socket;
mod status;
mod stream;
mod text;
mod udp;
mod version;

pub use auto_thresholds::*;
pub use backend::*;
pub use call_parts::*;
pub use call_server::*;
pub use channel::*;
pub use channel_access::*;
pub use channel_event::*;
pub use channel_field::*;
pub use channel_server::*;
pub use connection_event::*;
pub use counter::*;
pub use endpoint::*;
pub use endpoint_options::*;
pub use endpoint_report::*;
pub use event::*;
pub use forwarder::*;
pub use forwarder_options::*;
pub use ip_port::*;
pub use job::*;
pub use key::*;
pub use latency::*;
pub use lease::*;
pub use log::*;
pub use message::*;
pub use node::*;
pub use options::CLC_NONE;
pub use participant::*;
pub use participant_news::*;
pub use participant_options::*;
pub use participant_take::*;
pub use pool::*;
pub use pool_options::*;
pub use scaler::*;
pub use shard::*;
pub use shard_options::*;
pub use socket::*;
pub use status::*;
pub use stream::*;
pub use text::clc_address;
pub use udp::*;
pub use version::*;
