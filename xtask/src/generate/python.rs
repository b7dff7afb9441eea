//! The registry as Python: `python/clustercore/_errors.py`.

use super::registry::Registry;
use super::text::{sentence, wrapped};

/// Renders the exception classes. Each derives from `ClusterError` and, where one is natural, a builtin.
pub fn render(registry: &Registry) -> String {
    let live = || registry.errors.iter().filter(|entry| !entry.retired);
    let mut out = String::from(HEAD);

    let mut names: Vec<&str> = live().map(|entry| entry.python.as_str()).collect();
    names.extend(["ClusterError", "from_code"]);
    names.sort_unstable();
    out.push_str("__all__ = [\n");
    for name in names {
        out.push_str(&format!("    \"{name}\",\n"));
    }
    out.push_str("]\n");
    out.push_str(BASE);

    for entry in live() {
        let bases = match &entry.base {
            Some(base) => format!("ClusterError, {base}"),
            None => String::from("ClusterError"),
        };
        out.push_str(&format!("\n\nclass {}({bases}):\n", entry.python));
        out.push_str(&format!("    \"\"\"{}.\n\n", sentence(&entry.message)));
        for line in wrapped(&entry.help, COLUMNS_MAX) {
            out.push_str(&format!("    {line}\n"));
        }
        out.push_str("    \"\"\"\n\n");
        out.push_str(&format!("    code = {}\n    name = \"{}\"\n", entry.number, entry.name));
        out.push_str(&format!("    retryable = {}\n", if entry.retryable { "True" } else { "False" }));
        out.push_str(&format!("    side = \"{}\"\n", entry.side.word()));
        for attribute in &entry.attributes {
            out.push_str(&format!("    {attribute}\n"));
        }
    }

    out.push_str("\n\n_CLASSES: dict[int, type[ClusterError]] = {\n");
    for entry in live() {
        out.push_str(&format!("    {}: {},\n", entry.number, entry.python));
    }
    out.push_str("}\n");
    out.push_str(TAIL);
    out
}

/// Leaves room for the indentation.
const COLUMNS_MAX: usize = 100;

const HEAD: &str = "\
\"\"\"Exceptions of clustercore. Generated from core/errors.toml by `cargo xtask gen`; do not edit.\"\"\"

from __future__ import annotations

from typing import ClassVar

";

const BASE: &str = "

class ClusterError(Exception):
    \"\"\"Base of every exception that clustercore raises.

    ``code`` is the registered number, ``name`` its name, ``retryable`` says whether the same call may
    succeed later, and ``side`` where the cause usually is.
    \"\"\"

    code: ClassVar[int] = 0
    name: ClassVar[str] = \"\"
    retryable: ClassVar[bool] = False
    side: ClassVar[str] = \"local\"

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else self.name
";

const TAIL: &str = "

def from_code(code: int, message: str) -> ClusterError:
    \"\"\"Make the exception of a registered number; an unknown number becomes a plain ``ClusterError``.\"\"\"
    return _CLASSES.get(code, ClusterError)(message)
";
