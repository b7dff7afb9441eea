//! Chunked bodies: the scanner against a table and against a slow, obvious decoder.

use clustercore_proto::forward::http::{
    BodyCursor, CHUNK_EXTENSION_BYTES_MAX, CHUNK_EXTENSIONS_BYTES_MAX, ChunkError, ChunkScanner, Framing,
    HeadLimits, Scan, Taken,
};
use proptest::prelude::*;

#[path = "../../../tests/fuzz/src/chunks.rs"]
mod chunks;

use chunks::obvious;

fn limits() -> HeadLimits {
    HeadLimits::default()
}

fn scan(input: &[u8]) -> Result<Scan, ChunkError> {
    ChunkScanner::new(&limits()).scan(input)
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
    fn scanner_equals_the_obvious_decoder_however_cut(body in bodies(), piece in 1usize..9) {
        chunks::check(&body, piece);
    }

    #[test]
    fn random_bytes_give_the_same_too(body in prop::collection::vec(any::<u8>(), 0..200)) {
        chunks::check(&body, 1);
    }
}
