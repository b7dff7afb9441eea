//! Generated files: what they are made of, and whether the committed ones are current.
//!
//! Every output is committed, so that a reader and a C compiler need no generator; `gen --check`
//! compares them with a fresh run and is part of `check`.

mod c;
mod header;
mod markdown;
mod python;
mod registry;
mod rust;
mod text;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::workspace;

/// One generated file: its path from the root of the workspace, and what it must contain.
struct Output {
    path: &'static str,
    content: String,
}

/// Writes every generated file, or with `check` only compares and fails on the first run's drift.
pub fn run(check: bool) -> Result<()> {
    let root = workspace::root();
    let registry = registry::load(&root.join("core/errors.toml"))?;
    let mut outputs = vec![
        Output { path: "core/src/error/table.rs", content: rust::render(&registry)? },
        Output { path: "c-include/clustercore_errors.h", content: c::render(&registry) },
        Output { path: "python/clustercore/_errors.py", content: python::render(&registry) },
        Output { path: "docs/errors.md", content: markdown::render(&registry) },
    ];
    if let Some(content) = header::render(&root)? {
        outputs.push(Output { path: "c-include/clustercore.h", content });
    }

    let mut stale = Vec::new();
    for output in &outputs {
        let path = root.join(output.path);
        if fs::read_to_string(&path).is_ok_and(|present| present == output.content) {
            continue;
        }
        if check {
            stale.push(output.path);
        } else {
            write(&path, &output.content)?;
            println!("wrote {}", output.path);
        }
    }
    if !stale.is_empty() {
        bail!("out of date: {}; run `cargo xtask gen` and commit the result", stale.join(", "));
    }
    println!("{} generated files are current", outputs.len());
    Ok(())
}

fn write(path: &Path, content: &str) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    }
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}
