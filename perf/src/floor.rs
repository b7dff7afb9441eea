//! What every floor program takes on its command line, and the pair of sockets that a relay joins.
//!
//! A floor is the least that a path can cost on this kernel: the same system calls as the product, no parsing, no
//! policy. It is the first denominator of every ratio; it is not a proxy that anyone should run.

use clap::Args;
use rustix::fd::OwnedFd;
use std::net::{SocketAddr, SocketAddrV4};

/// Where a relay listens and to which back ends it connects, in turn.
#[derive(Args, Debug, Clone)]
pub struct RelayOptions {
    /// Address to accept clients on.
    #[arg(long)]
    pub listen: SocketAddr,
    /// Back ends, taken in turn by new client connections; repeat or separate by commas.
    #[arg(long = "backend", required = true, value_delimiter = ',')]
    pub backends: Vec<SocketAddrV4>,
}

/// Round robin over the back ends.
pub struct Backends {
    addresses: Vec<libc::sockaddr_in>,
    plain: Vec<SocketAddrV4>,
    next: usize,
}

impl Backends {
    /// Takes the addresses in the order given; there is at least one.
    pub fn new(addresses: &[SocketAddrV4]) -> Self {
        assert!(!addresses.is_empty(), "a relay needs a back end");
        Self {
            addresses: addresses.iter().map(to_kernel_address).collect(),
            plain: addresses.to_vec(),
            next: 0,
        }
    }

    /// The next back end, and a pointer to its kernel form that lives as long as `self`.
    pub fn take_next(&mut self) -> (SocketAddrV4, *const libc::sockaddr_in) {
        let index = self.next;
        self.next = (index + 1) % self.plain.len();
        (self.plain[index], &raw const self.addresses[index])
    }
}

/// The two ends of one relayed connection: index [`CLIENT`] and [`BACKEND`].
pub type Ends = [OwnedFd; 2];

/// Index of the client's end; bytes read there go to the back end.
pub const CLIENT: usize = 0;
/// Index of the back end's end; bytes read there go to the client.
pub const BACKEND: usize = 1;

/// What an operation was, packed with the slot of its pair into the 64 bits that come back with a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Slot of the pair in its table.
    pub slot: u32,
    /// Which end the operation is on.
    pub end: usize,
    /// Operation number, of the program's own choice, below 128.
    pub operation: u8,
}

impl Tag {
    /// Packs the tag for a submission.
    pub fn pack(self) -> u64 {
        u64::from(self.slot) << 8 | u64::from(self.operation) << 1 | self.end as u64
    }

    /// Unpacks the tag of a completion.
    pub fn unpack(value: u64) -> Self {
        Self { slot: (value >> 8) as u32, end: (value & 1) as usize, operation: (value >> 1 & 0x7f) as u8 }
    }
}

/// A table with stable slots: freed slots are used again, so memory follows the most that was ever open.
pub struct Slots<T> {
    entries: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    /// Stores `value` and returns its slot.
    pub fn insert(&mut self, value: T) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.entries[slot as usize] = Some(value);
            return slot;
        }
        self.entries.push(Some(value));
        self.entries.len() as u32 - 1
    }

    /// The value in `slot`, if it is in use.
    pub fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.entries.get_mut(slot as usize)?.as_mut()
    }

    /// Empties `slot` and returns what was there.
    pub fn remove(&mut self, slot: u32) -> Option<T> {
        let value = self.entries.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        Some(value)
    }
}

fn to_kernel_address(address: &SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
        sin_zero: [0; 8],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_survive_the_round_trip() {
        for tag in [
            Tag { slot: 0, end: CLIENT, operation: 0 },
            Tag { slot: u32::MAX, end: BACKEND, operation: 127 },
            Tag { slot: 77, end: BACKEND, operation: 3 },
        ] {
            assert_eq!(Tag::unpack(tag.pack()), tag);
        }
    }

    #[test]
    fn freed_slots_are_used_again() {
        let mut slots = Slots::default();
        let (a, b) = (slots.insert('a'), slots.insert('b'));
        assert_eq!(slots.remove(a), Some('a'));
        assert_eq!(slots.remove(a), None);
        assert_eq!(slots.insert('c'), a);
        assert_eq!(slots.get_mut(b), Some(&mut 'b'));
        assert_eq!(slots.get_mut(99), None);
    }

    #[test]
    fn back_ends_are_taken_in_turn() {
        let list: Vec<SocketAddrV4> = vec!["127.0.0.1:1".parse().unwrap(), "127.0.0.2:258".parse().unwrap()];
        let mut backends = Backends::new(&list);
        assert_eq!(
            [backends.take_next().0, backends.take_next().0, backends.take_next().0],
            [list[0], list[1], list[0]]
        );
        let address = to_kernel_address(&list[1]);
        assert_eq!(address.sin_port.to_ne_bytes(), [1, 2]);
        assert_eq!(address.sin_addr.s_addr.to_ne_bytes(), [127, 0, 0, 2]);
    }
}
