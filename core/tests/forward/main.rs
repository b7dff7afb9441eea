//! The forwarder over real sockets, on both kernel drivers: each case is a fact that a client or a back end can see.
//!
//! Clients and back ends are plain blocking sockets of the standard library that share no code with what is tested; the shard turns on a
//! thread of its own. When a front ends, it asserts that nothing is left: no client, no request, no lent buffer, no stream.

mod backend;
mod front;
mod gate;
mod handler;
mod wire;

mod balance;
mod bodies;
mod children;
mod exchange;
mod faults;
mod messages;
mod refuse;
mod resources;
mod setup;
mod tunnel;

/// Each case once per kernel driver.
macro_rules! on_both_drivers {
    ($($case:ident),* $(,)?) => {
        mod epoll {
            $(#[test] fn $case() { super::$case(clustercore::io::DriverChoice::Epoll); })*
        }
        mod uring {
            $(#[test] fn $case() { super::$case(clustercore::io::DriverChoice::Uring); })*
        }
    };
}
use on_both_drivers;
