//! The check of packets that are not sealed.

/// CRC-32C (Castagnoli) of `bytes`.
#[inline]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_known_values_come_out() {
        // RFC 3720, B.4.
        let rising: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&rising), 0x46dd_794e);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    proptest! {
        /// Long and short, aligned or not: the fast ways agree with the plain one, bit by bit.
        #[test]
        fn all_lengths_agree_with_the_definition(bytes in proptest::collection::vec(any::<u8>(), 0..3000), skip in 0..16usize) {
            let bytes = &bytes[skip.min(bytes.len())..];
            let plain = !bytes.iter().fold(u32::MAX, |sum, byte| {
                (0..8).fold(sum ^ u32::from(*byte), |sum, _| sum >> 1 ^ (0x82f6_3b78 & (sum & 1).wrapping_neg()))
            });
            prop_assert_eq!(crc32c(bytes), plain);
        }
    }
}
