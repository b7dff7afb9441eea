//! What the machine needs from outside to protect packets and to know peers: checks, ciphers, handshakes, randomness.
//!
//! Two implementations live in the core (clear and Noise); tests have their own. No cipher is written here.

use super::id::WireId;
use alloc::vec::Vec;

/// Protects the data packets of one connection, in both directions.
pub trait Protector: Send {
    /// Bytes at the end of each packet.
    fn trailer_bytes(&self) -> usize;
    /// The phase of the key that seals now.
    fn phase(&self) -> bool {
        false
    }
    /// Protects a packet in place: header, frames, and the room for the trailer. `number` is used once.
    fn seal(&mut self, number: u64, packet: &mut [u8]);
    /// Checks a received packet and opens it in place. False: it is not what the peer sent; nothing has changed but the packet, whose
    /// content may be lost.
    fn open(&mut self, number: u64, phase: bool, packet: &mut [u8]) -> bool;
    /// Opens a packet that this side has sealed: its frames are sent again in another one.
    fn reopen(&mut self, number: u64, phase: bool, packet: &mut [u8]) -> bool;
    /// Seals with the next key from now on. Nothing in clear mode.
    fn update_key(&mut self) {}
    /// Forgets the key that the peer used before its last update. Our own is kept: what it sealed may have to be reopened.
    fn forget_old_key(&mut self) {}
}

/// What a MAC is for, so that one never stands for another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MacUse {
    /// A client's cookie.
    Cookie,
    /// The token of a Reset.
    Reset,
}

/// The result of a handshake.
pub struct Established<P> {
    /// For the packets from now on.
    pub protector: P,
    /// The peer's parameters, as it wrote them.
    pub parameters: Vec<u8>,
    /// Who the peer is, where that is known: its static public key.
    pub identity: Option<[u8; 32]>,
}

/// Checks, handshakes and randomness of an endpoint.
pub trait Security {
    /// Protects a connection's packets.
    type Protector: Protector;
    /// A handshake that waits for its answer.
    type Pending;

    /// CRC-32C of `bytes`, for packets without a connection.
    fn check(&self, bytes: &[u8]) -> u32;
    /// A keyed hash.
    fn mac(&self, purpose: MacUse, bytes: &[u8]) -> [u8; 16];
    /// 64 bits that an outsider cannot guess.
    fn random(&mut self) -> u64;
    /// Starts as a client: the first message, with our parameters in it. `peer` is the public key that the peer must have.
    ///
    /// `None`: there is no way to that peer (a key is needed and was not given).
    fn initiate(&mut self, peer: Option<[u8; 32]>, parameters: &[u8]) -> Option<(Self::Pending, Vec<u8>)>;
    /// Answers a client's message, with our parameters in the answer. `None`: it is not right, or not from one who is let in.
    fn respond(
        &mut self,
        message: &[u8],
        parameters: &[u8],
    ) -> Option<(Established<Self::Protector>, Vec<u8>)>;
    /// The server's answer to `initiate`. `None`: it is not right; the handshake goes on waiting.
    fn finish(&mut self, pending: &mut Self::Pending, message: &[u8])
    -> Option<Established<Self::Protector>>;
    /// The handshake that `respond` or `finish` has just ended has led to a connection: its id here, and its id at the peer.
    fn on_established(&mut self, _own: WireId, _peer: WireId) {}
}
