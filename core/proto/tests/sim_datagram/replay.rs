//! What simulations and fuzz targets are run with: seeds, kept inputs, generated ones.

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

/// Runs a script of the test `target` with each seed: the one of `CLUSTERCORE_SEED`, or those from `CLUSTERCORE_SEED_FIRST` (0) on, as
/// many as `CLUSTERCORE_SEEDS` says. What came of them; `None` for one seed alone, of which too little is known to be judged.
pub fn seeds<T: std::fmt::Debug>(target: &str, count: u64, run: impl Fn(u64) -> T) -> Option<Vec<T>> {
    let number = |name: &str| {
        let value = std::env::var(name).ok()?;
        Some(value.parse::<u64>().unwrap_or_else(|_| panic!("{name} is {value:?}, not a number")))
    };
    if let Some(seed) = number("CLUSTERCORE_SEED") {
        println!("seed {seed}: {:?}", run(seed));
        return None;
    }
    let first = number("CLUSTERCORE_SEED_FIRST").unwrap_or(0);
    let count = number("CLUSTERCORE_SEEDS").unwrap_or(count);
    let outcomes = (first..first + count).map(|seed| {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(seed)));
        outcome.unwrap_or_else(|_| {
            panic!("seed {seed} failed; again: CLUSTERCORE_SEED={seed} cargo test -p clustercore-proto --test {target} seeds")
        })
    });
    Some(outcomes.collect())
}
