//! Steps that are one or two cargo commands.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Outcome;
use crate::artefacts::{Build, SELECTION};
use crate::setup::CARGO_DENY;
use crate::{process, workspace};

pub fn format(_quick: bool) -> Result<Outcome> {
    process::run(&mut process::cargo(["fmt", "--all", "--check"]), MINUTE)?;
    // Packages that cannot be members of the workspace.
    for manifest in ["xtask/bare-metal/Cargo.toml", "tests/fuzz/Cargo.toml"] {
        if workspace::root().join(manifest).exists() {
            process::run(&mut process::cargo(["fmt", "--check", "--manifest-path", manifest]), MINUTE)?;
        }
    }
    Ok(Outcome::Passed)
}

pub fn lints(_quick: bool) -> Result<Outcome> {
    let mut clippy = process::cargo(["clippy", "--quiet", "--all-targets"]);
    clippy.args(SELECTION).args(["--", "-D", "warnings"]);
    passed(process::run(&mut clippy, 15 * MINUTE))
}

/// Unit and integration tests of every crate. Programs without tests of their own are not compiled a second time as
/// test programs.
pub fn unit(_quick: bool) -> Result<Outcome> {
    let nextest = workspace::find_program("cargo-nextest").is_some()
        || process::succeeds(&mut process::cargo(["nextest", "--version"]));
    let mut test = if nextest {
        process::cargo(["nextest", "run", "--cargo-quiet", "--status-level", "slow", "--no-fail-fast"])
    } else {
        println!("cargo-nextest is not installed; using cargo test");
        process::cargo(["test", "--quiet", "--no-fail-fast"])
    };
    test.args(SELECTION).args(["--lib", "--test", "*"]);
    PROGRAMS_WITH_TESTS.iter().for_each(|program| {
        test.args(["--bin", program]);
    });
    passed(process::run(&mut test, 20 * MINUTE))
}

pub fn doctests(_quick: bool) -> Result<Outcome> {
    let mut test = process::cargo(["test", "--quiet", "--doc"]);
    test.args(SELECTION);
    passed(process::run(&mut test, 10 * MINUTE))
}

pub fn docs(_quick: bool) -> Result<Outcome> {
    let mut doc = process::cargo(["doc", "--quiet", "--workspace", "--no-deps", "--lib"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    passed(process::run(&mut doc, 10 * MINUTE))
}

pub fn generated(_quick: bool) -> Result<Outcome> {
    passed(crate::generate::run(true))
}

pub fn tidy(_quick: bool) -> Result<Outcome> {
    passed(crate::tidy::run())
}

pub fn deny(_quick: bool) -> Result<Outcome> {
    let program = CARGO_DENY.ensure()?;
    let mut deny = process::command(program);
    // Advisories are left out: their database is not reachable from everywhere this must run.
    deny.args(["--locked", "--log-level", "error", "check", "bans", "licenses", "sources"]);
    passed(process::run(&mut deny, 5 * MINUTE))
}

pub fn programs(_quick: bool) -> Result<Outcome> {
    passed(Build::Tested.make())
}

/// Model checking of the queues. Their atomics are swapped for loom's by `--cfg loom`, which would
/// invalidate every other build, so this one has its own folder.
pub fn loom(_quick: bool) -> Result<Outcome> {
    let mut test =
        process::cargo(["test", "--quiet", "--release", "--package", "clustercore-queue", "--lib", "loom"]);
    test.env("RUSTFLAGS", "--cfg loom").env("CARGO_TARGET_DIR", workspace::target().join("loom"));
    passed(process::run(&mut test, 10 * MINUTE))
}

pub fn simulations(quick: bool) -> Result<Outcome> {
    for seed in if quick { 1..=1 } else { 1..=3 } {
        simulate(seed)?;
    }
    Ok(Outcome::Passed)
}

/// Runs every simulation with one seed: the integration tests whose name starts with `sim`.
///
/// They read the seed from `CLUSTERCORE_SEED`.
pub fn simulate(seed: u64) -> Result<()> {
    let mut test = process::cargo(["test", "--quiet", "--test", "sim*"]);
    test.args(SELECTION).env("CLUSTERCORE_SEED", seed.to_string());
    process::run(&mut test, 10 * MINUTE)
        .with_context(|| format!("reproduce with `cargo xtask sim --seed {seed}`"))
}

/// Benchmarks as a smoke run: they must run and write their lines; time is not judged.
pub fn bench_smoke(_quick: bool) -> Result<Outcome> {
    let script = workspace::root().join("perf/bench.sh");
    ensure!(script.exists(), "perf/bench.sh is not there");
    let mut bench = process::command("bash");
    bench
        .args(["perf/bench.sh", "--quick", "--no-build"])
        .env("CLUSTERCORE_PROGRAMS", Build::Tested.folder());
    Build::Tested.make()?;
    passed(process::run(&mut bench, 6 * MINUTE))
}

fn passed(result: Result<()>) -> Result<Outcome> {
    result.map(|()| Outcome::Passed)
}

const PROGRAMS_WITH_TESTS: [&str; 2] = ["xtask", "clustercore-sample-service"];

const MINUTE: Duration = Duration::from_secs(60);
