//! Responses that we make ourselves.

use alloc::vec::Vec;

use super::line::{field, number};

/// Appends a whole response without content to `out`: status line, `Content-Length: 0`, `Retry-After` in
/// seconds when given, `Connection: close` unless `keep_alive`.
///
/// It has no content so that it also fits as the answer to HEAD. A status without a known phrase gets an
/// empty one, which the grammar allows. `keep_alive` is for HTTP/1.1 clients whose request was read to its
/// end.
pub fn local_response(status: u16, keep_alive: bool, retry_after_s: Option<u32>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    number(u64::from(status), out);
    out.push(b' ');
    out.extend_from_slice(phrase(status).as_bytes());
    out.extend_from_slice(b"\r\n");
    if status != 204 {
        field(b"Content-Length", b"0", out);
    }
    if let Some(seconds) = retry_after_s {
        out.extend_from_slice(b"Retry-After: ");
        number(u64::from(seconds), out);
        out.extend_from_slice(b"\r\n");
    }
    if !keep_alive {
        field(b"Connection", b"close", out);
    }
    out.extend_from_slice(b"\r\n");
}

fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overload_says_when_to_come_back() {
        let mut out = Vec::new();
        local_response(503, true, Some(2), &mut out);
        assert_eq!(
            core::str::from_utf8(&out).unwrap(),
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 2\r\n\r\n"
        );
    }
}
