//! Keys of endpoints in secure mode: made, saved, loaded. In C a key is text.

use crate::clc_status;
use crate::status::{boundary, null};
use crate::text::{fill, required};
use clustercore::security::{KEY_TEXT_BYTES_MAX, PrivateKey, PublicKey};
use clustercore::{Code, Error};
use std::ffi::c_char;
use std::path::Path;

/// Room for any key as text, its final NUL included.
pub const CLC_KEY_TEXT_BYTES: usize = 64;

const _: () = assert!(CLC_KEY_TEXT_BYTES == KEY_TEXT_BYTES_MAX);

/// Bytes of a public key, as clc_endpoint_connect takes it and the identity of an event has it.
pub const CLC_KEY_BYTES: usize = 32;

/// Makes a new private key: text of the form `clc-private-x25519 BASE64` in `private_out`, which has room for `capacity`
/// bytes; CLC_KEY_TEXT_BYTES are enough. Keep it secret, and overwrite the buffer when it is saved.
///
/// Errors: NULL_ARGUMENT, BUFFER_TOO_SMALL, INTERNAL. Any thread may call this.
///
/// # Safety
/// `private_out` is NULL or has room for `capacity` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_key_generate(private_out: *mut c_char, capacity: usize) -> clc_status {
    boundary(|| {
        let text = PrivateKey::generate()?.to_text();
        // SAFETY: NULL or room for `capacity` bytes, per the contract above.
        unsafe { fill("private_out", private_out, capacity, &text) }
    })
}

/// Writes the public key to a private one into `public_out`, which has room for `capacity` bytes: text of the form
/// `clc-public-x25519 BASE64`; CLC_KEY_TEXT_BYTES are enough.
///
/// Errors: NULL_ARGUMENT, INVALID_ARGUMENT, BAD_KEY, BUFFER_TOO_SMALL. Any thread may call this.
///
/// # Safety
/// `private_key` is NULL or NUL-terminated text; `public_out` is NULL or has room for `capacity` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_key_public(
    private_key: *const c_char,
    public_out: *mut c_char,
    capacity: usize,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or NUL-terminated text, per the contract above.
        let text = unsafe { required("private_key", private_key) }?;
        let public = PrivateKey::parse(text)?.public().to_string();
        // SAFETY: NULL or room for `capacity` bytes, per the contract above.
        unsafe { fill("public_out", public_out, capacity, &public) }
    })
}

/// CLC_OK when `public_key` is the text of a public key that somebody can have.
///
/// Errors: NULL_ARGUMENT, INVALID_ARGUMENT, BAD_KEY. Any thread may call this.
///
/// # Safety
/// `public_key` is NULL or NUL-terminated text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_key_check_public(public_key: *const c_char) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or NUL-terminated text, per the contract above.
        let text = unsafe { required("public_key", public_key) }?;
        PublicKey::parse(text).map(|_| ())
    })
}

/// Writes the CLC_KEY_BYTES bytes of a public key, given as text, into `bytes_out`: what clc_endpoint_connect wants.
///
/// Errors: NULL_ARGUMENT, INVALID_ARGUMENT, BAD_KEY. Any thread may call this.
///
/// # Safety
/// `public_key` is NULL or NUL-terminated text; `bytes_out` is NULL or has room for CLC_KEY_BYTES bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_key_public_to_bytes(
    public_key: *const c_char,
    bytes_out: *mut u8,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or NUL-terminated text, per the contract above.
        let text = unsafe { required("public_key", public_key) }?;
        // SAFETY: NULL or room for that many bytes, per the contract above.
        let out = unsafe { bytes_out.cast::<[u8; CLC_KEY_BYTES]>().as_mut() };
        let out = out.ok_or_else(|| null("bytes_out"))?;
        *out = *PublicKey::parse(text)?.as_bytes();
        Ok(())
    })
}

/// Writes a public key of CLC_KEY_BYTES bytes, such as the identity of an event, as text into `public_out`, which has room for
/// `capacity` bytes; CLC_KEY_TEXT_BYTES are enough.
///
/// Errors: NULL_ARGUMENT, BAD_KEY (nobody can have it), BUFFER_TOO_SMALL. Any thread may call this.
///
/// # Safety
/// `bytes` is NULL or has CLC_KEY_BYTES readable bytes; `public_out` is NULL or has room for `capacity` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_key_public_from_bytes(
    bytes: *const u8,
    public_out: *mut c_char,
    capacity: usize,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or that many readable bytes, per the contract above.
        let bytes = unsafe { bytes.cast::<[u8; CLC_KEY_BYTES]>().as_ref() }.ok_or_else(|| null("bytes"))?;
        let key = PublicKey::from_bytes(*bytes);
        let key =
            key.ok_or_else(|| Error::new(Code::BadKey, "these 32 bytes are a key that nobody can have"))?;
        // SAFETY: NULL or room for `capacity` bytes, per the contract above.
        unsafe { fill("public_out", public_out, capacity, &key.to_string()) }
    })
}

/// Writes a private key to a new file that only its owner can read (mode 0600).
///
/// Errors: NULL_ARGUMENT, INVALID_ARGUMENT, BAD_KEY; FILE_EXISTS, and what is there stays; PERMISSION_DENIED, IO. Any thread may
/// call this.
///
/// # Safety
/// `private_key` and `path` are NULL or NUL-terminated text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_key_save(private_key: *const c_char, path: *const c_char) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or NUL-terminated text, per the contract above.
        let text = unsafe { required("private_key", private_key) }?;
        // SAFETY: as above.
        let path = unsafe { required("path", path) }?;
        PrivateKey::parse(text)?.save(Path::new(path))
    })
}

/// Reads a private key from a file into `private_out`, which has room for `capacity` bytes; CLC_KEY_TEXT_BYTES are enough.
///
/// Errors: NULL_ARGUMENT, INVALID_ARGUMENT; KEY_EXPOSED when others than its owner can get at the file; BAD_KEY,
/// BUFFER_TOO_SMALL, PERMISSION_DENIED, IO. Any thread may call this.
///
/// # Safety
/// `path` is NULL or NUL-terminated text; `private_out` is NULL or has room for `capacity` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_key_load(
    path: *const c_char,
    private_out: *mut c_char,
    capacity: usize,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or NUL-terminated text, per the contract above.
        let path = unsafe { required("path", path) }?;
        let text = PrivateKey::load(Path::new(path))?.to_text();
        // SAFETY: NULL or room for `capacity` bytes, per the contract above.
        unsafe { fill("private_out", private_out, capacity, &text) }
    })
}
