//! What this kernel offers, for people: which driver would run and why, and the settings that matter for it.

use crate::io::{Driver, DriverChoice, DriverConfig, DriverKind, Features, open};
use rustix::process::{Resource, Rlimit, getrlimit};
use std::fs;
use std::path::Path;

/// What was found. A setting that this kernel does not have is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Release of the kernel: "6.1.0-28-amd64".
    pub kernel_release: String,
    /// The driver that `auto` would choose; `None` when neither opens.
    pub driver: Option<DriverKind>,
    /// Which driver and features would run, and why; or why none does.
    pub driver_report: String,
    /// Features in use, with that driver.
    pub features: Features,
    /// `kernel.io_uring_disabled`: 0 for all, 1 for a group or CAP_SYS_ADMIN only, 2 for nobody (6.6).
    pub io_uring_disabled: Option<u64>,
    /// Bytes of memory that may be locked.
    pub memlock: Limit,
    /// Descriptors that may be open.
    pub nofile: Limit,
    /// The system's congestion control for TCP. Sockets of ours ask for cubic.
    pub tcp_congestion: Option<String>,
    /// Congestion controls that a socket may ask for.
    pub tcp_congestion_available: Vec<String>,
    /// How long an idle guest CPU polls before it halts, in nanoseconds. A wake-up costs far more when this is 0.
    pub guest_halt_poll_ns: Option<u64>,
}

/// A limit of this process; `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What holds now.
    pub soft: Option<u64>,
    /// As far as the process may raise it.
    pub hard: Option<u64>,
}

impl From<Rlimit> for Limit {
    fn from(limit: Rlimit) -> Limit {
        Limit { soft: limit.current, hard: limit.maximum }
    }
}

/// Looks. Opens a driver for a moment; changes nothing.
pub fn probe() -> Probe {
    let (driver, driver_report, features) = match open(DriverChoice::Auto, DriverConfig::default()) {
        Ok((driver, report)) => (Some(driver.kind()), report, driver.features()),
        Err(error) => (None, format!("no driver: {error}"), Features::NONE),
    };
    let congestion = |name: &str| setting(Path::new("/proc/sys/net/ipv4").join(name));
    let available = congestion("tcp_available_congestion_control").unwrap_or_default();
    Probe {
        kernel_release: rustix::system::uname().release().to_string_lossy().into_owned(),
        driver,
        driver_report,
        features,
        io_uring_disabled: number("/proc/sys/kernel/io_uring_disabled"),
        memlock: getrlimit(Resource::Memlock).into(),
        nofile: getrlimit(Resource::Nofile).into(),
        tcp_congestion: congestion("tcp_congestion_control"),
        tcp_congestion_available: available.split_whitespace().map(str::to_owned).collect(),
        guest_halt_poll_ns: number("/sys/module/haltpoll/parameters/guest_halt_poll_ns"),
    }
}

fn setting(path: impl AsRef<Path>) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn number(path: &str) -> Option<u64> {
    setting(path)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_says_what_would_run() {
        let found = probe();
        let kind = found.driver.expect("epoll opens everywhere");
        assert!(found.driver_report.starts_with(kind.name()), "{}", found.driver_report);
        assert!(
            found.kernel_release.starts_with(|first: char| first.is_ascii_digit()),
            "{}",
            found.kernel_release
        );
        assert!(found.nofile.soft.is_none_or(|soft| soft > 0));
    }

    #[test]
    fn a_setting_that_is_not_there_is_none() {
        assert_eq!(number("/proc/sys/kernel/no_such_setting"), None);
        assert_eq!(number("/proc/sys/kernel/osrelease"), None, "not a number");
    }
}
