//! Runs the inputs of `tests/fuzz/corpus` through the checks of their fuzz targets.

use std::path::PathBuf;

#[path = "../../../tests/fuzz/src/chunks.rs"]
mod chunks;
#[path = "../../../tests/fuzz/src/heads.rs"]
mod heads;
#[path = "../../../tests/fuzz/src/job.rs"]
mod job;
#[path = "../../../tests/fuzz/src/proxy.rs"]
mod proxy;

/// Gives each input of a target to `check`, which says whether the input was taken for good; then compares how
/// many were with how many names begin with `good`.
fn replay(target: &str, check: impl Fn(&[u8]) -> bool) {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../../tests/fuzz/corpus", target].iter().collect();
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let is_good = check(&std::fs::read(&path).unwrap());
        assert!(!name.starts_with("good") || is_good, "{name} was refused");
        assert!(!name.starts_with("bad") || !is_good, "{name} was taken");
        count += 1;
    }
    assert!(count >= 8, "{count} inputs in {}", folder.display());
}

#[test]
fn request_heads() {
    replay("request_head", |input| {
        let (choice, head) = input.split_first().unwrap();
        matches!(heads::check_request(head, choice & 1 != 0), Ok(Some(_)))
    });
}

#[test]
fn response_heads() {
    replay("response_head", |input| {
        let (choice, head) = input.split_first().unwrap();
        matches!(heads::check_response(head, &heads::request_plan(*choice)), Ok(Some(_)))
    });
}

#[test]
fn chunked_bodies() {
    replay("chunked", |input| {
        let (piece, body) = input.split_first().unwrap();
        chunks::check(body, usize::from(*piece).max(1));
        chunks::obvious(body).is_some()
    });
}

#[test]
fn proxy_headers() {
    replay("proxy", |input| proxy::check(input).is_some());
}

#[test]
fn job_messages() {
    replay("job_message", job::check);
}
