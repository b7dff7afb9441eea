//! Small things: dead links, leftovers, source files that nothing includes; and remarks on what has outgrown
//! a screen.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};

use crate::{process, workspace};

/// Prints every finding; the ones that are wrong, not just large, make it fail.
pub fn run() -> Result<()> {
    let root = workspace::root();
    let listing = process::capture(
        process::command("git").args(["ls-files", "--cached", "--others", "--exclude-standard"]),
        Duration::from_secs(60),
    )?;
    let files: Vec<&str> = listing.lines().collect();
    let mut wrong = Vec::new();
    let mut remarks = Vec::new();
    for file in &files {
        let Ok(text) = fs::read_to_string(root.join(file)) else { continue };
        if file.ends_with(".md") {
            wrong.extend(dead_links(&root, file, &text));
        }
        if file.ends_with(".rs") {
            wrong.extend(leftovers(file, &text));
            remarks.extend(outgrown(file, &text));
        }
    }
    wrong.extend(orphans(&root, &files));
    for remark in &remarks {
        println!("remark: {remark}");
    }
    for finding in &wrong {
        println!("wrong: {finding}");
    }
    if !wrong.is_empty() {
        bail!("{} things to tidy", wrong.len());
    }
    Ok(())
}

/// Links of a page to files of the tree which are not there.
fn dead_links(root: &Path, file: &str, text: &str) -> Vec<String> {
    let folder = root.join(file).parent().map(Path::to_path_buf).unwrap_or_default();
    links(text)
        .into_iter()
        .filter(|link| !link.contains("://") && !link.starts_with('#') && !link.starts_with("mailto:"))
        .filter(|link| {
            let path = link.split('#').next().unwrap_or_default();
            !folder.join(path).exists()
        })
        .map(|link| format!("{file}: link to {link}, which is not there"))
        .collect()
}

/// The targets of `[text](target)`, outside of code.
fn links(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // Every other part of a line split at backticks is code.
        for prose in line.split('`').step_by(2) {
            for part in prose.split("](").skip(1) {
                if let Some(end) = part.find([')', ' ']) {
                    found.push(&part[..end]);
                }
            }
        }
    }
    found
}

/// Debugging aids that were meant to go again, which the compiler's lints do not see in every build.
fn leftovers(file: &str, text: &str) -> Vec<String> {
    // Spelt in two parts, so that this file does not find itself.
    let words =
        [concat!("dbg", "!("), concat!("todo", "!("), concat!("unimplemented", "!("), concat!("FIX", "ME")];
    text.lines()
        .enumerate()
        .filter_map(|(index, line)| {
            let word = words.iter().find(|word| line.contains(**word))?;
            Some(format!("{file}:{}: leftover {word}", index + 1))
        })
        .collect()
}

/// Long files and long functions: not wrong, but somebody should look.
fn outgrown(file: &str, text: &str) -> Vec<String> {
    let mut remarks = Vec::new();
    let count = text.lines().count();
    if count > FILE_LINES && !text.contains("Generated from") {
        remarks.push(format!("{file} has {count} lines; a noun inside it may want its own file"));
    }
    let mut open: Option<(usize, usize, &str)> = None;
    for (index, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        match open {
            // rustfmt puts a function's closing brace where its first line began.
            Some((start, depth, name))
                if indent == depth && line.trim_end() == format!("{}}}", " ".repeat(depth)) =>
            {
                if index - start > FUNCTION_LINES {
                    remarks.push(format!("{file}:{}: {name} is {} lines long", start + 1, index - start + 1));
                }
                open = None;
            }
            None => {
                let opens = !line.trim_end().ends_with(['}', ';']);
                open = function_name(line).filter(|_| opens).map(|name| (index, indent, name));
            }
            Some(_) => {}
        }
    }
    remarks
}

fn function_name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    for word in ["pub(crate) ", "pub(super) ", "pub ", "const ", "async ", "unsafe ", "extern \"C\" "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let rest = rest.strip_prefix("fn ")?;
    Some(rest.split(['(', '<']).next().unwrap_or(rest))
}

/// Rust files below a `src` folder which no `mod` line names, and which therefore no compiler reads.
fn orphans(root: &Path, files: &[&str]) -> Vec<String> {
    let sources: Vec<&&str> =
        files.iter().filter(|file| file.ends_with(".rs") && file.contains("src/")).collect();
    let mut named = HashSet::new();
    for file in &sources {
        let Ok(text) = fs::read_to_string(root.join(file)) else { continue };
        let path = Path::new(file);
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let parent = path.parent().unwrap_or(Path::new(""));
        let is_root = matches!(stem, "main" | "lib" | "mod") || parent.ends_with("bin");
        let folder: PathBuf = if is_root { parent.to_path_buf() } else { parent.join(stem) };
        for line in text.lines() {
            let line = line.trim();
            if let Some(quoted) = line.strip_prefix("#[path = \"") {
                named.insert(parent.join(quoted.trim_end_matches("\"]")));
            }
            if let Some(name) = module_name(line) {
                named.insert(folder.join(format!("{name}.rs")));
                named.insert(folder.join(name).join("mod.rs"));
            }
        }
    }
    sources
        .iter()
        .filter(|file| {
            let path = Path::new(file);
            let in_bin = path.parent().is_some_and(|parent| parent.ends_with("bin"))
                || path.components().any(|part| part.as_os_str() == "bin");
            let is_root = path.parent().is_some_and(|parent| parent.ends_with("src"))
                && (path.ends_with("main.rs") || path.ends_with("lib.rs"));
            root.join(file).exists() && !in_bin && !is_root && !named.contains(path)
        })
        .map(|file| format!("{file}: no `mod` line names this file"))
        .collect()
}

fn module_name(line: &str) -> Option<&str> {
    let mut rest = line;
    for word in ["pub(crate) ", "pub(super) ", "pub "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    rest.strip_prefix("mod ")?.strip_suffix(';').map(|name| name.trim_start_matches("r#"))
}

/// House style: most files land between 100 and 400 lines.
const FILE_LINES: usize = 450;

/// About one tall screen.
const FUNCTION_LINES: usize = 70;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_of_code_only() {
        let text = "see [a](one.md), `[b](no.md)` and [c](two.md#part \"title\")\n```\n[d](no.md)\n```\n";
        assert_eq!(links(text), ["one.md", "two.md#part"]);
    }

    #[test]
    fn a_dead_link_is_named_with_its_page() {
        let found = dead_links(
            &workspace::root(),
            "README.md",
            "[x](nowhere/at-all.md) [y](Cargo.toml) [z](https://a.b)",
        );
        assert_eq!(found, ["README.md: link to nowhere/at-all.md, which is not there"]);
    }

    #[test]
    fn leftovers_are_found_by_line() {
        let text = format!("fn a() {{\n    {}1);\n}}\n", concat!("dbg", "!("));
        assert_eq!(leftovers("x.rs", &text).len(), 1);
        assert!(leftovers("x.rs", "fn a() {}\n").is_empty());
    }

    #[test]
    fn long_functions_are_remarked_upon() {
        let body = "    work();\n".repeat(FUNCTION_LINES + 1);
        let text = format!("pub fn long(a: u8) {{\n{body}}}\nfn short() {{\n    work();\n}}\n");
        let remarks = outgrown("x.rs", &text);
        assert_eq!(remarks.len(), 1);
        assert!(remarks[0].contains("x.rs:1: long is"), "{remarks:?}");
    }

    #[test]
    fn module_lines_are_recognised() {
        assert_eq!(module_name("pub(crate) mod ring;"), Some("ring"));
        assert_eq!(module_name("mod tests {"), None);
    }
}
