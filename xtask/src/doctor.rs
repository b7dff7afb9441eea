//! What this machine offers to somebody who works on the project: kernel, limits, settings, programs.
//!
//! `clustercore doctor` says which driver and features the product itself would use.

use std::fs;
use std::time::Duration;

use crate::{process, workspace};

/// Prints one line per fact, and a remark where it matters.
pub fn run() {
    println!("kernel");
    for fact in KERNEL {
        let value = read(fact.path).unwrap_or_else(|| String::from("not there"));
        line(fact.label, &value, (fact.remark)(&value));
    }
    println!("\nlimits of this process (soft, hard)");
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    for (label, remark) in LIMITS {
        if let Some(value) = limit(&limits, label) {
            line(label, &value, remark);
        }
    }
    println!("\nprograms");
    for (program, use_) in PROGRAMS {
        match version(program) {
            Some(version) => line(program, &version, ""),
            None => line(program, "not found", use_),
        }
    }
}

/// A file of the kernel, and what its value means for us.
struct Fact {
    label: &'static str,
    path: &'static str,
    remark: fn(&str) -> &'static str,
}

const KERNEL: &[Fact] = &[
    Fact { label: "release", path: "/proc/sys/kernel/osrelease", remark: release_remark },
    Fact {
        label: "io_uring_disabled",
        path: "/proc/sys/kernel/io_uring_disabled",
        remark: |value| match value {
            "0" => "io_uring may be used (a seccomp filter can still forbid it)",
            "1" => "only with CAP_SYS_ADMIN or for the group in io_uring_group; otherwise epoll is used",
            "2" => "io_uring is off: epoll is used",
            _ => "",
        },
    },
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
        label: "congestion control",
        path: "/proc/sys/net/ipv4/tcp_congestion_control",
        remark: |value| if value == "bbr" { "slow on loopback; sockets of ours ask for cubic" } else { "" },
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
    Fact {
        label: "guest_halt_poll_ns",
        path: "/sys/module/haltpoll/parameters/guest_halt_poll_ns",
        remark: |_| "waking a sleeping core costs much more when this is 0: keep it beside latency figures",
    },
];

const LIMITS: &[(&str, &str)] = &[
    ("Max open files", "each connection takes one, a forwarded one two"),
    ("Max locked memory", "fixed buffers count against it"),
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

fn release_remark(release: &str) -> &'static str {
    match parse_release(release) {
        Some(version) if version >= (6, 1) => "at or above the floor, 6.1",
        Some(_) => "below the floor, 6.1",
        None => "",
    }
}

/// `6.18.3-generic` -> `(6, 18)`.
fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(['.', '-', '+']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// A file's one line; `path:Field` picks the field of a file like `/proc/self/status`.
fn read(path: &str) -> Option<String> {
    if let Some((file, field)) = path.split_once(':') {
        let text = fs::read_to_string(file).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
        return Some(line.trim().to_owned());
    }
    Some(fs::read_to_string(path).ok()?.trim().replace('\t', " "))
}

/// The soft and hard limit named `label` in the text of `/proc/self/limits`.
fn limit(limits: &str, label: &str) -> Option<String> {
    let rest = limits.lines().find_map(|line| line.strip_prefix(label))?;
    let mut words = rest.split_whitespace();
    Some(format!("{} {}", words.next()?, words.next()?))
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
    fn releases_compare_by_number() {
        assert_eq!(parse_release("6.18.3-generic"), Some((6, 18)));
        assert_eq!(parse_release("6.1-rc2"), Some((6, 1)));
        assert_eq!(parse_release("nonsense"), None);
        assert_eq!(release_remark("5.15.0"), "below the floor, 6.1");
        assert_eq!(release_remark("6.1.0-28-amd64"), "at or above the floor, 6.1");
    }

    #[test]
    fn limits_are_found_by_label() {
        let text =
            "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024    20000      files \n";
        assert_eq!(limit(text, "Max open files").as_deref(), Some("1024 20000"));
        assert_eq!(limit(text, "Max locked memory"), None);
    }
}
