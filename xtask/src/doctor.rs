//! What this machine offers to somebody who works on the project: what the core itself finds, settings, programs.
//!
//! The core's probe is the one that `clustercore doctor` shows too; it is asked through the example `clustercore-probe`.

use std::fs;
use std::time::Duration;

use crate::{process, workspace};

/// Prints one line per fact, and a remark where it matters.
pub fn run() {
    println!("what the core finds");
    match core_probe() {
        Ok(text) => text.lines().for_each(|line| println!("  {line}")),
        Err(error) => println!("  the core cannot be asked: {error:#}"),
    }
    println!("\nsettings");
    for fact in KERNEL {
        let value = read(fact.path).unwrap_or_else(|| String::from("not there"));
        line(fact.label, &value, (fact.remark)(&value));
    }
    println!("\nprograms");
    for (program, use_) in PROGRAMS {
        match version(program) {
            Some(version) => line(program, &version, ""),
            None => line(program, "not found", use_),
        }
    }
}

/// What the core's probe says, one line per fact. Builds it first.
fn core_probe() -> anyhow::Result<String> {
    let mut run = process::cargo(["run", "--release", "--quiet", "--package", "clustercore-examples"]);
    run.args(["--bin", "clustercore-probe"]).stdin(std::process::Stdio::null());
    process::capture(&mut run, Duration::from_secs(900))
}

/// A file of the kernel, and what its value means for us.
struct Fact {
    label: &'static str,
    path: &'static str,
    remark: fn(&str) -> &'static str,
}

const KERNEL: &[Fact] = &[
    Fact {
        label: "seccomp mode",
        path: "/proc/self/status:Seccomp",
        remark: |value| {
            if value == "0" {
                "no filter"
            } else {
                "a filter is active; containers forbid io_uring by default"
            }
        },
    },
    Fact {
        label: "rmem_max",
        path: "/proc/sys/net/core/rmem_max",
        remark: |_| "bytes; bounds the receive buffer of UDP",
    },
    Fact { label: "wmem_max", path: "/proc/sys/net/core/wmem_max", remark: |_| "bytes" },
    Fact { label: "somaxconn", path: "/proc/sys/net/core/somaxconn", remark: |_| "longest accept queue" },
    Fact {
        label: "local ports",
        path: "/proc/sys/net/ipv4/ip_local_port_range",
        remark: |_| "bounds connections per back end",
    },
];

/// Programs, and what is missed without them.
const PROGRAMS: &[(&str, &str)] = &[
    ("rustc", "everything"),
    ("cc", "the C library's tests and examples"),
    ("python3", "the Python module and the products"),
    ("cargo-nextest", "faster unit tests; cargo test is used instead"),
    ("nginx", "the service of the demonstration"),
    ("lighttpd", "tests with a second server"),
    ("haproxy", "peer measurements"),
    ("wrk", "closed-loop load"),
    ("httperf", "open-loop load"),
    ("chromium", "browser tests"),
    ("pkg-config", "the test of the installed C library"),
    ("valgrind", "memory checks"),
    ("abidiff", "ABI comparison"),
    ("ip", "network namespaces"),
    ("nft", "packet loss in namespaces"),
];

/// A file's one line; `path:Field` picks the field of a file like `/proc/self/status`.
fn read(path: &str) -> Option<String> {
    if let Some((file, field)) = path.split_once(':') {
        let text = fs::read_to_string(file).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
        return Some(line.trim().to_owned());
    }
    Some(fs::read_to_string(path).ok()?.trim().replace('\t', " "))
}

fn version(program: &str) -> Option<String> {
    let path = workspace::find_program(program)?;
    // A program that does not know the option is there all the same.
    let text = process::capture(
        process::command(&path)
            .arg("--version")
            .stdin(std::process::Stdio::null())
            .stderr(std::process::Stdio::null()),
        Duration::from_secs(20),
    );
    let first = text.ok().and_then(|text| text.lines().next().map(str::to_owned));
    Some(first.filter(|line| !line.is_empty()).unwrap_or_else(|| path.display().to_string()))
}

fn line(label: &str, value: &str, remark: &str) {
    println!("  {label:20} {value:40} {remark}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_a_file_is_picked_by_its_name() {
        assert!(read("/proc/self/status:Seccomp").is_some_and(|value| value.parse::<u32>().is_ok()));
        assert_eq!(read("/proc/self/status:NoSuchField"), None);
        assert_eq!(read("/proc/no/such/file"), None);
    }
}
