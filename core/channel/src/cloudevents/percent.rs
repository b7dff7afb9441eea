//! Attribute values in HTTP fields: percent-encoded, and quoted by senders of older versions.

/// Appends a value: all but the visible characters of ASCII is encoded, and so are `"` and `%`.
pub(super) fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'"' | b'%' => push_encoded(byte, out),
            b'!'..=b'~' => out.push(byte.into()),
            _ => push_encoded(byte, out),
        }
    }
}

/// The value that a field stands for.
///
/// Errors: what is wrong, for people.
pub(super) fn decode(value: &[u8]) -> Result<String, &'static str> {
    let mut bytes = Vec::with_capacity(value.len());
    let (mut is_quoted, mut rest) = (false, value.iter());
    while let Some(&byte) = rest.next() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\\' if is_quoted => bytes.push(*rest.next().ok_or("a quoted text does not end: close it")?),
            b' '..=b'~' | b'\t' => bytes.push(byte),
            _ => return Err("it holds a byte that is no visible ASCII: percent-encode it"),
        }
    }
    if is_quoted {
        return Err("a quoted text does not end: close it");
    }
    percent_decode(&bytes).ok_or("a percent sign is not followed by two hexadecimal digits: send %25")?
}

/// One round of percent-decoding; the outer `None` for a sign without its digits.
fn percent_decode(bytes: &[u8]) -> Option<Result<String, &'static str>> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        let [high, low, tail @ ..] = rest else { return None };
        let digit = |byte: u8| char::from(byte).to_digit(16);
        decoded.push((digit(*high)? * 16 + digit(*low)?) as u8);
        rest = tail;
    }
    Some(
        String::from_utf8(decoded)
            .map_err(|_| "percent-encoded bytes are no UTF-8: encode characters as UTF-8"),
    )
}

fn push_encoded(byte: u8, out: &mut String) {
    let digit = |value: u8| char::from(b"0123456789ABCDEF"[usize::from(value)]);
    out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_encoded_as_the_binding_says() {
        let mut out = String::new();
        encode("Euro \u{20ac} \u{1f600} \"100%\"~!", &mut out);
        assert_eq!(out, "Euro%20%E2%82%AC%20%F0%9F%98%80%20%22100%25%22~!");
        assert_eq!(decode(out.as_bytes()).unwrap(), "Euro \u{20ac} \u{1f600} \"100%\"~!");
    }

    #[test]
    fn what_older_senders_quote_is_read() {
        for (value, text) in [
            ("plain text", "plain text"),
            ("\"a b\"", "a b"),
            ("\"a \\\"b\\\" \\\\\"", "a \"b\" \\"),
            ("x\"y z\"", "xy z"),
            ("\"%20\"", " "),
            ("%41%c3%a9", "A\u{e9}"),
            ("a\\b", "a\\b"),
            ("", ""),
        ] {
            assert_eq!(decode(value.as_bytes()).as_deref(), Ok(text), "{value}");
        }
    }

    #[test]
    fn what_stands_for_no_text_is_refused() {
        for value in ["\"a", "\"a\\", "%", "%4", "%zz", "%+1", "%C0%A0", "%ff", "\u{e9}", "a\nb", "a\u{7f}"] {
            assert!(decode(value.as_bytes()).is_err(), "{value:?}");
        }
    }
}
