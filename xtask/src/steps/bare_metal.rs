//! `clustercore-proto` without an operating system: linked into a program that has neither the standard
//! library nor libc, and run.
//!
//! No bare-metal target is installed with the toolchain, so the probe in `xtask/bare-metal` is built for
//! the host and linked with `-nostdlib -static`. Anything that pulls in `std` fails to compile there (two
//! panic handlers), anything that calls libc fails to link.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Outcome;
use crate::{process, workspace};

pub fn run(_quick: bool) -> Result<Outcome> {
    if !cfg!(target_arch = "x86_64") {
        return Ok(Outcome::Skipped("the probe's entry point is written for x86_64".into()));
    }
    let root = workspace::root();
    let probe = root.join("xtask/bare-metal");
    // The workspace's own versions: cargo drops the entries that the probe does not use.
    fs::copy(root.join("Cargo.lock"), probe.join("Cargo.lock")).context("cannot copy Cargo.lock")?;
    let target = workspace::target().join("bare-metal");
    let mut build = process::cargo(["build", "--quiet", "--release", "--manifest-path"]);
    build.arg(probe.join("Cargo.toml")).env("CARGO_TARGET_DIR", &target);
    process::run(&mut build, LIMIT)?;
    process::run(&mut process::command(target.join("release/bare-metal")), LIMIT)?;
    Ok(Outcome::Passed)
}

const LIMIT: Duration = Duration::from_secs(300);
