//! Floor 4: remote procedure calls on the endpoints of a shard.
//!
//! The machine ([`clustercore_proto::rpc`]) decides; what is here hands its messages through where they lie, and keeps what came of a turn for
//! the owner. Calls travel on the connections of an endpoint that is opened with [`crate::EndpointConfig::calls`].

mod answer;
mod arrived;
mod caller;
mod channel;
mod channel_config;
mod ended;
mod flow;
mod health;
mod lines;
mod names;
mod parts;
mod server;
mod service;
mod streamed;
mod workers;

pub use answer::Answer;
pub(crate) use arrived::Told;
pub use channel::{CallHandle, Channel, Interceptor as ChannelInterceptor, Pending};
pub use channel_config::ChannelConfig;
pub use clustercore_proto::rpc::{
    Arguments, CallError, CallId, CallOptions, Config, Incoming, IncomingCall, IncomingReply, Metadata,
    MetadataRef, Method, Outcome, PART_OVERHEAD, ReplyError, Results, RetryPolicy, Stats, Status,
};
pub use ended::{CallConfig, CallFailure, Ended, Reply};
pub use health::{Health, health_request, is_serving};
pub use names::{Names, Target};
pub use parts::Parts;
pub use server::{Deferred, Server, ServerConfig};
pub use service::{Context, Failure, Handler, Interceptor, Place, Service, StreamedHandler};
pub use streamed::Streamed;
