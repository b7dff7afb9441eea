//! What is built before something else can run: the programs, the Python module, the C library.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{process, workspace};

/// What the workspace is built for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Build {
    /// To be used and measured: optimised as a whole, which takes its time.
    Release,
    /// To be tested: what the unit tests have compiled already, with assertions.
    Tested,
}

impl Build {
    /// The folder with the programs and libraries.
    pub fn folder(self) -> PathBuf {
        workspace::target().join(if self == Build::Release { "release" } else { "debug" })
    }

    /// Builds, in one go, everything that the demonstration, the benchmarks and the tests of Python and C
    /// use, and puts the native module where Python finds it.
    pub fn make(self) -> Result<()> {
        let mut build = process::cargo(["build", "--quiet"]);
        build.args(SELECTION);
        if self == Build::Release {
            // Nobody uses or measures these, and each is optimised as a whole.
            build.args(["--release", "--exclude", "xtask", "--exclude", "clustercore-examples"]);
        }
        process::run(&mut build, LIMIT)?;
        self.install_python_module()
    }

    /// Copies the built module to `python/clustercore/_native.abi3.so`.
    ///
    /// By renaming, so that a running Python keeps the file that it has mapped.
    fn install_python_module(self) -> Result<()> {
        let built = self.folder().join("lib_native.so");
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
}

/// An untouched module keeps its time stamp, which tools that compare times are glad of.
fn is_same_file_content(one: &Path, other: &Path) -> bool {
    match (fs::read(one), fs::read(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

/// Packages and features of every build and test: cargo unifies features over what is built together, so that
/// another selection would compile the shared crates again.
pub const SELECTION: [&str; 3] = ["--workspace", "--features", "clustercore-channel/journal"];

const LIMIT: Duration = Duration::from_secs(1800);
