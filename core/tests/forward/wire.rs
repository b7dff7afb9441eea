//! One end of a connection as a person would read it: slow, plain, and strict about where a message ends.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// A blocking socket and what was read from it too early.
pub struct Wire {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

/// A message, read to its end.
#[derive(Clone, Default)]
pub struct Message {
    /// First line and fields, without the empty line.
    pub head: String,
    /// The content, without chunks.
    pub body: Vec<u8>,
    /// The trailer section of a chunked body.
    pub trailers: String,
}

/// How a connection ended where more was expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    /// A clean end (FIN).
    End,
    /// A reset.
    Reset,
}

impl Wire {
    pub fn connect(address: SocketAddr) -> Wire {
        Wire::new(TcpStream::connect(address).expect("the other side listens"))
    }

    pub fn new(stream: TcpStream) -> Wire {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream.set_nodelay(true).expect("an option can be set");
        Wire { stream, buffer: Vec::new() }
    }

    /// Sends, and expects that to go well.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the other side reads");
    }

    /// Sends as far as the other side lets us.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// No more from this side.
    pub fn finish_sending(&self) {
        self.stream.shutdown(Shutdown::Write).expect("the connection is open");
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO))
            .expect("an option can be set");
    }

    /// Reads a little more. `false`: nothing comes after this.
    #[track_caller]
    fn fill(&mut self) -> Result<(), Cut> {
        let mut piece = [0; 64 << 10];
        match self.stream.read(&mut piece) {
            Ok(0) => Err(Cut::End),
            Ok(len) => {
                self.buffer.extend_from_slice(&piece[..len]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Err(Cut::Reset),
            Err(error) => panic!(
                "{error} while reading; {} bytes before: {:?}",
                self.buffer.len(),
                String::from_utf8_lossy(&self.buffer[..self.buffer.len().min(200)])
            ),
        }
    }

    /// Exactly `len` bytes.
    #[track_caller]
    pub fn bytes(&mut self, len: usize) -> Result<Vec<u8>, Cut> {
        self.buffer.reserve(len.saturating_sub(self.buffer.len()));
        while self.buffer.len() < len {
            self.fill()?;
        }
        let rest = self.buffer.split_off(len);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    /// Everything until the end, and which end it was.
    #[track_caller]
    pub fn rest(&mut self) -> (Vec<u8>, Cut) {
        loop {
            if let Err(cut) = self.fill() {
                return (std::mem::take(&mut self.buffer), cut);
            }
        }
    }

    /// Whether nothing has come for this long.
    pub fn is_silent_for(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).expect("a timeout can be set");
        let silent = self.buffer.is_empty()
            && matches!(self.stream.peek(&mut [0; 1]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
        self.stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        silent
    }

    fn line(&mut self) -> Result<String, Cut> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line = self.bytes(at + 2)?;
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            self.fill()?;
        }
    }

    /// The next head, without its empty line.
    #[track_caller]
    pub fn head(&mut self) -> Result<Message, Cut> {
        let mut seen: usize = 0;
        loop {
            let from = seen.saturating_sub(3);
            if let Some(at) = self.buffer[from..].windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.bytes(from + at + 4)?;
                let head = String::from_utf8_lossy(&head[..from + at]).into_owned();
                return Ok(Message { head, ..Message::default() });
            }
            seen = self.buffer.len();
            self.fill()?;
        }
    }

    fn body(&mut self, message: &mut Message) -> Result<bool, Cut> {
        if message.fields("transfer-encoding").iter().any(|value| value.eq_ignore_ascii_case("chunked")) {
            loop {
                let line = self.line()?;
                let digits = line.split(';').next().unwrap_or_default();
                let len = usize::from_str_radix(digits, 16).expect("a chunk starts with its size");
                if len == 0 {
                    break;
                }
                message.body.extend_from_slice(&self.bytes(len)?);
                assert_eq!(self.bytes(2)?, b"\r\n", "a chunk ends with a line end");
            }
            loop {
                let line = self.line()?;
                if line.is_empty() {
                    return Ok(true);
                }
                message.trailers.push_str(&line);
                message.trailers.push('\n');
            }
        }
        if let Some(length) = message.field("content-length") {
            message.body = self.bytes(length.parse().expect("a length is a number"))?;
            return Ok(true);
        }
        Ok(false)
    }

    /// The next request, or how the connection ended.
    #[track_caller]
    pub fn request(&mut self) -> Result<Message, Cut> {
        let mut message = self.head()?;
        self.body(&mut message)?;
        Ok(message)
    }

    /// The next response, interim ones too; `method` is what it answers. One that ends with its connection is whole only when that end is clean.
    #[track_caller]
    pub fn response_to(&mut self, method: &str) -> Result<Message, Cut> {
        let mut message = self.head()?;
        let bodiless = method == "HEAD" || matches!(message.status(), 100..200 | 204 | 304);
        if !bodiless && !self.body(&mut message)? {
            let (body, cut) = self.rest();
            message.body = body;
            if cut == Cut::Reset {
                return Err(cut);
            }
        }
        Ok(message)
    }

    /// The response to a GET, which must be whole.
    #[track_caller]
    pub fn response(&mut self) -> Message {
        match self.response_to("GET") {
            Ok(message) => message,
            Err(cut) => panic!("no whole response: {cut:?}"),
        }
    }

    /// A GET and its response.
    #[track_caller]
    pub fn get(&mut self, path: &str) -> Message {
        self.send(get(path));
        self.response()
    }

    /// The other side ends the connection cleanly and says nothing more.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let (rest, cut) = self.rest();
        assert_eq!((String::from_utf8_lossy(&rest).as_ref(), cut), ("", Cut::End));
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} and {} bytes", self.head, self.body.len())
    }
}

impl Message {
    /// The status of a response.
    #[track_caller]
    pub fn status(&self) -> u16 {
        let status = self.head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        status
            .and_then(|digits| digits.parse().ok())
            .unwrap_or_else(|| panic!("no response: {:?}", self.head))
    }

    /// The first line.
    pub fn first(&self) -> &str {
        self.head.split("\r\n").next().unwrap_or_default()
    }

    /// All values of a field.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        let lines = self.head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    /// The first value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields(name).first().copied()
    }
}

/// A plain GET.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
}

/// A POST with a body of known length.
pub fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let mut out =
        format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    out.extend_from_slice(body);
    out
}

/// A response with a body of known length.
pub fn answer(body: &[u8]) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    out.extend_from_slice(body);
    out
}

/// Content as chunks of `size` bytes, the last one included.
pub fn chunked(content: &[u8], size: usize, trailers: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + content.len() / size * 12 + 64);
    for chunk in content.chunks(size) {
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n");
    out.extend_from_slice(trailers.as_bytes());
    out.extend_from_slice(b"\r\n");
    out
}

/// `len` bytes that do not repeat soon, other ones for every `id`.
pub fn content(id: u64, len: usize) -> Vec<u8> {
    let mut state = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(len);
    out
}

/// Bytes compared without printing megabytes.
#[track_caller]
pub fn assert_same(found: &[u8], wanted: &[u8]) {
    assert_eq!(found.len(), wanted.len(), "bytes in all");
    if let Some(at) = (0..found.len()).find(|at| found[*at] != wanted[*at]) {
        panic!("byte {at} of {} is {}, not {}", wanted.len(), found[at], wanted[at]);
    }
}

/// Waits end here, with a panic.
pub const PATIENCE: Duration = Duration::from_secs(10);
