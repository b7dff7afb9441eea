//! The PROXY protocol: both versions, cut anywhere, and what is refused.

use std::net::{IpAddr, SocketAddr};

use clustercore_proto::forward::proxy::{
    Decoded, PROXY_BYTES_MAX, ProxyError, ProxyHeader, decode, encode_v1, encode_v2,
};
use proptest::prelude::*;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn tcp(source: &str, destination: &str) -> ProxyHeader {
    ProxyHeader::Tcp { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

/// A version 2 header of these bytes after the signature, the length put in.
fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let len = (body.len() as u16).to_be_bytes();
    [SIGNATURE, &[command, family], &len, body].concat()
}

const V4: &[u8] = &[192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x34, 0, 80];

fn header(input: &[u8]) -> Result<ProxyHeader, ProxyError> {
    decode(input).map(|decoded| decoded.expect("the header is whole").header)
}

#[test]
fn lines_of_version_1_are_read() {
    let table = [
        ("PROXY TCP4 192.0.2.1 10.0.0.1 4660 80\r\n", tcp("192.0.2.1:4660", "10.0.0.1:80")),
        ("PROXY TCP6 2001:db8::1 ::1 65535 0\r\n", tcp("[2001:db8::1]:65535", "[::1]:0")),
        ("PROXY UNKNOWN\r\n", ProxyHeader::Unknown),
        ("PROXY UNKNOWN whatever this is\r\n", ProxyHeader::Unknown),
    ];
    for (line, expected) in table {
        let input = format!("{line}GET / HTTP/1.1\r\n");
        assert_eq!(
            decode(input.as_bytes()),
            Ok(Some(Decoded { len: line.len(), header: expected })),
            "{line:?}"
        );
    }
}

#[test]
fn malformed_lines_are_refused() {
    for line in [
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP5 192.0.2.1 10.0.0.1 1 2\r\n",
        "PROXY tcp4 192.0.2.1 10.0.0.1 1 2\r\n",
        "PROXY TCP4  192.0.2.1 10.0.0.1 1 2\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 1 2 \r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 1\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 1 2 3\r\n",
        "PROXY TCP4 192.0.2.01 10.0.0.1 1 2\r\n",
        "PROXY TCP4 192.0.2.1 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.1 10.0.0.1 1 2\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 65536 2\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 +1 2\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 01 2\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1  2\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 1 2\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 1 2\rx",
        "PROXY TCP4 192.0.2.\u{661} 10.0.0.1 1 2\r\n",
    ] {
        assert_eq!(decode(line.as_bytes()), Err(ProxyError::Syntax), "{line:?}");
    }
}

#[test]
fn other_streams_are_refused_at_their_first_wrong_byte() {
    for input in ["G", "PROXX", "PROXY\t", "\r\n\r\nQ", "\n"] {
        assert_eq!(decode(input.as_bytes()), Err(ProxyError::NotProxy), "{input:?}");
    }
    for input in ["", "P", "PROXY", "PROXY TCP4 1", "\r\n\r\n\0", "PROXY UNKNOWN\r"] {
        assert_eq!(decode(input.as_bytes()), Ok(None), "{input:?}");
    }
}

#[test]
fn line_of_version_1_is_bounded() {
    let line = |len: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(len - 16)).into_bytes();
    assert_eq!(header(&line(107)), Ok(ProxyHeader::Unknown));
    assert_eq!(decode(&line(108)), Err(ProxyError::TooLong));
    assert_eq!(decode(&line(108)[..107]), Err(ProxyError::TooLong));
    assert_eq!(decode(&line(107)[..106]), Ok(None));
    assert_eq!(decode(&line(200)[..106]), Ok(None));
}

#[test]
fn headers_of_version_2_are_read() {
    assert_eq!(header(&v2(0x21, 0x11, V4)), Ok(tcp("192.0.2.1:4660", "10.0.0.1:80")));
    let mut v6 = [0; 36];
    (v6[15], v6[31], v6[33], v6[35]) = (1, 2, 3, 4);
    assert_eq!(header(&v2(0x21, 0x21, &v6)), Ok(tcp("[::1]:3", "[::2]:4")));
    assert_eq!(header(&v2(0x20, 0x00, b"")), Ok(ProxyHeader::Local));
    assert_eq!(header(&v2(0x20, 0x11, b"anything")), Ok(ProxyHeader::Local), "what follows LOCAL is ignored");
    assert_eq!(header(&v2(0x21, 0x00, b"anything")), Ok(ProxyHeader::Unknown));
    assert_eq!(header(&v2(0x21, 0x31, &[b'/'; 216])), Ok(ProxyHeader::Unknown));
    let with_tlvs = [V4, &[0x01, 0, 2, b'h', b'2', 0x04, 0, 0]].concat();
    let decoded = decode(&[v2(0x21, 0x11, &with_tlvs), b"GET".to_vec()].concat()).unwrap().unwrap();
    assert_eq!(decoded.len, 16 + with_tlvs.len());
}

#[test]
fn malformed_headers_of_version_2_are_refused() {
    use ProxyError::{Syntax, TooLong, Unsupported};
    let tlv = |tlv: &[u8]| v2(0x21, 0x11, &[V4, tlv].concat());
    let table = [
        (v2(0x11, 0x11, V4), Unsupported),
        (v2(0x31, 0x11, V4), Unsupported),
        (v2(0x22, 0x11, V4), Unsupported),
        (v2(0x21, 0x41, V4), Unsupported),
        (v2(0x21, 0x13, V4), Unsupported),
        (v2(0x21, 0x12, V4), Unsupported),
        (v2(0x21, 0x10, V4), Unsupported),
        (v2(0x21, 0x11, &V4[..11]), Syntax),
        (v2(0x21, 0x11, &V4[..7]), Syntax),
        (v2(0x21, 0x21, &[0; 35]), Syntax),
        (v2(0x21, 0x31, &[0; 215]), Syntax),
        (tlv(&[1]), Syntax),
        (tlv(&[1, 0, 1]), Syntax),
        (tlv(&[3, 0, 3, 0, 0, 0]), Syntax),
        (tlv(&[3, 0, 4, 0, 0, 0, 0]), ProxyError::Checksum),
        (v2(0x21, 0x11, &[0; 521]), TooLong),
    ];
    for (input, error) in table {
        assert_eq!(decode(&input), Err(error), "{input:x?}");
    }
    assert_eq!(
        decode(&v2(0x20, 0, &vec![0; PROXY_BYTES_MAX - 15])[..16]),
        Err(TooLong),
        "before it has come"
    );
}

#[test]
fn checksum_covers_the_whole_header() {
    let mut out = Vec::new();
    encode_v2(&tcp("192.0.2.1:4660", "10.0.0.1:80"), true, &mut out);
    assert_eq!(header(&out), Ok(tcp("192.0.2.1:4660", "10.0.0.1:80")));
    let at = out.len() - 4;
    let zeroed = [&out[..at], &[0; 4]].concat();
    assert_eq!(out[at..], slow_crc32c(&zeroed).to_be_bytes());
    // Byte 28 is the type of the checksum's own TLV: with another type there is no checksum.
    for at in (16..out.len()).filter(|at| *at != 28) {
        let mut broken = out.clone();
        broken[at] ^= 0x40;
        assert!(decode(&broken).is_err(), "bit flipped in byte {at}");
    }
}

/// CRC32C bit by bit. The check value of the catalogues is that of "123456789".
fn slow_crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8)
            .fold(crc ^ u32::from(*byte), |crc: u32, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    })
}

#[test]
fn slow_checksum_has_the_published_check_value() {
    assert_eq!(slow_crc32c(b"123456789"), 0xe306_9283);
}

#[test]
fn mixed_families_are_written_as_ipv6() {
    let mixed = tcp("192.0.2.1:1", "[::1]:2");
    let expected = tcp("[::ffff:192.0.2.1]:1", "[::1]:2");
    let mut out = Vec::new();
    encode_v1(&mixed, &mut out);
    assert_eq!(header(&out), Ok(expected));
    out.clear();
    encode_v2(&mixed, false, &mut out);
    assert_eq!(header(&out), Ok(expected));
}

fn headers() -> impl Strategy<Value = ProxyHeader> {
    let v4 = any::<([u8; 4], [u8; 4])>().prop_map(|(from, to)| (IpAddr::from(from), IpAddr::from(to)));
    let v6 = any::<([u8; 16], [u8; 16])>().prop_map(|(from, to)| (IpAddr::from(from), IpAddr::from(to)));
    let tcp = (prop_oneof![v4, v6], any::<(u16, u16)>()).prop_map(|((from, to), ports)| ProxyHeader::Tcp {
        source: SocketAddr::new(from, ports.0),
        destination: SocketAddr::new(to, ports.1),
    });
    prop_oneof![4 => tcp, 1 => Just(ProxyHeader::Local), 1 => Just(ProxyHeader::Unknown)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn encoding_and_decoding_agree(header in headers(), version_1: bool, checksum: bool) {
        let mut out = Vec::new();
        if version_1 {
            encode_v1(&header, &mut out);
        } else {
            encode_v2(&header, checksum, &mut out);
        }
        let len = out.len();
        for cut in 0..len {
            prop_assert_eq!(decode(&out[..cut]), Ok(None));
        }
        out.extend_from_slice(b"GET");
        let expected = if version_1 && header == ProxyHeader::Local { ProxyHeader::Unknown } else { header };
        prop_assert_eq!(decode(&out), Ok(Some(Decoded { len, header: expected })));
    }

    #[test]
    fn random_bytes_never_panic(
        version_2: bool,
        input in prop::collection::vec(any::<u8>(), 0..80),
        family in prop::sample::select(vec![0u8, 0x11, 0x21, 0x31]),
        len in 0u8..70,
    ) {
        let input = if version_2 {
            [SIGNATURE, &[0x21, family, 0, len], &input].concat()
        } else {
            [b"PROXY TCP4 ".as_slice(), &input].concat()
        };
        let _ = decode(&input);
    }
}
