//! What a call returns, and the words to an error.

use clustercore::{Code, Error, Result};
use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// CLC_OK (0), or one of the negative numbers of clustercore_errors.h.
pub type clc_status = i32;

/// The words to the last call that failed on this thread: they name the thing, the value and the limit. "" when
/// none failed. Valid until the next call that fails on this thread; calls that succeed leave it alone.
///
/// Any thread may call this, each has its own.
#[unsafe(no_mangle)]
pub extern "C" fn clc_last_error_message() -> *const c_char {
    LAST.try_with(|last| last.borrow().text.as_ptr()).unwrap_or(c"".as_ptr())
}

/// The status of the last call that failed on this thread, or CLC_OK. Any thread may call this.
#[unsafe(no_mangle)]
pub extern "C" fn clc_last_error_status() -> clc_status {
    LAST.try_with(|last| last.borrow().status).unwrap_or(0)
}

/// What a status means in general: "the queue is full". Never NULL, valid for good. Any thread may call this.
#[unsafe(no_mangle)]
pub extern "C" fn clc_status_message(status: clc_status) -> *const c_char {
    entry(status).map_or(c"not a status of clustercore", |entry| entry.message).as_ptr()
}

/// The name of a status without its prefix: "QUEUE_FULL", "OK". Never NULL, valid for good. Any thread may call
/// this.
#[unsafe(no_mangle)]
pub extern "C" fn clc_status_name(status: clc_status) -> *const c_char {
    entry(status).map_or(c"UNKNOWN", |entry| entry.name).as_ptr()
}

/// 1 when the same call may succeed later without the caller changing anything, else 0. Any thread may call
/// this.
#[unsafe(no_mangle)]
pub extern "C" fn clc_status_is_retryable(status: clc_status) -> c_int {
    c_int::from(code(status).is_some_and(Code::is_retryable))
}

/// Writes one line about `status` to `stream`: the words of this thread's last error when it had this
/// status, else what the status means in general. Does nothing when `stream` is NULL. Any thread may call this.
///
/// # Safety
/// `stream` is NULL or an open stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_print_error(stream: *mut libc::FILE, status: clc_status) {
    if stream.is_null() {
        return;
    }
    let words = if status != 0 && clc_last_error_status() == status {
        clc_last_error_message()
    } else {
        clc_status_message(status)
    };
    // SAFETY: both functions return NUL-terminated text; this thread makes no call that fails in between.
    let words = unsafe { CStr::from_ptr(words) };
    // SAFETY: as above, from a static table.
    let name = unsafe { CStr::from_ptr(clc_status_name(status)) };
    let line = format!("clustercore: {} ({}, {status})\n", words.to_string_lossy(), name.to_string_lossy());
    // One call, so that lines of several threads do not mix.
    // SAFETY: `line` has `line.len()` bytes, and the caller vouches for the stream.
    let _ = unsafe { libc::fwrite(line.as_ptr().cast(), 1, line.len(), stream) };
}

/// Runs the body of a function of the interface: errors and panics become statuses, and are remembered for
/// `clc_last_error_message`.
pub(crate) fn boundary(act: impl FnOnce() -> Result<()>) -> clc_status {
    boundary_value(|| act().map(|()| 0))
}

/// As `boundary`, for a function that returns a number of its own, not negative.
pub(crate) fn boundary_value(act: impl FnOnce() -> Result<c_int>) -> c_int {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(Ok(value)) => value,
        Ok(Err(error)) => remember(&error),
        Err(panic) => {
            let status = remember(&Error::new(Code::Panic, words_of(&*panic)));
            // What was thrown may itself panic when it is dropped.
            std::mem::forget(panic);
            status
        }
    }
}

/// As `boundary`, for a function that returns nothing.
pub(crate) fn boundary_quiet(act: impl FnOnce() -> Result<()>) {
    boundary(act);
}

/// A required pointer is NULL.
pub(crate) fn null(name: &str) -> Error {
    Error::new(Code::NullArgument, format!("{name} is NULL"))
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let words = panic.downcast_ref::<&str>().copied();
    let words = words.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words");
    format!("a defect in clustercore was caught: {words}")
}

fn remember(error: &Error) -> clc_status {
    let status = -error.code().number();
    let text = crate::text::c_string(error.to_string());
    // A thread that is ending has no place to remember any more.
    let _ = LAST.try_with(|last| *last.borrow_mut() = Last { status, text });
    status
}

fn code(status: clc_status) -> Option<Code> {
    Code::from_number(status.checked_neg()?)
}

struct Entry {
    name: &'static CStr,
    message: &'static CStr,
}

/// Name and message as C wants them. The table is made on first use and kept for good.
fn entry(status: clc_status) -> Option<&'static Entry> {
    static TABLE: std::sync::LazyLock<Vec<(clc_status, Entry)>> = std::sync::LazyLock::new(|| {
        let leak =
            |text: &str| -> &'static CStr { Box::leak(crate::text::c_string(text).into_boxed_c_str()) };
        let codes = (1..=NUMBER_MAX).filter_map(Code::from_number);
        let errors = codes.map(|code| {
            let entry = Entry { name: leak(code.name()), message: leak(code.message()) };
            (-code.number(), entry)
        });
        std::iter::once((0, Entry { name: c"OK", message: c"no error" })).chain(errors).collect()
    });
    TABLE.iter().find(|(number, _)| *number == status).map(|(_, entry)| entry)
}

struct Last {
    status: clc_status,
    text: CString,
}

thread_local! {
    static LAST: RefCell<Last> = RefCell::new(Last { status: 0, text: CString::default() });
}

/// The registry's numbers end here.
const NUMBER_MAX: i32 = 999;

#[cfg(test)]
mod tests {
    use super::*;

    fn last() -> String {
        // SAFETY: NUL-terminated and valid until the next failure on this thread.
        unsafe { CStr::from_ptr(clc_last_error_message()) }.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_panic_becomes_a_status_with_its_words() {
        let status = boundary(|| panic!("slot {} is gone", 7));
        assert_eq!(status, -Code::Panic.number());
        assert_eq!(last(), "a defect in clustercore was caught: slot 7 is gone");
        assert_eq!(boundary(|| std::panic::panic_any(5)), status);
        assert!(last().ends_with("no words"));
    }

    #[test]
    fn success_keeps_the_last_words() {
        assert_eq!(clc_last_error_status(), 0, "a new thread has none");
        assert_eq!(boundary(|| Err(null("shard"))), -2);
        assert_eq!(boundary(|| Ok(())), 0);
        assert_eq!((last().as_str(), clc_last_error_status()), ("shard is NULL", -2));
    }

    #[test]
    fn every_registered_status_has_a_name() {
        // SAFETY: names and messages are NUL-terminated and static.
        let name = |status| unsafe { CStr::from_ptr(clc_status_name(status)) }.to_str().unwrap();
        assert_eq!((name(0), name(-20), name(-998), name(5)), ("OK", "QUEUE_FULL", "UNKNOWN", "UNKNOWN"));
        assert_eq!(name(i32::MIN), "UNKNOWN");
        assert_eq!((clc_status_is_retryable(-20), clc_status_is_retryable(-1)), (1, 0));
    }
}
