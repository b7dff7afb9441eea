//! An answer, and how it is written.

use std::fmt::Write;

/// An answer that is whole.
#[derive(Debug)]
pub(super) struct Response {
    pub status: u16,
    pub fields: Vec<(&'static str, String)>,
    pub content_type: &'static str,
    pub body: String,
}

/// How the connection goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub keep_alive: bool,
    /// The request was HEAD: the length is told, the content is not sent.
    pub is_head: bool,
    /// The client speaks HTTP/1.0, which does not keep connections unless told.
    pub is_10: bool,
}

impl Response {
    /// Without content.
    pub fn bare(status: u16) -> Response {
        Response { status, fields: Vec::new(), content_type: "", body: String::new() }
    }

    /// JSON.
    pub fn json(status: u16, body: String) -> Response {
        Response { status, fields: Vec::new(), content_type: "application/json", body }
    }

    /// With one more field. The value is ours, or known to be visible ASCII.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Response {
        self.fields.push((name, value.into()));
        self
    }

    /// Appends the whole message.
    pub fn write(&self, manner: Manner, out: &mut Vec<u8>) {
        let mut head = String::with_capacity(256);
        let _ = write!(head, "HTTP/1.1 {} {}\r\n", self.status, phrase(self.status));
        // With 204 and 304 there is no content, and nothing that says how long it is.
        if self.status != 204 {
            let _ = write!(head, "Content-Length: {}\r\n", self.body.len());
        }
        if !self.content_type.is_empty() {
            let _ = write!(head, "Content-Type: {}\r\n", self.content_type);
        }
        for (name, value) in &self.fields {
            debug_assert!(value.bytes().all(|byte| matches!(byte, b' '..=b'~')));
            let _ = write!(head, "{name}: {value}\r\n");
        }
        match manner {
            Manner { keep_alive: false, .. } => head.push_str("Connection: close\r\n"),
            Manner { is_10: true, .. } => head.push_str("Connection: keep-alive\r\n"),
            _ => {}
        }
        head.push_str("\r\n");
        out.extend_from_slice(head.as_bytes());
        if !manner.is_head && self.status != 204 {
            out.extend_from_slice(self.body.as_bytes());
        }
    }
}

/// The phrase of a status that is used here.
pub(super) fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
