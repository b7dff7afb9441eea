//! The log sink of the embedding program.

use crate::text::c_string;
use clustercore::log::{LogLevel, LogRecord};
use std::ffi::{c_char, c_void};

/// How important a log record is.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum clc_log_level {
    /// Something does not work.
    Error = 1,
    /// Something works less well than it should.
    Warn = 2,
    /// Something changed.
    Info = 3,
}

/// Gets a log record: `level` is a clc_log_level, `text` one line without a line end, valid during the call.
///
/// Called on the thread that turns the shard or polls the node, from within that call, never on a thread
/// of the library. It may call the library, but must not throw, and not jump out of itself.
pub type clc_log_sink = Option<unsafe extern "C" fn(user: *mut c_void, level: u32, text: *const c_char)>;

/// A sink with what it is called with.
#[derive(Clone, Copy)]
pub(crate) struct Sink {
    call: unsafe extern "C" fn(*mut c_void, u32, *const c_char),
    user: *mut c_void,
}

// SAFETY: the pointer is only handed back to the caller's function, on the threads that the contract of
// `clc_shard_set_log_sink` and `clc_node_set_log_sink` names.
unsafe impl Send for Sink {}

impl Sink {
    pub fn new(call: clc_log_sink, user: *mut c_void) -> Option<Sink> {
        call.map(|call| Sink { call, user })
    }

    pub fn tell(self, records: Vec<LogRecord>) {
        for record in records {
            let level = match record.level {
                LogLevel::Error => clc_log_level::Error,
                LogLevel::Warn => clc_log_level::Warn,
                LogLevel::Info => clc_log_level::Info,
            };
            let text = c_string(record.text);
            // SAFETY: the function was given to be called like this, and `text` lives until it returns.
            unsafe { (self.call)(self.user, level as u32, text.as_ptr()) };
        }
    }
}
