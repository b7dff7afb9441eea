//! Reading an HTTP/1.1 response as it arrives, only as far as its framing: where the head ends and where the body does.
//!
//! The generator measures and checks; it keeps no body. Limits: a head of 64 KiB and 100 fields, a chunk line of 8 KiB.

/// What the bytes fed so far have led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All bytes are used and the response goes on.
    More,
    /// The response ended after this many of the bytes fed; the rest belongs to what follows.
    Complete(usize),
}

/// Why a response cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// The head, or a chunk line, is not HTTP/1.1 or contradicts itself.
    BadFraming,
    /// The connection ended inside the response.
    Truncated,
}

/// One response being read; reset it with [`Response::start`] for the next.
#[derive(Default)]
pub struct Response {
    state: State,
    stash: Vec<u8>,
    status: u16,
    is_closing: bool,
    has_bytes: bool,
    body_bytes: u64,
    checksum: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    Fixed(u64),
    UntilClose,
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
    Done,
}

impl Response {
    /// Forgets the response before; with `has_checksum` the CRC32C of the body is kept along.
    pub fn start(&mut self, has_checksum: bool) {
        self.state = State::Head;
        self.stash.clear();
        self.status = 0;
        self.is_closing = false;
        self.has_bytes = false;
        self.body_bytes = 0;
        self.checksum = has_checksum.then_some(0);
    }

    /// Status code, or 0 before the head is complete.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether any byte of the response has arrived.
    pub fn has_bytes(&self) -> bool {
        self.has_bytes
    }

    /// Whether the server closes the connection after this response.
    pub fn is_closing(&self) -> bool {
        self.is_closing
    }

    /// Body bytes so far, without chunk lines.
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// CRC32C of the body so far, when asked for at the start.
    pub fn checksum(&self) -> Option<u32> {
        self.checksum
    }

    /// Takes the next bytes from the connection.
    ///
    /// Errors: `BadFraming`; the connection is then of no further use.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Progress, ResponseError> {
        let mut rest = bytes;
        self.has_bytes |= !bytes.is_empty();
        loop {
            match self.state {
                State::Done => return Ok(Progress::Complete(bytes.len() - rest.len())),
                _ if rest.is_empty() => return Ok(Progress::More),
                State::Head => rest = self.feed_head(rest)?,
                State::Fixed(left) => {
                    let left = left - self.take_body(&mut rest, left);
                    self.state = if left == 0 { State::Done } else { State::Fixed(left) };
                }
                State::UntilClose => {
                    self.take_body(&mut rest, u64::MAX);
                }
                State::ChunkData(left) => {
                    let left = left - self.take_body(&mut rest, left);
                    self.state = if left == 0 { State::ChunkEnd } else { State::ChunkData(left) };
                }
                State::ChunkSize | State::ChunkEnd | State::Trailers => {
                    if self.take_line(&mut rest)? {
                        self.on_line()?;
                        self.stash.clear();
                    }
                }
            }
        }
    }

    /// The connection ended. Fine after a response that ends with it.
    ///
    /// Errors: `Truncated` when more was to come.
    pub fn end(&mut self) -> Result<(), ResponseError> {
        match self.state {
            State::UntilClose | State::Done => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(ResponseError::Truncated),
        }
    }

    fn feed_head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], ResponseError> {
        // The usual case, a head in one piece, is parsed where it lies.
        if self.stash.is_empty() {
            return Ok(match self.parse_head(bytes)? {
                Some(len) => &bytes[len..],
                None => {
                    self.stash.extend_from_slice(bytes);
                    &[]
                }
            });
        }
        let before = self.stash.len();
        if before + bytes.len() > HEAD_BYTES_MAX + READ_BYTES_MAX {
            return Err(ResponseError::BadFraming);
        }
        self.stash.extend_from_slice(bytes);
        let stash = std::mem::take(&mut self.stash);
        let parsed = self.parse_head(&stash)?;
        let Some(len) = parsed else {
            self.stash = stash;
            return Ok(&[]);
        };
        Ok(&bytes[len - before..])
    }

    /// Parses a head at the start of `bytes` and returns its length, or `None` while it is incomplete.
    fn parse_head(&mut self, bytes: &[u8]) -> Result<Option<usize>, ResponseError> {
        let mut fields = [httparse::EMPTY_HEADER; 100];
        let mut head = httparse::Response::new(&mut fields);
        let len = match head.parse(bytes) {
            Ok(httparse::Status::Complete(len)) => len,
            Ok(httparse::Status::Partial) if bytes.len() <= HEAD_BYTES_MAX => return Ok(None),
            _ => return Err(ResponseError::BadFraming),
        };
        let status = head.code.ok_or(ResponseError::BadFraming)?;
        if (100..200).contains(&status) && status != 101 {
            return Ok(Some(len)); // interim: the real head follows
        }
        self.status = status;
        self.is_closing = head.version == Some(0);
        let (mut length, mut is_chunked) = (None, false);
        for field in head.headers.iter() {
            if field.name.eq_ignore_ascii_case("content-length") {
                let value = parse_length(field.value).ok_or(ResponseError::BadFraming)?;
                if length.is_some_and(|before| before != value) {
                    return Err(ResponseError::BadFraming);
                }
                length = Some(value);
            } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
                is_chunked |= field.value.eq_ignore_ascii_case(b"chunked");
            } else if field.name.eq_ignore_ascii_case("connection") {
                self.is_closing |= field.value.eq_ignore_ascii_case(b"close");
            }
        }
        self.state = match (status, is_chunked, length) {
            (101 | 204 | 304, _, _) | (_, false, Some(0)) => State::Done,
            (_, true, Some(_)) => return Err(ResponseError::BadFraming),
            (_, true, None) => State::ChunkSize,
            (_, false, Some(length)) => State::Fixed(length),
            (_, false, None) => {
                self.is_closing = true;
                State::UntilClose
            }
        };
        Ok(Some(len))
    }

    /// Counts up to `left` body bytes off `rest` and returns how many there were.
    fn take_body(&mut self, rest: &mut &[u8], left: u64) -> u64 {
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
        let (body, after) = rest.split_at(len);
        if let Some(checksum) = &mut self.checksum {
            *checksum = crc32c::crc32c_append(*checksum, body);
        }
        self.body_bytes += len as u64;
        *rest = after;
        len as u64
    }

    /// Moves bytes up to and with the next LF into the stash; true when the line is whole.
    fn take_line(&mut self, rest: &mut &[u8]) -> Result<bool, ResponseError> {
        let end = rest.iter().position(|&byte| byte == b'\n');
        let (line, after) = rest.split_at(end.map_or(rest.len(), |at| at + 1));
        if self.stash.len() + line.len() > LINE_BYTES_MAX {
            return Err(ResponseError::BadFraming);
        }
        self.stash.extend_from_slice(line);
        *rest = after;
        Ok(end.is_some())
    }

    /// A whole line between chunks is in the stash.
    fn on_line(&mut self) -> Result<(), ResponseError> {
        if !self.stash.ends_with(b"\r\n") {
            return Err(ResponseError::BadFraming);
        }
        let is_empty = self.stash.len() == 2;
        self.state = match self.state {
            State::ChunkSize => match httparse::parse_chunk_size(&self.stash) {
                Ok(httparse::Status::Complete((_, 0))) => State::Trailers,
                Ok(httparse::Status::Complete((_, len))) => State::ChunkData(len),
                _ => return Err(ResponseError::BadFraming),
            },
            State::ChunkEnd if is_empty => State::ChunkSize,
            State::Trailers if is_empty => State::Done,
            State::Trailers => State::Trailers,
            _ => return Err(ResponseError::BadFraming),
        };
        Ok(())
    }
}

/// Digits only: no sign, no list, no overflow.
fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

const HEAD_BYTES_MAX: usize = 64 * 1024;
const READ_BYTES_MAX: usize = 1024 * 1024;
const LINE_BYTES_MAX: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `bytes` in pieces of `step` and says how the response ended: consumed bytes, status, body length.
    fn read(bytes: &[u8], step: usize) -> Result<Option<(usize, u16, u64)>, ResponseError> {
        let mut response = Response::default();
        response.start(true);
        let mut consumed = 0;
        for piece in bytes.chunks(step) {
            match response.feed(piece)? {
                Progress::More => consumed += piece.len(),
                Progress::Complete(len) => {
                    return Ok(Some((consumed + len, response.status(), response.body_bytes())));
                }
            }
        }
        Ok(None)
    }

    #[test]
    fn every_split_of_a_response_reads_the_same() {
        let cases: [(&[u8], u16, u64); 5] = [
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, 5),
            (b"HTTP/1.1 204 No Content\r\n\r\n", 204, 0),
            (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", 404, 0),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=1\r\n0123456789\r\n0\r\nT: v\r\n\r\n",
                200,
                15,
            ),
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, 2),
        ];
        for (bytes, status, body) in cases {
            for step in 1..=bytes.len() {
                assert_eq!(read(bytes, step), Ok(Some((bytes.len(), status, body))), "step {step}");
            }
        }
    }

    #[test]
    fn bytes_after_the_response_are_left() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 ";
        assert_eq!(read(bytes, bytes.len()), Ok(Some((bytes.len() - 9, 200, 1))));
    }

    #[test]
    fn contradictions_are_refused() {
        for bytes in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
            b"garbage that is no head at all\r\n\r\n",
        ] {
            assert_eq!(
                read(bytes, 7),
                Err(ResponseError::BadFraming),
                "{:?}",
                String::from_utf8_lossy(bytes)
            );
        }
    }

    #[test]
    fn an_end_inside_the_body_is_truncation() {
        let mut response = Response::default();
        response.start(false);
        assert_eq!(response.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"), Ok(Progress::More));
        assert_eq!(response.end(), Err(ResponseError::Truncated));
        response.start(false);
        assert_eq!(response.feed(b"HTTP/1.1 200 OK\r\n\r\nuntil close"), Ok(Progress::More));
        assert!(response.is_closing());
        assert_eq!(response.end(), Ok(()));
        assert_eq!(response.body_bytes(), 11);
    }

    #[test]
    fn checksum_is_of_the_body_alone() {
        let mut response = Response::default();
        response.start(true);
        let bytes =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n1234\r\n5\r\n56789\r\n0\r\n\r\n";
        assert_eq!(response.feed(bytes), Ok(Progress::Complete(bytes.len())));
        // Source: the check value of CRC32C over "123456789".
        assert_eq!(response.checksum(), Some(0xe306_9283));
    }
}
