//! Which library this is, and what it finds on this machine.

use crate::status::boundary;
use crate::text::fill;
use clustercore::sys::probe;
use std::ffi::{c_char, c_uint};

use crate::clc_status;

/// Version of the binary interface that this header describes: the number in the library's soname. It grows
/// when a program has to be compiled anew.
pub const CLC_ABI_VERSION: c_uint = 1;

/// Version of the library, such as "0.1.0". Any thread may call this.
#[unsafe(no_mangle)]
pub extern "C" fn clc_version() -> *const c_char {
    VERSION.as_ptr().cast()
}

/// Version of the binary interface of the library that is loaded; compare it with CLC_ABI_VERSION. Any
/// thread may call this.
#[unsafe(no_mangle)]
pub extern "C" fn clc_abi_version() -> c_uint {
    CLC_ABI_VERSION
}

/// Writes what this machine offers into `text_out`, a line each: kernel, driver with its features and why it was
/// chosen, limits. At most `capacity` bytes with the final NUL; 1024 are enough.
///
/// Opens a driver for a moment and changes nothing. Any thread may call this.
///
/// Errors: NULL_ARGUMENT; BUFFER_TOO_SMALL, and the message says how many bytes it takes.
///
/// # Safety
/// `text_out` is NULL or has room for `capacity` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_probe(text_out: *mut c_char, capacity: usize) -> clc_status {
    boundary(|| {
        let text = describe(&probe::probe());
        // SAFETY: NULL or room for `capacity` bytes, per the contract above.
        unsafe { fill("text_out", text_out, capacity, &text) }
    })
}

fn describe(found: &probe::Probe) -> String {
    let limit = |limit: Option<u64>| limit.map_or_else(|| "no limit".to_owned(), |limit| limit.to_string());
    let congestion = found.tcp_congestion.as_deref().unwrap_or("unknown");
    format!(
        "kernel {}\ndriver {}\nopen descriptors {}, locked memory {} bytes\nTCP congestion control {congestion}\n",
        found.kernel_release,
        found.driver_report,
        limit(found.nofile.soft),
        limit(found.memlock.soft),
    )
}

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soname_has_the_abi_version() {
        let manifest = include_str!("../Cargo.toml");
        let (_, library) = manifest.split_once("[package.metadata.capi.library]").unwrap();
        assert!(library.contains(&format!("\nversion = \"{CLC_ABI_VERSION}.0.0\"\n")));
    }
}
