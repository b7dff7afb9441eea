//! `core/errors.toml`: read, and held to its own rules.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// The registry of errors, in ascending order of number.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    #[serde(rename = "error")]
    pub errors: Vec<Entry>,
}

/// One error as written in the registry; the file's head explains each field.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub number: i32,
    pub name: String,
    pub message: String,
    pub help: String,
    pub retryable: bool,
    pub side: Side,
    pub python: String,
    pub base: Option<String>,
    /// What the Python exception knows besides: "name: type".
    #[serde(default)]
    pub attributes: Vec<String>,
    #[serde(default)]
    pub retired: bool,
}

/// Where the cause of an error usually is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    Local,
    Peer,
    Upstream,
    Downstream,
    Kernel,
}

impl Side {
    /// The variant's name in Rust.
    pub fn variant(self) -> &'static str {
        match self {
            Side::Local => "Local",
            Side::Peer => "Peer",
            Side::Upstream => "Upstream",
            Side::Downstream => "Downstream",
            Side::Kernel => "Kernel",
        }
    }

    /// The word used in Python, C and the docs.
    pub fn word(self) -> String {
        self.variant().to_lowercase()
    }
}

impl Entry {
    /// `QUEUE_FULL` -> `QueueFull`: the variant of `Code` in Rust.
    pub fn variant(&self) -> String {
        let mut variant = String::with_capacity(self.name.len());
        for word in self.name.split('_') {
            let (first, rest) = word.split_at(1);
            variant.push_str(first);
            variant.push_str(&rest.to_lowercase());
        }
        variant
    }
}

/// Reads and validates the registry at `path`.
pub fn load(path: &Path) -> Result<Registry> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| path.display().to_string())
}

fn parse(text: &str) -> Result<Registry> {
    let registry: Registry = toml::from_str(text)?;
    let mut names = HashSet::new();
    let mut classes = HashSet::new();
    let mut last = 0;
    for entry in &registry.errors {
        let at = format!("error {} ({})", entry.number, entry.name);
        ensure!(entry.number > last, "{at}: numbers ascend, and the one before is {last}");
        ensure!(entry.number <= NUMBER_MAX, "{at}: the limit is {NUMBER_MAX}");
        last = entry.number;
        let words_ok = entry.name.split('_').all(|word| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        });
        ensure!(words_ok, "{at}: the name is not SCREAMING_SNAKE_CASE");
        ensure!(names.insert(&entry.name), "{at}: the name is used twice");
        ensure!(classes.insert(&entry.python), "{at}: the Python class {} is used twice", entry.python);
        ensure!(
            !BUILTINS_SHADOWED.contains(&entry.python.as_str()),
            "{at}: {} hides a builtin",
            entry.python
        );
        for field in [&entry.message, &entry.help] {
            ensure!(!field.trim().is_empty(), "{at}: message and help must say something");
            if field.contains(['"', '\\', '\n', '|']) {
                bail!(
                    "{at}: no quotes, backslashes, line breaks or bars in texts; they go into four languages"
                );
            }
        }
        ensure!(!entry.message.ends_with('.'), "{at}: the message ends with a full stop");
    }
    ensure!(registry.errors.iter().any(|entry| entry.retryable), "an error that may be retried is missing");
    Ok(registry)
}

/// Room enough for good, and numbers stay short in a terminal.
const NUMBER_MAX: i32 = 999;

/// Builtin names a class of ours must not take.
const BUILTINS_SHADOWED: &[&str] = &[
    "BaseException",
    "BufferError",
    "ConnectionError",
    "Exception",
    "InterruptedError",
    "LookupError",
    "MemoryError",
    "OSError",
    "PermissionError",
    "RuntimeError",
    "TimeoutError",
    "ValueError",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: i32, name: &str) -> String {
        format!(
            "[[error]]\nnumber = {number}\nname = \"{name}\"\nmessage = \"m\"\nhelp = \"H.\"\n\
             retryable = true\nside = \"local\"\npython = \"P{number}\"\n"
        )
    }

    #[test]
    fn the_committed_registry_is_valid() {
        let registry = load(&crate::workspace::root().join("core/errors.toml")).unwrap();
        assert!(registry.errors.len() > 30);
    }

    #[test]
    fn numbers_must_ascend() {
        assert!(parse(&(entry(1, "A") + &entry(2, "B"))).is_ok());
        let error = parse(&(entry(2, "A") + &entry(2, "B"))).unwrap_err();
        assert!(error.to_string().contains("ascend"), "{error}");
    }

    #[test]
    fn names_are_unique_and_screaming() {
        assert!(parse(&(entry(1, "A") + &entry(2, "A"))).unwrap_err().to_string().contains("twice"));
        assert!(parse(&entry(1, "queue_full")).unwrap_err().to_string().contains("SCREAMING"));
        assert!(parse(&entry(1, "QUEUE__FULL")).unwrap_err().to_string().contains("SCREAMING"));
    }

    #[test]
    fn unknown_fields_are_refused() {
        assert!(parse(&(entry(1, "A") + "colour = \"red\"\n")).is_err());
    }

    #[test]
    fn variants_are_camel_case() {
        let registry = parse(&entry(1, "NO_SUCH_BACKEND")).unwrap();
        assert_eq!(registry.errors[0].variant(), "NoSuchBackend");
    }
}
