//! The binary interface of the C library: the committed description compared with the present header, and the header
//! with what the library exports.
//!
//! Two comparisons, because neither is enough. abidiff sees sizes, offsets, values and parameters, but of the header's
//! types: the library's own debug information describes what is inside, in the words of one version of the Rust compiler.
//! What the library exports is asked of the library. That header and crate agree is the business of `generated`.

mod stub;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::artefacts::Build;
use crate::{process, workspace};
use stub::Stub;

/// Whether the programs are there that this needs; says what is missing.
pub fn missing() -> Option<String> {
    let missing = ["abidw", "abidiff"].into_iter().find(|name| workspace::find_program(name).is_none())?;
    Some(format!("{missing} is not installed (Debian: abigail-tools)"))
}

/// Fails when a program that was compiled with the committed interface would not run with the present one. What was only
/// added is listed.
pub fn check() -> Result<()> {
    let stub = present_stub()?;
    Build::Tested.make()?;
    same_functions(&stub.functions, &exports(&Build::Tested.folder().join("libclustercore_ffi.so"))?)?;
    let fresh = describe(&stub)?;
    let committed = workspace::root().join(DESCRIPTION);
    let incompatible =
        process::run(process::command("abidiff").arg("--no-added-syms").args([&committed, &fresh]), MINUTE);
    if incompatible.is_err() {
        bail!("the C interface has changed for programs that are compiled already, see above.\n{ADVICE}");
    }
    // What still differs was added, and abidiff has listed it.
    let same = process::command("abidiff").args([&committed, &fresh]).status()?.success();
    if !same {
        println!("additions are free; a release enters them with `cargo xtask abi --accept`");
    }
    Ok(())
}

/// Writes the description anew.
pub fn accept() -> Result<()> {
    if let Some(missing) = missing() {
        bail!("{missing}");
    }
    let fresh = describe(&present_stub()?)?;
    fs::copy(&fresh, workspace::root().join(DESCRIPTION))
        .with_context(|| format!("cannot write {DESCRIPTION}"))?;
    println!("wrote {DESCRIPTION}");
    Ok(())
}

fn present_stub() -> Result<Stub> {
    let header = workspace::root().join("c-include/clustercore.h");
    let text = fs::read_to_string(&header).with_context(|| format!("cannot read {}", header.display()))?;
    Ok(Stub::of(&text))
}

/// Compiles the stub and returns the path of its description.
fn describe(stub: &Stub) -> Result<PathBuf> {
    let folder = workspace::target().join("c-abi");
    fs::create_dir_all(&folder)?;
    let (source, library) = (folder.join("stub.c"), folder.join("stub.so"));
    let description = folder.join("clustercore.abi");
    fs::write(&source, &stub.source)?;
    let mut compile = process::command("cc");
    compile.args(["-std=c11", "-g", "-O0", "-fPIC", "-shared", "-I", "c-include", "-o"]).arg(&library);
    // Where this tree lies is nobody's business.
    compile.arg(format!("-ffile-prefix-map={}=.", workspace::root().display()));
    process::run(compile.arg(&source), MINUTE)?;
    let mut write = process::command("abidw");
    write.args(PLACELESS).arg("--out-file").args([&description, &library]);
    process::run(&mut write, MINUTE)?;
    Ok(description)
}

/// What a program can link with.
fn exports(library: &Path) -> Result<BTreeSet<String>> {
    let mut list = process::command("nm");
    list.args(["--dynamic", "--defined-only", "--format=posix"]).arg(library);
    let text = process::capture(&mut list, MINUTE)?;
    Ok(text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

fn same_functions(declared: &BTreeSet<String>, exported: &BTreeSet<String>) -> Result<()> {
    let list = |names: Vec<&String>| names.into_iter().cloned().collect::<Vec<_>>().join(", ");
    let missing = list(declared.difference(exported).collect());
    let hidden = list(exported.difference(declared).collect());
    ensure!(!declared.is_empty(), "the header declares no function");
    ensure!(missing.is_empty(), "declared, but not exported: {missing}");
    ensure!(hidden.is_empty(), "exported, but not declared: {hidden}");
    Ok(())
}

/// The description that stands for the programs that are compiled already.
const DESCRIPTION: &str = "c-include/clustercore.abi";

const ADVICE: &str = "\
Where it was not meant: undo it, or add beside instead of changing. Where it was: options may grow at their end when \
the older size stays in SIZES (ffi/src/options.rs), everything else raises CLC_ABI_VERSION and the soname once there \
is a release. Then `cargo xtask abi --accept` writes c-include/clustercore.abi anew; commit it with the reason.";

/// Nothing of where and with what it was compiled.
const PLACELESS: &[&str] = &[
    "--no-architecture",
    "--no-corpus-path",
    "--no-comp-dir-path",
    "--no-elf-needed",
    "--no-parameter-names",
    "--no-show-locs",
    "--no-write-default-sizes",
    "--drop-undefined-syms",
    "--type-id-style",
    "hash",
];

const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &str) -> BTreeSet<String> {
        words.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn header_and_library_must_have_the_same_functions() {
        let error =
            |declared, exported| same_functions(&names(declared), &names(exported)).unwrap_err().to_string();
        assert!(same_functions(&names("clc_a clc_b"), &names("clc_b clc_a")).is_ok());
        assert_eq!(error("clc_a clc_b", "clc_a"), "declared, but not exported: clc_b");
        assert_eq!(error("clc_a", "clc_a clc_b clc_c"), "exported, but not declared: clc_b, clc_c");
        assert_eq!(error("", ""), "the header declares no function");
    }
}
