//! Descriptors used up, and io_uring forbidden. Both belong to a process, so each case runs in a child of its own.

use crate::world::{self, small};
use clustercore::io::uring::UringDriver;
use clustercore::io::{DriverChoice, DriverKind, Errno, open};
use rustix::process::{Resource, Rlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use std::os::fd::AsRawFd;
use std::process::Command;

#[test]
fn epoll_survives_the_last_descriptor() {
    in_child("child::epoll_survives_the_last_descriptor", || accept_without_descriptors(&world::epoll));
}

#[test]
fn uring_survives_the_last_descriptor() {
    in_child("child::uring_survives_the_last_descriptor", || accept_without_descriptors(&world::uring));
}

fn accept_without_descriptors(make: &world::Make) {
    let mut world = make(small());
    let (listener, address) = world.listen();
    let (left, right) = world.connect(address);
    let waiting = world.left.connect(address);
    world.until(|world| world.right.accepted.len() == 2);
    // Room for the connecting end alone. An accept under way in io_uring keeps the limit it was started with, so it is started again.
    world.right.driver.accept_pause(listener);
    world.settle();
    let before = rustix::process::getrlimit(Resource::Nofile);
    let limit = Rlimit { current: Some(next_descriptor() + 1), ..before };
    rustix::process::setrlimit(Resource::Nofile, limit).expect("a limit can be lowered");
    world.right.driver.accept_resume(listener);
    let late = world.left.connect(address);
    world.until(|world| !world.right.accept_failed.is_empty());
    assert_eq!(world.right.accept_failed, [Errno(libc::EMFILE)]);
    world.settle();
    assert_eq!(world.right.accept_failed.len(), 1, "paused, not tried again and again");
    assert!(world.left.driver.connect(address, &Default::default()).is_err(), "no descriptor, said at once");
    // The others are served.
    world.right.recv(right);
    world.left.send(left, b"still served");
    world.until(|world| world.right.seen(right).data == b"still served");
    rustix::process::setrlimit(Resource::Nofile, before).expect("a limit can be raised again");
    world.right.driver.accept_resume(listener);
    world.until(|world| world.right.accepted.len() == 3);
    for stream in [waiting, late] {
        world.until(|world| world.left.seen(stream).connected == Some(Ok(())));
    }
    world.finish();
}

/// What containers do by default: a seccomp filter that answers io_uring's calls with `EPERM`.
#[test]
fn a_seccomp_filter_against_io_uring_leaves_epoll() {
    in_child("child::a_seccomp_filter_against_io_uring_leaves_epoll", || without_io_uring(libc::EPERM));
}

/// What sandboxes without io_uring say.
#[test]
fn a_system_without_io_uring_has_epoll() {
    in_child("child::a_system_without_io_uring_has_epoll", || without_io_uring(libc::ENOSYS));
}

fn without_io_uring(errno: i32) {
    let calls = [libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];
    let rules = calls.into_iter().map(|call| (call, Vec::new())).collect();
    let refuse = SeccompAction::Errno(errno.unsigned_abs());
    let arch = std::env::consts::ARCH.try_into().expect("seccomp knows this machine");
    let filter =
        SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).expect("the filter makes sense");
    let program: BpfProgram = filter.try_into().expect("the filter can be expressed");
    seccompiler::apply_filter(&program).expect("a process may forbid itself something");

    assert!(UringDriver::new(small()).is_err());
    assert!(open(DriverChoice::Uring, small()).is_err(), "who insists on io_uring is told");
    let mut reasons = Vec::new();
    let mut world = world::kernel(|| {
        let (driver, reason) = open(DriverChoice::Auto, small()).expect("epoll is left");
        reasons.push(reason);
        Box::new(driver)
    });
    assert!(
        reasons.iter().all(|reason| reason.starts_with("epoll") && reason.contains("io_uring")),
        "{reasons:?}"
    );
    assert_eq!(world.right.driver.kind(), DriverKind::Epoll);
    let (left, right) = world.connected();
    world.right.recv(right);
    world.left.send(left, b"without io_uring");
    world.until(|world| world.right.seen(right).data == b"without io_uring");
    world.finish();
}

/// The number that the next descriptor will have.
fn next_descriptor() -> u64 {
    let file = std::fs::File::open("/dev/null").expect("a file can be opened");
    u64::try_from(file.as_raw_fd()).expect("descriptors are not negative")
}

/// Runs this test again in a process of its own, and the body there.
pub fn in_child(test: &str, body: impl FnOnce()) {
    if std::env::var_os(IN_CHILD).is_some() {
        return body();
    }
    let program = std::env::current_exe().expect("a test knows its program");
    let output = Command::new(program).args([test, "--exact", "--nocapture"]).env(IN_CHILD, "1").output();
    let output = output.expect("the test program runs again");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

const IN_CHILD: &str = "CLUSTERCORE_TEST_IN_CHILD";
