//! The health service: `grpc.health.v1.Health/Check`, as every load balancer asks it.
//!
//! Its two messages are read and written here, so that no server needs a generated one for them. Source: grpc.health.v1
//! (health.proto): request { service = 1 }, response { status = 1: 1 serving, 2 not serving }.

use super::Status;
use super::service::{Failure, Place, Service};
use clustercore_proto::wire::{Reader, varint};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Which services of a server are well. Clones speak of the same server.
#[derive(Clone, Debug, Default)]
pub struct Health {
    services: Arc<Mutex<BTreeMap<String, bool>>>,
}

impl Health {
    /// Says of a service whether it is well. The empty name is the whole server's, well from the start.
    pub fn set(&self, service: &str, is_serving: bool) {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        services.insert(service.to_string(), is_serving);
    }

    /// Whether a service is well; `None` when there is none of that name.
    pub fn get(&self, service: &str) -> Option<bool> {
        let services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        services.get(service).copied().or(service.is_empty().then_some(true))
    }
}

/// The service that tells of `health`.
pub(super) fn service(health: &Health) -> Service {
    let health = health.clone();
    Service::new("grpc.health.v1.Health").method("Check", Place::Loop, move |_, arguments, results| {
        let service = requested(arguments).ok_or_else(|| {
            Failure::new(Status::InvalidArgument, "the arguments are no grpc.health.v1.HealthCheckRequest")
        })?;
        let is_serving = health.get(service).ok_or_else(|| {
            Failure::new(Status::NotFound, format!("the server has no service {service:?}"))
        })?;
        results.extend_from_slice(&[FIELD_1_VARINT, if is_serving { SERVING } else { NOT_SERVING }]);
        Ok(())
    })
}

/// Field 1 of the request, empty when it is not there; unknown fields are skipped.
fn requested(arguments: &[u8]) -> Option<&str> {
    let mut reader = Reader::new(arguments);
    let mut service = "";
    while !reader.is_empty() {
        let key = reader.varint().ok()?;
        match key & 7 {
            0 => drop(reader.varint().ok()?),
            1 => drop(reader.bytes(8).ok()?),
            2 => {
                let len = usize::try_from(reader.varint().ok()?).ok()?;
                let bytes = reader.bytes(len).ok()?;
                if key >> 3 == 1 {
                    service = std::str::from_utf8(bytes).ok()?;
                }
            }
            5 => drop(reader.bytes(4).ok()?),
            _ => return None,
        }
    }
    Some(service)
}

/// The arguments that ask for a service.
pub fn health_request(service: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    if !service.is_empty() {
        bytes.push(FIELD_1_BYTES);
        varint::put(&mut bytes, service.len() as u64);
        bytes.extend_from_slice(service.as_bytes());
    }
    bytes
}

/// Whether the results say that the service is well.
pub fn is_serving(results: &[u8]) -> bool {
    results == [FIELD_1_VARINT, SERVING]
}

const FIELD_1_VARINT: u8 = 1 << 3;
const FIELD_1_BYTES: u8 = 1 << 3 | 2;
const SERVING: u8 = 1;
const NOT_SERVING: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_with_unknown_fields_and_refused_when_they_are_none() {
        assert_eq!(requested(&health_request("a.B")), Some("a.B"));
        assert_eq!(requested(&[]), Some(""));
        assert_eq!(requested(&[0x10, 7, 0x0a, 1, b'x', 0x1d, 0, 0, 0, 0]), Some("x"));
        for bad in [&[0x0a, 5, b'x'][..], &[0x0b], &[0x0a, 1, 0xff]] {
            assert_eq!(requested(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_whole_server_is_well_until_somebody_says_otherwise() {
        let health = Health::default();
        assert_eq!((health.get(""), health.get("a.B")), (Some(true), None));
        health.set("", false);
        assert_eq!(health.get(""), Some(false));
    }
}
