//! Set-up: everything that `run` and `test` need on a fresh Debian 12 with Rust, Python 3.11 and a C compiler.
//!
//! Idempotent, and quick when all is there: programs are looked up on the path, and the virtual
//! environment carries a stamp with the requirement files it was made from.

mod debian;
mod python;
mod tools;

use std::fs::{self, File};

use anyhow::{Context, Result};

use crate::workspace;

pub use tools::{CARGO_C, CARGO_DENY};

/// What is about to run, and so how much must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The demonstration: Python, and a web server to be the service.
    Run,
    /// The whole gate: everything that some test uses.
    Test,
}

/// Installs what `purpose` needs. What cannot be installed (not root, no network) is listed with the
/// command that does it, and is an error only where nothing works without it.
pub fn ensure(purpose: Purpose) -> Result<()> {
    let folder = workspace::target();
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    // One set-up at a time: `run` and `test` may be started together on a fresh machine. The lock ends
    // with the file's scope.
    let path = folder.join("setup.lock");
    let lock = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    lock.lock().context("cannot lock the set-up")?;
    debian::ensure(purpose)?;
    python::ensure()
}
