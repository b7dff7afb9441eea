//! Small pieces shared by the writers and readers of heads: numbers, field lines, tokens, lists.

use alloc::vec::Vec;

/// Appends `value` in decimal.
pub(super) fn number(value: u64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut first = digits.len();
    let mut rest = value;
    loop {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

/// Appends one field line.
pub(super) fn field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// The number that `digits` spells: digits only, at least one, below 2^64; else `None`.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, &byte| {
        if !byte.is_ascii_digit() {
            return None;
        }
        value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))
    })
}

/// Whether `bytes` is a token: at least one character, all of them `tchar`. Source: RFC 9110, 5.6.2.
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_tchar(byte))
}

pub(super) const fn is_tchar(byte: u8) -> bool {
    matches!(byte,
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z'
        | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// Whether a byte may stand in a field value: visible, space, tab, or above ASCII. Source: RFC 9110, 5.5.
pub(super) const fn is_value_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..=0xff)
}

/// The members of a comma-separated list, trimmed, empty ones left out. Source: RFC 9110, 5.6.1.2.
///
/// Commas in quoted strings are not expected: the lists read here consist of tokens.
pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim).filter(|member| !member.is_empty())
}

/// Without the spaces and tabs at both ends.
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let Some(first) = bytes.iter().position(|byte| !is_space(byte)) else { return &[] };
    let last = bytes.iter().rposition(|byte| !is_space(byte)).unwrap_or(first);
    &bytes[first..=last]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_the_round_trip() {
        for value in [0, 9, 10, 12_345, u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            number(value, &mut out);
            assert_eq!(decimal(&out), Some(value));
        }
    }

    #[test]
    fn decimal_refuses_all_but_plain_digits() {
        for text in ["", "+1", "-1", "1 ", "0x10", "1,1", "18446744073709551616", "\u{661}"] {
            assert_eq!(decimal(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(decimal(b"007"), Some(7));
    }

    #[test]
    fn lists_are_trimmed_and_skip_empty_members() {
        let members: Vec<&[u8]> = list(b" a ,,\tb\t, ").collect();
        assert_eq!(members, [b"a", b"b"]);
        assert_eq!(list(b" , ").count(), 0);
    }

    #[test]
    fn tokens_have_no_separators() {
        assert!(is_token(b"keep-alive"));
        for text in ["", "a b", "a:b", "a\"", "a/b", "\u{e9}"] {
            assert!(!is_token(text.as_bytes()), "{text:?}");
        }
    }
}
