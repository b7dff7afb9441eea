//! The registry as Rust: `core/src/error/table.rs`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::registry::Registry;
use crate::workspace;

/// Renders the table and formats it as the rest of the tree is.
pub fn render(registry: &Registry) -> Result<String> {
    let live: Vec<_> = registry.errors.iter().filter(|entry| !entry.retired).collect();
    let mut out = String::from(HEAD);
    let text = &mut out;

    text.push_str("/// What went wrong, by registered number.\n///\n");
    text.push_str("/// Numbers stay for good; new ones are added, so match with a wildcard arm.\n");
    text.push_str("#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]\n");
    text.push_str("#[repr(i32)]\n#[non_exhaustive]\npub enum Code {\n");
    for entry in &live {
        writeln!(text, "/// {}.\n///", sentence(&entry.message))?;
        for line in wrapped(&entry.help, COLUMNS_MAX) {
            writeln!(text, "/// {line}")?;
        }
        writeln!(text, "{} = {},", entry.variant(), entry.number)?;
    }
    text.push_str("}\n\nimpl Code {\n");

    text.push_str("/// Every code, in ascending order of number.\npub const ALL: &'static [Code] = &[\n");
    for entry in &live {
        writeln!(text, "Code::{},", entry.variant())?;
    }
    text.push_str("];\n\n");

    text.push_str(
        "/// The registered number, above zero. The C interface returns it negated.\n\
         #[must_use]\npub const fn number(self) -> i32 { self as i32 }\n\n\
         /// The code of a registered number, `None` for any other.\n\
         #[must_use]\npub const fn from_number(number: i32) -> Option<Code> { Some(match number {\n",
    );
    for entry in &live {
        writeln!(text, "{} => Code::{},", entry.number, entry.variant())?;
    }
    text.push_str("_ => return None, }) }\n\n");

    text.push_str("/// The registered name, such as `QUEUE_FULL`.\n#[must_use]\npub const fn name(self) -> &'static str { match self {\n");
    for entry in &live {
        writeln!(text, "Code::{} => \"{}\",", entry.variant(), entry.name)?;
    }
    text.push_str("} }\n\n");

    text.push_str(
        "/// What is wrong, in lower case and without a full stop.\n#[must_use]\n\
         pub const fn message(self) -> &'static str { match self {\n",
    );
    for entry in &live {
        writeln!(text, "Code::{} => \"{}\",", entry.variant(), entry.message)?;
    }
    text.push_str("} }\n\n");

    text.push_str(
        "/// True when the same call may succeed later without the caller changing anything.\n#[must_use]\n\
         pub const fn is_retryable(self) -> bool { matches!(self, ",
    );
    let retryable: Vec<_> = live
        .iter()
        .filter(|entry| entry.retryable)
        .map(|entry| format!("Code::{}", entry.variant()))
        .collect();
    if retryable.is_empty() {
        text.push_str("_ if false");
    }
    text.push_str(&retryable.join(" | "));
    text.push_str(") }\n\n");

    text.push_str(
        "/// Where the cause usually is.\n#[must_use]\npub const fn side(self) -> Side { match self {\n",
    );
    for entry in &live {
        writeln!(text, "Code::{} => Side::{},", entry.variant(), entry.side.variant())?;
    }
    text.push_str("} }\n}\n");
    format(&out)
}

fn sentence(message: &str) -> String {
    let (first, rest) = message.split_at(1);
    format!("{}{rest}", first.to_uppercase())
}

/// Breaks `text` at spaces into lines of at most `columns_max`: rustfmt leaves comments as they are.
fn wrapped(text: &str, columns_max: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= columns_max => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn format(source: &str) -> Result<String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--emit", "stdout", "--config-path"])
        .arg(workspace::root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start rustfmt; `rustup component add rustfmt` installs it")?;
    // The table is far smaller than a pipe's 64 KiB, and rustfmt reads all before it writes.
    child.stdin.take().context("rustfmt has no input")?.write_all(source.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "rustfmt refuses the generated table");
    Ok(String::from_utf8(output.stdout)?)
}

/// Leaves room for the indentation and the three slashes.
const COLUMNS_MAX: usize = 100;

const HEAD: &str = "\
//! The table of error codes. Generated from `core/errors.toml` by `cargo xtask gen`; do not edit.

/// Where the cause of an error usually is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Side {
/// This program: an argument, a bound, a state.
Local,
/// The other end of a connection, whichever it is.
Peer,
/// A back end.
Upstream,
/// A client.
Downstream,
/// The kernel of this machine.
Kernel,
}

impl Side {
/// The word for it in messages, Python and the docs.
#[must_use]
pub const fn word(self) -> &'static str {
match self {
Side::Local => \"local\",
Side::Peer => \"peer\",
Side::Upstream => \"upstream\",
Side::Downstream => \"downstream\",
Side::Kernel => \"kernel\",
}
}
}

";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_help_is_wrapped_and_nothing_is_lost() {
        let text = "one two three four five six seven";
        let lines = wrapped(text, 13);
        assert_eq!(lines, ["one two three", "four five six", "seven"]);
        assert_eq!(lines.join(" "), text);
    }
}
