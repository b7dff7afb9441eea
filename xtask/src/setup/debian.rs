//! Debian packages: which ones, what for, and installing them when root.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::Purpose;
use crate::{process, workspace};

/// A Debian package and how to see that it is there.
struct Package {
    name: &'static str,
    /// A program by name, or a file by absolute path.
    probe: &'static str,
    why: &'static str,
    /// True when the demonstration uses it, not only the tests.
    run: bool,
}

const fn run(name: &'static str, probe: &'static str, why: &'static str) -> Package {
    Package { name, probe, why, run: true }
}

const fn test(name: &'static str, probe: &'static str, why: &'static str) -> Package {
    Package { name, probe, why, run: false }
}

/// Only what some command or test uses.
const PACKAGES: &[Package] = &[
    run("nginx-light", "nginx", "the service behind the front end, and a peer to measure against"),
    run("python3-venv", "/usr/lib/python3.11/ensurepip/__init__.py", "the project's virtual environment"),
    test("lighttpd", "lighttpd", "a second unmodified server behind the front end"),
    test("haproxy", "haproxy", "a peer to measure against"),
    test("redis-server", "redis-server", "a peer to measure against"),
    test("nats-server", "nats-server", "a peer to measure against"),
    test("mosquitto", "mosquitto", "a peer to measure against"),
    test("wrk", "wrk", "closed-loop load"),
    test("httperf", "httperf", "open-loop load, as the paper used"),
    test("libcmocka-dev", "/usr/include/cmocka.h", "C tests"),
    test("pkg-config", "pkg-config", "C tests: the installed library is found as a user finds it"),
    test("valgrind", "valgrind", "memory checks of the C example"),
    test("abigail-tools", "abidiff", "comparison of the C ABI"),
    test("iproute2", "ip", "network namespaces"),
    test("nftables", "nft", "loss in network namespaces"),
    test("chromium", "chromium", "browser tests of the console"),
    test("chromium-driver", "chromedriver", "browser tests of the console"),
    test("curl", "curl", "end-to-end tests"),
    test("tshark", "tshark", "test of the Wireshark dissector"),
    test("protobuf-compiler", "protoc", "stubs of calls in C and Python"),
    test("protobuf-c-compiler", "protoc-c", "messages of calls in C"),
    test("libprotobuf-c-dev", "/usr/include/protobuf-c/protobuf-c.h", "messages of calls in C"),
    test("openssl", "openssl", "node certificates in tests"),
];

/// Installs the missing packages when root; otherwise prints what to install.
///
/// Never an error: a step that misses a program says so itself, and the others still run.
pub fn ensure(purpose: Purpose) -> Result<()> {
    let missing: Vec<&Package> = PACKAGES
        .iter()
        .filter(|package| purpose == Purpose::Test || package.run)
        .filter(|p| !p.is_present())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if is_root() && workspace::find_program("apt-get").is_some() {
        let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
        println!("set-up: installing Debian packages {}", names.join(" "));
        if install(&names) {
            return Ok(());
        }
        // One package that the archive does not have must not keep the others away.
        for name in &names {
            install(&[name]);
        }
    }
    let missing: Vec<&Package> = missing.into_iter().filter(|package| !package.is_present()).collect();
    if !missing.is_empty() {
        println!("set-up: not installed here, and what needs it is skipped or fails:");
        for package in &missing {
            println!("  {:16} {}", package.name, package.why);
        }
        let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
        println!("  install with: sudo apt-get install --no-install-recommends {}", names.join(" "));
    }
    Ok(())
}

impl Package {
    fn is_present(&self) -> bool {
        // Python may come from elsewhere than Debian; what counts is that it can make environments.
        if self.name == "python3-venv" && super::python::find().is_some() {
            return true;
        }
        if self.probe.starts_with('/') {
            return Path::new(self.probe).exists();
        }
        workspace::find_program(self.probe).is_some()
    }
}

fn is_root() -> bool {
    process::capture(process::command("id").arg("-u"), Duration::from_secs(10))
        .is_ok_and(|id| id.trim() == "0")
}

fn install(names: &[&str]) -> bool {
    let _quiet = NoServices::new();
    let apt = |arguments: &[&str]| {
        let mut apt = process::command("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").args(["-q", "-y", "-o", "DPkg::Lock::Timeout=300"]);
        apt.args(arguments);
        process::run(&mut apt, LIMIT).is_ok()
    };
    // A fresh image has no package lists; a used one may have stale ones.
    if !apt(&["update"]) {
        println!("set-up: the package lists could not be fetched; trying with those that are there");
    }
    let mut arguments = vec!["install", "--no-install-recommends"];
    arguments.extend(names);
    apt(&arguments)
}

/// Keeps freshly installed servers from being started as system services: nginx, lighttpd and HAProxy are
/// started by the tests, on ports of theirs, and must not take port 80 of a developer's machine.
struct NoServices {
    ours: bool,
}

impl NoServices {
    fn new() -> Self {
        // Docker images bring such a file of their own; leave that one alone.
        let ours = !Path::new(POLICY).exists()
            && fs::write(POLICY, "#!/bin/sh\nexit 101\n").is_ok()
            && fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755)).is_ok();
        Self { ours }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(POLICY);
        }
    }
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

const LIMIT: Duration = Duration::from_secs(900);
