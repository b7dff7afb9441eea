//! How far a body reaches, from the fields that say so.

use super::line::{decimal, is_token, list};

/// How a body is delimited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// There is no body.
    None,
    /// So many bytes; may be 0.
    Length(u64),
    /// Chunks, then trailers.
    Chunked,
    /// Until the sender closes. Responses only.
    UntilClose,
}

impl Framing {
    /// Whether no byte of a body follows.
    pub const fn is_empty(self) -> bool {
        matches!(self, Framing::None | Framing::Length(0))
    }
}

/// What `Content-Length` and `Transfer-Encoding` of one head say together.
#[derive(Default)]
pub(super) struct Lengths {
    pub(super) length: Option<u64>,
    pub(super) chunked: bool,
}

/// Why the fields do not frame a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FramingError {
    LengthInvalid,
    LengthRepeated,
    LengthAndCoding,
    CodingInvalid,
    CodingUnsupported,
}

impl Lengths {
    /// A list (`5, 5`) is refused like a repeated field: RFC 9112, 6.3 would allow to accept equal ones, but
    /// no honest sender needs it.
    pub(super) fn add_length(&mut self, value: &[u8]) -> Result<(), FramingError> {
        let length = decimal(value).ok_or(FramingError::LengthInvalid)?;
        match (self.length.replace(length), self.chunked) {
            (_, true) => Err(FramingError::LengthAndCoding),
            (Some(_), false) => Err(FramingError::LengthRepeated),
            (None, false) => Ok(()),
        }
    }

    /// Only exactly `chunked` is understood. Another coding before a final `chunked` has an end but a meaning
    /// that we do not know; anything else has no certain end (RFC 9112, 6.1 and 6.3).
    pub(super) fn add_coding(&mut self, value: &[u8]) -> Result<(), FramingError> {
        if self.length.is_some() {
            return Err(FramingError::LengthAndCoding);
        }
        if self.chunked {
            return Err(FramingError::CodingInvalid);
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(coding_error(value));
        }
        self.chunked = true;
        Ok(())
    }
}

fn coding_error(value: &[u8]) -> FramingError {
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let chunked_count = list(value).filter(|coding| is_chunked(coding)).count();
    let well_formed = list(value).all(is_token) && list(value).count() == value.split(|&b| b == b',').count();
    let chunked_last = list(value).last().is_some_and(is_chunked);
    if well_formed && chunked_last && chunked_count == 1 && list(value).count() > 1 {
        FramingError::CodingUnsupported
    } else {
        FramingError::CodingInvalid
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FramingError::{CodingInvalid, CodingUnsupported, LengthAndCoding, LengthInvalid, LengthRepeated};

    #[test]
    fn only_exactly_chunked_is_understood() {
        for value in ["chunked", "Chunked", "CHUNKED"] {
            assert_eq!(Lengths::default().add_coding(value.as_bytes()), Ok(()), "{value}");
        }
        for (value, error) in [
            ("gzip, chunked", CodingUnsupported),
            ("x, y,chunked", CodingUnsupported),
            ("gzip", CodingInvalid),
            ("chunked, gzip", CodingInvalid),
            ("chunked, chunked", CodingInvalid),
            ("identity", CodingInvalid),
            ("xchunked", CodingInvalid),
            ("chunked;q=1", CodingInvalid),
            ("\"chunked\"", CodingInvalid),
            ("chunked,", CodingInvalid),
            (",chunked", CodingInvalid),
            ("gzip,,chunked", CodingInvalid),
            ("chun ked", CodingInvalid),
            ("\u{b}chunked", CodingInvalid),
            ("", CodingInvalid),
        ] {
            assert_eq!(Lengths::default().add_coding(value.as_bytes()), Err(error), "{value:?}");
        }
    }

    #[test]
    fn two_statements_are_refused_in_any_order() {
        let mut lengths = Lengths::default();
        assert_eq!(lengths.add_length(b"5"), Ok(()));
        assert_eq!(lengths.add_length(b"5"), Err(LengthRepeated));
        assert_eq!(lengths.add_coding(b"chunked"), Err(LengthAndCoding));
        let mut lengths = Lengths::default();
        assert_eq!(lengths.add_coding(b"chunked"), Ok(()));
        assert_eq!(lengths.add_coding(b"chunked"), Err(CodingInvalid));
        assert_eq!(lengths.add_length(b"0"), Err(LengthAndCoding));
        assert_eq!(Lengths::default().add_length(b"5, 5"), Err(LengthInvalid));
    }
}
