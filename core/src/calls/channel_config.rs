//! How a channel is opened.

use super::RetryPolicy;
use crate::io::DriverChoice;
use crate::security::Mode;
use std::time::Duration;

/// How a channel reaches its servers.
#[derive(Debug)]
pub struct ChannelConfig {
    /// auto, uring or epoll.
    pub driver: DriverChoice,
    /// Spins for so long before it waits: for who has a core to spare.
    pub spin: Duration,
    /// Bounds and times of calls.
    pub calls: crate::proto::rpc::Config,
    /// Own key, in secure mode.
    pub security: Option<Mode>,
    /// Clear calls to addresses outside loopback, in so many words.
    pub insecure: bool,
    /// When and how often calls are made again.
    pub retry: RetryPolicy,
    /// Calls that have not ended, the waiting ones included.
    pub calls_max: usize,
    /// Wait before a server that could not be reached is tried again; doubled each time, up to a hundredfold.
    pub reconnect: Duration,
}

impl Default for ChannelConfig {
    fn default() -> ChannelConfig {
        ChannelConfig {
            driver: DriverChoice::Auto,
            spin: Duration::ZERO,
            calls: crate::proto::rpc::Config::default(),
            security: None,
            insecure: false,
            retry: RetryPolicy::default(),
            calls_max: 65_536,
            reconnect: Duration::from_millis(20),
        }
    }
}
