//! Steps in Python: the tests of the module, of the products, and those that cross programs and hosts.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::Outcome;
use crate::artefacts::Build;
use crate::{process, workspace};

/// ruff on every Python file, mypy on both packages, and the stub against the built module.
pub fn lints(_quick: bool) -> Result<Outcome> {
    process::run(process::command(workspace::venv_program("ruff")).args(["check", "--quiet", "."]), MINUTE)?;
    // Each package has its own settings, found from its folder.
    for folder in ["python", "apps"] {
        let mut mypy = process::command(workspace::venv_program("mypy"));
        mypy.current_dir(workspace::root().join(folder));
        process::run(&mut mypy, 5 * MINUTE)?;
    }
    Build::Tested.make()?;
    let mut stubtest = process::command(workspace::venv_program("stubtest"));
    stubtest.arg("clustercore._native");
    process::run(&mut stubtest, 5 * MINUTE)?;
    Ok(Outcome::Passed)
}

pub fn module(_quick: bool) -> Result<Outcome> {
    pytest(&["python/tests"], 10 * MINUTE)
}

pub fn apps(_quick: bool) -> Result<Outcome> {
    pytest(&["apps/tests"], 10 * MINUTE)
}

pub fn browser(_quick: bool) -> Result<Outcome> {
    for program in ["chromium", "chromedriver"] {
        if workspace::find_program(program).is_none() {
            return Ok(Outcome::Skipped(format!(
                "{program} is not installed (Debian: chromium chromium-driver)"
            )));
        }
    }
    pytest(&["tests/browser"], 5 * MINUTE)
}

/// Whole programs, over namespaces and across languages.
pub fn end_to_end(_quick: bool) -> Result<Outcome> {
    let present: Vec<&str> = ["tests/netns", "tests/matrix", "tests/calls", "tests/e2e"]
        .into_iter()
        .filter(|folder| workspace::root().join(folder).exists())
        .collect();
    pytest(&present, 10 * MINUTE)
}

/// Runs pytest in each folder by itself, so that each finds its own settings.
fn pytest(folders: &[&str], limit: Duration) -> Result<Outcome> {
    ensure!(!folders.is_empty(), "there is nothing to run");
    Build::Tested.make()?;
    for folder in folders {
        ensure!(workspace::root().join(folder).is_dir(), "{folder} is not there");
        let mut pytest = process::command(workspace::venv_program("python"));
        // pytest ends with 5 when it finds no test, so an empty folder fails.
        pytest.args(["-m", "pytest", "-q", "-ra", folder]);
        pytest.env("CLUSTERCORE_PROGRAMS", Build::Tested.folder());
        process::run(&mut pytest, limit)?;
    }
    Ok(Outcome::Passed)
}

const MINUTE: Duration = Duration::from_secs(60);
