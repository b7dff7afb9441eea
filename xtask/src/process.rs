//! Running programs: from the root of the workspace, with a time limit, and an error that says what ran.

use std::ffi::OsStr;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, anyhow, bail};

use crate::workspace;

/// A command that runs in the root of the workspace.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(workspace::root()).env(DEBUG_BUILD.0, DEBUG_BUILD.1);
    command
}

/// `cargo` with `arguments`; every build goes through here.
pub fn cargo<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut cargo = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments);
    // Cargo sets these for us, the xtask; its own children must not take them for theirs.
    for name in ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
        cargo.env_remove(name);
    }
    cargo
}

/// Runs to the end with the terminal's own output; fails unless the exit status is zero.
///
/// Past `limit` the program and all its descendants are killed.
pub fn run(command: &mut Command, limit: Duration) -> Result<()> {
    println!("+ {}", line(command));
    let mut child = command.spawn().with_context(|| format!("cannot start {}", line(command)))?;
    let status = wait(&mut child, limit).with_context(|| line(command))?;
    succeed(status, command)
}

/// Like [`run`], but returns what the program wrote to its standard output, however much that is.
pub fn capture(command: &mut Command, limit: Duration) -> Result<String> {
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {}", line(command)))?;
    let mut pipe = child.stdout.take().context("a piped child has an output")?;
    // Read beside the wait: a pipe holds 64 KiB, and a full one would stop the program.
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).map(|_| bytes)
    });
    let status = wait(&mut child, limit).with_context(|| line(command))?;
    let bytes = reader.join().map_err(|_| anyhow!("the reading thread panicked"))??;
    succeed(status, command)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// True when the program can be started and ends with status zero; its output is dropped.
pub fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn succeed(status: ExitStatus, command: &Command) -> Result<()> {
    if !status.success() {
        bail!("{} ended with {status}", line(command));
    }
    Ok(())
}

fn wait(child: &mut Child, limit: Duration) -> Result<ExitStatus> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if started.elapsed() >= limit {
            kill_tree(child);
            bail!("still running after its limit of {} s; killed", limit.as_secs());
        }
        thread::sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Kills `child` and everything below it.
///
/// The tree is read from `/proc` instead of using a process group, so that Ctrl-C in a terminal still
/// reaches every program by itself.
fn kill_tree(child: &mut Child) {
    let mut doomed = vec![child.id()];
    let mut next = 0;
    while let Some(&parent) = doomed.get(next) {
        doomed.extend(children_of(parent));
        next += 1;
    }
    // Ancestors first: a parent that restarts its children cannot do so any more.
    let _ = Command::new("kill").arg("-KILL").args(doomed.iter().map(u32::to_string)).status();
    let _ = child.wait();
}

fn children_of(parent: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{parent}/task")) else { return Vec::new() };
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|line| line.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

/// The command as one would type it, programs of the tree by their path from its root.
fn line(command: &Command) -> String {
    let root = workspace::root();
    let mut words = Vec::new();
    for (name, value) in command.get_envs() {
        if let Some(value) = value.filter(|_| name != DEBUG_BUILD.0) {
            words.push(format!("{}={}", name.to_string_lossy(), quoted(&value.to_string_lossy())));
        }
    }
    let program = Path::new(command.get_program());
    words.push(program.strip_prefix(&root).unwrap_or(program).display().to_string());
    words.extend(command.get_args().map(|argument| quoted(&argument.to_string_lossy())));
    words.join(" ")
}

fn quoted(word: &str) -> String {
    if !word.is_empty() && !word.contains([' ', '"', '$', '*', '\'', ';', '&', '|', '<', '>', '(', ')']) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// What is tested is a debug build, and the Python module need not warn of it.
const DEBUG_BUILD: (&str, &str) = ("CLUSTERCORE_DEBUG_BUILD", "tested");

/// Long enough to cost nothing, short enough not to be felt.
const PAUSE_MAX: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_program_is_named_in_the_error() {
        let error = run(&mut command("false"), Duration::from_secs(10)).unwrap_err();
        assert!(error.to_string().contains("false ended with exit status: 1"), "{error}");
    }

    #[test]
    fn the_limit_kills_grandchildren_too() {
        // The pipe's write end is held by the grandchild: reading ends only when that one is gone.
        let mut child = command("sh").args(["-c", "sleep 60 & wait"]).stdout(Stdio::piped()).spawn().unwrap();
        thread::sleep(Duration::from_millis(100));
        let error = wait(&mut child, Duration::ZERO).unwrap_err();
        assert!(error.to_string().contains("limit"), "{error}");
        let output = child.wait_with_output().unwrap();
        assert!(!output.status.success());
    }

    #[test]
    fn captured_output_is_whole_even_when_larger_than_a_pipe() {
        let text = capture(command("seq").arg("50000"), Duration::from_secs(10)).unwrap();
        assert_eq!(text.lines().count(), 50_000);
        assert_eq!(text.lines().last(), Some("50000"));
    }

    #[test]
    fn a_line_can_be_pasted_into_a_shell() {
        let mut command = Command::new("echo");
        command.args(["plain", "two words", "it's"]).env("A", "1 2");
        assert_eq!(line(&command), "A='1 2' echo plain 'two words' 'it'\\''s'");
    }
}
