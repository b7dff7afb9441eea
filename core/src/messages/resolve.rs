//! From the name of a host to its addresses.

use crate::error::{Code, Error, Result};
use std::net::{SocketAddr, ToSocketAddrs};

/// The addresses of a host, in the order in which they should be tried, each once. A numeric address is its own name.
///
/// Asks the system (`getaddrinfo(3)`) and may wait for it as long as that takes: not for a thread that turns a shard.
///
/// Errors: `Unreachable` when there is none.
pub fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>> {
    let none = |why: &str| Error::new(Code::Unreachable, format!("{host:?} has no address: {why}"));
    let found = (host, port).to_socket_addrs().map_err(|error| none(&error.to_string()))?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err(none("the system knows none")) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numeric_addresses_are_their_own_names_and_others_are_looked_up() {
        assert_eq!(resolve("127.0.0.1", 80), Ok(vec!["127.0.0.1:80".parse().unwrap()]));
        assert_eq!(resolve("::1", 80), Ok(vec!["[::1]:80".parse().unwrap()]));
        let names = resolve("localhost", 80).unwrap();
        assert!(names.iter().all(|address| address.ip().is_loopback() && address.port() == 80), "{names:?}");
        let error = resolve("no such host", 80).unwrap_err();
        assert_eq!(error.code(), Code::Unreachable);
        assert!(error.to_string().starts_with("\"no such host\" has no address"), "{error}");
    }
}
