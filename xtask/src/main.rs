//! `cargo xtask ...`: set-up, run, test, check, generate, simulate, bench. The only build script language
//! of the project is Rust.

mod abi;
mod artefacts;
mod command_line;
mod doctor;
mod fuzz;
mod generate;
mod process;
mod setup;
mod steps;
mod tidy;
mod workspace;

use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

use command_line::Order;
use setup::Purpose;

fn main() -> ExitCode {
    let result = command_line::parse(std::env::args_os().skip(1)).and_then(execute);
    match result {
        Ok(true) => ExitCode::SUCCESS,
        // What is wrong has been said already.
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// True when all is well; false when something that was checked is not.
fn execute(order: Order) -> Result<bool> {
    match order {
        Order::Help => print!("{}", command_line::HELP),
        Order::Setup => setup::ensure(Purpose::Test)?,
        Order::Run { arguments } => run(&arguments)?,
        Order::List => steps::list(),
        Order::Gate(selection) => return steps::run(&selection),
        Order::Bench { arguments } => bench(&arguments)?,
        Order::Build => build()?,
        Order::Sim { seed } => steps::simulate(seed)?,
        Order::Generate { check } => generate::run(check)?,
        Order::Abi { accept } => compare_abi(accept)?,
        Order::Doctor => doctor::run(),
        Order::Loom => {
            steps::loom(false)?;
        }
        Order::Fuzz { name, seconds } => fuzz::run(&name, seconds)?,
        Order::Tidy => tidy::run()?,
    }
    Ok(true)
}

/// Brings up a whole cluster on this machine: becomes the product's own command, so that Ctrl-C and the
/// exit status are its.
fn run(arguments: &[String]) -> Result<()> {
    setup::ensure(Purpose::Run)?;
    artefacts::Build::Release.make()?;
    let program = workspace::venv_program("clustercore");
    let mut demo = process::command(&program);
    demo.args(["demo", "--front", FRONT, "--console", CONSOLE]).args(arguments);
    demo.env("CLUSTERCORE_PROGRAMS", artefacts::Build::Release.folder());
    Err(demo.exec()).with_context(|| format!("cannot start {}", program.display()))
}

fn compare_abi(accept: bool) -> Result<()> {
    setup::ensure(Purpose::Test)?;
    if accept { abi::accept() } else { abi::check() }
}

/// Everything that programs need to run, and nothing that only tests need.
fn build() -> Result<()> {
    setup::ensure(Purpose::Run)?;
    artefacts::Build::Release.make()
}

fn bench(arguments: &[String]) -> Result<()> {
    setup::ensure(Purpose::Test)?;
    artefacts::Build::Release.make()?;
    let mut bench = process::command("bash");
    bench.arg("perf/bench.sh").args(arguments);
    process::run(&mut bench, Duration::from_secs(4 * 3600))
}

/// Where the front end of the demonstration serves.
const FRONT: &str = "127.0.0.1:8080";

/// Where its console is.
const CONSOLE: &str = "127.0.0.1:8090";
