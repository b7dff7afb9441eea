//! The registry as Rust: `core/src/error/table.rs`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::registry::{Entry, Registry};
use super::text::{sentence, wrapped};
use crate::workspace;

/// Renders the table and formats it as the rest of the tree is.
pub fn render(registry: &Registry) -> Result<String> {
    let live: Vec<&Entry> = registry.errors.iter().filter(|entry| !entry.retired).collect();
    let mut out = String::from(HEAD);
    enumeration(&mut out, &live)?;
    out.push_str("impl Code {\n");
    conversions(&mut out, &live)?;
    answers(&mut out, &live)?;
    out.push_str("}\n");
    format(&out)
}

fn enumeration(out: &mut String, live: &[&Entry]) -> Result<()> {
    out.push_str("/// What went wrong, by registered number.\n///\n");
    out.push_str("/// Numbers stay for good; new ones are added, so match with a wildcard arm.\n");
    out.push_str("#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]\n");
    out.push_str("#[repr(i32)]\n#[non_exhaustive]\npub enum Code {\n");
    for entry in live {
        writeln!(out, "/// {}.\n///", sentence(&entry.message))?;
        for line in wrapped(&entry.help, COLUMNS_MAX) {
            writeln!(out, "/// {line}")?;
        }
        writeln!(out, "{} = {},", entry.variant(), entry.number)?;
    }
    out.push_str("}\n\n");
    Ok(())
}

/// From and to the number.
fn conversions(out: &mut String, live: &[&Entry]) -> Result<()> {
    out.push_str("/// Every code, in ascending order of number.\npub const ALL: &'static [Code] = &[\n");
    for entry in live {
        writeln!(out, "Code::{},", entry.variant())?;
    }
    out.push_str("];\n\n");
    out.push_str(NUMBER);
    for entry in live {
        writeln!(out, "{} => Code::{},", entry.number, entry.variant())?;
    }
    out.push_str("_ => return None, }) }\n\n");
    Ok(())
}

/// What a code says about itself.
fn answers(out: &mut String, live: &[&Entry]) -> Result<()> {
    out.push_str("/// The registered name, such as `QUEUE_FULL`.\n#[must_use]\n");
    out.push_str("pub const fn name(self) -> &'static str { match self {\n");
    for entry in live {
        writeln!(out, "Code::{} => \"{}\",", entry.variant(), entry.name)?;
    }
    out.push_str("} }\n\n/// What is wrong, in lower case and without a full stop.\n#[must_use]\n");
    out.push_str("pub const fn message(self) -> &'static str { match self {\n");
    for entry in live {
        writeln!(out, "Code::{} => \"{}\",", entry.variant(), entry.message)?;
    }
    out.push_str(
        "} }\n\n/// True when the same call may succeed later without the caller changing anything.\n",
    );
    out.push_str("#[must_use]\npub const fn is_retryable(self) -> bool { matches!(self, ");
    let retryable: Vec<String> = live
        .iter()
        .filter(|entry| entry.retryable)
        .map(|entry| format!("Code::{}", entry.variant()))
        .collect();
    out.push_str(&retryable.join(" | "));
    out.push_str(") }\n\n/// Where the cause usually is.\n#[must_use]\n");
    out.push_str("pub const fn side(self) -> Side { match self {\n");
    for entry in live {
        writeln!(out, "Code::{} => Side::{},", entry.variant(), entry.side.variant())?;
    }
    out.push_str("} }\n");
    Ok(())
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

const NUMBER: &str = "\
/// The registered number, above zero. The C interface returns it negated.
#[must_use]
pub const fn number(self) -> i32 { self as i32 }

/// The code of a registered number, `None` for any other.
#[must_use]
pub const fn from_number(number: i32) -> Option<Code> { Some(match number {
";

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
