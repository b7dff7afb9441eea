//! The way to one job handler.

use crate::error::Result;
use crate::forward::backend::Backend;
use crate::forward::client::ClientId;
use crate::forward::{ForwarderConfig, JobAddress};
use crate::io::{Driver, Instant};
use crate::messages::{Endpoint, EndpointConfig, Outbox};
use crate::security::{Access, Mode};
use clustercore_proto::datagram::{Config, ConnectError, GoneReason};
use clustercore_proto::job::{Exchanges, MESSAGE_BYTES_MAX};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Index of a leg in its forwarder.
pub(crate) type LegId = u32;

/// Why messages to a job handler do not get through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum PathTrouble {
    /// Nobody answers there.
    Unreachable = 1,
    /// The handler refuses: it is full, or our key is not let in, or it speaks another version.
    Refused = 2,
    /// It acknowledges nothing any more.
    Silent = 3,
    /// It was started anew and knows nothing of us.
    Restarted = 4,
    /// It has closed the connection.
    Closed = 5,
    /// One of us broke the protocol.
    Violation = 6,
    /// There is no socket for it here, or no key.
    NoSocket = 7,
}

impl PathTrouble {
    fn of(reason: &GoneReason) -> PathTrouble {
        match reason {
            GoneReason::Closed | GoneReason::Violation(_) => PathTrouble::Violation,
            GoneReason::ClosedByPeer { .. } => PathTrouble::Closed,
            GoneReason::Unreachable => PathTrouble::Unreachable,
            GoneReason::Refused(_) | GoneReason::NoCommonVersion => PathTrouble::Refused,
            GoneReason::Silent => PathTrouble::Silent,
            GoneReason::Restarted => PathTrouble::Restarted,
        }
    }
}

impl From<&GoneReason> for PathTrouble {
    fn from(reason: &GoneReason) -> PathTrouble {
        PathTrouble::of(reason)
    }
}

impl std::fmt::Display for PathTrouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            PathTrouble::Unreachable => "nobody answers",
            PathTrouble::Refused => "refused",
            PathTrouble::Silent => "silent",
            PathTrouble::Restarted => "restarted",
            PathTrouble::Closed => "closed",
            PathTrouble::Violation => "protocol broken",
            PathTrouble::NoSocket => "no socket or key",
        })
    }
}

/// Where a leg stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LegState {
    /// It is being connected for the first time: requests wait for the outcome.
    Opening,
    /// Requests go this way.
    Open,
    /// They go by TCP; it is tried again now and then.
    Broken,
}

/// A leg.
#[derive(Debug)]
pub(super) struct Leg {
    pub backend: Arc<Backend>,
    pub state: LegState,
    /// Its socket and connection; none between attempts.
    pub port: Option<Port>,
    /// Who waits for a response, by number.
    pub exchanges: Exchanges<ClientId>,
    /// Who waits for the first outcome.
    pub waiting: Vec<ClientId>,
    /// Attempts that have failed since it was open.
    pub attempts: u32,
    /// When the next attempt is due.
    pub retry: Instant,
}

impl Leg {
    pub fn new(backend: Arc<Backend>) -> Leg {
        Leg {
            backend,
            state: LegState::Opening,
            port: None,
            exchanges: Exchanges::default(),
            waiting: Vec::new(),
            attempts: 0,
            retry: Instant::MAX,
        }
    }
}

/// A socket with one connection.
pub(super) struct Port {
    pub endpoint: Endpoint,
    /// The clients whose messages wait for room.
    pub outbox: Outbox<Option<ClientId>>,
}

impl std::fmt::Debug for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Port").field("outbox", &self.outbox).finish_non_exhaustive()
    }
}

impl Port {
    /// Opens a socket and begins to connect.
    ///
    /// Errors: those of an endpoint; `NoKey`.
    pub fn open<D: Driver>(
        driver: &mut D,
        now: Instant,
        to: &JobAddress,
        config: &ForwarderConfig,
    ) -> Result<Port> {
        let machine = Config {
            connections_max: 1,
            is_accepting: false,
            handshake_timeout: (config.connect_timeout / 2).clamp(HANDSHAKE_MIN, HANDSHAKE_MAX),
            epoch: crate::messages::epoch(),
            ..machine_config(to.address)
        };
        let security = match (&config.job_key, to.key) {
            (Some(key), Some(_)) => Mode::Secure { key: key.clone(), access: Access::Any },
            _ => Mode::Clear,
        };
        let endpoint = EndpointConfig {
            machine,
            security: Some(security),
            insecure: config.job_insecure || to.key.is_some(),
            ..EndpointConfig::default()
        };
        let mut endpoint = Endpoint::open(driver, now, own_address(to.address), endpoint)?;
        match endpoint.machine.connect(now, to.address, to.key) {
            Ok(connection) => Ok(Port { endpoint, outbox: Outbox::new(connection) }),
            Err(error) => {
                driver.close_datagram(endpoint.socket);
                let code = match error {
                    ConnectError::NoKey => crate::Code::NoKey,
                    ConnectError::Full { .. } => crate::Code::ConnectionsExhausted,
                };
                Err(crate::Error::from(code))
            }
        }
    }
}

/// Bounds and times of a connection between front end and handler; `address` is the handler's.
pub(in crate::forward) fn machine_config(address: SocketAddr) -> Config {
    Config {
        message_bytes_max: MESSAGE_BYTES_MAX,
        streams_max: 32,
        keep_alive: Duration::from_secs(1),
        idle_timeout: Duration::from_secs(4),
        gone_after: Duration::from_secs(2),
        is_path_known: address.ip().is_loopback(),
        // Requests and responses follow each other: an acknowledgement alone would be a train for nothing.
        acknowledgement_pause: Duration::from_micros(250),
        ..Config::default()
    }
}

/// Where to send from: loopback for a handler there, so that messages in clear never leave it.
fn own_address(to: SocketAddr) -> SocketAddr {
    let ip: IpAddr = match (to.is_ipv4(), to.ip().is_loopback()) {
        (true, true) => Ipv4Addr::LOCALHOST.into(),
        (true, false) => Ipv4Addr::UNSPECIFIED.into(),
        (false, true) => Ipv6Addr::LOCALHOST.into(),
        (false, false) => Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(ip, 0)
}

const HANDSHAKE_MIN: Duration = Duration::from_millis(100);
const HANDSHAKE_MAX: Duration = Duration::from_secs(1);
