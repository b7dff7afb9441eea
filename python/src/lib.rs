//! The Python module of clustercore: `clustercore._native`, which the package `clustercore` re-exports.
//!
//! Classes are frozen and final; what they hold is behind locks of its own. Whoever may wait does so
//! without the interpreter, and no lock is held while waiting for the interpreter.

mod argument;
mod backend;
mod call_parts;
mod call_server;
mod channel;
mod channel_event;
mod channel_server;
mod connection_events;
mod descriptor;
mod endpoint;
mod errors;
mod events;
mod exit;
mod forwarder;
mod guard;
mod key;
mod message;
mod names;
mod node;
mod options;
mod participant;
mod payload;
mod pool;
mod probe;
mod scaler;
mod shard;
mod sink;
mod socket;
mod stream;
mod thresholds;

use pyo3::prelude::*;

/// The native part of clustercore. Import `clustercore`, which has everything in it.
#[pymodule]
mod _native {
    use super::*;

    #[pymodule_export]
    use super::backend::{Backend, HealthConfig};
    #[pymodule_export]
    use super::call_parts::CallParts;
    #[pymodule_export]
    use super::call_server::{CallContext, CallServer, DeferredCall};
    #[pymodule_export]
    use super::channel::{CallHandle, Channel};
    #[pymodule_export]
    use super::channel_event::{ChannelEvent, Delivery};
    #[pymodule_export]
    use super::channel_server::ChannelServer;
    #[pymodule_export]
    use super::connection_events::{Accepted, Connected, ConnectionGone, Moved, Writable};
    #[pymodule_export]
    use super::endpoint::{Connection, Endpoint, Path};
    #[pymodule_export]
    use super::events::{
        AcceptPaused, BackendDrained, BackendEjected, BackendReturned, PathBroken, PathRestored, Saturated,
    };
    #[pymodule_export]
    use super::forwarder::Forwarder;
    #[pymodule_export]
    use super::key::{Key, parse_public_key, public_key_text};
    #[pymodule_export]
    use super::message::{Message, MessageBatch};
    #[pymodule_export]
    use super::node::Node;
    #[pymodule_export]
    use super::participant::Participant;
    #[pymodule_export]
    use super::pool::{Lease, Pool};
    #[pymodule_export]
    use super::probe::{counters, probe, resolve};
    #[pymodule_export]
    use super::scaler::Scaler;
    #[pymodule_export]
    use super::shard::Shard;
    #[pymodule_export]
    use super::socket::{Datagram, Socket};
    #[pymodule_export]
    use super::stream::Stream;
    #[pymodule_export]
    use super::thresholds::{AutoThresholds, default_thresholds};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("IS_DEBUG_BUILD", cfg!(debug_assertions))?;
        super::guard::register(module)?;
        super::exit::register(module)
    }
}
