//! A library that is nothing but the header: each function that it declares with an empty body, each of its
//! enumerations as a variable. Compiled, it has the types as a C program sees them and nothing of what is inside.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The stub's source, and what it is made of.
#[derive(Debug, PartialEq, Eq)]
pub struct Stub {
    /// C11; includes `clustercore.h`.
    pub source: String,
    /// The functions that the header declares.
    pub functions: BTreeSet<String>,
}

impl Stub {
    /// From the text of the header, as cbindgen writes it.
    pub fn of(header: &str) -> Stub {
        let mut stub = Stub { source: PROLOGUE.to_owned(), functions: BTreeSet::new() };
        for statement in statements(header) {
            if let Some(name) = enumeration(&statement) {
                // Fields have whole numbers for types, so that nothing else would keep the values.
                let _ = writeln!(stub.source, "enum {name} {name}_values;");
            } else if let Some(name) = function(&statement) {
                let _ = writeln!(stub.source, "{statement} {{ abort(); }}");
                stub.functions.insert(name.to_owned());
            }
        }
        stub
    }
}

/// The statements at file scope, without comments, directives and the brackets for C++, each on one line and
/// without its semicolon.
fn statements(header: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = String::new();
    let mut depth = 0usize;
    let mut for_cplusplus = false;
    for line in without_comments(header).lines() {
        let directive = line.trim_start().strip_prefix('#');
        for_cplusplus = directive.map_or(for_cplusplus, |words| words.contains("ifdef __cplusplus"));
        if directive.is_some() || for_cplusplus {
            continue;
        }
        for character in line.trim().chars().chain([' ']) {
            match character {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                ';' if depth == 0 => {
                    found.push(open.split_whitespace().collect::<Vec<_>>().join(" "));
                    open.clear();
                    continue;
                }
                _ => {}
            }
            open.push(character);
        }
    }
    found
}

/// The header has `/* */` over several lines, and `//` only behind directives.
fn without_comments(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("/*") {
        out.push_str(before);
        rest = after.split_once("*/").map_or("", |(_, after)| after);
    }
    out + rest
}

/// The name of an enumeration that is defined here.
fn enumeration(statement: &str) -> Option<&str> {
    let name = statement.strip_prefix("typedef enum ")?.split_whitespace().next()?;
    name.starts_with("clc_").then_some(name)
}

/// The name of a function that is declared here.
fn function(statement: &str) -> Option<&str> {
    if statement.starts_with("typedef ") || statement.contains('{') {
        return None;
    }
    let (before, _) = statement.split_once('(')?;
    before.rsplit([' ', '*']).next()
}

/// The layout of `FILE` is the C library's affair, and error numbers are an enumeration without a name.
const PROLOGUE: &str = "\
#include <stdio.h>
#include <stdlib.h>
#define FILE struct clc_any_file
FILE;
#include \"clustercore.h\"
#define CLC_VALUE(name, value, retryable, message) CLC_ABI_ERROR_##name = value,
enum clc_error { CLC_ERRORS(CLC_VALUE) CLC_ABI_NONE = CLC_NONE };
enum clc_error clc_error_values;
";

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "\
#ifndef CLUSTERCORE_H
#define CLC_NONE UINT32_MAX

/**
 * With a word; and a semicolon.
 */
typedef enum clc_level {
  /**
   * Nothing (much).
   */
  CLC_LEVEL_LOW = 0,
} clc_level;

typedef struct clc_shard clc_shard;

typedef void (*clc_log_sink)(void *user, const char *text);

typedef struct clc_address {
  char text[64];
} clc_address;

#ifdef __cplusplus
extern \"C\" {
#endif // __cplusplus

/**
 * Turns it.
 */
clc_status clc_shard_turn(struct clc_shard *shard,
                          uint64_t now_ns);

const char *clc_version(void);

#ifdef __cplusplus
}  // extern \"C\"
#endif  // __cplusplus
#endif
";

    #[test]
    fn every_function_gets_a_body_and_every_enumeration_a_variable() {
        let stub = Stub::of(HEADER);
        let (_, body) = stub.source.split_once("clc_error_values;\n").unwrap();
        assert_eq!(
            body,
            "enum clc_level clc_level_values;\n\
             clc_status clc_shard_turn(struct clc_shard *shard, uint64_t now_ns) { abort(); }\n\
             const char *clc_version(void) { abort(); }\n"
        );
        assert_eq!(Vec::from_iter(stub.functions), ["clc_shard_turn", "clc_version"]);
    }

    #[test]
    fn an_empty_header_declares_nothing() {
        assert!(Stub::of("#define X(a, b) 1\n").functions.is_empty());
    }
}
