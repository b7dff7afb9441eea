//! The steps of the gate, cheapest first. To add one: a line here, and its function.

use super::{Gate, Step, bare_metal, c, dissector, examples, python, rust};

/// Order matters twice: what fails fast comes first, and `programs` comes before what uses its outputs.
pub const STEPS: &[Step] = &[
    check_quick("format", "cargo fmt --check", rust::format),
    check_quick("tidy", "dead links, leftovers, files without a purpose", rust::tidy),
    check_quick("generated", "header, error table and their twins match a fresh run", rust::generated),
    check_quick("lints", "clippy, warnings are errors", rust::lints),
    check_quick("unit", "unit, model and integration tests of every crate", rust::unit),
    check("doctests", "examples in the documentation", rust::doctests),
    check("docs", "the documentation builds without a warning", rust::docs),
    check_quick("bare-metal", "clustercore-proto links and runs without std and libc", bare_metal::run),
    check("deny", "licences, bans and sources of dependencies", rust::deny),
    check("programs", "programs, libraries and the Python module", rust::programs),
    check("examples", "Rust, C and Python examples print what they should", examples::run).after_setup(),
    check("python-lints", "ruff, mypy, and the stub against the built module", python::lints).after_setup(),
    test("loom", "every ordering of the queues, model checked", rust::loom),
    test("sim", "simulations with a few seeds", rust::simulations),
    test("dissector", "Wireshark reads the protocol as we do", dissector::run).after_setup(),
    test("c", "headers in C11 and C++17, C tests under the address sanitizer", c::tests).after_setup(),
    test("c-abi", "the C interface is still that of programs compiled before", c::abi).after_setup(),
    test("c-installed", "the C library as cargo-c installs it", c::installed).after_setup(),
    test("python", "tests of the Python module", python::module).after_setup(),
    test("apps", "tests of the products", python::apps).after_setup(),
    test("browser", "the console in a real browser", python::browser).after_setup(),
    test("e2e", "real programs across namespaces and languages", python::end_to_end).after_setup(),
    test("bench-smoke", "perf/bench.sh --quick runs; time is not judged", rust::bench_smoke).after_setup(),
];

type Run = fn(quick: bool) -> anyhow::Result<super::Outcome>;

const fn check_quick(name: &'static str, about: &'static str, run: Run) -> Step {
    Step { name, about, gate: Gate::Check, quick: true, setup: false, run }
}

const fn check(name: &'static str, about: &'static str, run: Run) -> Step {
    Step { name, about, gate: Gate::Check, quick: false, setup: false, run }
}

const fn test(name: &'static str, about: &'static str, run: Run) -> Step {
    Step { name, about, gate: Gate::Test, quick: false, setup: false, run }
}
