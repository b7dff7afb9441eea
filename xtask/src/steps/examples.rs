//! Examples in three languages: each is run and its output compared with the `.expected` file beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::{Outcome, c};
use crate::artefacts::Build;
use crate::{process, workspace};

/// Runs every example that has an `.expected` file; a language without any is a failure.
pub fn run(_quick: bool) -> Result<Outcome> {
    Build::Tested.make()?;
    let root = workspace::root().join("examples");
    let mut failed = Vec::new();
    for (folder, extension) in [("rust/src/bin", "rs"), ("c", "c"), ("python", "py")] {
        let sources = expected_sources(&root.join(folder), extension)?;
        ensure!(!sources.is_empty(), "examples/{folder} has no example with an .expected file");
        for source in sources {
            let name = source.strip_prefix(&root).unwrap_or(&source).display().to_string();
            match run_one(&source, extension) {
                Ok(()) => println!("examples/{name}: as expected"),
                Err(error) => {
                    println!("examples/{name}: {error:#}");
                    failed.push(name);
                }
            }
        }
    }
    if !failed.is_empty() {
        bail!("examples that do not do what they should: {}", failed.join(", "));
    }
    Ok(Outcome::Passed)
}

/// The sources in `folder` that have an `.expected` file beside them, sorted.
fn expected_sources(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut sources: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|found| found == "expected"))
        .map(|path| path.with_extension(extension))
        .collect();
    sources.sort();
    for source in &sources {
        ensure!(source.exists(), "{} has an .expected file but is not there", source.display());
    }
    Ok(sources)
}

fn run_one(source: &Path, extension: &str) -> Result<()> {
    let stem = source.file_stem().context("a source has a name")?;
    let mut program: Command = match extension {
        "rs" => process::command(Build::Tested.folder().join(stem)),
        "c" => process::command(c::build_example(source)?),
        _ => {
            let mut python = process::command(workspace::venv_program("python"));
            python.args(["-W", "error"]).arg(source);
            python
        }
    };
    let output = process::capture(&mut program, LIMIT)?;
    let expected = fs::read_to_string(source.with_extension("expected"))?;
    compare(&expected, &output)
}

/// Compares line by line. A `*` in an expected line stands for anything within that line, such as a port.
fn compare(expected: &str, output: &str) -> Result<()> {
    let mut lines = output.lines();
    for (index, want) in expected.lines().enumerate() {
        match lines.next() {
            Some(line) if matches(want, line) => {}
            Some(line) => bail!("line {} is {line:?}, expected {want:?}", index + 1),
            None => bail!("the output ends before line {}, expected {want:?}", index + 1),
        }
    }
    if let Some(line) = lines.next() {
        bail!("the output goes on with {line:?}");
    }
    Ok(())
}

fn matches(pattern: &str, line: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == line };
    let Some(line) = line.strip_prefix(first) else { return false };
    let mut remaining = line;
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return remaining.ends_with(part);
        }
        match remaining.find(part) {
            Some(at) => remaining = &remaining[at + part.len()..],
            None => return false,
        }
    }
    true
}

/// An example that needs longer is no example.
const LIMIT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything_within_the_line() {
        assert!(matches("listening on 127.0.0.1:*", "listening on 127.0.0.1:8080"));
        assert!(matches("* of * done", "3 of 4 done"));
        assert!(!matches("* of * done", "3 of 4"));
        assert!(!matches("port *", "ports 1"));
        assert!(matches("plain", "plain"));
        assert!(!matches("plain", "plainer"));
        assert!(!matches("a*a", "a"));
    }

    #[test]
    fn missing_and_extra_lines_are_failures() {
        assert!(compare("a\nb\n", "a\nb\n").is_ok());
        assert!(compare("a\nb\n", "a\n").unwrap_err().to_string().contains("ends before line 2"));
        assert!(compare("a\n", "a\nb\n").unwrap_err().to_string().contains("goes on"));
        assert!(compare("a\n", "b\n").unwrap_err().to_string().contains("line 1"));
    }
}
