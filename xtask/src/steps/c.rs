//! Steps in C: strict compilation of the headers, the tests under the address sanitizer, and the library
//! as installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Outcome;
use crate::artefacts::Build;
use crate::setup::CARGO_C;
use crate::{abi, process, workspace};

/// Compiles the headers as C11 and C++17, then builds each `tests/c/test_*.c` and each example with the
/// address and undefined-behaviour sanitizers and runs it.
pub fn tests(_quick: bool) -> Result<Outcome> {
    headers()?;
    if !Path::new("/usr/include/cmocka.h").exists() {
        return Ok(Outcome::Skipped("cmocka is not installed (Debian: libcmocka-dev)".into()));
    }
    let mut programs = sources("tests/c", "test_")?;
    ensure!(!programs.is_empty(), "tests/c has no test_*.c");
    programs.extend(examples()?);
    Build::Tested.make()?;
    side_by_side(&programs, |source| {
        let program = build(source, "checked-", SANITIZERS, &["-lcmocka"])?;
        process::run(&mut process::command(program), 2 * MINUTE)
    })?;
    Ok(Outcome::Passed)
}

/// Compares the binary interface with the committed description.
pub fn abi(_quick: bool) -> Result<Outcome> {
    if let Some(missing) = abi::missing() {
        return Ok(Outcome::Skipped(missing));
    }
    abi::check().map(|()| Outcome::Passed)
}

/// Installs the library with cargo-c into a staging folder and checks what a C user meets there: the
/// pkg-config file, the soname, the headers, and each example built and run with nothing else, under
/// valgrind when that is installed.
pub fn installed(_quick: bool) -> Result<Outcome> {
    if workspace::find_program("pkg-config").is_none() {
        return Ok(Outcome::Skipped("pkg-config is not installed (Debian: pkg-config)".into()));
    }
    let stage = workspace::target().join("c-stage");
    let prefix = stage.join("usr");
    let mut install = process::command(CARGO_C.ensure()?);
    install
        .args(["cinstall", "--profile", "staged", "--package", "clustercore-ffi"])
        .args(["--libdir", "lib", "--prefix"])
        .arg(&prefix);
    process::run(&mut install, 15 * MINUTE)?;

    let find = |arguments: &[&str]| -> Result<Vec<String>> {
        let mut pkg_config = process::command("pkg-config");
        pkg_config.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")).args(arguments).arg("clustercore");
        let text = process::capture(&mut pkg_config, MINUTE)?;
        Ok(text.split_whitespace().map(str::to_owned).collect())
    };
    let (compiler_flags, linker_flags) = (find(&["--cflags"])?, find(&["--libs"])?);
    let examples = examples()?;
    ensure!(!examples.is_empty(), "examples/c has no example with an .expected file");
    side_by_side(&examples, |example| {
        let program = output("installed-", example)?;
        let mut compile = process::command("cc");
        compile.args(STRICT).args(["-std=c11", "-D_GNU_SOURCE", "-g", "-pthread"]).args(&compiler_flags);
        compile.arg(example).args(&linker_flags).arg("-o").arg(&program);
        process::run(&mut compile, MINUTE)?;
        run_installed(&program, &prefix.join("lib"))
    })?;
    Ok(Outcome::Passed)
}

/// Does the same with each program, two at a time: most of it is waiting. The first error, when all have come to their end.
fn side_by_side(programs: &[PathBuf], work: impl Fn(&Path) -> Result<()> + Sync) -> Result<()> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let places = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)));
        let mut mine = places.map_while(|place| programs.get(place));
        mine.try_for_each(|program| work(program).with_context(|| program.display().to_string()))
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(worker);
        let own = worker();
        own.and(other.join().expect("a worker reports its errors"))
    })
}

fn run_installed(program: &Path, libraries: &Path) -> Result<()> {
    let dynamic = process::capture(process::command("readelf").arg("-d").arg(program), MINUTE)?;
    ensure!(
        dynamic.lines().any(|line| line.contains("NEEDED") && line.contains("[libclustercore.so.")),
        "the example does not name libclustercore by its versioned soname:\n{dynamic}"
    );
    let mut run = if workspace::find_program("valgrind").is_some() {
        let mut valgrind = process::command("valgrind");
        valgrind.args([
            "--quiet",
            "--error-exitcode=9",
            "--leak-check=full",
            "--errors-for-leak-kinds=definite",
            // To show others means to read all debug information, which takes a minute.
            "--show-leak-kinds=definite",
        ]);
        valgrind.arg(program);
        valgrind
    } else {
        println!("valgrind is not installed; the example runs without");
        process::command(program)
    };
    process::run(run.env("LD_LIBRARY_PATH", libraries), 2 * MINUTE)
}

/// Builds an example of `examples/c` against the release library and returns the program's path.
pub fn build_example(source: &Path) -> Result<PathBuf> {
    build(source, "", &[], &[])
}

/// Each header must compile by itself, strictly, in both languages.
fn headers() -> Result<()> {
    for (compiler, language, standard) in [("cc", "c", "-std=c11"), ("c++", "c++", "-std=c++17")] {
        if workspace::find_program(compiler).is_none() {
            println!("{compiler} is not installed; the headers are not compiled as {language}");
            continue;
        }
        for header in files("c-include", |name| name.ends_with(".h"))? {
            let mut compile = process::command(compiler);
            compile.args(STRICT).args([standard, "-fsyntax-only", "-x", language]).arg(header);
            process::run(&mut compile, MINUTE)?;
        }
    }
    Ok(())
}

/// The examples that the gate runs: those that say what they print.
fn examples() -> Result<Vec<PathBuf>> {
    let mut examples = sources("examples/c", "")?;
    examples.retain(|source| source.with_extension("expected").exists());
    Ok(examples)
}

fn build(source: &Path, prefix: &str, flags: &[&str], libraries: &[&str]) -> Result<PathBuf> {
    let program = output(prefix, source)?;
    let mut compile = process::command("cc");
    compile.args(STRICT).args(["-std=c11", "-D_GNU_SOURCE", "-g", "-pthread", "-I", "c-include"]);
    compile.args(flags).arg(source).arg(Build::Tested.folder().join("libclustercore_ffi.a")).args(libraries);
    // What Rust's own library needs of the system.
    compile.args(["-lm", "-ldl", "-o"]).arg(&program);
    process::run(&mut compile, MINUTE)?;
    Ok(program)
}

/// Where the program made of `source` goes; a prefix keeps the ways of building one apart.
fn output(prefix: &str, source: &Path) -> Result<PathBuf> {
    let folder = workspace::target().join("c");
    fs::create_dir_all(&folder)?;
    let stem = source.file_stem().and_then(|stem| stem.to_str()).context("a source has a name")?;
    Ok(folder.join(format!("{prefix}{stem}")))
}

fn sources(folder: &str, prefix: &str) -> Result<Vec<PathBuf>> {
    files(folder, |name| name.starts_with(prefix) && name.ends_with(".c"))
}

fn files(folder: &str, wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let path = workspace::root().join(folder);
    let entries = fs::read_dir(&path).with_context(|| format!("cannot list {}", path.display()))?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(&wanted))
        .map(|entry| entry.path())
        .collect();
    files.sort();
    Ok(files)
}

const SANITIZERS: &[&str] =
    &["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"];

const STRICT: &[&str] = &["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

const MINUTE: Duration = Duration::from_secs(60);
