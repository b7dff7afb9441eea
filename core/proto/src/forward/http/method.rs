//! Methods and versions.

/// A request method, as far as forwarding and retrying care.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`: its response has no body whatever the fields say.
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
    /// `OPTIONS`
    Options,
    /// `TRACE`
    Trace,
    /// `CONNECT`: a 2xx answer makes a tunnel.
    Connect,
    /// `PATCH`
    Patch,
    /// Any other token; forwarded as it is and taken for neither safe nor idempotent.
    Other,
}

impl Method {
    /// The method of this token. Method names are case-sensitive: `get` is [`Method::Other`].
    pub fn from_token(token: &[u8]) -> Method {
        match token {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"OPTIONS" => Method::Options,
            b"TRACE" => Method::Trace,
            b"CONNECT" => Method::Connect,
            b"PATCH" => Method::Patch,
            _ => Method::Other,
        }
    }

    /// Whether a client asks for no change of state by it. Source: RFC 9110, 9.2.1.
    pub const fn is_safe(self) -> bool {
        matches!(self, Method::Get | Method::Head | Method::Options | Method::Trace)
    }

    /// Whether sending it twice means the same as sending it once. Source: RFC 9110, 9.2.2.
    pub const fn is_idempotent(self) -> bool {
        self.is_safe() || matches!(self, Method::Put | Method::Delete)
    }
}

/// The version of a received message. We always speak HTTP/1.1 ourselves.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

impl Version {
    pub(super) fn from_minor(minor: u8) -> Version {
        if minor == 0 { Version::Http10 } else { Version::Http11 }
    }

    /// Whether this is a well-formed version, but neither of ours.
    pub(super) fn is_other(text: &[u8]) -> bool {
        match text {
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] => {
                major.is_ascii_digit()
                    && minor.is_ascii_digit()
                    && !matches!((major, minor), (b'1', b'0' | b'1'))
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_have_the_properties_of_rfc_9110() {
        let table = [
            ("GET", true, true),
            ("HEAD", true, true),
            ("OPTIONS", true, true),
            ("TRACE", true, true),
            ("PUT", false, true),
            ("DELETE", false, true),
            ("POST", false, false),
            ("PATCH", false, false),
            ("CONNECT", false, false),
            ("PROPFIND", false, false),
            ("get", false, false),
        ];
        for (token, safe, idempotent) in table {
            let method = Method::from_token(token.as_bytes());
            assert_eq!((method.is_safe(), method.is_idempotent()), (safe, idempotent), "{token}");
        }
    }
}
