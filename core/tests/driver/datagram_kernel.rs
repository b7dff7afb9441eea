//! Datagrams as only the kernel has them: IPv6, both families on one socket, devices with an MTU.

use crate::child::in_child;
use crate::world::{self, World, small, text};
use clustercore::io::{DatagramOptions, Ecn, Errno, Features, Train};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::Command;

macro_rules! on_kernel {
    ($($case:ident),*) => {
        mod epoll { $(#[test] fn $case() { super::$case(&super::world::epoll); })* }
        mod epoll_masked { $(#[test] fn $case() { super::$case(&super::world::epoll_masked); })* }
        mod uring { $(#[test] fn $case() { super::$case(&super::world::uring); })* }
        mod uring_bare {
            use super::Features;
            $(#[test] fn $case() { super::$case(&super::world::uring_masked(Features::NONE)); })*
        }
        mod uring_single_recv {
            use super::Features;
            const MASK: Features = Features { multishot_recv: false, ..Features::ALL };
            $(#[test] fn $case() { super::$case(&super::world::uring_masked(MASK)); })*
        }
    };
}

on_kernel!(trains_over_ipv6, one_socket_for_both_families, ipv6_only_leaves_the_port_to_ipv4);

const V6: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 0);
const V4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const ANY: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

fn trains_over_ipv6(make: &world::Make) {
    let mut world = make(small());
    let options = DatagramOptions { ecn: true, receive_buffer_bytes: 4 << 20, ..DatagramOptions::default() };
    let (_, address) = world.right.bind_datagram_with(V6, &options);
    let (from, _) = world.left.bind_datagram_with(V6, &options);
    world.settle();
    let train = text(6, 150 * 700 + 3);
    for ecn in [None, Some(Ecn::Congested), Some(Ecn::NotCapable)] {
        world.right.datagrams.clear();
        world.right.marks.clear();
        world.left.driver.send_datagrams(from, address, Train { ecn, ..Train::owned(train.clone(), 700) });
        world.until(|world| world.right.datagrams.len() == 151);
        assert!(world.right.datagrams.concat() == train);
        world.right.marks.dedup();
        assert_eq!(world.right.marks, [ecn.unwrap_or(Ecn::Capable0)]);
    }
    world.finish();
}

fn one_socket_for_both_families(make: &world::Make) {
    let mut world = make(small());
    let options = DatagramOptions { ecn: true, dont_fragment: true, ..DatagramOptions::default() };
    let (both, bound) = world.right.bind_datagram_with(ANY, &options);
    let (from, back) = world.left.bind_datagram_with(V4, &options);
    world.settle();
    let to = SocketAddr::new(V4.ip(), bound.port());
    world.left.driver.send_datagrams(from, to, Train::owned(text(1, 900), 100));
    world.until(|world| world.right.datagrams.len() == 9);
    // And back, from the IPv6 socket to an address as it knows IPv4 ones.
    let mapped = SocketAddr::new(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(), back.port());
    for ecn in [None, Some(Ecn::Capable1)] {
        world.right.driver.send_datagrams(both, mapped, Train { ecn, ..Train::owned(text(2, 900), 100) });
    }
    world.until(|world| world.left.datagrams.len() == 18);
    for marks in [&mut world.right.marks, &mut world.left.marks] {
        marks.dedup();
    }
    assert_eq!(world.right.marks, [Ecn::Capable0]);
    assert_eq!(world.left.marks, [Ecn::Capable0, Ecn::Capable1]);
    world.finish();
}

fn ipv6_only_leaves_the_port_to_ipv4(make: &world::Make) {
    let mut world = make(small());
    let only = DatagramOptions { ipv6_only: true, ..DatagramOptions::default() };
    let (_, bound) = world.right.bind_datagram_with(ANY, &only);
    let v4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), bound.port());
    let other = world.left.driver.bind_datagram(v4, &DatagramOptions::default());
    assert!(other.is_ok(), "{other:?}");
    world.finish();
}

#[test]
fn epoll_goes_on_singly_where_the_kernel_cuts_nothing() {
    in_child("datagram_kernel::epoll_goes_on_singly_where_the_kernel_cuts_nothing", || {
        longer_than_the_device(&world::epoll)
    });
}

#[test]
fn uring_goes_on_singly_where_the_kernel_cuts_nothing() {
    in_child("datagram_kernel::uring_goes_on_singly_where_the_kernel_cuts_nothing", || {
        longer_than_the_device(&world::uring)
    });
}

/// Segments longer than the device's MTU: the kernel cuts no such train, but it fragments the datagrams.
fn longer_than_the_device(make: &world::Make) {
    if !own_network() || !run("ip link set lo up mtu 1500") {
        return;
    }
    let mut world: World = make(small());
    let (_, address) = world.right.bind_datagram(V4);
    let (from, _) = world.left.bind_datagram(V4);
    world.settle();
    for round in 1..=2 {
        let train = text(round, 20 * 4000 + 9);
        world.right.datagrams.clear();
        world.left.send_datagrams(from, address, train.clone(), 4000);
        world.until(|world| world.right.datagrams.len() == 21);
        assert!(world.right.datagrams.concat() == train);
        // What fits is cut by the kernel all the same.
        world.right.datagrams.clear();
        let before = world.left.driver.datagram_counters(from).expect("it is open").trains_sent;
        world.left.send_datagrams(from, address, train.clone(), 1000);
        world.until(|world| {
            world.right.datagrams.len() == 81 && world.left.driver.datagrams_unsent(from) == 0
        });
        let sent = world.left.driver.datagram_counters(from).expect("it is open").trains_sent - before;
        assert_eq!(sent, 2, "65 and 16 datagrams");
    }
    assert!(world.left.datagram_failed.is_empty());
    // Who forbids fragments is told, and what fits still goes.
    let whole = DatagramOptions { dont_fragment: true, ..DatagramOptions::default() };
    let (probing, _) = world.left.bind_datagram_with(V4, &whole);
    world.right.datagrams.clear();
    world.left.send_datagrams(probing, address, vec![1; 1473], 1473);
    world.left.send_datagrams(probing, address, vec![2; 1472], 1472);
    world.until(|world| world.right.datagrams.len() == 1 && !world.left.datagram_failed.is_empty());
    assert_eq!(world.left.datagram_failed, [Errno(libc::EMSGSIZE)]);
    assert_eq!(world.right.datagrams[0], vec![2; 1472]);
    world.finish();
}

#[test]
fn epoll_waits_for_room_in_the_socket() {
    in_child("datagram_kernel::epoll_waits_for_room_in_the_socket", || slower_than_the_sender(&world::epoll));
}

#[test]
fn uring_waits_for_room_in_the_socket() {
    in_child("datagram_kernel::uring_waits_for_room_in_the_socket", || slower_than_the_sender(&world::uring));
}

/// A device that takes bytes at its own pace: they pile up in the socket, then in the driver, and none is lost.
fn slower_than_the_sender(make: &world::Make) {
    let pace = "tc qdisc add dev lo root tbf rate 160mbit burst 128kb limit 16mb";
    if !own_network() || !run("ip link set lo up") || !run(pace) {
        return;
    }
    let mut world: World = make(small());
    let options = DatagramOptions {
        send_buffer_bytes: 32 << 10,
        receive_buffer_bytes: 4 << 20,
        ..DatagramOptions::default()
    };
    let (_, address) = world.right.bind_datagram_with(V4, &options);
    let (from, _) = world.left.bind_datagram_with(V4, &options);
    world.settle();
    let train = text(3, 60 * 1000);
    for _ in 0..30 {
        world.left.send_datagrams(from, address, train.clone(), 1000);
    }
    world.left.turn(std::time::Duration::ZERO);
    assert!(world.left.driver.datagrams_unsent(from) > train.len(), "the socket is full");
    world.until(|world| world.right.datagrams.len() == 30 * 60);
    assert!(world.left.datagram_failed.is_empty());
    assert!(world.right.datagrams.chunks(60).all(|datagrams| datagrams.concat() == train));
    world.until(|world| world.left.driver.datagrams_unsent(from) == 0);
    world.finish();
}

/// A network namespace for this process alone. `false`: there is none to be had, so there is nothing to test.
fn own_network() -> bool {
    // SAFETY: a network namespace of its own changes no memory and no open descriptor.
    let outcome = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) };
    if let Err(errno) = outcome {
        eprintln!("skipped: no network namespace to be had ({errno})");
    }
    outcome.is_ok()
}

/// Whether the command is there and does it.
fn run(command: &str) -> bool {
    let mut words = command.split(' ');
    let status = Command::new(words.next().unwrap_or_default()).args(words).status();
    let done = status.is_ok_and(|status| status.success());
    if !done {
        eprintln!("skipped: {command}");
    }
    done
}
