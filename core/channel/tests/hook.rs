//! Targets of web hooks: the inputs of `tests/fuzz/corpus` permit or do not as their names say, and generated ones break nothing.

use proptest::prelude::*;
use std::path::PathBuf;

#[path = "../../../tests/fuzz/src/hook.rs"]
mod hook;

#[test]
fn inputs_of_the_corpus() {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../../tests/fuzz/corpus/hook"].iter().collect();
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let is_good = hook::check(&std::fs::read(&path).unwrap());
        assert!(!name.starts_with("good") || is_good, "{name} does not permit");
        assert!(!name.starts_with("bad") || !is_good, "{name} permits");
        count += 1;
    }
    assert!(count >= 12, "{count} inputs in {}", folder.display());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn targets_mean_the_same_however_it_is_cut(
        piece in 1u8..60,
        parts in prop::collection::vec(prop::sample::select(PARTS.to_vec()), 0..10),
    ) {
        let mut input = vec![piece];
        parts.iter().for_each(|part| input.extend_from_slice(part.as_bytes()));
        hook::check(&input);
    }

    #[test]
    fn bytes_break_nothing(input in prop::collection::vec(any::<u8>(), 0..200)) {
        hook::check(&input);
    }
}

const PARTS: [&str; 16] = [
    "HTTP/1.1 200 OK\r\nWebHook-Allowed-Origin: *\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nWebHook-Allowed-Origin: clustercore\r\nWebHook-Allowed-Rate: 60\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\nX: y\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 429 Later\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 503 Later\r\nRetry-After: 99999999999999999999\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 415 Format\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 500 Oops\r\nConnection: close\r\n\r\nwords",
    "HTTP/1.0 200 OK\r\n\r\n",
    "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
    "\r\n",
    "x",
    "HTTP/1.1 400 Bad\r\nContent-Length: 3\r\n\r\nbad",
];
