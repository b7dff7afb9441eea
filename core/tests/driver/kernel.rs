//! What only the kernel's drivers have: a waker, a descriptor to wait on, time that passes, sockets made by others.

use crate::world::{self, World, small};
use clustercore::io::{DriverConfig, Event};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::net::TcpListener;
use std::os::fd::BorrowedFd;
use std::time::Duration;

macro_rules! on_kernel {
    ($($case:ident),*) => {
        mod epoll { $(#[test] fn $case() { super::$case(&super::world::epoll); })* }
        mod uring { $(#[test] fn $case() { super::$case(&super::world::uring); })* }
        mod uring_bare {
            $(#[test] fn $case() {
                super::$case(&super::world::uring_masked(clustercore::io::Features::NONE));
            })*
        }
    };
}

on_kernel!(
    another_thread_wakes_a_long_wait,
    a_wake_before_the_wait_is_not_lost,
    a_wait_ends_with_its_timeout,
    spinning_changes_nothing,
    the_descriptor_tells_when_a_turn_has_something_to_do,
    listens_on_a_socket_made_by_others
);

fn another_thread_wakes_a_long_wait(make: &world::Make) {
    let mut world = make(small());
    let waker = world.right.driver.waker().expect("a kernel driver has a waker");
    // The wait is far longer than the test may take, so only the waker can end it in time.
    let thread = std::thread::spawn(move || waker.wake());
    let mut events = Vec::new();
    while !events.iter().any(|event| matches!(event, Event::Woken)) {
        world.right.driver.turn(Some(LONG), &mut events).expect("a turn ends well");
    }
    thread.join().expect("the other thread ends well");
    world.finish();
}

fn a_wake_before_the_wait_is_not_lost(make: &world::Make) {
    let mut world = make(small());
    let waker = world.right.driver.waker().expect("a kernel driver has a waker");
    for round in 1..=3 {
        waker.wake();
        waker.clone().wake();
        while world.right.woken < round {
            world.right.turn(LONG);
        }
        world.right.turn(Duration::ZERO);
        world.right.woken = round;
    }
    world.finish();
}

fn a_wait_ends_with_its_timeout(make: &world::Make) {
    let mut world = make(small());
    world.right.turn(Duration::ZERO);
    let before = world.right.driver.now();
    let wait = Duration::from_millis(20);
    let mut turns = 0;
    while world.right.driver.now().saturating_sub(before) < wait && turns < 1000 {
        assert_eq!(world.right.turn(wait), 0, "nothing happened");
        turns += 1;
    }
    // A turn may end early, but it does wait.
    assert!(turns < 20, "{turns} turns for one timeout");
    world.finish();
}

fn spinning_changes_nothing(make: &world::Make) {
    let mut world = make(DriverConfig { spin_ns: 200_000, ..small() });
    let (left, right) = world.connected();
    world.right.recv(right);
    for round in 1..=50 {
        world.left.send(left, b"spin");
        world.until(|world| world.right.seen(right).data.len() == 4 * round);
    }
    assert_eq!(world.right.turn(Duration::from_millis(1)), 0);
    world.finish();
}

fn the_descriptor_tells_when_a_turn_has_something_to_do(make: &world::Make) {
    let mut world = make(small());
    let (left, right) = world.connected();
    world.right.recv(right);
    // Asked for the first time, it tells of what may have happened before.
    assert!(world.right.driver.fd().is_some());
    world.right.turn(Duration::ZERO);
    quiet(&mut world);
    world.left.send(left, b"news");
    world.left.turn(Duration::ZERO);
    assert!(readable(&world, LONG), "data makes it readable");
    world.until(|world| world.right.seen(right).data == b"news");
    quiet(&mut world);
    world.right.driver.waker().expect("a kernel driver has a waker").wake();
    assert!(readable(&world, LONG), "so does the waker");
    world.until(|world| world.right.woken == 1);
    quiet(&mut world);
    // A wish is no news of the kernel: `pending` shows it.
    world.right.send(right, b"wish");
    assert!(world.right.driver.pending());
    world.left.recv(left);
    world.until(|world| world.left.seen(left).data == b"wish");
    quiet(&mut world);
    world.left.driver.shutdown(left);
    world.left.turn(Duration::ZERO);
    assert!(readable(&world, LONG), "and so does the end");
    world.until(|world| world.right.seen(right).end);
    world.finish();
}

fn listens_on_a_socket_made_by_others(make: &world::Make) {
    let mut world = make(small());
    let socket = TcpListener::bind("127.0.0.1:0").expect("a socket can be bound");
    let address = socket.local_addr().expect("it has an address");
    let listener = world.right.driver.listen_fd(socket.into()).expect("it listens");
    assert_eq!(world.right.driver.listener_address(listener), Some(address));
    let (left, right) = world.connect(address);
    world.right.recv(right);
    world.left.send(left, b"hello");
    world.until(|world| world.right.seen(right).data == b"hello");
    let other = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket can be bound");
    assert!(world.right.driver.listen_fd(other.into()).is_err(), "not a listening socket");
    world.finish();
}

/// Nothing to do: not for `turn`, and not by the descriptor.
#[track_caller]
fn quiet(world: &mut World) {
    world.settle();
    assert!(!world.right.driver.pending());
    assert!(!readable(world, Duration::ZERO), "nothing is there, so the descriptor is not readable");
}

fn readable(world: &World, timeout: Duration) -> bool {
    let fd = world.right.driver.fd().expect("a kernel driver has a descriptor");
    // SAFETY: the driver outlives this borrow and keeps its descriptor open.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    let timeout =
        Timespec { tv_sec: timeout.as_secs().cast_signed(), tv_nsec: timeout.subsec_nanos().into() };
    rustix::event::poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout)).expect("polling works") > 0
}

const LONG: Duration = Duration::from_secs(30);
