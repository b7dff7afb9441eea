//! The security of one datagram endpoint.

use super::access::Access;
use super::check::crc32c;
use super::handshake::{self, Pending};
use super::key::{PrivateKey, PublicKey};
use super::key_log::{KeyLog, Secrets};
use super::packet_key::expand;
use super::protector::PacketProtector;
use super::random::{self, RandomWords};
use crate::Result;
use crate::log::Trouble;
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use aws_lc_rs::hmac;
use clustercore_proto::datagram::{Established, MacUse, Security, WireId};
use std::fmt;
use std::path::Path;
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
    key_log: Option<KeyLog>,
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
            key_log: None,
        })
    }

    /// Appends the secrets of its connections to a file from now on, so that a capture can be read: whoever has the file can read what is
    /// sent. See `docs/protocol/datagram.md`, "Key log".
    ///
    /// Errors: `KeyExposed` when others can get at the file; what opening a file can fail with.
    pub fn log_keys(&mut self, path: &Path) -> Result<()> {
        self.log_keys_or_tell(path, Trouble::default())
    }

    /// The same; `trouble` learns what is missing in the file.
    pub(crate) fn log_keys_or_tell(&mut self, path: &Path, trouble: Trouble) -> Result<()> {
        self.key_log = Some(KeyLog::open(path, trouble)?);
        Ok(())
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
            Mode::Secure { key, access } => {
                let (established, answer, secrets) = handshake::respond(key, access, message, parameters)?;
                note(&mut self.key_log, secrets);
                Some((established, answer))
            }
        }
    }

    fn finish(&mut self, pending: &mut Pending, message: &[u8]) -> Option<Established<PacketProtector>> {
        match pending {
            Pending::Clear => Some(in_clear(message)),
            Pending::Secure(state) => {
                let (established, secrets) = handshake::finish(state, message)?;
                note(&mut self.key_log, secrets);
                Some(established)
            }
        }
    }

    fn on_established(&mut self, own: WireId, peer: WireId) {
        if let Some(log) = &mut self.key_log {
            log.on_established(own, peer);
        }
    }
}

/// Secrets wait for the ids of their connection, if there is a log for them.
fn note(log: &mut Option<KeyLog>, secrets: Secrets) {
    if let Some(log) = log {
        log.secrets = Some(secrets);
    }
}

fn in_clear(parameters: &[u8]) -> Established<PacketProtector> {
    Established { protector: PacketProtector::Clear, parameters: parameters.to_vec(), identity: None }
}

const RESET_LABEL: &[u8] = b"clustercore datagram 1 reset";

#[cfg(test)]
mod tests;
