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
    /// What to change about the kernel, in one line, see [`judge`].
    pub kernel_advice: Option<String>,
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
    let kernel_release = rustix::system::uname().release().to_string_lossy().into_owned();
    let congestion = |name: &str| setting(Path::new("/proc/sys/net/ipv4").join(name));
    let available = congestion("tcp_available_congestion_control").unwrap_or_default();
    Probe {
        kernel_advice: judge(&kernel_release, driver, features),
        kernel_release,
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

/// What to change about a kernel of this release that gives this driver these features; `None` when nothing.
///
/// A release below 6.1 is below the floor, whatever works by chance; one above that lacks what 6.1 has was built or is
/// filtered so. Why io_uring is refused on a newer one is in the driver's report.
pub fn judge(kernel_release: &str, driver: Option<DriverKind>, features: Features) -> Option<String> {
    let instead = match driver {
        Some(DriverKind::Uring) => "io_uring works, less well",
        Some(_) => "epoll serves instead of io_uring",
        None => "no driver works",
    };
    if parse_release(kernel_release).is_some_and(|release| release < FLOOR) {
        let (major, minor) = FLOOR;
        return Some(format!(
            "Linux {kernel_release} is older than the floor, {major}.{minor}: {instead}; install {major}.{minor} or newer"
        ));
    }
    let wanted = Features::KERNEL_6_1.list().into_iter().zip(features.list());
    let missing: Vec<&str> = wanted.filter(|(want, has)| want.1 && !has.1).map(|(want, _)| want.0).collect();
    if driver != Some(DriverKind::Uring) || missing.is_empty() {
        return None;
    }
    Some(format!(
        "Linux {kernel_release} lacks {}, which 6.1 has: {instead}; look for a filter or a patched kernel",
        missing.join(", ")
    ))
}

/// `6.18.3-generic` -> `(6, 18)`; `None` for what does not begin with two numbers.
fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|character: char| !character.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

impl std::fmt::Display for Probe {
    /// One line per fact: label, value.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let number =
            |value: Option<u64>, none: &str| value.map_or(none.to_owned(), |value| value.to_string());
        let limit =
            |limit: Limit| format!("{} {}", number(limit.soft, "unlimited"), number(limit.hard, "unlimited"));
        let lines = [
            ("kernel release", self.kernel_release.clone()),
            ("kernel advice", self.kernel_advice.clone().unwrap_or_else(|| "none".into())),
            ("driver", self.driver.map_or("none", DriverKind::name).into()),
            ("driver report", self.driver_report.clone()),
            ("io_uring_disabled", number(self.io_uring_disabled, "not there")),
            ("locked memory", limit(self.memlock)),
            ("open files", limit(self.nofile)),
            ("congestion control", self.tcp_congestion.clone().unwrap_or_else(|| "not there".into())),
            ("to be had", self.tcp_congestion_available.join(" ")),
            ("guest_halt_poll_ns", number(self.guest_halt_poll_ns, "not there")),
        ];
        for (label, value) in lines {
            writeln!(f, "{label:20} {value}")?;
        }
        Ok(())
    }
}

/// The oldest kernel that is supported: major and minor number.
const FLOOR: (u32, u32) = (6, 1);

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
    fn a_kernel_below_the_floor_is_told_in_one_line() {
        let uring = Some(DriverKind::Uring);
        assert_eq!(
            judge("5.10.0-21-amd64", Some(DriverKind::Epoll), Features::NONE).as_deref(),
            Some(
                "Linux 5.10.0-21-amd64 is older than the floor, 6.1: epoll serves instead of io_uring; \
                 install 6.1 or newer"
            )
        );
        let early = Features { defer_taskrun: false, ..Features::KERNEL_6_1 };
        let advice = judge("6.0", uring, early).expect("6.0 is below 6.1");
        assert!(advice.contains("io_uring works, less well"), "{advice}");
        assert!(judge("5.4.0", None, Features::NONE).unwrap().contains("no driver works"));
    }

    #[test]
    fn a_kernel_at_the_floor_or_above_is_fine_unless_it_lacks_something() {
        let uring = Some(DriverKind::Uring);
        for release in ["6.1.0-28-amd64", "6.1-rc2", "6.18.3+", "7.0", "nonsense"] {
            assert_eq!(judge(release, uring, Features::KERNEL_6_1), None, "{release}");
        }
        let masked = Features { buffer_ring: false, multishot_recv: false, ..Features::KERNEL_6_1 };
        let advice = judge("6.12.1", uring, masked).expect("lacks two");
        assert!(advice.contains("lacks multishot_recv, buffer_ring, which 6.1 has"), "{advice}");
        assert_eq!(judge("6.12.1", Some(DriverKind::Epoll), Features::NONE), None, "the report says why");
    }

    #[test]
    fn releases_compare_by_number() {
        assert_eq!(parse_release("6.18.3-generic"), Some((6, 18)));
        assert_eq!(parse_release("5.9"), Some((5, 9)));
        assert_eq!(parse_release(""), None);
        assert_eq!(parse_release("6"), None);
    }

    #[test]
    fn a_probe_prints_a_line_for_each_fact() {
        let text = probe().to_string();
        assert!(text.lines().all(|line| line.len() > 21), "{text}");
        assert!(text.contains("\nkernel advice ") && text.contains("\ndriver report "), "{text}");
    }

    #[test]
    fn a_setting_that_is_not_there_is_none() {
        assert_eq!(number("/proc/sys/kernel/no_such_setting"), None);
        assert_eq!(number("/proc/sys/kernel/osrelease"), None, "not a number");
    }
}
