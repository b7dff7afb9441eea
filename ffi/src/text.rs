//! Strings and addresses, in and out.

use crate::status::null;
use clustercore::{Code, Error, Result};
use std::ffi::{CStr, CString, c_char};
use std::net::SocketAddr;

/// An address and its port, as text and as a number.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_address {
    /// `127.0.0.1:8080` or `[::1]:8080`.
    pub text: [c_char; 64],
    /// The port; 0 when the address is not one of IP.
    pub port: u16,
}

impl clc_address {
    pub(crate) fn new(address: Option<SocketAddr>) -> clc_address {
        match address {
            Some(address) => clc_address { text: fixed(&address.to_string()), port: address.port() },
            None => clc_address { text: fixed(""), port: 0 },
        }
    }
}

/// A string argument that must be there.
///
/// # Safety
/// `pointer` is NULL or NUL-terminated text that stays as it is for `'a`.
pub(crate) unsafe fn required<'a>(name: &str, pointer: *const c_char) -> Result<&'a str> {
    // SAFETY: the same contract.
    unsafe { optional(name, pointer) }?.ok_or_else(|| null(name))
}

/// A string argument; NULL is none.
///
/// # Safety
/// `pointer` is NULL or NUL-terminated text that stays as it is for `'a`.
pub(crate) unsafe fn optional<'a>(name: &str, pointer: *const c_char) -> Result<Option<&'a str>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL, and the caller vouches for the rest.
    let text = unsafe { CStr::from_ptr(pointer) };
    let text = text.to_str();
    text.map(Some).map_err(|error| {
        Error::new(Code::InvalidArgument, format!("{name} is not UTF-8 from byte {} on", error.valid_up_to()))
    })
}

/// An address argument.
///
/// # Safety
/// As `required`.
pub(crate) unsafe fn address(name: &str, pointer: *const c_char) -> Result<SocketAddr> {
    // SAFETY: the same contract.
    let text = unsafe { required(name, pointer) }?;
    text.parse().map_err(|_| {
        Error::new(
            Code::BadAddress,
            format!(
                "{name} is {text:?}; write it like 127.0.0.1:8080 or [::1]:8080, names are not resolved here"
            ),
        )
    })
}

/// Text in an array of fixed size, cut at a character's border where it is too long, always with a final NUL.
pub(crate) fn fixed<const N: usize>(text: &str) -> [c_char; N] {
    let mut out = [0; N];
    let len = text.floor_char_boundary(N - 1);
    for (to, from) in out.iter_mut().zip(&text.as_bytes()[..len]) {
        *to = *from as c_char;
    }
    out
}

/// Text into the caller's buffer, whole or not at all.
///
/// # Safety
/// `out` is NULL or has room for `capacity` bytes.
pub(crate) unsafe fn fill(name: &str, out: *mut c_char, capacity: usize, text: &str) -> Result<()> {
    if out.is_null() {
        return Err(null(name));
    }
    // Without a copy: some text is secret.
    let text = text.split('\0').next().unwrap_or_default();
    let needed = text.len() + 1;
    if needed > capacity {
        let words = format!("{name} has room for {capacity} bytes, the text takes {needed}");
        return Err(Error::new(Code::BufferTooSmall, words));
    }
    // SAFETY: there is room, as just compared, and the caller's buffer is not a part of `text`.
    unsafe { out.copy_from_nonoverlapping(text.as_ptr().cast(), text.len()) };
    // SAFETY: the room is one byte more than the text.
    let end = unsafe { out.add(text.len()) };
    // SAFETY: as above.
    unsafe { end.write(0) };
    Ok(())
}

/// Text for C: ends at the first NUL, should there be one.
pub(crate) fn c_string(text: impl Into<Vec<u8>>) -> CString {
    CString::new(text).unwrap_or_else(|error| {
        let end = error.nul_position();
        let mut bytes = error.into_vec();
        bytes.truncate(end);
        CString::new(bytes).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(out: &[c_char]) -> String {
        out.iter().take_while(|byte| **byte != 0).map(|byte| *byte as u8 as char).collect()
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(read(&fixed::<8>("short")), "short");
        assert_eq!(read(&fixed::<8>("12345678")), "1234567");
        assert_eq!(fixed::<4>("aaä")[2], 0, "no half of a character");
    }

    #[test]
    fn the_longest_address_fits() {
        let longest = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535".parse().unwrap();
        assert_eq!(read(&clc_address::new(Some(longest)).text).parse(), Ok(longest));
    }

    #[test]
    fn text_is_filled_in_whole_or_not_at_all() {
        let mut out = [7; 6];
        // SAFETY: the capacity is that of the array.
        let error = unsafe { fill("text_out", out.as_mut_ptr(), 5, "12345") }.unwrap_err();
        assert_eq!((error.code(), out), (Code::BufferTooSmall, [7; 6]));
        assert_eq!(error.to_string(), "text_out has room for 5 bytes, the text takes 6");
        // SAFETY: as above.
        unsafe { fill("text_out", out.as_mut_ptr(), 6, "12345") }.unwrap();
        assert_eq!(read(&out), "12345");
    }

    #[test]
    fn text_for_c_ends_at_the_first_nul() {
        assert_eq!(c_string("ab\0cd").to_bytes(), b"ab");
    }
}
