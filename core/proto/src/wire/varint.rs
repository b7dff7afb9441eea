//! Numbers of variable length: LEB128, seven bits a byte, the lowest first, the high bit says "more".
//!
//! Longer forms than needed are allowed (a length may be filled in later), up to [`LEN_MAX`] bytes.
//! Source: DWARF 5, 7.6 (unsigned LEB128).

use alloc::vec::Vec;

/// Bytes of the longest number.
pub const LEN_MAX: usize = 10;

/// Bytes that `value` takes in its shortest form.
pub const fn len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends `value` in its shortest form.
#[inline]
pub fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes `value` into all of `out`, in a longer form when there is room to spare. `out` has at least `len(value)` bytes.
pub fn fill(out: &mut [u8], mut value: u64) {
    let last = out.len() - 1;
    for byte in &mut out[..last] {
        *byte = value as u8 | 0x80;
        value >>= 7;
    }
    out[last] = value as u8;
}

/// Reads a number from the start of `bytes`: its value and its length. `None` when it is cut off, longer than [`LEN_MAX`] or
/// beyond 64 bits.
#[inline]
pub fn get(bytes: &[u8]) -> Option<(u64, usize)> {
    match bytes.first() {
        Some(&byte) if byte < 0x80 => Some((u64::from(byte), 1)),
        _ => get_long(bytes),
    }
}

fn get_long(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().take(LEN_MAX).enumerate() {
        let bits = u64::from(byte & 0x7f);
        let shift = 7 * index as u32;
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Some((value, index + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    #[test]
    fn lengths_change_every_seven_bits() {
        for (value, expected) in
            [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), ((1 << 63) - 1, 9), (u64::MAX, 10)]
        {
            assert_eq!(len(value), expected, "{value}");
        }
    }

    #[test]
    fn what_is_cut_off_or_too_large_is_refused() {
        assert_eq!(get(&[]), None);
        assert_eq!(get(&[0x80]), None);
        assert_eq!(get(&[0xff; 10]), None);
        assert_eq!(get(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02]), None);
        assert_eq!(get(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]), Some((u64::MAX, 10)));
    }

    proptest! {
        #[test]
        fn numbers_come_back(value: u64, spare in 0usize..3) {
            let mut bytes = vec![];
            put(&mut bytes, value);
            prop_assert_eq!(bytes.len(), len(value));
            prop_assert_eq!(get(&bytes), Some((value, bytes.len())));
            let mut wide = vec![0; (len(value) + spare).min(LEN_MAX)];
            fill(&mut wide, value);
            prop_assert_eq!(get(&wide), Some((value, wide.len())));
        }
    }
}
