//! Which fields forwarding cares about, and copying the others in as few pieces as possible.

use alloc::vec::Vec;

use super::line::field;

/// What a field means to a gateway. All that is not listed is end-to-end and passed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Field {
    Other,
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    /// `Keep-Alive` and `Proxy-Connection`: for one hop and without effect here.
    HopByHop,
    Te,
    Trailer,
    Upgrade,
    Expect,
    Via,
    MaxForwards,
    Forwarded,
    ForwardedFor,
    ForwardedHost,
    ForwardedProto,
    /// Any other `X-Forwarded-...`.
    ForwardedOther,
    /// `Proxy`: CGI programs take it for the variable `HTTP_PROXY` (CVE-2016-5385). No standard defines it.
    Proxy,
}

impl Field {
    /// The meaning of this name, in any case.
    pub(super) fn from_name(name: &[u8]) -> Field {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        // Length first, then the first letter: most names are settled without a comparison.
        match (name.len(), name.first().map_or(0, |byte| byte | 0x20)) {
            (2, b't') if is(b"te") => Field::Te,
            (3, b'v') if is(b"via") => Field::Via,
            (4, b'h') if is(b"host") => Field::Host,
            (5, b'p') if is(b"proxy") => Field::Proxy,
            (6, b'e') if is(b"expect") => Field::Expect,
            (7, b't') if is(b"trailer") => Field::Trailer,
            (7, b'u') if is(b"upgrade") => Field::Upgrade,
            (9, b'f') if is(b"forwarded") => Field::Forwarded,
            (10, b'c') if is(b"connection") => Field::Connection,
            (10, b'k') if is(b"keep-alive") => Field::HopByHop,
            (12, b'm') if is(b"max-forwards") => Field::MaxForwards,
            (14, b'c') if is(b"content-length") => Field::ContentLength,
            (15, b'x') if is(b"x-forwarded-for") => Field::ForwardedFor,
            (16, b'x') if is(b"x-forwarded-host") => Field::ForwardedHost,
            (16, b'p') if is(b"proxy-connection") => Field::HopByHop,
            (17, b'x') if is(b"x-forwarded-proto") => Field::ForwardedProto,
            (17, b't') if is(b"transfer-encoding") => Field::TransferEncoding,
            (12.., b'x') if name[..12].eq_ignore_ascii_case(b"x-forwarded-") => Field::ForwardedOther,
            _ => Field::Other,
        }
    }

    /// Whether the name, with `_` read as `-`, would mean something to us although it does not as it stands.
    ///
    /// CGI and WSGI give both spellings the same variable, so such a field could override ours.
    pub(super) fn is_disguised(name: &[u8]) -> bool {
        if !name.contains(&b'_') {
            return false;
        }
        let mut folded = [0u8; NAME_LEN_MAX];
        // `x-forwarded-` is settled by its prefix, so cutting a long name loses nothing: every other name
        // that matters is shorter.
        let len = name.len().min(NAME_LEN_MAX);
        for (target, &source) in folded.iter_mut().zip(name) {
            *target = if source == b'_' { b'-' } else { source };
        }
        Field::from_name(&folded[..len]) != Field::Other
    }
}

/// One above the longest known name, so that a cut name never equals one.
const NAME_LEN_MAX: usize = 18;

/// The fields of a parsed head, with access to the raw line of each.
pub(super) struct Fields<'h, 'b> {
    /// The head from its first line to its final empty line.
    head: &'b [u8],
    headers: &'h [httparse::Header<'b>],
}

impl<'h, 'b> Fields<'h, 'b> {
    pub(super) fn new(head: &'b [u8], headers: &'h [httparse::Header<'b>]) -> Fields<'h, 'b> {
        Fields { head, headers }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &'h httparse::Header<'b>)> {
        self.headers.iter().enumerate()
    }

    /// Appends the lines that `keep` wants, in their order, in canonical form: `Name: value`.
    ///
    /// Neighbouring lines that are canonical already are copied in one piece, and the first `lead_len` bytes
    /// of the head, which are to go in front of them, with the first piece.
    pub(super) fn copy(
        &self,
        lead_len: usize,
        out: &mut Vec<u8>,
        mut keep: impl FnMut(usize, &httparse::Header<'b>) -> bool,
    ) {
        let mut run = 0..lead_len;
        for (index, header) in self.iter() {
            let (line, canonical) = self.line(index, header);
            let keep = keep(index, header);
            if keep && canonical {
                if run.end != line.start {
                    out.extend_from_slice(&self.head[run]);
                    run = line.start..line.start;
                }
                run.end = line.end;
            } else if keep {
                out.extend_from_slice(&self.head[run]);
                run = 0..0;
                field(header.name.as_bytes(), header.value, out);
            }
        }
        out.extend_from_slice(&self.head[run]);
    }

    /// Where the line of a field is, and whether it is exactly `Name: value` without further white space.
    fn line(&self, index: usize, header: &httparse::Header<'b>) -> (core::ops::Range<usize>, bool) {
        let start = self.offset(header.name.as_bytes());
        let end = match self.headers.get(index + 1) {
            Some(next) => self.offset(next.name.as_bytes()),
            None => self.head.len() - 2,
        };
        let name_end = start + header.name.len();
        let canonical = name_end + header.value.len() + 4 == end && self.head[name_end + 1] == b' ';
        (start..end, canonical)
    }

    /// Where in the head a slice of it starts.
    fn offset(&self, part: &[u8]) -> usize {
        part.as_ptr().addr() - self.head.as_ptr().addr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case() {
        assert_eq!(Field::from_name(b"TRANSFER-encoding"), Field::TransferEncoding);
        assert_eq!(Field::from_name(b"X-Forwarded-Port"), Field::ForwardedOther);
        assert_eq!(Field::from_name(b"X-Forwarded-"), Field::ForwardedOther);
        assert_eq!(Field::from_name(b"X-Forward"), Field::Other);
        assert_eq!(Field::from_name(b"Accept"), Field::Other);
        assert_eq!(Field::from_name(b""), Field::Other);
    }

    #[test]
    fn underscores_disguise_only_what_we_own() {
        for name in ["Content_Length", "transfer_encoding", "X_Forwarded-For", "x_forwarded_anything_at_all"]
        {
            assert!(Field::is_disguised(name.as_bytes()), "{name}");
        }
        for name in ["Content-Length", "my_header", "transfer_encodings", "keep_alive_and_more_of_it", "_"] {
            assert!(!Field::is_disguised(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn kept_lines_become_canonical() {
        let head = b"A: 1\r\nB:2\r\nC:  3 \r\nD:\t4\r\nE: 5\r\nF: 6\r\nG:\r\n\r\n";
        let mut headers = [httparse::EMPTY_HEADER; 8];
        let httparse::Status::Complete((_, headers)) = httparse::parse_headers(head, &mut headers).unwrap()
        else {
            panic!("incomplete")
        };
        let mut out = Vec::new();
        Fields::new(head, headers).copy(0, &mut out, |_, header| header.name != "E");
        assert_eq!(core::str::from_utf8(&out).unwrap(), "A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nF: 6\r\nG: \r\n");
    }
}
