//! What a job handler is told.

use crate::error::{Code, Error, Result};
use crate::forward::job::machine_config;
use crate::messages::EndpointConfig;
use crate::security::Mode;
use clustercore_proto::datagram::Config;
use clustercore_proto::forward::http::HeadLimits;
use std::net::SocketAddr;
use std::time::Duration;

/// A job handler's settings.
#[derive(Debug)]
pub struct HandlerConfig {
    /// Where the service beside it listens.
    pub service: SocketAddr,
    /// Our key and whom it lets in; `None` for clear messages. Taken when the handler opens.
    pub security: Option<Mode>,
    /// Clear messages on an address outside loopback, in so many words.
    pub insecure: bool,
    /// Front ends' connections (one for each of their shards), at most.
    pub connections_max: usize,
    /// Requests at a time, at most: each has a connection to the service.
    pub tasks_max: usize,
    /// Connections to the service that wait for the next request, at most.
    pub idle_max: usize,
    /// How long one waits.
    pub idle_timeout: Duration,
    /// To connect to the service.
    pub connect_timeout: Duration,
    /// Bytes of a request on their way to a service that reads slowly.
    pub window_bytes: usize,
    /// Limits on heads of responses.
    pub limits: HeadLimits,
}

impl HandlerConfig {
    /// A handler for a service, in clear.
    pub fn new(service: SocketAddr) -> HandlerConfig {
        HandlerConfig {
            service,
            security: None,
            insecure: false,
            connections_max: 1024,
            tasks_max: 16_384,
            idle_max: 1024,
            idle_timeout: Duration::from_secs(50),
            connect_timeout: Duration::from_secs(2),
            window_bytes: 256 << 10,
            limits: HeadLimits::default(),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let bad = |text: String| Err(Error::new(Code::BadConfiguration, text));
        if self.tasks_max == 0 {
            return bad("tasks_max is 0, it must be at least 1".into());
        }
        if self.window_bytes < 16 << 10 {
            return bad(format!("window_bytes is {}, it must be at least 16384", self.window_bytes));
        }
        Ok(())
    }

    pub(super) fn endpoint(&mut self, listen: SocketAddr) -> EndpointConfig {
        EndpointConfig {
            machine: Config {
                connections_max: self.connections_max,
                epoch: crate::messages::epoch(),
                // The front end pings.
                keep_alive: Duration::ZERO,
                ..machine_config(listen)
            },
            security: self.security.take(),
            insecure: self.insecure,
            ..EndpointConfig::default()
        }
    }
}
