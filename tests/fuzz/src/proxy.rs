//! What holds for every PROXY header; see [`check`].

use clustercore_proto::forward::proxy::{
    Decoded, PROXY_BYTES_MAX, ProxyHeader, decode, encode_v1, encode_v2,
};

/// A header that decodes is incomplete at every shorter length, bounded, and survives both encodings.
/// Returns what it says.
pub fn check(input: &[u8]) -> Option<ProxyHeader> {
    let verdict = decode(input);
    let Ok(Some(Decoded { len, header })) = verdict else {
        // Never undecided for longer than a header can be.
        assert!(verdict != Ok(None) || input.len() < PROXY_BYTES_MAX);
        return None;
    };
    assert!(len <= PROXY_BYTES_MAX);
    for cut in 0..len {
        assert_eq!(decode(&input[..cut]), Ok(None), "cut at {cut}");
    }
    let mut out = Vec::new();
    encode_v1(&header, &mut out);
    let said = if header == ProxyHeader::Local { ProxyHeader::Unknown } else { header };
    assert_eq!(decode(&out), Ok(Some(Decoded { len: out.len(), header: said })));
    for checksum in [false, true] {
        out.clear();
        encode_v2(&header, checksum, &mut out);
        assert_eq!(decode(&out), Ok(Some(Decoded { len: out.len(), header })));
    }
    Some(header)
}
