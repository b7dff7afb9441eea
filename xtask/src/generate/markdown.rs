//! The registry as a page: `docs/errors.md`.

use super::registry::Registry;

/// Renders one table row per error, retired ones included, since their numbers stay taken.
pub fn render(registry: &Registry) -> String {
    let mut out = String::from(HEAD);
    for entry in &registry.errors {
        let python = match &entry.base {
            Some(base) => format!("`{}({base})`", entry.python),
            None => format!("`{}`", entry.python),
        };
        let name =
            if entry.retired { format!("~~`{}`~~ retired", entry.name) } else { format!("`{}`", entry.name) };
        out.push_str(&format!(
            "| {} | {name} | {python} | {} | {} | {}. {} |\n",
            entry.number,
            entry.side.word(),
            if entry.retryable { "yes" } else { "no" },
            entry.message,
            entry.help
        ));
    }
    out
}

const HEAD: &str = "\
# Errors

<!-- Generated from core/errors.toml by `cargo xtask gen`; do not edit. -->

One registry, the same numbers everywhere: `clustercore::Code` in Rust, `CLC_ERROR_<NAME>` (negated) in C,
a class derived from `clustercore.ClusterError` in Python. Numbers stay for good. *Retry* says whether the same
call may succeed later without the caller changing anything; *side* is where the cause usually is.

| number | name | Python | side | retry | meaning, and what to do |
| --- | --- | --- | --- | --- | --- |
";
