//! Request targets and hosts.

use core::net::Ipv6Addr;

use super::method::Method;

/// A request target as the back end shall see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Target<'b> {
    /// Path and query. `slash` says that a `/` goes in front of it.
    pub(super) text: &'b [u8],
    pub(super) slash: bool,
    /// The host that the target itself names; it stands above the `Host` field (RFC 9112, 3.2.2).
    pub(super) authority: Option<&'b [u8]>,
}

impl<'b> Target<'b> {
    /// Takes one of the four forms apart; `None` when it is none of them or not the one for its method.
    ///
    /// Source: RFC 9112, 3.2. Fragments, bytes above ASCII and user information are refused: none of them
    /// belongs into a target, and servers disagree on what they mean.
    pub(super) fn parse(method: Method, target: &'b [u8]) -> Option<Target<'b>> {
        if target.iter().any(|&byte| !byte.is_ascii_graphic() || byte == b'#') {
            return None;
        }
        let plain = |authority| Some(Target { text: target, slash: false, authority });
        match (method, target) {
            (Method::Connect, _) => {
                let (host, port) = split_authority(target)?;
                // The port is required here (RFC 9110, 9.3.6).
                (!host.is_empty() && port.is_some_and(|port| !port.is_empty())).then_some(())?;
                plain(Some(target))
            }
            (_, [b'/', ..]) => plain(None),
            (Method::Options, b"*") => plain(None),
            _ => Target::parse_absolute(method, target),
        }
    }

    /// Whether the target goes on as it came, and `Host` with it.
    pub(super) fn is_verbatim(&self) -> bool {
        self.authority.is_none() && !self.slash
    }

    fn parse_absolute(method: Method, target: &'b [u8]) -> Option<Target<'b>> {
        let rest = strip_prefix(target, b"http://").or_else(|| strip_prefix(target, b"https://"))?;
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
        let (authority, text) = rest.split_at(end);
        let (host, _) = split_authority(authority)?;
        if host.is_empty() {
            return None;
        }
        let authority = Some(authority);
        Some(match text {
            // The last proxy before the server turns this into the form for the server itself
            // (RFC 9112, 3.2.4).
            [] if method == Method::Options => Target { text: b"*", slash: false, authority },
            [b'/', ..] => Target { text, slash: false, authority },
            _ => Target { text, slash: true, authority },
        })
    }
}

fn strip_prefix<'b>(bytes: &'b [u8], prefix: &[u8]) -> Option<&'b [u8]> {
    let (head, rest) = bytes.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Whether this is the value of a `Host` field: a host, perhaps empty, and perhaps a port.
pub(super) fn is_host(value: &[u8]) -> bool {
    split_authority(value).is_some()
}

/// Host and port of `host[:port]`; `None` when malformed. The host may be empty, the port too.
///
/// Names may have all that RFC 3986 allows but the comma, which would read like two hosts where fields are
/// joined.
fn split_authority(value: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let host_end = match value {
        [b'[', rest @ ..] => rest.iter().position(|&byte| byte == b']')? + 2,
        _ => value.iter().position(|&byte| byte == b':').unwrap_or(value.len()),
    };
    let (host, rest) = value.split_at(host_end);
    let port = match rest {
        [] => None,
        [b':', port @ ..] if is_port(port) => Some(port),
        _ => return None,
    };
    let valid = match host {
        [b'[', address @ .., b']'] => {
            core::str::from_utf8(address).ok().and_then(|text| text.parse::<Ipv6Addr>().ok()).is_some()
        }
        _ => is_name(host),
    };
    valid.then_some((host, port))
}

fn is_port(port: &[u8]) -> bool {
    let number = port.iter().try_fold(0u32, |number, &byte| {
        byte.is_ascii_digit().then(|| number.saturating_mul(10) + u32::from(byte - b'0'))
    });
    port.len() <= 5 && number.is_some_and(|number| number <= 0xffff)
}

fn is_name(name: &[u8]) -> bool {
    let mut rest = name;
    while let [byte, tail @ ..] = rest {
        rest = match byte {
            b'%' => match tail {
                [high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => tail,
                _ => return false,
            },
            _ if is_name_byte(*byte) => tail,
            _ => return false,
        };
    }
    true
}

const fn is_name_byte(byte: u8) -> bool {
    matches!(byte,
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' | b'~'
        | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: Method, target: &str) -> Option<(&str, bool, Option<&str>)> {
        let text = |bytes| core::str::from_utf8(bytes).unwrap();
        Target::parse(method, target.as_bytes())
            .map(|parsed| (text(parsed.text), parsed.slash, parsed.authority.map(text)))
    }

    #[test]
    fn the_four_forms_are_told_apart() {
        use Method::{Connect, Get, Options};
        for (method, target, expected) in [
            (Get, "/a?b=c", Some(("/a?b=c", false, None))),
            (Get, "//x", Some(("//x", false, None))),
            (Get, "http://h:80/a", Some(("/a", false, Some("h:80")))),
            (Get, "HTTPS://h/", Some(("/", false, Some("h")))),
            (Get, "http://h", Some(("", true, Some("h")))),
            (Get, "http://h?q", Some(("?q", true, Some("h")))),
            (Options, "http://h", Some(("*", false, Some("h")))),
            (Options, "http://h?q", Some(("?q", true, Some("h")))),
            (Options, "*", Some(("*", false, None))),
            (Connect, "h:443", Some(("h:443", false, Some("h:443")))),
            (Connect, "[::1]:443", Some(("[::1]:443", false, Some("[::1]:443")))),
            (Connect, "h", None),
            (Connect, "h:", None),
            (Connect, ":443", None),
            (Connect, "/", None),
            (Connect, "http://h:80/", None),
            (Get, "*", None),
            (Get, "h:443", None),
            (Get, "a", None),
            (Get, "", None),
            (Get, "http://", None),
            (Get, "http:///a", None),
            (Get, "http://user@h/", None),
            (Get, "http://h:99999/", None),
            (Get, "ftp://h/", None),
            (Get, "/a#b", None),
            (Get, "/\u{e9}", None),
        ] {
            assert_eq!(parse(method, target), expected, "{method:?} {target}");
        }
    }

    #[test]
    fn hosts_are_names_or_addresses_with_a_port() {
        for host in ["", "h", "h:", "h:0", "h:65535", "127.0.0.1:80", "[::1]", "[::1]:8080", "a_b.c", "a%20b"]
        {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "h:65536", "h:1:2", "h:-1", "h:+1", "h:000001", "[::1", "[::1]x", "[x]", "[]", "a b", "a,b",
            "a/b", "a@b", "a\"b", "a\\b", "a%2", "a%zz", "::1", "\u{e9}",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }
}
