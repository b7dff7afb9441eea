//! Clear mode: CRC-32C (Castagnoli) against damage, nothing against anybody.

use clustercore_proto::datagram::{Established, MacUse, Protector, Security};
use clustercore_proto::random::Random;
use std::hash::{BuildHasher, RandomState};

/// Checks and handshakes of an endpoint.
#[derive(Debug)]
pub struct EndpointSecurity {
    random: Random,
    secret: RandomState,
}

impl EndpointSecurity {
    /// No protection but a check.
    pub fn clear() -> EndpointSecurity {
        let secret = RandomState::new();
        EndpointSecurity { random: Random::new(secret.hash_one(0x5eed_u64)), secret }
    }
}

/// Protects the packets of a connection.
#[derive(Debug)]
pub struct PacketProtector;

const TRAILER: usize = 4;

impl Protector for PacketProtector {
    fn trailer_bytes(&self) -> usize {
        TRAILER
    }
    fn seal(&mut self, _number: u64, packet: &mut [u8]) {
        let (content, trailer) = packet.split_at_mut(packet.len() - TRAILER);
        trailer.copy_from_slice(&crc32c::crc32c(content).to_le_bytes());
    }
    fn open(&mut self, _number: u64, _phase: bool, packet: &mut [u8]) -> bool {
        let (content, trailer) = packet.split_at(packet.len() - TRAILER);
        *trailer == crc32c::crc32c(content).to_le_bytes()
    }
    fn reopen(&mut self, _number: u64, _phase: bool, _packet: &mut [u8]) -> bool {
        true
    }
}

impl Security for EndpointSecurity {
    type Protector = PacketProtector;
    type Pending = ();

    fn check(&self, bytes: &[u8]) -> u32 {
        crc32c::crc32c(bytes)
    }
    fn mac(&self, purpose: MacUse, bytes: &[u8]) -> [u8; 16] {
        let mut mac = [0; 16];
        for (place, half) in mac.chunks_mut(8).enumerate() {
            let hash = match purpose {
                // For this run of the program only.
                MacUse::Cookie => self.secret.hash_one((place, bytes)),
                // A restarted program must be able to make it again.
                MacUse::Reset => u64::from(crc32c::crc32c_append(place as u32 + 1, bytes)),
            };
            half.copy_from_slice(&hash.to_le_bytes());
        }
        mac
    }
    fn random(&mut self) -> u64 {
        self.random.next_u64()
    }
    fn initiate(&mut self, _peer: Option<[u8; 32]>, parameters: &[u8]) -> Option<((), Vec<u8>)> {
        Some(((), parameters.to_vec()))
    }
    fn respond(
        &mut self,
        message: &[u8],
        parameters: &[u8],
    ) -> Option<(Established<PacketProtector>, Vec<u8>)> {
        let established =
            Established { protector: PacketProtector, parameters: message.to_vec(), identity: None };
        Some((established, parameters.to_vec()))
    }
    fn finish(&mut self, _pending: &mut (), message: &[u8]) -> Option<Established<PacketProtector>> {
        Some(Established { protector: PacketProtector, parameters: message.to_vec(), identity: None })
    }
}
