//! Who asked: `Via`, `Forwarded` and `X-Forwarded-*` of a request.

use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::net::{IpAddr, SocketAddr};

use super::field::{Field, Fields};
use super::method::Version;

/// What a request head is rewritten with, the same for all requests of one connection.
#[derive(Clone, Copy, Debug)]
pub struct RequestContext<'a> {
    /// The client: from the socket, or from a PROXY header that is believed.
    pub client: SocketAddr,
    /// Our own end of the connection: the `Host` of an HTTP/1.0 request that has none.
    pub local: SocketAddr,
    /// Whether the client came over TLS.
    pub secure: bool,
    /// Our name in `Via`, a token, for example `clustercore`.
    pub via: &'a str,
    /// Whether the client is a proxy of ours: its `Forwarded` and `X-Forwarded-*` are kept and appended to.
    /// Otherwise they are removed, for anyone can write them.
    pub trust_forwarded: bool,
    /// What [`client_fields`] rendered for this connection, or empty: then it is rendered for each request.
    pub fields: &'a [u8],
}

/// Renders what is the same in every request of a connection, so that it costs one copy per request.
///
/// Appends to `out` an opaque text for [`RequestContext::fields`]. It depends on `client`, `secure` and `via`
/// and does not serve connections with `trust_forwarded`, whose fields differ from request to request; those
/// are always rendered anew.
pub fn client_fields(context: &RequestContext<'_>, out: &mut Vec<u8>) {
    let address = context.client.ip().to_canonical();
    let proto = proto(context).as_bytes();
    out.extend_from_slice(VIA_11.as_bytes());
    out.extend_from_slice(context.via.as_bytes());
    out.extend_from_slice(b"\r\nX-Forwarded-For: ");
    write_address(address, out);
    out.extend_from_slice(b"\r\nX-Forwarded-Proto: ");
    out.extend_from_slice(proto);
    out.extend_from_slice(b"\r\nForwarded: for=");
    write_node(address, out);
    out.extend_from_slice(b";proto=");
    out.extend_from_slice(proto);
    // The host follows, twice, when a request is there.
    out.extend_from_slice(b";host=\"");
}

/// Appends `Via`, the fields about the client, and the empty line that ends the head.
pub(super) fn write_client(
    context: &RequestContext<'_>,
    version: Version,
    host: &[u8],
    fields: &Fields<'_, '_>,
    out: &mut Vec<u8>,
) {
    if context.trust_forwarded {
        return write_appended(context, version, host, fields, out);
    }
    let start = out.len();
    if context.fields.is_empty() {
        client_fields(context, out);
    } else {
        out.extend_from_slice(context.fields);
    }
    if version == Version::Http10 {
        out[start + VIA_11.len() - 2] = b'0';
    }
    out.extend_from_slice(host);
    out.extend_from_slice(b"\"\r\nX-Forwarded-Host: ");
    out.extend_from_slice(host);
    out.extend_from_slice(b"\r\n\r\n");
}

/// The same for a trusted client: what it says comes first, ours is appended.
fn write_appended(
    context: &RequestContext<'_>,
    version: Version,
    host: &[u8],
    fields: &Fields<'_, '_>,
    out: &mut Vec<u8>,
) {
    let address = context.client.ip().to_canonical();
    let proto = proto(context);
    let minor = if version == Version::Http10 { '0' } else { '1' };
    let _ = write!(Text(out), "Via: 1.{minor} {}\r\n", context.via);
    out.extend_from_slice(b"X-Forwarded-For: ");
    join(fields, Field::ForwardedFor, out);
    write_address(address, out);
    out.extend_from_slice(b"\r\nForwarded: ");
    join(fields, Field::Forwarded, out);
    out.extend_from_slice(b"for=");
    write_node(address, out);
    let _ = write!(Text(out), ";proto={proto};host=\"");
    out.extend_from_slice(host);
    out.extend_from_slice(b"\"\r\n");
    if !has(fields, Field::ForwardedProto) {
        let _ = write!(Text(out), "X-Forwarded-Proto: {proto}\r\n");
    }
    if !has(fields, Field::ForwardedHost) {
        out.extend_from_slice(b"X-Forwarded-Host: ");
        out.extend_from_slice(host);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends `host[:port]` of an address for a `Host` field.
pub(super) fn write_host(address: SocketAddr, out: &mut Vec<u8>) {
    let _ = match address.ip().to_canonical() {
        IpAddr::V4(ip) => write!(Text(out), "{ip}:{}", address.port()),
        IpAddr::V6(ip) => write!(Text(out), "[{ip}]:{}", address.port()),
    };
}

fn join(fields: &Fields<'_, '_>, wanted: Field, out: &mut Vec<u8>) {
    for (_, header) in fields.iter() {
        if Field::from_name(header.name.as_bytes()) == wanted && !header.value.is_empty() {
            out.extend_from_slice(header.value);
            out.extend_from_slice(b", ");
        }
    }
}

fn has(fields: &Fields<'_, '_>, wanted: Field) -> bool {
    fields.iter().any(|(_, header)| Field::from_name(header.name.as_bytes()) == wanted)
}

fn proto(context: &RequestContext<'_>) -> &'static str {
    if context.secure { "https" } else { "http" }
}

/// An address as `X-Forwarded-For` has it. Each new connection needs one, so IPv4 goes without the formatter.
fn write_address(address: IpAddr, out: &mut Vec<u8>) {
    let IpAddr::V4(ip) = address else {
        // Writing to a vector cannot fail.
        let _ = write!(Text(out), "{address}");
        return;
    };
    for (index, octet) in ip.octets().into_iter().enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        if octet >= 100 {
            out.push(b'0' + octet / 100);
        }
        if octet >= 10 {
            out.push(b'0' + octet / 10 % 10);
        }
        out.push(b'0' + octet % 10);
    }
}

/// An address as a node of `Forwarded`: IPv6 in brackets and quotes. Source: RFC 7239, 6.
fn write_node(address: IpAddr, out: &mut Vec<u8>) {
    if address.is_ipv4() {
        return write_address(address, out);
    }
    out.extend_from_slice(b"\"[");
    write_address(address, out);
    out.extend_from_slice(b"]\"");
}

struct Text<'a>(&'a mut Vec<u8>);

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// The version stands at a fixed place, so that it can be set for an HTTP/1.0 request.
const VIA_11: &str = "Via: 1.1 ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_the_form_of_their_field() {
        let mut context = RequestContext {
            client: "[2001:db8::1]:7".parse().unwrap(),
            local: "[::ffff:10.0.0.1]:80".parse().unwrap(),
            secure: true,
            via: "us",
            trust_forwarded: false,
            fields: &[],
        };
        let mut out = Vec::new();
        client_fields(&context, &mut out);
        assert_eq!(
            core::str::from_utf8(&out).unwrap(),
            "Via: 1.1 us\r\nX-Forwarded-For: 2001:db8::1\r\nX-Forwarded-Proto: https\r\n\
             Forwarded: for=\"[2001:db8::1]\";proto=https;host=\""
        );
        out.clear();
        context.client = "[::ffff:192.0.2.1]:7".parse().unwrap();
        client_fields(&context, &mut out);
        assert!(out.windows(16).any(|window| window == b"for=192.0.2.1;pr"));
        for octet in 0..=255 {
            out.clear();
            write_address(IpAddr::from([octet, 0, 255, octet]), &mut out);
            assert_eq!(out, alloc::format!("{octet}.0.255.{octet}").as_bytes());
        }
        out.clear();
        write_host(context.local, &mut out);
        assert_eq!(out, b"10.0.0.1:80");
    }
}
