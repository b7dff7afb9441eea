//! Checks and handshakes for tests. No secrets: the protected form is a stand-in that notices every change and every wrong key, so that the machine's
//! handling of keys is tried; the real ciphers are tested with the core.

use clustercore_proto::datagram::{Established, HEADER_BYTES, MacUse, Protector, Security};
use clustercore_proto::random::Random;

const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);

/// Security of a test endpoint.
pub struct TestSecurity {
    random: Random,
    is_keyed: bool,
    /// Same for all runs of one program, as a key file would be.
    secret: u64,
}

impl TestSecurity {
    pub fn new(seed: u64, secret: u64, is_keyed: bool) -> TestSecurity {
        TestSecurity { random: Random::new(seed), is_keyed, secret }
    }
}

#[derive(Debug)]
pub enum TestProtector {
    Clear,
    Keyed(Keyed),
}

/// A key per direction and phase: a number that goes into the check and is laid over the frames.
#[derive(Debug)]
pub struct Keyed {
    seal: u64,
    seal_old: u64,
    seal_phase: bool,
    open: u64,
    open_old: Option<u64>,
    open_phase: bool,
}

fn next_key(key: u64) -> u64 {
    key.rotate_left(17) ^ 0x5bd1_e995_9d1c_33a7
}

fn crypt(key: u64, number: u64, frames: &mut [u8]) {
    let mut stream = Random::new(key ^ number);
    for chunk in frames.chunks_mut(8) {
        let mask = stream.next_u64().to_le_bytes();
        chunk.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    }
}

fn tag(key: u64, number: u64, content: &[u8]) -> [u8; 16] {
    let mut digest = CRC.digest();
    digest.update(&key.to_le_bytes());
    digest.update(&number.to_le_bytes());
    digest.update(content);
    let mut tag = [0; 16];
    tag[..4].copy_from_slice(&digest.finalize().to_le_bytes());
    tag
}

impl Protector for TestProtector {
    fn trailer_bytes(&self) -> usize {
        match self {
            TestProtector::Clear => 4,
            TestProtector::Keyed(_) => 16,
        }
    }

    fn phase(&self) -> bool {
        matches!(self, TestProtector::Keyed(keys) if keys.seal_phase)
    }

    fn seal(&mut self, number: u64, packet: &mut [u8]) {
        let (content, trailer) = packet.split_at_mut(packet.len() - self.trailer_bytes());
        match self {
            TestProtector::Clear => trailer.copy_from_slice(&CRC.checksum(content).to_le_bytes()),
            TestProtector::Keyed(keys) => {
                crypt(keys.seal, number, &mut content[HEADER_BYTES..]);
                trailer.copy_from_slice(&tag(keys.seal, number, content));
            }
        }
    }

    fn open(&mut self, number: u64, phase: bool, packet: &mut [u8]) -> bool {
        let (content, trailer) = packet.split_at_mut(packet.len() - self.trailer_bytes());
        match self {
            TestProtector::Clear => *trailer == CRC.checksum(content).to_le_bytes(),
            TestProtector::Keyed(keys) => {
                let is_next = phase != keys.open_phase;
                let candidates = match (is_next, keys.open_old) {
                    (false, _) => [Some(keys.open), None],
                    (true, old) => [old, Some(next_key(keys.open))],
                };
                for (place, key) in candidates.into_iter().enumerate() {
                    let Some(key) = key.filter(|&key| *trailer == tag(key, number, content)) else {
                        continue;
                    };
                    if is_next && place == 1 {
                        keys.open_old = Some(keys.open);
                        keys.open = key;
                        keys.open_phase = phase;
                    }
                    crypt(key, number, &mut content[HEADER_BYTES..]);
                    return true;
                }
                false
            }
        }
    }

    fn reopen(&mut self, number: u64, phase: bool, packet: &mut [u8]) -> bool {
        let (content, trailer) = packet.split_at_mut(packet.len() - self.trailer_bytes());
        match self {
            TestProtector::Clear => true,
            TestProtector::Keyed(keys) => {
                let key = if phase == keys.seal_phase { keys.seal } else { keys.seal_old };
                assert_eq!(*trailer, tag(key, number, content), "a packet of ours does not open");
                crypt(key, number, &mut content[HEADER_BYTES..]);
                true
            }
        }
    }

    fn update_key(&mut self) {
        if let TestProtector::Keyed(keys) = self {
            keys.seal_old = keys.seal;
            keys.seal = next_key(keys.seal);
            keys.seal_phase = !keys.seal_phase;
        }
    }

    fn forget_old_key(&mut self) {
        if let TestProtector::Keyed(keys) = self {
            keys.open_old = None;
        }
    }
}

impl TestSecurity {
    fn protector(&self, client: u64, server: u64, is_client: bool) -> TestProtector {
        if !self.is_keyed {
            return TestProtector::Clear;
        }
        let (seal, open) = if is_client { (client, server) } else { (server, client) };
        let (seal, open) = (seal ^ client ^ server.rotate_left(1), open ^ client ^ server.rotate_left(1));
        TestProtector::Keyed(Keyed {
            seal,
            seal_old: seal,
            seal_phase: false,
            open,
            open_old: None,
            open_phase: false,
        })
    }
}

impl Security for TestSecurity {
    type Protector = TestProtector;
    type Pending = u64;

    fn check(&self, bytes: &[u8]) -> u32 {
        CRC.checksum(bytes)
    }

    fn mac(&self, purpose: MacUse, bytes: &[u8]) -> [u8; 16] {
        let mut state = Random::new(self.secret ^ u64::from(CRC.checksum(bytes)) << 8 ^ purpose as u64);
        let mut mac = [0; 16];
        mac[..8].copy_from_slice(&state.next_u64().to_le_bytes());
        mac[8..].copy_from_slice(&state.next_u64().to_le_bytes());
        mac
    }

    fn random(&mut self) -> u64 {
        self.random.next_u64()
    }

    fn initiate(&mut self, _peer: Option<[u8; 32]>, parameters: &[u8]) -> Option<(u64, Vec<u8>)> {
        let nonce = self.random.next_u64();
        Some((nonce, [&nonce.to_le_bytes(), parameters].concat()))
    }

    fn respond(
        &mut self,
        message: &[u8],
        parameters: &[u8],
    ) -> Option<(Established<TestProtector>, Vec<u8>)> {
        let (client, theirs) = message.split_first_chunk::<8>()?;
        let server = self.random.next_u64();
        let protector = self.protector(u64::from_le_bytes(*client), server, false);
        let established = Established { protector, parameters: theirs.to_vec(), identity: None };
        Some((established, [&server.to_le_bytes(), parameters].concat()))
    }

    fn finish(&mut self, pending: &mut u64, message: &[u8]) -> Option<Established<TestProtector>> {
        let (server, theirs) = message.split_first_chunk::<8>()?;
        let protector = self.protector(*pending, u64::from_le_bytes(*server), true);
        Some(Established { protector, parameters: theirs.to_vec(), identity: None })
    }
}
