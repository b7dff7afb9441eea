//! Where a body ends, whatever its framing.

use super::chunked::{ChunkError, ChunkScanner};
use super::framing::Framing;
use super::limits::HeadLimits;

/// Follows one body as its bytes pass, in either direction.
#[derive(Clone, Debug)]
pub struct BodyCursor {
    state: State,
}

/// How much of an input belongs to the body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taken {
    /// Bytes at the start of the input that belong to the body and are to be passed on.
    pub len: usize,
    /// Whether the body has ended; what follows is the next message.
    pub done: bool,
}

#[derive(Clone, Debug)]
enum State {
    /// So many bytes to come; 0 also when there is no body.
    Counted(u64),
    Chunked(ChunkScanner),
    UntilClose,
}

impl BodyCursor {
    /// At the start of a body of this framing.
    pub fn new(framing: Framing, limits: &HeadLimits) -> BodyCursor {
        let state = match framing {
            Framing::None => State::Counted(0),
            Framing::Length(length) => State::Counted(length),
            Framing::Chunked => State::Chunked(ChunkScanner::new(limits)),
            Framing::UntilClose => State::UntilClose,
        };
        BodyCursor { state }
    }

    /// Takes from `input`, the bytes that follow those taken before, what belongs to the body.
    ///
    /// Without a body, `len` is 0 and `done` is true. Errors: those of a chunked body.
    pub fn take(&mut self, input: &[u8]) -> Result<Taken, ChunkError> {
        match &mut self.state {
            State::Counted(remaining) => {
                let len = usize::try_from(*remaining).unwrap_or(usize::MAX).min(input.len());
                *remaining -= len as u64;
                Ok(Taken { len, done: *remaining == 0 })
            }
            State::Chunked(scanner) => {
                scanner.scan(input).map(|scan| Taken { len: scan.consumed, done: scan.done })
            }
            State::UntilClose => Ok(Taken { len: input.len(), done: false }),
        }
    }

    /// Whether nothing of the body is left to come.
    pub fn is_done(&self) -> bool {
        match &self.state {
            State::Counted(remaining) => *remaining == 0,
            State::Chunked(scanner) => scanner.is_done(),
            State::UntilClose => false,
        }
    }

    /// Bytes still to come, when that is known: not for chunks and not until close.
    pub fn remaining_hint(&self) -> Option<u64> {
        match &self.state {
            State::Counted(remaining) => Some(*remaining),
            State::Chunked(scanner) if scanner.is_done() => Some(0),
            State::Chunked(_) | State::UntilClose => None,
        }
    }

    /// Bytes that may be moved from here without being looked at, for example by splice: the rest of a counted
    /// body or of the present chunk, `u64::MAX` until close. Tell [`skip`](Self::skip) how many were.
    pub fn unseen_max(&self) -> u64 {
        match &self.state {
            State::Counted(remaining) => *remaining,
            State::Chunked(scanner) => scanner.data_remaining(),
            State::UntilClose => u64::MAX,
        }
    }

    /// Counts bytes that were moved without being looked at; at most [`unseen_max`](Self::unseen_max).
    pub fn skip(&mut self, len: u64) {
        assert!(len <= self.unseen_max(), "skipped {len} bytes of {}", self.unseen_max());
        match &mut self.state {
            State::Counted(remaining) => *remaining -= len,
            State::Chunked(scanner) => scanner.skip_data(len),
            State::UntilClose => {}
        }
    }

    /// Whether the end of the stream at this point makes the body complete. If not and the body is not done,
    /// it was cut off.
    pub fn on_close(&self) -> bool {
        matches!(self.state, State::UntilClose)
    }

    /// The scanner of a chunked body, for taking only its data ([`ChunkScanner::next_data`]).
    pub fn chunks(&mut self) -> Option<&mut ChunkScanner> {
        match &mut self.state {
            State::Chunked(scanner) => Some(scanner),
            State::Counted(_) | State::UntilClose => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(framing: Framing) -> BodyCursor {
        BodyCursor::new(framing, &HeadLimits::default())
    }

    #[test]
    fn no_body_is_done_at_once_and_takes_nothing() {
        let mut body = cursor(Framing::None);
        assert!(body.is_done() && !body.on_close());
        assert_eq!(body.take(b"GET /"), Ok(Taken { len: 0, done: true }));
    }

    #[test]
    fn counted_body_ends_at_its_length_and_leaves_the_next_message() {
        let mut body = cursor(Framing::Length(5));
        assert_eq!(body.take(b"ab"), Ok(Taken { len: 2, done: false }));
        assert_eq!(body.remaining_hint(), Some(3));
        assert!(!body.on_close(), "cut off here");
        assert_eq!(body.take(b"cdeGET"), Ok(Taken { len: 3, done: true }));
        assert!(body.is_done());
    }

    #[test]
    fn spliced_bytes_count() {
        let mut body = cursor(Framing::Length(u64::MAX));
        body.skip(u64::MAX - 1);
        assert_eq!(body.take(b"xy"), Ok(Taken { len: 1, done: true }));
        let mut body = cursor(Framing::Chunked);
        assert_eq!(body.unseen_max(), 0);
        assert_eq!(body.take(b"a\r\n012"), Ok(Taken { len: 6, done: false }));
        assert_eq!(body.unseen_max(), 7);
        body.skip(7);
        assert_eq!(body.take(b"\r\n0\r\n\r\nx"), Ok(Taken { len: 7, done: true }));
    }

    #[test]
    fn only_close_ends_a_body_without_length() {
        let mut body = cursor(Framing::UntilClose);
        assert_eq!(body.take(b"abc"), Ok(Taken { len: 3, done: false }));
        assert!(body.on_close() && !body.is_done());
        assert_eq!(body.remaining_hint(), None);
    }

    #[test]
    #[should_panic(expected = "skipped 2 bytes of 1")]
    fn more_than_the_body_cannot_be_skipped() {
        cursor(Framing::Length(1)).skip(2);
    }
}
