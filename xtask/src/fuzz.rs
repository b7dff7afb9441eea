//! Fuzzing: builds a target of `tests/fuzz` with coverage and runs it for a while.
//!
//! The layout is cargo-fuzz's, and `cargo fuzz run` works in that folder too; this needs no more than the
//! toolchain of the workspace.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{process, workspace};

/// Runs the target `name` for `seconds`. Found inputs join `tests/fuzz/corpus/<name>`; one that crashes is
/// written to `tests/fuzz/artifacts/<name>` and fails the run.
pub fn run(name: &str, seconds: u64) -> Result<()> {
    let folder = workspace::root().join("tests/fuzz");
    if !folder.join("fuzz_targets").join(format!("{name}.rs")).exists() {
        bail!("no fuzz target is called {name}; there are: {}", targets(&folder)?.join(", "));
    }
    let target = workspace::target().join("fuzz");
    let mut build =
        process::cargo(["build", "--release", "--target", TRIPLE, "--bin", name, "--manifest-path"]);
    build.arg(folder.join("Cargo.toml")).env("CARGO_TARGET_DIR", &target);
    // Coverage passes are not stable options of the compiler, though they are in it.
    build.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", COVERAGE.join(" "));
    process::run(&mut build, Duration::from_secs(900))?;

    let corpus = folder.join("corpus").join(name);
    let artifacts = folder.join("artifacts").join(name);
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&artifacts)?;
    let mut fuzz = process::command(target.join(TRIPLE).join("release").join(name));
    fuzz.arg(format!("-max_total_time={seconds}")).arg(format!("-artifact_prefix={}/", artifacts.display()));
    fuzz.args(["-print_final_stats=1", "-timeout=10"]).arg(&corpus);
    process::run(&mut fuzz, Duration::from_secs(seconds + 120))
        .with_context(|| format!("an input that fails is in {}", artifacts.display()))
}

fn targets(folder: &std::path::Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder.join("fuzz_targets"))
        .with_context(|| format!("cannot list {}", folder.display()))?;
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| Some(entry.path().file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    Ok(names)
}

/// What cargo-fuzz passes, less the sanitizer: the code fuzzed here is safe Rust, and runs faster without.
const COVERAGE: &[&str] = &[
    "--cfg fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cdebug-assertions",
    "-Ccodegen-units=1",
];

/// Named, so that the flags above do not reach build scripts.
#[cfg(target_arch = "x86_64")]
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

#[cfg(not(target_arch = "x86_64"))]
const TRIPLE: &str = "aarch64-unknown-linux-gnu";
