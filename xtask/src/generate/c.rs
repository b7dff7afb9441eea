//! The registry as C: `c-include/clustercore_errors.h`.

use super::registry::Registry;

/// Renders the header: an enumeration of the negated numbers, and a list macro for tables of one's own.
pub fn render(registry: &Registry) -> String {
    let mut out = String::from(HEAD);
    for entry in registry.errors.iter().filter(|entry| !entry.retired) {
        out.push_str(&format!("  /* {}. {} */\n", entry.message, entry.help));
        out.push_str(&format!("  CLC_ERROR_{} = -{},\n", entry.name, entry.number));
    }
    out.push_str("  /* no error: every function that can fail returns this or one of the above */\n  CLC_OK = 0\n};\n\n");

    out.push_str(
        "/* X(name, status, retryable, message) for each error: expand it to make a table of your own. */\n\
         #define CLC_ERRORS(X)",
    );
    for entry in registry.errors.iter().filter(|entry| !entry.retired) {
        out.push_str(&format!(
            " \\\n  X({}, CLC_ERROR_{}, {}, \"{}\")",
            entry.name,
            entry.name,
            i32::from(entry.retryable),
            entry.message
        ));
    }
    out.push_str("\n\n#endif /* CLUSTERCORE_ERRORS_H */\n");
    out
}

const HEAD: &str = "\
/* Error codes of clustercore. Generated from core/errors.toml by `cargo xtask gen`; do not edit.
 *
 * A clc_status is 0 or one of these negative numbers. Numbers stay for good.
 */
#ifndef CLUSTERCORE_ERRORS_H
#define CLUSTERCORE_ERRORS_H

enum {
";
