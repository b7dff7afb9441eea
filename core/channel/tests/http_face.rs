//! Connections to channels over HTTP: the inputs of `tests/fuzz/corpus` are answered or refused as their names say, and
//! generated ones are answered alike however they are cut.

use proptest::prelude::*;
use std::path::PathBuf;

#[path = "../../../tests/fuzz/src/http_face.rs"]
mod http_face;

#[test]
fn inputs_of_the_corpus() {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../../tests/fuzz/corpus/http_face"].iter().collect();
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let is_good = http_face::check(&std::fs::read(&path).unwrap());
        assert!(!name.starts_with("good") || is_good, "{name} was refused");
        assert!(!name.starts_with("bad") || !is_good, "{name} was not refused");
        count += 1;
    }
    assert!(count >= 15, "{count} inputs in {}", folder.display());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn requests_are_answered_alike_however_they_are_cut(
        piece in 1u8..40,
        parts in prop::collection::vec(prop::sample::select(PARTS.to_vec()), 0..12),
    ) {
        let mut input = vec![piece];
        parts.iter().for_each(|part| input.extend_from_slice(part.as_bytes()));
        http_face::check(&input);
    }

    #[test]
    fn bytes_break_nothing(input in prop::collection::vec(any::<u8>(), 0..200)) {
        http_face::check(&input);
    }
}

const PARTS: [&str; 14] = [
    "GET /events HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /events?wait=1 HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /channels/default HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nce-specversion: 1.0\r\nce-id: 1\r\nce-source: s\r\nce-type: t\r\nContent-Length: 2\r\n\r\nhi",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/cloudevents-batch+json\r\nContent-Length: 2\r\n\r\n[]",
    "PUT /channels/a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
    "DELETE /channels/a HTTP/1.1\r\nHost: h\r\n\r\n",
    "PUT /channels/a/consumers/c HTTP/1.1\r\nHost: h\r\nContent-Length: 26\r\n\r\n{\"qos\":{\"length_max\":2  }}}",
    "DELETE /channels/default/consumers/default HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST /channels/default/acknowledge HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "OPTIONS /events HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /channels HTTP/1.0\r\n\r\n",
    "\r\n",
    "x",
];
