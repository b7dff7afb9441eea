//! What a server of channels and a participant are made with.

use super::engine::hub::HubConfig;
use super::engine::journal::JournalOptions;
use crate::error::{Code, Error, Result};
use crate::security::{Mode, PublicKey};
use std::net::SocketAddr;
use std::path::PathBuf;

/// What a server of channels is made with.
#[derive(Default)]
pub struct ChannelServerConfig {
    /// Engine, access, bounds.
    pub hub: HubConfig,
    /// Keys of the faces over datagrams, UDP and RPC; `None`: clear, on loopback only.
    pub security: Option<Mode>,
    /// Where persistent events, channels and durable consumers are kept; `None`: nowhere, and persistent events are refused.
    pub journal: Option<JournalConfig>,
    /// Clear faces outside loopback: where the network itself is trusted.
    pub insecure: bool,
}

/// A journal on disk. It belongs to one server at a time.
#[derive(Clone, Debug)]
pub struct JournalConfig {
    /// The file; it is made where there is none. Beside it are some with further endings.
    pub path: PathBuf,
    /// Its bounds. Its retention is no matter: channels have their own.
    pub options: JournalOptions,
}

impl JournalConfig {
    /// The journal at `path`.
    pub fn new(path: impl Into<PathBuf>) -> JournalConfig {
        JournalConfig { path: path.into(), options: JournalOptions::default() }
    }
}

/// How a participant reaches its server. It may be exchanged while events flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Link {
    /// TCP, clear.
    Tcp(SocketAddr),
    /// Reliable datagrams, with the public key that the server must have in secure mode.
    Udp(SocketAddr, Option<[u8; 32]>),
    /// A streamed call over reliable datagrams, with that key.
    Rpc(SocketAddr, Option<[u8; 32]>),
}

impl Link {
    /// From `tcp://IP:PORT`, `udp://IP:PORT` or `rpc://IP:PORT`.
    ///
    /// Errors: `InvalidArgument`.
    pub fn parse(text: &str) -> Result<Link> {
        let wrong = || {
            let words = format!(
                "the address of a channel server is {text:?}: say tcp://IP:PORT, udp://IP:PORT or rpc://IP:PORT"
            );
            Error::new(Code::InvalidArgument, words)
        };
        let (scheme, address) = text.split_once("://").ok_or_else(wrong)?;
        let address = address.parse().map_err(|_| wrong())?;
        match scheme {
            "tcp" => Ok(Link::Tcp(address)),
            "udp" => Ok(Link::Udp(address, None)),
            "rpc" => Ok(Link::Rpc(address, None)),
            _ => Err(wrong()),
        }
    }

    /// The same, to a server that must have this public key; `None`: a clear one.
    ///
    /// Errors: `BadConfiguration`: a key, and TCP, which proves nobody; `BadKey`: one that nobody can have.
    pub fn with_server_key(self, server_key: Option<[u8; 32]>) -> Result<Link> {
        let Some(key) = server_key else { return Ok(self) };
        if PublicKey::from_bytes(key).is_none() {
            let words = "the key of the channel server is a weak one that nobody can have";
            return Err(Error::new(Code::BadKey, words));
        }
        match self {
            Link::Tcp(address) => {
                let words = format!(
                    "tcp://{address} is clear and cannot check the server's key: use udp or rpc, or no key"
                );
                Err(Error::new(Code::BadConfiguration, words))
            }
            Link::Udp(address, _) => Ok(Link::Udp(address, server_key)),
            Link::Rpc(address, _) => Ok(Link::Rpc(address, server_key)),
        }
    }

    /// The server's address.
    pub fn address(&self) -> SocketAddr {
        match self {
            Link::Tcp(address) | Link::Udp(address, _) | Link::Rpc(address, _) => *address,
        }
    }
}

/// Clear bytes are for loopback, unless somebody says otherwise.
pub(super) fn check_clear(what: &str, address: SocketAddr, is_allowed: bool) -> Result<()> {
    if is_allowed || address.ip().is_loopback() {
        return Ok(());
    }
    let words =
        format!("{what} {address}: clear and outside loopback; use udp or rpc with keys, or say insecure");
    Err(Error::new(Code::InsecureAddress, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read_and_clear_ones_stay_on_loopback() {
        assert!(matches!(Link::parse("tcp://127.0.0.1:7"), Ok(Link::Tcp(address)) if address.port() == 7));
        assert!(matches!(Link::parse("udp://[::1]:7"), Ok(Link::Udp(..))));
        assert!(matches!(Link::parse("rpc://[::1]:7"), Ok(Link::Rpc(..))));
        for wrong in ["", "127.0.0.1:7", "http://127.0.0.1:7", "tcp://host:7", "tcp://127.0.0.1"] {
            assert_eq!(Link::parse(wrong).unwrap_err().code(), Code::InvalidArgument, "{wrong}");
        }
        let keyed = Link::parse("udp://127.0.0.1:7").unwrap().with_server_key(Some([7; 32])).unwrap();
        assert_eq!(keyed, Link::Udp("127.0.0.1:7".parse().unwrap(), Some([7; 32])));
        let tcp = Link::parse("tcp://127.0.0.1:7").unwrap();
        assert_eq!(tcp.with_server_key(None).unwrap(), tcp);
        assert_eq!(tcp.with_server_key(Some([7; 32])).unwrap_err().code(), Code::BadConfiguration);
        assert_eq!(keyed.with_server_key(Some([0; 32])).unwrap_err().code(), Code::BadKey);
        let far: SocketAddr = "192.0.2.1:7".parse().unwrap();
        assert_eq!(check_clear("listen on", far, false).unwrap_err().code(), Code::InsecureAddress);
        assert!(check_clear("listen on", far, true).is_ok());
    }
}
