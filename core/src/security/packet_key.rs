//! One key for the packets of one direction and phase, and the secret from which the next one follows.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk};
use clustercore_proto::datagram::HEADER_BYTES;
use zeroize::Zeroizing;

/// Bytes of the tag behind each sealed packet.
pub(super) const TAG_BYTES: usize = 16;

/// Seals and opens the packets of one direction and phase, each under a number of its own.
///
/// Nonce: 96 bits of initialisation vector, xor the packet number in the lowest 64 (RFC 9001, 5.3). The header is authentic, the
/// rest is secret too.
pub(super) struct PacketKey {
    aead: LessSafeKey,
    /// The vector's first bytes.
    prefix: [u8; 4],
    /// The vector's last bytes, as a big-endian number.
    suffix: u64,
}

impl PacketKey {
    fn nonce(&self, number: u64) -> Nonce {
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&self.prefix);
        nonce[4..].copy_from_slice(&(self.suffix ^ number).to_be_bytes());
        Nonce::assume_unique_for_key(nonce)
    }

    /// Seals a packet in place: header, content, room for the tag. `number` is used once for this key.
    #[inline]
    pub fn seal(&self, number: u64, packet: &mut [u8]) {
        let Some((sealed, tag_room)) = packet.split_last_chunk_mut::<TAG_BYTES>() else { return };
        let Some((header, content)) = sealed.split_first_chunk_mut::<HEADER_BYTES>() else { return };
        match self.aead.seal_in_place_separate_tag(self.nonce(number), Aad::from(&*header), content) {
            Ok(tag) => tag_room.copy_from_slice(tag.as_ref()),
            // Cannot be with packets of our length; if it were, nothing readable must leave.
            Err(_) => content.fill(0),
        }
    }

    /// Opens a packet in place. False: it was not sealed by this key under `number`; its content is lost then.
    #[inline]
    pub fn open(&self, number: u64, packet: &mut [u8]) -> bool {
        let Some((header, sealed)) = packet.split_first_chunk_mut::<HEADER_BYTES>() else { return false };
        self.aead.open_in_place(self.nonce(number), Aad::from(&*header), sealed).is_ok()
    }
}

impl std::fmt::Debug for PacketKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PacketKey")
    }
}

/// A secret of which the key of one phase is made, and the secret of the next. Neither leads back.
pub(super) struct PhaseSecret(Zeroizing<[u8; 32]>);

impl PhaseSecret {
    /// From the handshake: uniformly random bytes that only the two ends know.
    pub fn new(bytes: Zeroizing<[u8; 32]>) -> PhaseSecret {
        PhaseSecret(bytes)
    }

    /// The key of this phase, and the secret of the next.
    pub fn into_key(self) -> (PacketKey, PhaseSecret) {
        let extracted = Prk::new_less_safe(HKDF_SHA256, &*self.0);
        let mut key = Zeroizing::new([0; 16]);
        let mut vector = [0; 12];
        let mut next = Zeroizing::new([0; 32]);
        expand(&extracted, KEY_LABEL, &mut *key);
        expand(&extracted, VECTOR_LABEL, &mut vector);
        expand(&extracted, NEXT_LABEL, &mut *next);
        let aead = UnboundKey::new(&AES_128_GCM, &*key).expect("a key of 16 bytes");
        let [a, b, c, d, suffix @ ..] = vector;
        let key = PacketKey {
            aead: LessSafeKey::new(aead),
            prefix: [a, b, c, d],
            suffix: u64::from_be_bytes(suffix),
        };
        (key, PhaseSecret(next))
    }
}

impl std::fmt::Debug for PhaseSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PhaseSecret")
    }
}

/// HKDF-Expand (RFC 5869) with a label of ours, as many bytes as `out` has: at most 8,160.
pub(super) fn expand(extracted: &Prk, label: &[u8], out: &mut [u8]) {
    struct Length(usize);
    impl KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let info = [label];
    let expanded = extracted.expand(&info, Length(out.len())).expect("a short output");
    expanded.fill(out).expect("the length that was asked for");
}

const KEY_LABEL: &[u8] = b"clustercore datagram 1 key";
const VECTOR_LABEL: &[u8] = b"clustercore datagram 1 vector";
const NEXT_LABEL: &[u8] = b"clustercore datagram 1 next";
