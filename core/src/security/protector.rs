//! Protects the packets of a connection: a check in clear mode, a cipher in secure mode.

use super::check::crc32c;
use super::packet_key::{PacketKey, PhaseSecret, TAG_BYTES};
use clustercore_proto::datagram::Protector;
use zeroize::Zeroizing;

/// The protection of one connection.
#[derive(Debug)]
pub enum PacketProtector {
    /// CRC-32C, 4 bytes: notices accidents, no more.
    Clear,
    /// AES-128-GCM, 16 bytes.
    Secure(Box<PacketKeys>),
}

/// The keys of one connection: a chain per direction, each with a phase of its own.
///
/// A sender's numbers grow, so every packet of an earlier phase has a lower number than every packet of a later one. That tells which key
/// a packet of the other phase was sealed with, before it is opened: a forged phase costs one failed opening and no derivation.
#[derive(Debug)]
pub struct PacketKeys {
    seal: PacketKey,
    /// Before the last update. Kept until the next one: what was sealed with it may have to be sent again after a long silence.
    seal_old: Option<PacketKey>,
    seal_next: PhaseSecret,
    seal_phase: bool,
    open: PacketKey,
    /// Lowest number that `open` has opened.
    open_from: u64,
    open_old: Option<PacketKey>,
    /// Made beforehand.
    open_next: PacketKey,
    open_after_next: PhaseSecret,
    open_phase: bool,
}

impl PacketKeys {
    /// Keys from the secrets of both directions, which the other end has the other way round. Both are uniformly random.
    pub fn new(seal: Zeroizing<[u8; 32]>, open: Zeroizing<[u8; 32]>) -> PacketKeys {
        let (seal, seal_next) = PhaseSecret::new(seal).into_key();
        let (open, open_next) = PhaseSecret::new(open).into_key();
        let (open_next, open_after_next) = open_next.into_key();
        PacketKeys {
            seal,
            seal_old: None,
            seal_next,
            seal_phase: false,
            open,
            open_from: u64::MAX,
            open_old: None,
            open_next,
            open_after_next,
            open_phase: false,
        }
    }

    #[inline]
    fn open(&mut self, number: u64, phase: bool, packet: &mut [u8]) -> bool {
        if phase == self.open_phase {
            let is_good = self.open.open(number, packet);
            if is_good {
                self.open_from = self.open_from.min(number);
            }
            return is_good;
        }
        if number < self.open_from
            && let Some(old) = &self.open_old
        {
            return old.open(number, packet);
        }
        let is_good = self.open_next.open(number, packet);
        if is_good {
            self.follow(number, phase);
        }
        is_good
    }

    /// The peer has changed its key: `number` is the first packet of it that arrived.
    fn follow(&mut self, number: u64, phase: bool) {
        let secret = std::mem::replace(&mut self.open_after_next, PhaseSecret::new(Zeroizing::default()));
        let (next, after_next) = secret.into_key();
        self.open_after_next = after_next;
        let open = std::mem::replace(&mut self.open_next, next);
        self.open_old = Some(std::mem::replace(&mut self.open, open));
        self.open_from = number;
        self.open_phase = phase;
    }

    fn update(&mut self) {
        let secret = std::mem::replace(&mut self.seal_next, PhaseSecret::new(Zeroizing::default()));
        let (seal, next) = secret.into_key();
        self.seal_next = next;
        self.seal_old = Some(std::mem::replace(&mut self.seal, seal));
        self.seal_phase = !self.seal_phase;
    }

    fn reopen(&self, number: u64, phase: bool, packet: &mut [u8]) -> bool {
        let key = if phase == self.seal_phase { Some(&self.seal) } else { self.seal_old.as_ref() };
        key.is_some_and(|key| key.open(number, packet))
    }
}

impl Protector for PacketProtector {
    fn trailer_bytes(&self) -> usize {
        match self {
            PacketProtector::Clear => CHECK_BYTES,
            PacketProtector::Secure(_) => TAG_BYTES,
        }
    }

    fn phase(&self) -> bool {
        match self {
            PacketProtector::Clear => false,
            PacketProtector::Secure(keys) => keys.seal_phase,
        }
    }

    #[inline]
    fn seal(&mut self, number: u64, packet: &mut [u8]) {
        match self {
            PacketProtector::Clear => {
                if let Some((content, trailer)) = packet.split_last_chunk_mut::<CHECK_BYTES>() {
                    *trailer = crc32c(content).to_le_bytes();
                }
            }
            PacketProtector::Secure(keys) => keys.seal.seal(number, packet),
        }
    }

    #[inline]
    fn open(&mut self, number: u64, phase: bool, packet: &mut [u8]) -> bool {
        match self {
            PacketProtector::Clear => packet
                .split_last_chunk::<CHECK_BYTES>()
                .is_some_and(|(content, trailer)| crc32c(content).to_le_bytes() == *trailer),
            PacketProtector::Secure(keys) => keys.open(number, phase, packet),
        }
    }

    fn reopen(&mut self, number: u64, phase: bool, packet: &mut [u8]) -> bool {
        match self {
            PacketProtector::Clear => true,
            PacketProtector::Secure(keys) => keys.reopen(number, phase, packet),
        }
    }

    fn update_key(&mut self) {
        if let PacketProtector::Secure(keys) = self {
            keys.update();
        }
    }

    fn forget_old_key(&mut self) {
        if let PacketProtector::Secure(keys) = self {
            keys.open_old = None;
        }
    }
}

const CHECK_BYTES: usize = 4;

#[cfg(test)]
mod tests;
