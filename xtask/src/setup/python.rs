//! The virtual environment `.venv`: made once, renewed when a requirement file changes.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{process, workspace};

/// Makes or renews the environment unless its stamp says that it is current.
pub fn ensure() -> Result<()> {
    let stamp = wanted_stamp()?;
    let stamp_path = workspace::venv().join(STAMP);
    let works = process::succeeds(process::command(workspace::venv_program("python")).arg("--version"));
    if works && fs::read_to_string(&stamp_path).is_ok_and(|present| present == stamp) {
        return Ok(());
    }
    if !works {
        create()?;
    }
    println!("set-up: installing Python packages into .venv");
    let python = workspace::venv_program("python");
    let mut install = process::command(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", REQUIREMENTS]);
    process::run(&mut install, LIMIT)
        .context("Python packages could not be installed (is there a network?)")?;
    link_packages()?;
    fs::write(&stamp_path, stamp).with_context(|| format!("cannot write {}", stamp_path.display()))
}

/// A Python that is new enough and can make environments, if there is one.
pub fn find() -> Option<PathBuf> {
    let check = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))";
    ["python3.11", "python3", "python3.12", "python3.13"]
        .iter()
        .filter_map(|name| workspace::find_program(name))
        .find(|python| process::succeeds(process::command(python).args(["-c", check])))
}

fn create() -> Result<()> {
    let Some(python) = find() else {
        bail!(
            "no Python of version 3.11 or later with the modules venv and ensurepip; \
             on Debian: apt-get install python3 python3-venv"
        );
    };
    println!("set-up: making .venv with {}", python.display());
    let mut make = process::command(python);
    make.args(["-m", "venv", "--clear"]).arg(workspace::venv());
    process::run(&mut make, LIMIT)
}

/// Puts the package `clustercore` and the distribution in `apps` on the environment's path, both in place:
/// an edit is seen at the next start, and nothing is copied.
fn link_packages() -> Result<()> {
    let python = workspace::venv_program("python");
    let query = "import sysconfig; print(sysconfig.get_path('purelib'))";
    let site = process::capture(process::command(&python).args(["-c", query]), Duration::from_secs(60))?;
    let link = PathBuf::from(site.trim()).join("clustercore.pth");
    let folder = workspace::root().join("python");
    fs::write(&link, format!("{}\n", folder.display()))
        .with_context(|| format!("cannot write {}", link.display()))?;

    if workspace::root().join(APPS_PROJECT).exists() {
        let mut install = process::command(&python);
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        // Its dependencies are pinned in the requirements; building it needs nothing from the network.
        install.args(["--no-deps", "--no-build-isolation", "--editable", "apps"]);
        process::run(&mut install, LIMIT)?;
    }
    Ok(())
}

/// The text that the stamp must hold: everything that the environment is made from.
fn wanted_stamp() -> Result<String> {
    let mut stamp = String::new();
    writeln!(stamp, "root {}", workspace::root().display())?;
    for path in [REQUIREMENTS, APPS_PROJECT] {
        let text = fs::read_to_string(workspace::root().join(path)).unwrap_or_default();
        writeln!(stamp, "== {path}\n{text}")?;
    }
    Ok(stamp)
}

const REQUIREMENTS: &str = "requirements-dev.txt";
const APPS_PROJECT: &str = "apps/pyproject.toml";
const STAMP: &str = "clustercore-stamp";
const LIMIT: Duration = Duration::from_secs(900);
