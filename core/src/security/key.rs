//! Keys of X25519 and their text form: one line, what it is and 32 bytes in base64.
//!
//! ```text
//! clc-private-x25519 aPd4...=
//! clc-public-x25519 pCvo...=
//! ```

use super::random;
use crate::{Code, Error, Result};
use aws_lc_rs::agreement::{self, UnparsedPublicKey, X25519};
use base64ct::{Base64, Encoding};
use std::fmt;
use zeroize::Zeroizing;

/// A private key. Never shown; zeroed when it is dropped.
#[derive(Clone)]
pub struct PrivateKey {
    bytes: Zeroizing<[u8; 32]>,
    public: PublicKey,
}

/// A public key: the identity of whoever has the private one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

impl PrivateKey {
    /// A new key. Errors: `Internal` when the kernel has no randomness.
    pub fn generate() -> Result<PrivateKey> {
        let mut bytes = Zeroizing::new([0; 32]);
        random::fill(&mut *bytes)?;
        PrivateKey::from_bytes(&bytes)
    }

    /// From 32 secret bytes. Errors: `BadKey`.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<PrivateKey> {
        let key = agreement::PrivateKey::from_private_key(&X25519, bytes).ok();
        let public = key.and_then(|key| key.compute_public_key().ok());
        let public = public.and_then(|public| public.as_ref().try_into().ok());
        let public = public.ok_or_else(|| Error::new(Code::BadKey, "these 32 bytes are no private key"))?;
        Ok(PrivateKey { bytes: Zeroizing::new(*bytes), public: PublicKey(public) })
    }

    /// From its text form, with or without the end of the line. Errors: `BadKey`.
    pub fn parse(text: &str) -> Result<PrivateKey> {
        PrivateKey::from_bytes(&*parse(text, PRIVATE, PUBLIC)?)
    }

    /// The text form, without the end of the line. To be kept secret.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut encoded = Zeroizing::new([0; BASE64_BYTES]);
        let encoded = Base64::encode(&*self.bytes, &mut *encoded).unwrap_or_default();
        let mut text = Zeroizing::new(String::with_capacity(KEY_TEXT_BYTES_MAX));
        text.extend([PRIVATE, " ", encoded]);
        text
    }

    /// The public key to it.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(of {})", self.public)
    }
}

impl PublicKey {
    /// From 32 bytes. `None`: they are one of the few points to which every private key gives the same secret, so that nobody would be
    /// proven by it.
    pub fn from_bytes(bytes: [u8; 32]) -> Option<PublicKey> {
        let any = agreement::PrivateKey::from_private_key(&X25519, &[1; 32]).ok()?;
        let agreed = agreement::agree(&any, UnparsedPublicKey::new(&X25519, bytes), (), |_| Ok(()));
        agreed.is_ok().then_some(PublicKey(bytes))
    }

    /// From its text form, with or without the end of the line. Errors: `BadKey`.
    pub fn parse(text: &str) -> Result<PublicKey> {
        let bytes = parse(text, PUBLIC, PRIVATE)?;
        PublicKey::from_bytes(*bytes)
            .ok_or_else(|| Error::new(Code::BadKey, "this public key is a weak one that nobody can have"))
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The text form, without the end of the line.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut encoded = [0; BASE64_BYTES];
        let encoded = Base64::encode(&self.0, &mut encoded).unwrap_or_default();
        write!(f, "{PUBLIC} {encoded}")
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// The bytes of a key of the kind `wanted`. The words never repeat the text, which may be a secret.
fn parse(text: &str, wanted: &str, other: &str) -> Result<Zeroizing<[u8; 32]>> {
    let bad = |words: String| Error::new(Code::BadKey, words);
    let name = |kind: &str| if kind == PRIVATE { "private" } else { "public" };
    let mut words = text.split_ascii_whitespace();
    let (kind, encoded, rest) = (words.next(), words.next(), words.next());
    if kind == Some(other) {
        return Err(bad(format!("this is a {} key, a {} one is wanted", name(other), name(wanted))));
    }
    let (Some(encoded), true, None) = (encoded, kind == Some(wanted), rest) else {
        return Err(bad(format!("this is no {} key; one is a line \"{wanted} BASE64\"", name(wanted))));
    };
    let mut bytes = Zeroizing::new([0; 32]);
    match Base64::decode(encoded, &mut *bytes) {
        Ok(decoded) if decoded.len() == 32 => Ok(bytes),
        _ => Err(bad(format!("after {wanted} must come the base64 of 32 bytes"))),
    }
}

/// Bytes of a text form at most, a final NUL included.
pub const KEY_TEXT_BYTES_MAX: usize = 64;

const PRIVATE: &str = "clc-private-x25519";
const PUBLIC: &str = "clc-public-x25519";
/// Of 32 bytes.
const BASE64_BYTES: usize = 44;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_text_forms_come_back_and_fit() {
        let private = PrivateKey::generate().unwrap();
        let text = private.to_text();
        assert!(text.len() < KEY_TEXT_BYTES_MAX && text.starts_with("clc-private-x25519 "));
        let again = PrivateKey::parse(&format!("{}\n", text.as_str())).unwrap();
        assert_eq!((again.as_bytes(), again.public()), (private.as_bytes(), private.public()));
        let public = private.public();
        assert_eq!(PublicKey::parse(&public.to_string()).unwrap(), public);
        assert_ne!(PrivateKey::generate().unwrap().public(), public);
    }

    #[test]
    fn the_public_key_is_that_of_rfc_7748() {
        // 6.1: Alice's pair.
        let private = hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
        let public = hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
        let key = PrivateKey::from_bytes(&private.try_into().unwrap()).unwrap();
        assert_eq!(key.public().as_bytes()[..], public);
    }

    #[test]
    fn what_is_no_key_is_refused_without_repeating_it() {
        let private = PrivateKey::generate().unwrap();
        let secret = private.to_text();
        let encoded = secret.split(' ').nth(1).unwrap();
        let public = private.public().to_string();
        let wrong = ["", "clc-private-x25519", "clc-private-x25519 AAAA", encoded, &secret[..60]];
        for text in wrong.into_iter().chain([public.as_str(), &format!("{} x", secret.as_str())]) {
            let error = PrivateKey::parse(text).unwrap_err();
            assert_eq!(error.code(), Code::BadKey, "{text}");
            assert!(!error.to_string().contains(&encoded[..8]), "{error}");
        }
        assert!(!format!("{private:?}").contains(&encoded[..8]));
        assert_eq!(
            PublicKey::parse(&secret).unwrap_err().to_string(),
            "this is a private key, a public one is wanted"
        );
    }

    #[test]
    fn weak_public_keys_are_refused() {
        // Orders 1, 2, 4 and 8; with any private key the secret is zero.
        let order_8 = hex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800");
        let mut one = [0; 32];
        one[0] = 1;
        for bytes in [[0; 32], one, order_8.try_into().unwrap()] {
            assert_eq!(PublicKey::from_bytes(bytes), None);
        }
        let zero = format!("{PUBLIC} {}", Base64::encode_string(&[0; 32]));
        assert!(PublicKey::parse(&zero).unwrap_err().to_string().contains("weak"));
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> =
            text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }
}
