//! The command line: from words to an [`Order`].

use std::ffi::OsString;

use anyhow::{Context, Result, bail};
use lexopt::{Arg, Parser, ValueExt as _};

use crate::steps::{Gate, Selection};

/// What to do.
#[derive(Debug)]
pub enum Order {
    Help,
    Setup,
    Run { arguments: Vec<String> },
    List,
    Gate(Selection),
    Bench { arguments: Vec<String> },
    Build,
    Sim { seed: u64 },
    Generate { check: bool },
    Abi { accept: bool },
    Doctor,
    Loom,
    Fuzz { name: String, seconds: u64 },
    Tidy,
}

/// Understands `words`, the command line without the program's name.
pub fn parse(words: impl Iterator<Item = OsString>) -> Result<Order> {
    let mut parser = Parser::from_args(words);
    let command = match parser.next()? {
        None | Some(Arg::Short('h') | Arg::Long("help")) => return Ok(Order::Help),
        Some(Arg::Value(command)) => command.string()?,
        Some(other) => return Err(other.unexpected().into()),
    };
    match command.as_str() {
        "help" => Ok(Order::Help),
        "setup" => alone(parser, Order::Setup),
        "run" => run(parser),
        "test" => gate(parser, Gate::Test),
        "check" => gate(parser, Gate::Check),
        "e2e" => alone(parser, only(&["e2e", "apps", "browser"])),
        "bench" => Ok(Order::Bench { arguments: rest(parser)? }),
        "build" => alone(parser, Order::Build),
        "sim" => sim(parser),
        "gen" => flag(parser, "check", |check| Order::Generate { check }),
        "abi" => flag(parser, "accept", |accept| Order::Abi { accept }),
        "doctor" => alone(parser, Order::Doctor),
        "loom" => alone(parser, Order::Loom),
        "fuzz" => fuzz(parser),
        "tidy" => alone(parser, Order::Tidy),
        _ => bail!("no command is called {command}; see `cargo xtask help`"),
    }
}

fn alone(mut parser: Parser, order: Order) -> Result<Order> {
    match parser.next()? {
        None => Ok(order),
        Some(Arg::Short('h') | Arg::Long("help")) => Ok(Order::Help),
        Some(other) => Err(other.unexpected().into()),
    }
}

fn only(names: &[&str]) -> Order {
    let only = names.iter().copied().map(str::to_owned).collect();
    Order::Gate(Selection { gate: Gate::Test, quick: false, only, no_skips: false })
}

fn rest(mut parser: Parser) -> Result<Vec<String>> {
    parser
        .raw_args()?
        .map(|word| {
            word.into_string().map_err(|word| anyhow::anyhow!("{} is not UTF-8", word.to_string_lossy()))
        })
        .collect()
}

fn run(mut parser: Parser) -> Result<Order> {
    let mut arguments = Vec::new();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("demo") => arguments.push(String::from("--demo")),
            Arg::Long("seconds") => {
                let seconds: u64 = parser.value()?.parse().context("--seconds wants a whole number")?;
                arguments.extend([String::from("--seconds"), seconds.to_string()]);
            }
            Arg::Short('h') | Arg::Long("help") => return Ok(Order::Help),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Order::Run { arguments })
}

fn gate(mut parser: Parser, gate: Gate) -> Result<Order> {
    let mut selection = Selection { gate, quick: false, only: Vec::new(), no_skips: false };
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("quick") => selection.quick = true,
            Arg::Long("no-skips") => selection.no_skips = true,
            Arg::Long("only") => selection.only.push(parser.value()?.string()?),
            Arg::Long("list") => return Ok(Order::List),
            Arg::Short('h') | Arg::Long("help") => return Ok(Order::Help),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Order::Gate(selection))
}

fn sim(mut parser: Parser) -> Result<Order> {
    let mut seed = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("seed") => seed = Some(parser.value()?.parse().context("--seed wants a whole number")?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Order::Sim { seed: seed.context("sim wants --seed N")? })
}

/// A command with one switch.
fn flag(mut parser: Parser, name: &str, order: impl Fn(bool) -> Order) -> Result<Order> {
    let mut is_set = false;
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long(word) if word == name => is_set = true,
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(order(is_set))
}

fn fuzz(mut parser: Parser) -> Result<Order> {
    let (mut name, mut seconds) = (None, 60);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("seconds") => {
                seconds = parser.value()?.parse().context("--seconds wants a whole number")?
            }
            Arg::Value(value) if name.is_none() => name = Some(value.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Order::Fuzz { name: name.context("fuzz wants the name of a target")?, seconds })
}

/// What `help` prints.
pub const HELP: &str = "\
cargo xtask <command>

  run [--demo] [--seconds N]     bring up a whole cluster on this machine: front end, three slaves, console
                                 --demo drives a load that rises and falls; --seconds ends by itself
  test [--quick] [--only STEP]   the whole gate; --list names its steps, --no-skips makes a skip a failure
  check [--quick]                the part of it that one runs while working
  bench [...]                    perf/bench.sh with the same arguments
  build                          the release programs, the Python module, the C library
  sim --seed N                   every simulation with one seed
  loom                           model checking of the queues
  fuzz NAME [--seconds N]        one fuzz target, 60 seconds unless said
  e2e                            end-to-end, product and browser tests
  gen [--check]                  write (or compare) header, error table and their twins
  abi [--accept]                 compare the C interface with the committed one (or commit to the present one)
  doctor                         what this machine offers
  tidy                           dead links, leftovers, outgrown files
  setup                          install what the tests need; every command above does it by itself
";

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Order> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn run_passes_its_options_on() {
        match parsed("run --demo --seconds 20").unwrap() {
            Order::Run { arguments } => assert_eq!(arguments, ["--demo", "--seconds", "20"]),
            other => panic!("{other:?}"),
        }
        assert!(parsed("run --seconds soon").unwrap_err().to_string().contains("whole number"));
    }

    #[test]
    fn test_collects_names_of_steps() {
        match parsed("test --quick --only unit --only loom").unwrap() {
            Order::Gate(selection) => {
                assert!(selection.quick);
                assert_eq!(selection.only, ["unit", "loom"]);
                assert_eq!(selection.gate, Gate::Test);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_switch_is_off_unless_given() {
        assert!(matches!(parsed("abi").unwrap(), Order::Abi { accept: false }));
        assert!(matches!(parsed("abi --accept").unwrap(), Order::Abi { accept: true }));
        assert!(matches!(parsed("gen --check").unwrap(), Order::Generate { check: true }));
        assert!(parsed("gen --accept").is_err());
    }

    #[test]
    fn bench_hands_everything_over() {
        match parsed("bench check service --runs 5").unwrap() {
            Order::Bench { arguments } => assert_eq!(arguments, ["check", "service", "--runs", "5"]),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for line in ["dance", "test --fast", "sim", "fuzz", "setup now", "--loud"] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }

    #[test]
    fn every_command_is_in_the_help() {
        for command in [
            "run", "test", "check", "bench", "build", "sim", "loom", "fuzz", "e2e", "gen", "abi", "doctor",
            "tidy", "setup",
        ] {
            assert!(HELP.contains(&format!("\n  {command} ")), "{command}");
        }
    }
}
