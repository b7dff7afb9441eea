//! The functions for memory that compiled code, `core` and `alloc` may call, and which libc has otherwise.
//!
//! Written with volatile accesses, so that the compiler does not turn them into calls of themselves.

use core::ffi::c_int;

/// # Safety
/// As C's `memcpy`: `n` bytes readable at `source` and writable at `target`, not overlapping.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(target: *mut u8, source: *const u8, n: usize) -> *mut u8 {
    for index in 0..n {
        // SAFETY: `index < n`, within both.
        let byte = unsafe { source.add(index).read_volatile() };
        // SAFETY: as above.
        unsafe { target.add(index).write_volatile(byte) };
    }
    target
}

/// # Safety
/// As C's `memmove`: like `memcpy`, but the two may overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(target: *mut u8, source: *const u8, n: usize) -> *mut u8 {
    if target.cast_const() <= source {
        // SAFETY: going upwards, a byte is read before it is overwritten.
        return unsafe { memcpy(target, source, n) };
    }
    for index in (0..n).rev() {
        // SAFETY: `index < n`, within both.
        let byte = unsafe { source.add(index).read_volatile() };
        // SAFETY: as above.
        unsafe { target.add(index).write_volatile(byte) };
    }
    target
}

/// # Safety
/// As C's `memset`: `n` bytes writable at `target`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(target: *mut u8, value: c_int, n: usize) -> *mut u8 {
    for index in 0..n {
        // SAFETY: `index < n`. Only the low byte counts, as C says.
        unsafe { target.add(index).write_volatile(value as u8) };
    }
    target
}

/// # Safety
/// As C's `memcmp`: `n` bytes readable at both.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, n: usize) -> c_int {
    for index in 0..n {
        // SAFETY: `index < n`, within both.
        let left = unsafe { one.add(index).read_volatile() };
        // SAFETY: as above.
        let right = unsafe { other.add(index).read_volatile() };
        if left != right {
            return c_int::from(left) - c_int::from(right);
        }
    }
    0
}

/// # Safety
/// As `memcmp`; only "zero or not" counts.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, n: usize) -> c_int {
    // SAFETY: the same contract.
    unsafe { memcmp(one, other, n) }
}

/// # Safety
/// As C's `strlen`: `text` is readable up to a zero byte.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut length = 0;
    // SAFETY: no byte before this one was zero, so it is within the text.
    while unsafe { text.add(length).read_volatile() } != 0 {
        length += 1;
    }
    length
}
