//! The `Connection` field: what it says about this hop and which fields it takes along.

use super::field::Field;
use super::limits::CONNECTION_OPTIONS_MAX;
use super::line::{is_token, list};

/// The options of all `Connection` fields of one head.
pub(super) struct Options<'b> {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
    /// Fields to be removed because they are named here.
    named: [&'b [u8]; CONNECTION_OPTIONS_MAX],
    named_len: usize,
}

/// The field is malformed, names too much, or names what is not for one hop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BadConnection;

impl<'b> Options<'b> {
    pub(super) fn new() -> Options<'b> {
        Options {
            close: false,
            keep_alive: false,
            upgrade: false,
            named: [&[]; CONNECTION_OPTIONS_MAX],
            named_len: 0,
        }
    }

    /// Adds the options of one field value.
    ///
    /// Naming a field that this gateway relies on, such as `Host` or `Content-Length`, is refused: removing
    /// it would change what the back end reads, and no conforming sender names it (RFC 9110, 7.6.1).
    pub(super) fn add(&mut self, value: &'b [u8]) -> Result<(), BadConnection> {
        // By far the most common value, without taking a list apart.
        if value.eq_ignore_ascii_case(b"keep-alive") {
            self.keep_alive = true;
            return Ok(());
        }
        for option in list(value) {
            if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else {
                self.add_named(option)?;
            }
        }
        Ok(())
    }

    fn add_named(&mut self, option: &'b [u8]) -> Result<(), BadConnection> {
        if !is_token(option) || Field::is_disguised(option) {
            return Err(BadConnection);
        }
        match Field::from_name(option) {
            Field::Other => {}
            // Removed or rewritten in any case.
            Field::Te
            | Field::Trailer
            | Field::HopByHop
            | Field::TransferEncoding
            | Field::Connection
            | Field::Proxy => return Ok(()),
            _ => return Err(BadConnection),
        }
        *self.named.get_mut(self.named_len).ok_or(BadConnection)? = option;
        self.named_len += 1;
        Ok(())
    }

    /// Whether a field of this name goes no further than this hop.
    pub(super) fn names(&self, name: &[u8]) -> bool {
        self.named[..self.named_len].iter().any(|named| named.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_several_fields_add_up() {
        let mut options = Options::new();
        options.add(b"Keep-Alive, X-Private").unwrap();
        options.add(b",, UPGRADE ,te").unwrap();
        assert!(options.keep_alive && options.upgrade && !options.close);
        assert!(options.names(b"x-private"));
        assert!(!options.names(b"x-public"));
    }

    #[test]
    fn end_to_end_fields_cannot_be_named() {
        for name in ["Host", "content-length", "X-Forwarded-For", "Via", "content_length", "a b", "\"close\""]
        {
            assert_eq!(Options::new().add(name.as_bytes()), Err(BadConnection), "{name}");
        }
    }

    #[test]
    fn named_fields_are_bounded() {
        let mut options = Options::new();
        for _ in 0..CONNECTION_OPTIONS_MAX {
            options.add(b"x").unwrap();
        }
        assert_eq!(options.add(b"x"), Err(BadConnection));
    }
}
