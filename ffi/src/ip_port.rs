//! Addresses as numbers, for what is called for each datagram; and from the names of hosts to them.

use crate::clc_status;
use crate::status::{boundary, null};
use crate::text::{address, clc_address, required};
use clustercore::{Code, Error, Result};
use std::ffi::c_char;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// An IP address and a port, as numbers.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct clc_ip_port {
    /// The address, most significant byte first: 4 bytes of version 4 and zeros, or 16 of version 6.
    pub ip: [u8; 16],
    /// The interface of a link-local address of version 6, else 0.
    pub scope: u32,
    /// The port, in the order of this machine.
    pub port: u16,
    /// 4 or 6; 0: none.
    pub version: u16,
}

impl From<SocketAddr> for clc_ip_port {
    fn from(address: SocketAddr) -> clc_ip_port {
        let mut found = clc_ip_port { port: address.port(), ..clc_ip_port::default() };
        match address {
            SocketAddr::V4(address) => {
                found.version = 4;
                found.ip[..4].copy_from_slice(&address.ip().octets());
            }
            SocketAddr::V6(address) => {
                found.version = 6;
                found.ip = address.ip().octets();
                found.scope = address.scope_id();
            }
        }
        found
    }
}

impl clc_ip_port {
    /// Errors: `BadAddress`.
    pub(crate) fn to_address(self, name: &str) -> Result<SocketAddr> {
        let [a, b, c, d, ..] = self.ip;
        match self.version {
            4 => Ok(SocketAddr::new(IpAddr::from([a, b, c, d]), self.port)),
            6 => Ok(SocketAddrV6::new(Ipv6Addr::from(self.ip), self.port, 0, self.scope).into()),
            version => Err(Error::new(
                Code::BadAddress,
                format!("{name} has IP version {version}, it must be 4 or 6"),
            )),
        }
    }
}

/// Reads an address such as `127.0.0.1:8080` or `[::1]:8080`. Any thread may call this.
///
/// Errors: NULL_ARGUMENT, BAD_ADDRESS.
///
/// # Safety
/// `text` is NULL or NUL-terminated; `ip_port_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_ip_port_parse(text: *const c_char, ip_port_out: *mut clc_ip_port) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or NUL-terminated, per the contract above.
        let address = unsafe { address("text", text) }?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { ip_port_out.as_mut() }.ok_or_else(|| null("ip_port_out"))?;
        *out = address.into();
        Ok(())
    })
}

/// Writes an address as text. Any thread may call this.
///
/// Errors: NULL_ARGUMENT, BAD_ADDRESS.
///
/// # Safety
/// `ip_port` is NULL or readable; `address_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_ip_port_format(
    ip_port: *const clc_ip_port,
    address_out: *mut clc_address,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or readable, per the contract above.
        let ip_port = unsafe { ip_port.as_ref() }.ok_or_else(|| null("ip_port"))?;
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { address_out.as_mut() }.ok_or_else(|| null("address_out"))?;
        *out = clc_address::new(Some(ip_port.to_address("ip_port")?));
        Ok(())
    })
}

/// Looks up a host, with `port` in each address: at most `capacity` of them, in the order in which they should be tried.
/// `*addresses_len_out` gets how many there are, also with BUFFER_TOO_SMALL, when nothing else is written.
///
/// Asks the system (getaddrinfo) and waits for it as long as that takes: not for a thread that turns a shard. Any thread may
/// call this.
///
/// Errors: NULL_ARGUMENT, BUFFER_TOO_SMALL, UNREACHABLE (there is none).
///
/// # Safety
/// `host` is NULL or NUL-terminated; `addresses_out` is NULL or has room for `capacity` addresses; `addresses_len_out` is
/// NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_resolve(
    host: *const c_char,
    port: u16,
    addresses_out: *mut clc_address,
    capacity: usize,
    addresses_len_out: *mut usize,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or NUL-terminated, per the contract above.
        let host = unsafe { required("host", host) }?;
        // SAFETY: NULL or writable, per the contract above.
        let len_out = unsafe { addresses_len_out.as_mut() }.ok_or_else(|| null("addresses_len_out"))?;
        if addresses_out.is_null() && capacity > 0 {
            return Err(null("addresses_out"));
        }
        let found = clustercore::resolve(host, port)?;
        *len_out = found.len();
        if found.len() > capacity {
            let text = format!("addresses_out has room for {capacity} addresses, {host} has {}", found.len());
            return Err(Error::new(Code::BufferTooSmall, text));
        }
        for (index, address) in found.into_iter().enumerate() {
            // SAFETY: `index` is below `capacity`, so this lies within the caller's array.
            let slot = unsafe { addresses_out.add(index) };
            // SAFETY: within the caller's array.
            unsafe { slot.write(clc_address::new(Some(address))) };
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_way_there_and_back() {
        for text in ["127.0.0.1:80", "[::1]:8080", "[fe80::1%3]:65535"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(clc_ip_port::from(address).to_address("to"), Ok(address));
        }
        let error = clc_ip_port::default().to_address("to").unwrap_err();
        assert_eq!(error.to_string(), "to has IP version 0, it must be 4 or 6");
        assert_eq!(size_of::<clc_ip_port>(), 24);
    }
}
