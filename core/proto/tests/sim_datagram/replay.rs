//! Inputs of fuzz targets for plain tests: those that are kept, and those from fixed seeds.

use clustercore_proto::random::Random;
use std::path::PathBuf;

/// Gives each input of a target to `check`, which says whether it was taken for good; names that begin with `good` or `bad` say what
/// is expected.
pub fn replay(target: &str, check: impl Fn(&[u8]) -> bool) {
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
    assert!(count >= 4, "{count} inputs in {}", folder.display());
}

/// Inputs from seeds: half of them bytes, half of them small numbers, which reach further.
pub fn generate(count: u64, len_max: u64, mut check: impl FnMut(&[u8])) {
    for seed in 0..count {
        let mut random = Random::new(seed);
        let bound = if seed % 2 == 0 { 256 } else { 16 };
        let len = random.below(len_max);
        let input: Vec<u8> = (0..len).map(|_| random.below(bound) as u8).collect();
        check(&input);
    }
}
