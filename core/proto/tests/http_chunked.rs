//! Chunked bodies: the scanner against a table and against a slow, obvious decoder.

use clustercore_proto::forward::http::{
    BodyCursor, CHUNK_EXTENSION_BYTES_MAX, CHUNK_EXTENSIONS_BYTES_MAX, ChunkError, ChunkScanner, Framing,
    HeadLimits, Scan, Taken,
};
use proptest::prelude::*;

fn limits() -> HeadLimits {
    HeadLimits::default()
}

fn scan(input: &[u8]) -> Result<Scan, ChunkError> {
    ChunkScanner::new(&limits()).scan(input)
}

/// Data, whether the body ended, and the bytes consumed, taken piece by piece as a forwarder does.
fn data(input: &[u8], piece: usize) -> Result<(Vec<u8>, bool, usize), ChunkError> {
    let mut scanner = ChunkScanner::new(&limits());
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
fn obvious(input: &[u8]) -> Option<(Vec<u8>, usize)> {
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

#[test]
fn whole_bodies_end_where_they_say() {
    for body in [
        "0\r\n\r\n",
        "000\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "A\r\n0123456789\r\n1\r\n\n\r\n0\r\n\r\n",
        "5;a\r\nhello\r\n0;b=c;d=\"e;\\\"f\"\r\n\r\n",
        "0\r\nSum: 1\r\nX-Y:\r\nZ: \t a\u{e9}\r\n\r\n",
        "0000000000000005\r\nhello\r\n0\r\n\r\n",
    ] {
        let input = format!("{body}GET");
        assert_eq!(scan(input.as_bytes()), Ok(Scan { consumed: body.len(), done: true }), "{body:?}");
        assert_eq!(obvious(input.as_bytes()).map(|(_, len)| len), Some(body.len()), "{body:?}");
    }
}

#[test]
fn malformed_bodies_are_refused() {
    use ChunkError::*;
    let long = "1".repeat(17);
    let table = [
        ("\r\n", Size),
        (";a\r\n", Size),
        ("g\r\n", Size),
        ("-5\r\n", Size),
        ("+5\r\n", Size),
        ("0x5\r\n", Size),
        (" 5\r\n", Size),
        ("5 \r\n", Size),
        ("5 ;a\r\n", Size),
        ("5\t\r\n", Size),
        ("5_0\r\n", Size),
        (long.as_str(), SizeOverflow),
        ("00000000000000000\r\n", SizeOverflow),
        ("5\n", BareLineEnd),
        ("5\rh", BareLineEnd),
        ("5\r\r\n", BareLineEnd),
        ("5;a\n", BareLineEnd),
        ("5;a=\"\n", BareLineEnd),
        ("5;\r\n", Extension),
        ("5;;a\r\n", Extension),
        ("5; a\r\n", Extension),
        ("5;a =b\r\n", Extension),
        ("5;a=\r\n", Extension),
        ("5;a=;b\r\n", Extension),
        ("5;=b\r\n", Extension),
        ("5;a=\"b\r\n", Extension),
        ("5;a=\"b\"c\r\n", Extension),
        ("5;a=\"\\\r\n", Extension),
        ("5;a=b\"c\r\n", Extension),
        ("5;\0\r\n", Extension),
        ("5\r\nhello0\r\n", DataEnd),
        ("5\r\nhello\n", DataEnd),
        ("5\r\nhello\r0", BareLineEnd),
        ("0\r\nA: b\n", BareLineEnd),
        ("0\r\nA: b\rc", BareLineEnd),
        ("0\r\n\n", BareLineEnd),
        ("0\r\n\rA", BareLineEnd),
        ("0\r\nA\r\n", Trailer),
        ("0\r\nA : b\r\n", Trailer),
        ("0\r\n A: b\r\n", Trailer),
        ("0\r\nA: b\r\n folded\r\n", Trailer),
        ("0\r\n: b\r\n", Trailer),
        ("0\r\nA: \0\r\n", Trailer),
        ("0\r\nGET / HTTP/1.1\r\n", Trailer),
        ("0\r\nContent-Length: 5\r\n", TrailerForbidden),
        ("0\r\nTRANSFER-ENCODING: chunked\r\n", TrailerForbidden),
        ("0\r\ntransfer_encoding: chunked\r\n", TrailerForbidden),
        ("0\r\nHost: h\r\n", TrailerForbidden),
        ("0\r\nX-Forwarded-For: 1.1.1.1\r\n", TrailerForbidden),
        ("0\r\nX-Forwarded-Anything-Of-This-Kind: 1\r\n", TrailerForbidden),
        ("0\r\nAuthorization: x\r\n", TrailerForbidden),
        ("0\r\nProxy-Authorization: x\r\n", TrailerForbidden),
        ("0\r\nIf-Unmodified-Since: x\r\n", TrailerForbidden),
        ("0\r\nOk: 1\r\nSet-Cookie: x\r\n", TrailerForbidden),
    ];
    for (body, error) in table {
        assert_eq!(scan(body.as_bytes()), Err(error), "{body:?}");
        assert_eq!(obvious(body.as_bytes()), None, "{body:?}");
    }
}

#[test]
fn names_that_only_start_like_forbidden_ones_are_fine() {
    for name in ["Hosts", "Content-Length-Hint", "If-Unmodified-Since-", "Proxy-Authorizations", "X-Forward"]
    {
        let body = format!("0\r\n{name}: x\r\n\r\n");
        assert_eq!(scan(body.as_bytes()), Ok(Scan { consumed: body.len(), done: true }), "{name}");
    }
}

#[test]
fn largest_size_does_not_overflow() {
    let mut scanner = ChunkScanner::new(&limits());
    scanner.scan(b"ffffffffffffffff\r\nab").unwrap();
    assert_eq!(scanner.data_remaining(), u64::MAX - 2);
    scanner.skip_data(u64::MAX - 2);
    assert_eq!(scanner.scan(b"\r\n0\r\n\r\n"), Ok(Scan { consumed: 7, done: true }));
}

#[test]
fn extensions_are_bounded_per_line_and_per_body() {
    let line = |len: u32| format!("1;{}\r\na\r\n", "x".repeat(len as usize - 1));
    assert!(scan(line(CHUNK_EXTENSION_BYTES_MAX).as_bytes()).is_ok());
    assert_eq!(scan(line(CHUNK_EXTENSION_BYTES_MAX + 1).as_bytes()), Err(ChunkError::ExtensionTooLarge));
    let lines = (CHUNK_EXTENSIONS_BYTES_MAX / 512) as usize;
    assert!(scan(line(512).repeat(lines).as_bytes()).is_ok());
    assert_eq!(scan(line(512).repeat(lines + 1).as_bytes()), Err(ChunkError::ExtensionTooLarge));
}

#[test]
fn trailers_have_the_bounds_of_a_head() {
    let limits = HeadLimits { head_bytes_max: 20, headers_max: 2, target_bytes_max: 1 };
    let run = |body: &str| ChunkScanner::new(&limits).scan(body.as_bytes()).map(|scan| scan.done);
    assert_eq!(run("0\r\nA: b\r\nC: d\r\n\r\n"), Ok(true));
    assert_eq!(run("0\r\nA:\r\nB:\r\nC:\r\n\r\n"), Err(ChunkError::TrailersTooLarge));
    assert_eq!(run("0\r\nA: 01234567890123456789\r\n\r\n"), Err(ChunkError::TrailersTooLarge));
}

#[test]
fn cursor_leaves_the_next_message_alone() {
    let mut body = BodyCursor::new(Framing::Chunked, &limits());
    assert_eq!(body.take(b"2\r\nab\r\n0\r\n"), Ok(Taken { len: 10, done: false }));
    assert!(!body.on_close(), "the end of the stream here would cut the body off");
    assert_eq!(body.take(b"\r\nGET"), Ok(Taken { len: 2, done: true }));
    assert_eq!(body.take(b"GET"), Ok(Taken { len: 0, done: true }));
    assert_eq!(body.remaining_hint(), Some(0));
}

/// Bodies that are mostly well-formed, so that errors are found deep inside too.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => (1usize..40).prop_map(|len| format!("{len:x}\r\n{}\r\n", "d".repeat(len)).into_bytes()),
        2 => prop_oneof![
            Just("5;a=b\r\nhello\r\n"), Just("1;q=\"x\\\"y\"\r\nz\r\n"), Just("0\r\n"), Just("0\r\n\r\n"),
            Just("Sum: 1\r\n"), Just("Host: h\r\n"), Just("\r\n"), Just("\n"), Just("\r"), Just(";"), Just("F"),
        ].prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| {
        let mut body = pieces.concat();
        body.extend_from_slice(b"0\r\nSum: 2\r\n\r\nnext");
        body
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn scanner_equals_the_obvious_decoder(body in bodies()) {
        let whole = data(&body, usize::MAX);
        // The obvious decoder reads lines as text; a body with other bytes in its lines is not for it.
        if body.is_ascii() {
            match obvious(&body) {
                Some((bytes, len)) => prop_assert_eq!(whole.clone(), Ok((bytes, true, len))),
                None => prop_assert!(!matches!(whole, Ok((_, true, _)))),
            }
        }
        let scanned = scan(&body).map(|scan| (scan.consumed, scan.done));
        prop_assert_eq!(scanned, whole.map(|(_, done, consumed)| (consumed, done)));
    }

    #[test]
    fn cutting_changes_nothing(body in bodies(), piece in 1usize..9) {
        prop_assert_eq!(data(&body, piece), data(&body, usize::MAX));
    }

    #[test]
    fn random_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = scan(&body);
    }
}
