//! What is built before something else can run: the release programs, the Python module, the C library.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{process, workspace};

/// Builds, in one go and in release, everything that the demonstration, the benchmarks and the tests of
/// Python and C use, and puts the native module where Python finds it.
///
/// One set of packages, always the same: cargo unifies features over what is built together, so a
/// varying set would compile the shared crates again and again.
pub fn build() -> Result<()> {
    let mut build = process::cargo(["build", "--release", "--quiet"]);
    for package in [
        "clustercore",
        "clustercore-ffi",
        "clustercore-python",
        "clustercore-perf",
        "clustercore-examples",
        "clustercore-codegen",
    ] {
        build.args(["--package", package]);
    }
    process::run(&mut build, LIMIT)?;
    install_python_module()
}

/// The folder with the release programs and libraries.
pub fn release() -> PathBuf {
    workspace::target().join("release")
}

/// Copies the built module to `python/clustercore/_native.abi3.so`.
///
/// By renaming, so that a running Python keeps the file that it has mapped.
fn install_python_module() -> Result<()> {
    let built = release().join("lib_native.so");
    let folder = workspace::root().join("python/clustercore");
    let fresh = folder.join("_native.abi3.so.new");
    let target = folder.join("_native.abi3.so");
    if is_same_file_content(&built, &target) {
        return Ok(());
    }
    fs::copy(&built, &fresh)
        .with_context(|| format!("cannot copy {} to {}", built.display(), fresh.display()))?;
    fs::rename(&fresh, &target).with_context(|| format!("cannot write {}", target.display()))
}

/// An untouched module keeps its time stamp, which tools that compare times are glad of.
fn is_same_file_content(one: &Path, other: &Path) -> bool {
    match (fs::read(one), fs::read(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

const LIMIT: Duration = Duration::from_secs(1800);
