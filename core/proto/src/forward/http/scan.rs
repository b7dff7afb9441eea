//! Where a head ends, found without reading any byte twice.

use super::limits::HeadLimits;
use super::reject::{Reject, RejectReason};

/// Looks for the end of a head as bytes arrive and refuses what can be seen without parsing: bare CR or LF,
/// control characters, a head above its limit.
///
/// Each byte is looked at once however the head is cut, so a sender of single bytes costs as much as one of
/// whole heads. Keep one per connection and direction and call [`find_end`](Self::find_end) with everything
/// received since the head's start.
#[derive(Clone, Copy, Debug)]
pub struct HeadScan {
    head_bytes_max: usize,
    /// An empty line may stand in front: some clients end a POST with an extra CRLF (RFC 9112, 2.2).
    empty_line_in_front: bool,
    /// Every byte before this one has been looked at.
    at: usize,
    line_start: usize,
    /// Where the first line starts: 0, or 2 after an empty line in front.
    start: usize,
    /// Where the CRLF of the first line is; 0 while it has not ended.
    first_line_end: usize,
}

impl HeadScan {
    /// A scan for request heads. One empty line in front of the request line is skipped.
    pub fn new(limits: &HeadLimits) -> HeadScan {
        HeadScan {
            head_bytes_max: limits.head_bytes_max,
            empty_line_in_front: true,
            at: 0,
            line_start: 0,
            start: 0,
            first_line_end: 0,
        }
    }

    /// A scan for response heads: nothing may stand in front.
    pub fn for_response(limits: &HeadLimits) -> HeadScan {
        HeadScan { empty_line_in_front: false, ..HeadScan::new(limits) }
    }

    /// Forgets the head it was looking at; the next call starts at the first byte.
    pub fn reset(&mut self) {
        (self.at, self.line_start, self.start, self.first_line_end) = (0, 0, 0, 0);
    }

    /// Bytes looked at since the head's start. Zero says that nothing of a head was seen yet.
    pub fn scanned(&self) -> usize {
        self.at
    }

    /// The length of the head at the start of `input`, its empty line included; `None` when it has not ended.
    ///
    /// `input` starts where it started in the calls before and has at least their bytes.
    ///
    /// Errors: `BareLineEnd`, `ControlCharacter`, `Syntax` (nothing but empty lines), `HeadTooLarge`, and
    /// `TargetTooLong` when the first line alone is above the limit.
    pub fn find_end(&mut self, input: &[u8]) -> Result<Option<usize>, Reject> {
        let allowed = &input[..input.len().min(self.head_bytes_max)];
        if let Some(end) = self.advance(allowed)? {
            return Ok(Some(end));
        }
        // A CR as the last byte waits for its LF, so the limit is judged on what was received.
        if input.len() >= self.head_bytes_max {
            let reason = if self.first_line_end == 0 {
                RejectReason::TargetTooLong
            } else {
                RejectReason::HeadTooLarge
            };
            return Err(reason.into());
        }
        Ok(None)
    }

    /// Where the first line starts and where its CRLF is. Of use after `find_end` gave an end.
    pub(super) fn first_line(&self) -> (usize, usize) {
        (self.start, self.first_line_end)
    }

    fn advance(&mut self, input: &[u8]) -> Result<Option<usize>, Reject> {
        while let Some(offset) = input.get(self.at..).and_then(find_control) {
            let control = self.at + offset;
            match input[control] {
                b'\t' => self.at = control + 1,
                b'\r' => {
                    match input.get(control + 1) {
                        Some(b'\n') => self.at = control + 2,
                        Some(_) => return Err(RejectReason::BareLineEnd.into()),
                        None => {
                            self.at = control;
                            return Ok(None);
                        }
                    }
                    if self.end_line(control)? {
                        return Ok(Some(control + 2));
                    }
                }
                b'\n' => return Err(RejectReason::BareLineEnd.into()),
                _ => return Err(RejectReason::ControlCharacter.into()),
            }
        }
        self.at = self.at.max(input.len());
        Ok(None)
    }

    /// A line ends at `cr`; true when it was the empty line that ends the head.
    fn end_line(&mut self, cr: usize) -> Result<bool, Reject> {
        let empty = cr == self.line_start;
        self.line_start = cr + 2;
        if self.first_line_end != 0 {
            return Ok(empty);
        }
        if !empty {
            self.first_line_end = cr;
        } else if self.empty_line_in_front && self.start == 0 {
            self.start = cr + 2;
        } else {
            return Err(RejectReason::Syntax.into());
        }
        Ok(false)
    }
}

/// Where the first byte below 14 is: tab, LF, CR, NUL and most of what has no place in a head. The other
/// control characters are found by the parser.
fn find_control(bytes: &[u8]) -> Option<usize> {
    let mut words = bytes.chunks_exact(8);
    for (index, word) in words.by_ref().enumerate() {
        let word =
            u64::from_le_bytes([word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7]]);
        // The lowest flag is exact; flags above it may be false through the borrow.
        let below = word.wrapping_sub(ONES * 14) & !word & (ONES * 0x80);
        if below != 0 {
            return Some(index * 8 + (below.trailing_zeros() / 8) as usize);
        }
    }
    let tail = words.remainder();
    tail.iter().position(|&byte| byte < 14).map(|offset| bytes.len() - tail.len() + offset)
}

const ONES: u64 = 0x0101_0101_0101_0101;

#[cfg(test)]
mod tests {
    use super::*;
    use RejectReason::{BareLineEnd, ControlCharacter, HeadTooLarge, Syntax, TargetTooLong};

    fn limits(head_bytes_max: usize) -> HeadLimits {
        HeadLimits { head_bytes_max, ..HeadLimits::default() }
    }

    fn whole(input: &[u8]) -> Result<Option<usize>, RejectReason> {
        HeadScan::new(&limits(64)).find_end(input).map_err(|reject| reject.reason)
    }

    #[test]
    fn ends_after_the_first_empty_line() {
        assert_eq!(whole(b"GET / HTTP/1.1\r\n\r\nGET"), Ok(Some(18)));
        assert_eq!(whole(b"GET / HTTP/1.1\r\nA: b\r\n\r\n\r\n"), Ok(Some(24)));
        assert_eq!(whole(b"GET / HTTP/1.1\r\nA: b\r\n\r"), Ok(None));
        assert_eq!(whole(b""), Ok(None));
    }

    #[test]
    fn one_empty_line_in_front_is_skipped_and_no_more() {
        assert_eq!(whole(b"\r\nGET / HTTP/1.1\r\n\r\n"), Ok(Some(20)));
        assert_eq!(whole(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n"), Err(Syntax));
        let response = HeadScan::for_response(&limits(64)).find_end(b"\r\nHTTP/1.1 200 OK\r\n\r\n");
        assert_eq!(response.map_err(|reject| reject.reason), Err(Syntax));
    }

    #[test]
    fn bare_line_ends_and_controls_are_refused_as_soon_as_seen() {
        assert_eq!(whole(b"GET / HTTP/1.1\n"), Err(BareLineEnd));
        assert_eq!(whole(b"GET / HTTP/1.1\rX"), Err(BareLineEnd));
        assert_eq!(whole(b"GET / HTTP/1.1\r\r\n"), Err(BareLineEnd));
        assert_eq!(whole(b"GET / HTTP/1.1\r\nA: \0"), Err(ControlCharacter));
        assert_eq!(whole(b"\x16\x03\x01"), Err(ControlCharacter), "a TLS hello on a clear port");
        assert_eq!(whole(b"GET / HTTP/1.1\r\nA:\tb\r\n\r\n"), Ok(Some(24)), "tab is white space");
    }

    #[test]
    fn limit_counts_the_whole_head() {
        let head = b"GET / HTTP/1.1\r\nA: b\r\n\r\n";
        assert_eq!(HeadScan::new(&limits(24)).find_end(head), Ok(Some(24)));
        let reason = |max| HeadScan::new(&limits(max)).find_end(head).map_err(|reject| reject.reason);
        assert_eq!(reason(23), Err(HeadTooLarge));
        assert_eq!(reason(16), Err(HeadTooLarge));
        assert_eq!(reason(15), Err(TargetTooLong));
    }

    #[test]
    fn byte_by_byte_gives_the_result_of_the_whole() {
        for head in [
            b"GET / HTTP/1.1\r\nA: b\r\n\r\n".as_slice(),
            b"\r\nGET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: b\n\r\n",
            b"GET /\0",
        ] {
            let mut scan = HeadScan::new(&limits(64));
            let mut steps = (1..=head.len()).map(|len| scan.find_end(&head[..len]));
            let last = steps.find(|step| *step != Ok(None)).unwrap();
            assert_eq!(last.map_err(|reject| reject.reason), whole(head));
        }
    }

    #[test]
    fn controls_are_found_at_every_offset() {
        for len in 0..40 {
            for at in 0..len {
                let mut bytes = [0xffu8; 40];
                bytes[at] = 13;
                bytes[len - 1] = bytes[len - 1].min(14);
                assert_eq!(find_control(&bytes[..len]), Some(at), "{at} of {len}");
            }
            assert_eq!(find_control(&[14; 40][..len]), None);
        }
    }
}
