//! What holds for every chunked body; see [`check`].

use clustercore_proto::forward::http::{ChunkError, ChunkScanner, HeadLimits, Scan};

/// The scanner and the data reader agree with each other, with an obvious decoder, and with themselves when
/// the body comes in pieces of `piece` bytes.
pub fn check(body: &[u8], piece: usize) {
    let whole = data(body, usize::MAX);
    // The obvious decoder reads lines as text; a body with other bytes in its lines is not for it.
    if body.is_ascii() {
        match obvious(body) {
            Some((bytes, len)) => assert_eq!(whole, Ok((bytes, true, len))),
            None => assert!(!matches!(whole, Ok((_, true, _))), "{whole:?}"),
        }
    }
    let scanned = ChunkScanner::new(&HeadLimits::default()).scan(body);
    assert_eq!(scanned, whole.clone().map(|(_, done, consumed)| Scan { consumed, done }));
    assert_eq!(data(body, piece), whole);
}

/// Data, whether the body ended, and the bytes consumed, taken piece by piece as a forwarder does.
fn data(input: &[u8], piece: usize) -> Result<(Vec<u8>, bool, usize), ChunkError> {
    let mut scanner = ChunkScanner::new(&HeadLimits::default());
    let (mut data, mut consumed) = (Vec::new(), 0);
    for part in input.chunks(piece.max(1)) {
        let mut at = 0;
        while at < part.len() && !scanner.is_done() {
            let step = scanner.next_data(&part[at..])?;
            data.extend_from_slice(&part[at..][step.data]);
            at += step.consumed;
        }
        consumed += at;
    }
    Ok((data, scanner.is_done(), consumed))
}

/// The grammar of RFC 9112, 7.1, read from a whole body, with our refusals. `None`: malformed or not whole.
pub fn obvious(input: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut data = Vec::new();
    let mut at = 0;
    let line = |at: usize| {
        let end = at + input[at..].windows(2).position(|pair| pair == b"\r\n")?;
        std::str::from_utf8(&input[at..end]).ok().map(|line| (line, end + 2))
    };
    loop {
        let (size_line, next) = line(at)?;
        let (digits, extension) = size_line.split_at(size_line.find(';').unwrap_or(size_line.len()));
        let plain = (1..=16).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !plain || !extensions_are_fine(extension) {
            return None;
        }
        let size = usize::try_from(u64::from_str_radix(digits, 16).ok()?).ok()?;
        at = next;
        if size == 0 {
            break;
        }
        data.extend_from_slice(input.get(at..at.checked_add(size)?)?);
        at += size;
        if input.get(at..at + 2)? != b"\r\n" {
            return None;
        }
        at += 2;
    }
    loop {
        let (trailer, next) = line(at)?;
        at = next;
        if trailer.is_empty() {
            return Some((data, at));
        }
        let (name, value) = trailer.split_once(':')?;
        let fine = !name.is_empty()
            && name.bytes().all(is_tchar)
            && value.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
            && !["content-length", "host", "te"].contains(&name.to_lowercase().replace('_', "-").as_str());
        if !fine {
            return None;
        }
    }
}

/// Takes `;name`, `;name=token` and `;name="quoted"` off the front until nothing is left.
fn extensions_are_fine(mut rest: &str) -> bool {
    let token_end =
        |text: &str| text.find(|c: char| !c.is_ascii() || !is_tchar(c as u8)).unwrap_or(text.len());
    while !rest.is_empty() {
        let Some(after) = rest.strip_prefix(';') else { return false };
        let end = token_end(after);
        if end == 0 {
            return false;
        }
        rest = &after[end..];
        let Some(value) = rest.strip_prefix('=') else { continue };
        if let Some(quoted) = value.strip_prefix('"') {
            let mut escaped = false;
            let Some(close) = quoted.find(|c| {
                let closes = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                closes
            }) else {
                return false;
            };
            if quoted[..close].bytes().any(|byte| byte == 0x7f || (byte < b' ' && byte != b'\t')) {
                return false;
            }
            rest = &quoted[close + 1..];
        } else {
            let end = token_end(value);
            if end == 0 {
                return false;
            }
            rest = &value[end..];
        }
    }
    true
}

fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
