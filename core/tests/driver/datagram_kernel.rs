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
    // SAFETY: a network namespace of its own changes no memory and no open descriptor.
    if let Err(errno) = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) } {
        eprintln!("skipped: no network namespace to be had ({errno})");
        return;
    }
    let ip = Command::new("ip").args(["link", "set", "lo", "up", "mtu", "1500"]).status();
    if !ip.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no command ip");
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
