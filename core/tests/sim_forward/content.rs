//! What requests and responses are made of, so that every byte can be checked from the request's number.

use clustercore::proto::random::Random;

/// The content of message `id`, `len` bytes.
pub fn content(id: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (id.wrapping_mul(31).wrapping_add(at * 7).wrapping_add(at >> 8)) as u8).collect()
}

/// Content as chunks of random sizes, with an extension and a trailer now and then.
pub fn chunked(content: &[u8], random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < content.len() {
        let len = (1 + random.below(3000) as usize).min(content.len() - at);
        let extension = if random.below(4) == 0 { ";a=b" } else { "" };
        out.extend_from_slice(format!("{len:x}{extension}\r\n").as_bytes());
        out.extend_from_slice(&content[at..at + len]);
        out.extend_from_slice(b"\r\n");
        at += len;
    }
    out.extend_from_slice(b"0\r\n");
    if random.below(4) == 0 {
        out.extend_from_slice(b"X-Sum: 1\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// A message read so far: a plain, slow reader that the code under test shares nothing with.
#[derive(Debug, PartialEq)]
pub enum Read {
    /// More bytes are needed.
    Incomplete,
    /// First line, body, and how many bytes it took.
    Whole(String, Vec<u8>, usize),
}

/// Reads one message at the start of `input`. `bodiless` responses have no body; `ended` tells that no more bytes come.
pub fn read(input: &[u8], bodiless: bool, request: bool, ended: bool) -> Result<Read, String> {
    let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(Read::Incomplete);
    };
    let head = String::from_utf8(input[..end].to_vec()).map_err(|_| "the head is not text".to_string())?;
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default().to_string();
    let field = |name: &str| {
        let wanted = format!("{name}:");
        head.split("\r\n")
            .skip(1)
            .find(|line| line.to_ascii_lowercase().starts_with(&wanted))
            .map(|line| line[wanted.len()..].trim().to_string())
    };
    let at = end + 4;
    let interim = first.starts_with("HTTP/1.1 1");
    if bodiless || interim {
        return Ok(Read::Whole(first, Vec::new(), at));
    }
    if field("transfer-encoding").is_some_and(|value| value == "chunked") {
        return read_chunks(input, at).map(|read| match read {
            Some((body, used)) => Read::Whole(first, body, used),
            None => Read::Incomplete,
        });
    }
    if let Some(length) = field("content-length") {
        let length: usize = length.parse().map_err(|_| format!("length {length:?}"))?;
        if input.len() < at + length {
            return Ok(Read::Incomplete);
        }
        return Ok(Read::Whole(first, input[at..at + length].to_vec(), at + length));
    }
    if request {
        return Ok(Read::Whole(first, Vec::new(), at));
    }
    if ended { Ok(Read::Whole(first, input[at..].to_vec(), input.len())) } else { Ok(Read::Incomplete) }
}

fn read_chunks(input: &[u8], mut at: usize) -> Result<Option<(Vec<u8>, usize)>, String> {
    let mut body = Vec::new();
    loop {
        let Some(end) = input[at..].windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
        let line = String::from_utf8_lossy(&input[at..at + end]).into_owned();
        let digits = line.split(';').next().unwrap_or_default();
        let len = usize::from_str_radix(digits, 16).map_err(|_| format!("chunk size {line:?}"))?;
        at += end + 2;
        if len == 0 {
            loop {
                let Some(end) = input[at..].windows(2).position(|two| two == b"\r\n") else {
                    return Ok(None);
                };
                at += end + 2;
                if end == 0 {
                    return Ok(Some((body, at)));
                }
            }
        }
        if input.len() < at + len + 2 {
            return Ok(None);
        }
        body.extend_from_slice(&input[at..at + len]);
        if &input[at + len..at + len + 2] != b"\r\n" {
            return Err("no line end after a chunk".into());
        }
        at += len + 2;
    }
}
