//! Where services are, by static configuration.

use crate::error::{Code, Error, Result};
use crate::security::PublicKey;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// A server of a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its public key, in secure mode.
    pub key: Option<[u8; 32]>,
}

/// Names of services and the servers that have them.
///
/// As text: a line for each server: name, address and, in secure mode, its public key as `clustercore keygen` prints it. What follows
/// a `#` is for people.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Names {
    servers: BTreeMap<String, Vec<Target>>,
}

impl Names {
    /// No names.
    pub fn new() -> Names {
        Names::default()
    }

    /// Adds a server to a name.
    pub fn add(&mut self, name: impl Into<String>, address: SocketAddr, key: Option<[u8; 32]>) {
        self.servers.entry(name.into()).or_default().push(Target { address, key });
    }

    /// Reads names from text. Errors: `BadConfiguration`, `BadAddress`, `BadKey`, with the line.
    pub fn parse(text: &str) -> Result<Names> {
        let mut names = Names::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(name) = words.next() else { continue };
            let at = |error: Error| Error::new(error.code(), format!("line {number}: {error}"));
            let address = words.next().ok_or_else(|| {
                Error::new(Code::BadConfiguration, format!("line {number}: {name} has no address behind it"))
            })?;
            let parsed = address.parse().map_err(|_| {
                at(Error::new(Code::BadAddress, format!("{address} is not an address such as 10.0.0.1:7000")))
            })?;
            let rest: Vec<&str> = words.collect();
            let key = if rest.is_empty() {
                None
            } else {
                Some(*PublicKey::parse(&rest.join(" ")).map_err(at)?.as_bytes())
            };
            names.add(name, parsed, key);
        }
        Ok(names)
    }

    /// The servers of a name. A name that is itself an address, `ip:port`, is that server, in clear mode.
    ///
    /// Errors: `NoSuchService`.
    pub fn resolve(&self, name: &str) -> Result<Vec<Target>> {
        if let Some(servers) = self.servers.get(name) {
            return Ok(servers.clone());
        }
        let known = || self.servers.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        name.parse().map(|address| vec![Target { address, key: None }]).map_err(|_| {
            Error::new(Code::NoSuchService, format!("no server is known for {name}; known are: {}", known()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lines_and_an_address_is_its_own_name() {
        let names =
            Names::parse("# servers\ndemo.Echo 10.0.0.1:7000 # first\ndemo.Echo [::1]:7000\n\n").unwrap();
        assert_eq!(names.resolve("demo.Echo").unwrap().len(), 2);
        let direct = Target { address: "127.0.0.1:9".parse().unwrap(), key: None };
        assert_eq!(names.resolve("127.0.0.1:9").unwrap(), [direct]);
        let error = names.resolve("demo.None").unwrap_err();
        assert_eq!(error.code(), Code::NoSuchService);
        assert!(error.to_string().contains("demo.Echo"), "{error}");
    }

    #[test]
    fn a_line_that_is_wrong_is_named() {
        for (text, code) in [
            ("a", Code::BadConfiguration),
            ("\na b", Code::BadAddress),
            ("a 1.2.3.4:5 clc-public-x25519 nokey", Code::BadKey),
        ] {
            let error = Names::parse(text).unwrap_err();
            assert_eq!(error.code(), code, "{error}");
            assert!(error.to_string().contains("line "), "{error}");
        }
    }
}
