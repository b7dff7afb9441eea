//! Cargo tools that only the full tests need: used when present, else built once into `.tools`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{process, workspace};

/// A program from crates.io.
pub struct Tool {
    package: &'static str,
    version: &'static str,
    program: &'static str,
}

/// Licences, bans and sources.
pub const CARGO_DENY: Tool = Tool { package: "cargo-deny", version: "0.20.2", program: "cargo-deny" };

/// Installs the C library as a distribution would. Newer ones need a newer compiler than ours.
pub const CARGO_C: Tool = Tool { package: "cargo-c", version: "0.10.24", program: "cargo-cinstall" };

impl Tool {
    /// The program's path, after building it when it is not there.
    ///
    /// Built without optimisation and debug information: they run for a second, and compile in half the time.
    pub fn ensure(&self) -> Result<PathBuf> {
        if let Some(program) = workspace::find_program(self.program) {
            return Ok(program);
        }
        println!("set-up: building {} {} into .tools", self.package, self.version);
        let mut install = process::cargo(["install", "--locked", "--quiet", "--debug", "--root"]);
        install.arg(workspace::tools()).args(["--version", self.version, self.package]);
        install
            .env("CARGO_TARGET_DIR", workspace::target().join("tools"))
            .env("CARGO_PROFILE_DEV_DEBUG", "0");
        process::run(&mut install, LIMIT).with_context(|| format!("{} could not be built", self.package))?;
        workspace::find_program(self.program)
            .with_context(|| format!("{} did not install {}", self.package, self.program))
    }
}

const LIMIT: Duration = Duration::from_secs(1500);
