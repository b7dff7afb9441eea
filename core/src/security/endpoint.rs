//! The security of one datagram endpoint.

use super::access::Access;
use super::check::crc32c;
use super::handshake::{self, Pending};
use super::key::{PrivateKey, PublicKey};
use super::packet_key::expand;
use super::protector::PacketProtector;
use super::random::{self, RandomWords};
use crate::Result;
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use aws_lc_rs::hmac;
use clustercore_proto::datagram::{Established, MacUse, Security};
use std::fmt;
use zeroize::Zeroizing;

/// How an endpoint protects what it sends, and whom it believes.
#[derive(Clone, Debug)]
pub enum Mode {
    /// Nothing is secret and nobody is proven: for loopback and for networks that are trusted in so many words.
    Clear,
    /// Both ends are proven by their keys, nobody else reads or changes anything.
    Secure {
        /// This endpoint's key. It belongs to one machine: whoever has it can be this endpoint.
        key: PrivateKey,
        /// Which clients are let in.
        access: Access,
    },
}

/// Checks, ciphers, handshakes and randomness of one datagram endpoint.
pub struct EndpointSecurity {
    mode: Mode,
    /// Random, so that no cookie outlives its process.
    cookie: hmac::Key,
    /// Follows from the endpoint's key, so that a restarted program can still say that it knows nothing.
    reset: hmac::Key,
    random: RandomWords,
}

impl EndpointSecurity {
    /// Security of the endpoint at `port`. The port is part of what reset tokens are made of: an endpoint with the same key at another
    /// port makes none for this one's connections.
    ///
    /// Errors: `Internal` when the kernel has no randomness.
    pub fn new(mode: Mode, port: u16) -> Result<EndpointSecurity> {
        let mut cookie = Zeroizing::new([0; 32]);
        random::fill(&mut *cookie)?;
        // In clear mode the key is known to all: there is no other that would outlive the process.
        let root = match &mode {
            Mode::Clear => Prk::new_less_safe(HKDF_SHA256, &[0; 32]),
            Mode::Secure { key, .. } => Salt::new(HKDF_SHA256, RESET_LABEL).extract(key.as_bytes()),
        };
        let mut reset = Zeroizing::new([0; 32]);
        expand(&root, &[RESET_LABEL, &port.to_le_bytes()].concat(), &mut *reset);
        Ok(EndpointSecurity {
            mode,
            cookie: hmac::Key::new(hmac::HMAC_SHA256, &*cookie),
            reset: hmac::Key::new(hmac::HMAC_SHA256, &*reset),
            random: RandomWords::default(),
        })
    }

    /// Whether it is secure mode.
    pub fn is_secure(&self) -> bool {
        matches!(self.mode, Mode::Secure { .. })
    }
}

impl fmt::Debug for EndpointSecurity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointSecurity").field("mode", &self.mode).finish_non_exhaustive()
    }
}

impl Security for EndpointSecurity {
    type Protector = PacketProtector;
    type Pending = Pending;

    fn check(&self, bytes: &[u8]) -> u32 {
        crc32c(bytes)
    }

    fn mac(&self, purpose: MacUse, bytes: &[u8]) -> [u8; 16] {
        let key = match purpose {
            MacUse::Cookie => &self.cookie,
            MacUse::Reset => &self.reset,
        };
        let whole = hmac::sign(key, bytes);
        let mut mac = [0; 16];
        mac.iter_mut().zip(whole.as_ref()).for_each(|(to, from)| *to = *from);
        mac
    }

    #[inline]
    fn random(&mut self) -> u64 {
        self.random.next()
    }

    fn initiate(&mut self, peer: Option<[u8; 32]>, parameters: &[u8]) -> Option<(Pending, Vec<u8>)> {
        match (&self.mode, peer) {
            // Somebody who must be proven cannot be, without a cipher.
            (Mode::Clear, Some(_)) | (Mode::Secure { .. }, None) => None,
            (Mode::Clear, None) => Some((Pending::Clear, parameters.to_vec())),
            (Mode::Secure { key, .. }, Some(peer)) => {
                handshake::initiate(key, &PublicKey::from_bytes(peer)?, parameters)
            }
        }
    }

    fn respond(
        &mut self,
        message: &[u8],
        parameters: &[u8],
    ) -> Option<(Established<PacketProtector>, Vec<u8>)> {
        match &self.mode {
            Mode::Clear => Some((in_clear(message), parameters.to_vec())),
            Mode::Secure { key, access } => handshake::respond(key, access, message, parameters),
        }
    }

    fn finish(&mut self, pending: &mut Pending, message: &[u8]) -> Option<Established<PacketProtector>> {
        match pending {
            Pending::Clear => Some(in_clear(message)),
            Pending::Secure(state) => handshake::finish(state, message),
        }
    }
}

fn in_clear(parameters: &[u8]) -> Established<PacketProtector> {
    Established { protector: PacketProtector::Clear, parameters: parameters.to_vec(), identity: None }
}

const RESET_LABEL: &[u8] = b"clustercore datagram 1 reset";

#[cfg(test)]
mod tests;
