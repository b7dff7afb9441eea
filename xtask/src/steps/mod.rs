//! The gate: named steps, run in order, each timed, with a count at the end.

mod bare_metal;
mod c;
mod dissector;
mod examples;
mod python;
mod rust;
mod table;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

pub use rust::{loom, simulate};
use table::STEPS;

use crate::setup::{self, Purpose};

/// How a step ended, when it did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ran and everything held.
    Passed,
    /// It could not run; says what is missing.
    Skipped(String),
}

/// Which steps belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    /// What one runs while working.
    Check,
    /// Everything; contains `Check`.
    Test,
}

/// One named part of the gate.
#[derive(Debug)]
pub struct Step {
    name: &'static str,
    about: &'static str,
    gate: Gate,
    /// True when it belongs to `--quick` as well.
    quick: bool,
    /// True when it needs more than the toolchain: Python packages, Debian packages.
    setup: bool,
    run: fn(quick: bool) -> Result<Outcome>,
}

impl Step {
    const fn after_setup(mut self) -> Self {
        self.setup = true;
        self
    }
}

/// What to run of the gate.
#[derive(Debug)]
pub struct Selection {
    pub gate: Gate,
    pub quick: bool,
    /// Names of steps; empty means all.
    pub only: Vec<String>,
    /// Count a skipped step as failed: for a release, where nothing may be missing.
    pub no_skips: bool,
}

/// Prints the steps, one per line.
pub fn list() {
    for step in STEPS {
        let gate = if step.gate == Gate::Check { "check" } else { "test" };
        let quick = if step.quick { "quick" } else { "" };
        println!("{:14} {gate:5} {quick:5} {}", step.name, step.about);
    }
}

/// Runs the selected steps after the set-up that they need, all of them even when some fail; true when
/// none did.
///
/// The last line is `N passed, M failed`, counting steps.
pub fn run(selection: &Selection) -> Result<bool> {
    let chosen = choose(selection, STEPS)?;
    let started = Instant::now();
    let mut results = Vec::with_capacity(chosen.len() + 1);
    // What needs only the toolchain does not wait for Python packages.
    if chosen.iter().any(|step| step.setup) {
        let set_up = || setup::ensure(Purpose::Test).map(|()| Outcome::Passed);
        results.push(timed("set-up", "Debian and Python packages", set_up));
    }
    for step in chosen {
        results.push(timed(step.name, step.about, || (step.run)(selection.quick)));
    }
    Ok(summarise(&results, started.elapsed(), selection.no_skips))
}

/// What became of a step: its name, the seconds it took, its outcome.
type Timed = (&'static str, f64, Result<Outcome>);

fn timed(name: &'static str, about: &str, run: impl FnOnce() -> Result<Outcome>) -> Timed {
    println!("\n=== {name}: {about}");
    let started = Instant::now();
    let result = run();
    let seconds = started.elapsed().as_secs_f64();
    match &result {
        Ok(Outcome::Passed) => println!("--- {name} passed in {seconds:.1} s"),
        Ok(Outcome::Skipped(reason)) => println!("--- {name} skipped: {reason}"),
        Err(error) => println!("--- {name} FAILED after {seconds:.1} s: {error:#}"),
    }
    (name, seconds, result)
}

fn choose<'a>(selection: &Selection, steps: &'a [Step]) -> Result<Vec<&'a Step>> {
    for name in &selection.only {
        ensure!(
            steps.iter().any(|step| step.name == name),
            "no step is called {name}; see `cargo xtask test --list`"
        );
    }
    Ok(steps
        .iter()
        .filter(|step| {
            if selection.only.is_empty() {
                step.gate <= selection.gate && (step.quick || !selection.quick)
            } else {
                selection.only.iter().any(|name| name == step.name)
            }
        })
        .collect())
}

/// Prints the table and the count; true when something passed and nothing failed.
fn summarise(results: &[Timed], elapsed: Duration, no_skips: bool) -> bool {
    println!("\n{:14} {:>8}  result", "step", "seconds");
    let (mut passed, mut failed) = (0, 0);
    for (name, seconds, result) in results {
        let text = match result {
            Ok(Outcome::Passed) => {
                passed += 1;
                String::from("passed")
            }
            Ok(Outcome::Skipped(reason)) => {
                failed += u32::from(no_skips);
                format!("skipped: {reason}")
            }
            Err(error) => {
                failed += 1;
                format!("FAILED: {error:#}")
            }
        };
        println!("{name:14} {seconds:8.1}  {text}");
    }
    let total = elapsed.as_secs_f64();
    println!("{:14} {total:8.1}  of at most {BUDGET_S} on a cold machine with 2 cores", "total");
    println!("{passed} passed, {failed} failed");
    failed == 0 && passed > 0
}

/// What a whole cold run may take: 45 minutes.
const BUDGET_S: u32 = 45 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &'static str, gate: Gate, quick: bool) -> Step {
        Step { name, about: "", gate, quick, setup: false, run: |_| Ok(Outcome::Passed) }
    }

    fn names(selection: &Selection) -> Vec<&'static str> {
        let steps = Box::leak(Box::new([
            step("format", Gate::Check, true),
            step("docs", Gate::Check, false),
            step("c", Gate::Test, true),
            step("loom", Gate::Test, false),
        ]));
        choose(selection, steps).unwrap().iter().map(|step| step.name).collect()
    }

    fn selection(gate: Gate, quick: bool, only: &[&str]) -> Selection {
        Selection { gate, quick, only: only.iter().map(|&name| name.to_owned()).collect(), no_skips: false }
    }

    #[test]
    fn test_contains_check_and_quick_is_a_part_of_each() {
        assert_eq!(names(&selection(Gate::Check, true, &[])), ["format"]);
        assert_eq!(names(&selection(Gate::Check, false, &[])), ["format", "docs"]);
        assert_eq!(names(&selection(Gate::Test, true, &[])), ["format", "c"]);
        assert_eq!(names(&selection(Gate::Test, false, &[])), ["format", "docs", "c", "loom"]);
    }

    #[test]
    fn only_picks_by_name_whatever_the_gate() {
        assert_eq!(names(&selection(Gate::Check, true, &["loom"])), ["loom"]);
        assert!(choose(&selection(Gate::Test, false, &["nonsense"]), &[]).is_err());
    }

    #[test]
    fn skips_fail_only_when_none_are_allowed() {
        let results = [("a", 0.0, Ok(Outcome::Passed)), ("b", 0.0, Ok(Outcome::Skipped("no kernel".into())))];
        assert!(summarise(&results, Duration::ZERO, false));
        assert!(!summarise(&results, Duration::ZERO, true));
    }

    #[test]
    fn nothing_run_is_not_green() {
        assert!(!summarise(&[], Duration::ZERO, false));
    }

    #[test]
    fn step_names_are_unique() {
        let mut names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STEPS.len());
    }
}
