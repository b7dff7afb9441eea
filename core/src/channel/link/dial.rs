//! Links over reliable datagrams: their endpoint, and why it has no connection.

use crate::channel::server::time;
use crate::error::{Code, Error, Result};
use crate::io::Driver;
use crate::messages::{Endpoint, EndpointConfig};
use crate::security::{Access, Mode, PrivateKey};
use clustercore_proto::datagram::{Connection, GoneReason, RefuseCode};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// What the participant's side of a link is.
pub(in crate::channel) struct Keys {
    /// Our key; without any, one is made for a server that must have a key.
    pub security: Option<Mode>,
    /// Clear bytes may go outside loopback.
    pub insecure: bool,
}

/// Opens an endpoint of its own for one connection, and begins that.
pub(super) fn connect<D: Driver>(
    driver: &mut D,
    address: SocketAddr,
    server_key: Option<[u8; 32]>,
    keys: Keys,
    config: EndpointConfig,
) -> Result<(Box<Endpoint>, Connection)> {
    let Keys { security, insecure } = keys;
    let security = match (server_key, security) {
        (Some(_), None | Some(Mode::Clear)) => {
            Some(Mode::Secure { key: PrivateKey::generate()?, access: Access::Any })
        }
        (None, Some(Mode::Secure { .. })) => {
            let words = format!("connect to {address}: there is a key of ours; give the server's too");
            return Err(Error::new(Code::NoKey, words));
        }
        (_, security) => security,
    };
    let now = time(driver);
    let mut config = EndpointConfig { security, insecure, ..config };
    config.machine.epoch = crate::messages::epoch();
    config.machine.is_accepting = false;
    // A quiet consumer is none that is gone.
    config.machine.keep_alive = KEEP_ALIVE;
    let mut endpoint = Endpoint::open(driver, now, any(address), config)?;
    match endpoint.machine.connect(now, address, server_key) {
        Ok(connection) => Ok((Box::new(endpoint), connection)),
        Err(error) => {
            driver.close_datagram(endpoint.socket);
            Err(Error::new(Code::BadConfiguration, format!("connect to {address}: {error:?}")))
        }
    }
}

/// Why a connection is gone, in words for who made it.
pub(super) fn why(reason: &GoneReason) -> String {
    let words = match reason {
        GoneReason::Closed => "the connection was closed",
        GoneReason::ClosedByPeer { text, .. } => {
            return format!("the server has closed the connection: {}", String::from_utf8_lossy(text));
        }
        GoneReason::Unreachable => "the server cannot be reached",
        GoneReason::Refused(RefuseCode::Handshake) => {
            "the server refuses the handshake: it has another key than the one that was given, lets our key not in, or \
             one side has keys and the other has none"
        }
        GoneReason::Refused(_) => "the server takes no more connections",
        GoneReason::NoCommonVersion => "the server speaks none of our versions",
        GoneReason::Silent => "the server is silent",
        GoneReason::Restarted => "the server was started anew",
        GoneReason::Violation(_) => "the server broke the protocol",
    };
    words.to_owned()
}

/// Where the socket of a link to `address` is bound: a link to this machine is not open to others.
fn any(address: SocketAddr) -> SocketAddr {
    let ip = match (address.ip(), address.ip().is_loopback()) {
        (IpAddr::V4(_), true) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        (IpAddr::V4(_), false) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        (IpAddr::V6(_), true) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        (IpAddr::V6(_), false) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(ip, 0)
}

/// A third of the time after which a quiet connection is taken for gone.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
