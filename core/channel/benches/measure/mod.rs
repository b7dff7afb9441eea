//! What the benches of this crate share: processor time, medians, and the row that is printed.

use std::path::Path;
use std::process::Command;

/// How a bench was asked to run.
pub enum Size {
    /// A test runner asks for test names; there are none.
    Nothing,
    /// Tiny counts: does it work?
    Quick,
    /// Counts that give figures.
    Full,
}

/// Figures of one case: they mean something by their median.
pub struct Row<'a> {
    pub bench: &'a str,
    pub case: &'a str,
    pub unit: &'a str,
    /// One for each run, in any order.
    pub samples: Vec<f64>,
    /// More members of the row: names and JSON values.
    pub more: Vec<(&'a str, String)>,
    /// The command that prints this row.
    pub command: String,
}

impl Size {
    pub fn asked() -> Size {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let has = |names: &[&str]| args.iter().any(|arg| names.contains(&arg.as_str()));
        match () {
            () if has(&["--list"]) => Size::Nothing,
            () if has(&["--quick", "--test"]) => Size::Quick,
            () => Size::Full,
        }
    }

    /// `command`, as it has to be given for this size.
    pub fn command(&self, command: &str) -> String {
        if matches!(self, Size::Quick) { format!("{command} -- --quick") } else { command.into() }
    }
}

impl Row<'_> {
    /// Prints the row as one line of JSON.
    pub fn print(mut self) {
        self.samples.sort_by(f64::total_cmp);
        let Row { bench, case, unit, samples, more, command } = self;
        let (min, median, max) = (samples[0], samples[samples.len() / 2], samples[samples.len() - 1]);
        let more: String = more.into_iter().map(|(name, value)| format!("\"{name}\":{value},")).collect();
        println!(
            "{{\"bench\":\"{bench}\",\"case\":\"{case}\",\"unit\":\"{unit}\",\"median\":{median:.1},\"min\":{min:.1},\
             \"max\":{max:.1},\"runs\":{},{more}\"command\":\"{command}\",\"commit\":\"{}\"}}",
            samples.len(),
            commit(),
        );
    }
}

/// Processor time of a thread, which a busy machine does not change much. `thread` is its folder under `/proc`.
pub fn schedule_ns(thread: &Path) -> u64 {
    let text = std::fs::read_to_string(thread.join("schedstat")).expect("Linux");
    text.split(' ').next().and_then(|first| first.parse().ok()).expect("a number")
}

/// The short commit, with a mark when the tree differs from it; "unknown" outside a checkout.
fn commit() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".to_string() };
    match git(&["status", "--porcelain", "--", env!("CARGO_MANIFEST_DIR")]) {
        Some(changes) if !changes.is_empty() => commit + "-dirty",
        _ => commit,
    }
}
