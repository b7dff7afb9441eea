//! What Noise needs of ciphers, from the library that protects the packets too.
//!
//! snow keeps the order of a handshake and calls these; each is a thin cover over `aws-lc-rs`. The pattern is fixed, so nothing else is
//! offered. Unlike snow's own X25519 this one refuses public keys that make every secret the same.

use super::random;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use aws_lc_rs::digest::{Context, SHA256};
use snow::Error;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};
use zeroize::Zeroizing;

/// Gives snow the primitives of `Noise_IK_25519_AESGCM_SHA256`.
pub(super) struct Primitives;

impl CryptoResolver for Primitives {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(SystemRandomness))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        matches!(choice, DHChoice::Curve25519).then(|| Box::new(Pair::default()) as Box<dyn Dh>)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        matches!(choice, HashChoice::SHA256).then(|| Box::new(Sha256(Context::new(&SHA256))) as Box<dyn Hash>)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        matches!(choice, CipherChoice::AESGCM).then(|| Box::new(Aes256Gcm(None)) as Box<dyn Cipher>)
    }
}

struct SystemRandomness;

impl Random for SystemRandomness {
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Error> {
        random::fill(out).map_err(|_| Error::Rng)
    }
}

/// A pair of keys of X25519.
#[derive(Default)]
struct Pair {
    private: Zeroizing<[u8; 32]>,
    /// `None`: what was given is no private key. Then nothing can be agreed on.
    key: Option<PrivateKey>,
    public: [u8; 32],
}

impl Dh for Pair {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, private: &[u8]) {
        *self = Pair::default();
        let Ok(key) = PrivateKey::from_private_key(&X25519, private) else { return };
        let Ok(public) = key.compute_public_key() else { return };
        self.private.copy_from_slice(private);
        self.public.copy_from_slice(public.as_ref());
        self.key = Some(key);
    }

    fn generate(&mut self, source: &mut dyn Random) -> Result<(), Error> {
        let mut private = Zeroizing::new([0; 32]);
        source.try_fill_bytes(&mut *private)?;
        self.set(&*private);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &*self.private
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let key = self.key.as_ref().ok_or(Error::Dh)?;
        // snow gives its longest buffer.
        let public = UnparsedPublicKey::new(&X25519, public.get(..32).ok_or(Error::Dh)?);
        let out = out.get_mut(..32).ok_or(Error::Dh)?;
        agreement::agree(key, public, Error::Dh, |secret| {
            out.copy_from_slice(secret);
            Ok(())
        })
    }
}

struct Sha256(Context);

impl Hash for Sha256 {
    fn name(&self) -> &'static str {
        "SHA256"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0 = Context::new(&SHA256);
    }

    fn input(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn result(&mut self, out: &mut [u8]) {
        let context = std::mem::replace(&mut self.0, Context::new(&SHA256));
        out[..32].copy_from_slice(context.finish().as_ref());
    }
}

/// `None` until it has a key.
struct Aes256Gcm(Option<LessSafeKey>);

impl Aes256Gcm {
    /// The number in the last 8 bytes, big-endian: Noise, 12.4.
    fn nonce(number: u64) -> Nonce {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&number.to_be_bytes());
        Nonce::assume_unique_for_key(nonce)
    }
}

impl Cipher for Aes256Gcm {
    fn name(&self) -> &'static str {
        "AESGCM"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.0 = UnboundKey::new(&AES_256_GCM, key).ok().map(LessSafeKey::new);
    }

    fn encrypt(&self, number: u64, header: &[u8], content: &[u8], out: &mut [u8]) -> usize {
        let (sealed, rest) = out.split_at_mut(content.len());
        sealed.copy_from_slice(content);
        let key = self.0.as_ref().expect("snow sets a key first");
        let tag = key.seal_in_place_separate_tag(Aes256Gcm::nonce(number), Aad::from(header), sealed);
        rest[..16].copy_from_slice(tag.expect("a short message").as_ref());
        content.len() + 16
    }

    fn decrypt(&self, number: u64, header: &[u8], sealed: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let key = self.0.as_ref().ok_or(Error::Decrypt)?;
        let len = sealed.len().checked_sub(16).ok_or(Error::Decrypt)?;
        let (content, tag) = sealed.split_at(len);
        let out = out.get_mut(..len).ok_or(Error::Decrypt)?;
        key.open_separate_gather(Aes256Gcm::nonce(number), Aad::from(header), content, tag, out)
            .map_err(|_| Error::Decrypt)?;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use snow::{Builder, HandshakeState};

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    #[test]
    fn x25519_is_that_of_rfc_7748_and_refuses_weak_keys() {
        // 6.1.
        let mut alice = Pair::default();
        alice.set(&hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
        let bob = hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
        let mut secret = [0; 56];
        alice.dh(&bob, &mut secret).unwrap();
        assert_eq!(secret[..32], hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"));
        assert_eq!(alice.pubkey(), hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"));
        assert!(alice.dh(&[0; 32], &mut secret).is_err());
        assert!(Pair::default().dh(&bob, &mut secret).is_err());
    }

    #[test]
    fn sha256_is_that_of_fips_180() {
        let mut hash = Sha256(Context::new(&SHA256));
        let mut out = [0; 64];
        for _ in 0..2 {
            hash.input(b"a");
            hash.input(b"bc");
            hash.result(&mut out);
            assert_eq!(out[..32], hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
        }
    }

    #[test]
    fn a_handshake_is_that_of_other_implementations() {
        let (mut client, mut server) = (side(true), side(false));
        let mut payload = [0; 200];
        for (index, (content, sealed)) in MESSAGES.iter().enumerate() {
            let (from, to) = if index == 0 { (&mut client, &mut server) } else { (&mut server, &mut client) };
            let (content, mut message) = (hex(content), vec![0; 200]);
            let len = from.write_message(&content, &mut message).unwrap();
            assert_eq!(message[..len], hex(sealed), "message {index}");
            let len = to.read_message(&message[..len], &mut payload).unwrap();
            assert_eq!(payload[..len], content, "message {index}");
        }
        assert_eq!(client.get_handshake_hash(), hex(HASH));
        assert_eq!(client.dangerously_get_raw_split(), server.dangerously_get_raw_split());
        // What the client says next shows the key that came out.
        let mut cipher = Aes256Gcm(None);
        cipher.set(&client.dangerously_get_raw_split().0);
        let len = cipher.encrypt(0, &[], &hex(TRANSPORT.0), &mut payload);
        assert_eq!(payload[..len], hex(TRANSPORT.1));
    }

    fn side(is_client: bool) -> HandshakeState {
        let parameters = "Noise_IK_25519_AESGCM_SHA256".parse().unwrap();
        let [own, ephemeral] = if is_client { CLIENT } else { SERVER }.map(hex);
        let builder = Builder::with_resolver(parameters, Box::new(Primitives));
        let builder = builder.local_private_key(&own).unwrap().prologue(b"John Galt").unwrap();
        let builder = builder.fixed_ephemeral_key_for_testing_only(&ephemeral);
        if !is_client {
            return builder.build_responder().unwrap();
        }
        builder.remote_public_key(&hex(SERVER_PUBLIC)).unwrap().build_initiator().unwrap()
    }

    // The vector for this pattern of the collection "cacophony", which implementations of Noise are checked with.
    const CLIENT: [&str; 2] = [
        "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1",
        "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a",
    ];
    const SERVER: [&str; 2] = [
        "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
        "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b",
    ];
    const SERVER_PUBLIC: &str = "31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62";
    const HASH: &str = "669c8640d9e42a3cda2f232f78597ceefb01daa6e3df81181ccce6fc6b5026bf";
    const MESSAGES: [(&str, &str); 2] = [
        (
            "4c756477696720766f6e204d69736573",
            "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944\
             4e417bc55c7a8166c993356c1be41ef67818a292426f301556c7f26b21d25ddb\
             097153891a9a956cff47b83e63ad8d701c1342c209cff1ca5ecd43402762ac24\
             9e3bd3a4c0a145fe07cb5dae28ea13a3",
        ),
        (
            "4d757272617920526f746862617264",
            "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843\
             af2ccf9972e22afc67aeafcd25162f7f98c363b7762e3e4cb7d272e39f27a5",
        ),
    ];
    const TRANSPORT: (&str, &str) =
        ("462e20412e20486179656b", "66acfc92e3197de166809e6d4d5d003dcc819a84bc3522ca53c9d9");
}
