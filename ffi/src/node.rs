//! A node: shards on threads of the library, and a handle for any thread.

use crate::fork::Birth;
use crate::log::{Sink, clc_log_sink};
use crate::options::{self, Options, or};
use crate::shard_options::driver_config;
use crate::status::{boundary, boundary_quiet, boundary_value, null};
use crate::text::c_string;
use crate::{clc_event, clc_shard_options, clc_status};
use clustercore::{Code, Error, Node, Result};
use std::ffi::{CString, c_char, c_int, c_void};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How to make a node. 0 means the default in every field but the first.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_node_options {
    /// sizeof(clc_node_options)
    pub struct_size: usize,
    /// Threads with a shard each, 1 to 256 (1).
    pub shards: u32,
    /// Commands and events that may wait, per shard, 16 to 65536 (1024).
    pub queue_depth: u32,
    /// How to make each shard; NULL for the defaults.
    pub shard: *const clc_shard_options,
}

// SAFETY: C layout, the size first, integers and a pointer that may be NULL.
unsafe impl Options for clc_node_options {
    const NAME: &'static str = "clc_node_options";
}

/// A node: shards on threads of its own. Any thread may call it.
pub struct clc_node {
    core: Arc<NodeCore>,
}

/// What the handle shares with the handles of its forwarders.
pub(crate) struct NodeCore {
    birth: Birth,
    node: Node,
    sink: Mutex<Option<Sink>>,
    report: CString,
}

impl NodeCore {
    /// The node, unless this is a child of the process it was made in.
    pub fn node(&self) -> Result<&Node> {
        self.birth.check()?;
        Ok(&self.node)
    }

    fn sink(&self) -> std::sync::MutexGuard<'_, Option<Sink>> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl clc_node {
    pub(crate) fn core(&self) -> &Arc<NodeCore> {
        &self.core
    }
}

/// Writes the defaults into `*options`, whose size is `struct_size`: sizeof(clc_node_options).
///
/// Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE. Any thread may call this.
///
/// # Safety
/// `options` is NULL or has room for `struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_node_options_init(
    options: *mut clc_node_options,
    struct_size: usize,
) -> clc_status {
    boundary(|| {
        let values =
            clc_node_options { struct_size, shards: 1, queue_depth: QUEUE_DEPTH, shard: std::ptr::null() };
        // SAFETY: NULL or room for that size, per the contract above.
        unsafe { options::write(options, struct_size, values) }
    })
}

/// Makes a node and starts its threads. `options` may be NULL for the defaults. Ends with clc_node_free.
///
/// Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE, INVALID_ARGUMENT, IO_URING_FORBIDDEN, UNSUPPORTED_KERNEL,
/// OUT_OF_MEMORY, DESCRIPTORS_EXHAUSTED. Any thread may call this.
///
/// # Safety
/// `options` is NULL or a struct of the size that it says, and so is its field `shard`; `node_out` is NULL or
/// writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_node_new(
    options: *const clc_node_options,
    node_out: *mut *mut clc_node,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a struct of the size that it says, per the contract above.
        let options = unsafe { options::read(options) }?;
        // SAFETY: as above.
        let shard = unsafe { options::read(options.shard) }?;
        if node_out.is_null() {
            return Err(null("node_out"));
        }
        let (choice, config) = driver_config(&shard)?;
        let builder = Node::builder().driver(choice).config(config).seed(shard.seed);
        let builder = builder.shards(or(options.shards, 1) as usize);
        let node = builder.queue_depth(or(options.queue_depth, QUEUE_DEPTH) as usize).build()?;
        let report = c_string(node.driver_report());
        let core = Arc::new(NodeCore { birth: Birth::here(), node, sink: Mutex::new(None), report });
        let handle = Box::into_raw(Box::new(clc_node { core }));
        // SAFETY: not NULL, and the caller vouches that it can be written.
        unsafe { node_out.write(handle) };
        Ok(())
    })
}

/// Ends a node with its threads, forwarders and connections, and waits for the threads. NULL is fine. Handles of its
/// forwarders stay valid and must be freed too; a thread that waits in clc_node_poll gets CLOSED.
///
/// Any thread may call this. A child of fork only forgets it.
///
/// # Safety
/// `node` is NULL or a node that was not freed before, and no other call on it begins from now on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_node_free(node: *mut clc_node) {
    if node.is_null() {
        return;
    }
    boundary_quiet(|| {
        // SAFETY: made by `clc_node_new` and not freed before, per the contract above.
        let node = unsafe { Box::from_raw(node) };
        if let Err(error) = node.core.birth.check() {
            // Its threads are not here to be waited for.
            std::mem::forget(node);
            return Err(error);
        }
        node.core.node.close();
        Ok(())
    });
}

/// Waits for at most `timeout_ns` nanoseconds (negative: no limit; 0: not at all) until events or log records
/// wait, and takes them: events into `events_out`, at most `capacity` of them, records to the sink from within this
/// call. Returns with no event when the time has passed, when a signal came, or when there were records only. The
/// events are copies and hold no memory.
///
/// Errors: NULL_ARGUMENT, INVALID_ARGUMENT (`capacity` 0), CLOSED, FORKED. Any thread may call this; each event goes
/// to one caller.
///
/// # Safety
/// `node` is NULL or a live node; `events_out` is NULL or has room for `capacity` events; `events_len_out` is
/// NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_node_poll(
    node: *mut clc_node,
    events_out: *mut clc_event,
    capacity: usize,
    timeout_ns: i64,
    events_len_out: *mut usize,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live node that is only shared, per the contract above.
        let node = unsafe { node.as_ref() }.ok_or_else(|| null("node"))?;
        if events_out.is_null() {
            return Err(null("events_out"));
        }
        // SAFETY: NULL or writable, per the contract above.
        let len_out = unsafe { events_len_out.as_mut() }.ok_or_else(|| null("events_len_out"))?;
        if capacity == 0 {
            return Err(Error::new(Code::InvalidArgument, "capacity is 0; it must be at least 1"));
        }
        // A reference of its own: the handle may be freed meanwhile, by another thread or by the sink.
        let core = Arc::clone(&node.core);
        let batch = core.node()?.poll(wait(timeout_ns), capacity)?;
        for (index, (id, event)) in batch.events.iter().enumerate() {
            // SAFETY: a batch has at most `capacity` events, so this lies within the caller's array.
            let slot = unsafe { events_out.add(index) };
            // SAFETY: within the caller's array.
            unsafe { slot.write(clc_event::new(*id, event)) };
        }
        *len_out = batch.events.len();
        // Copied out, so that the sink may be changed from within itself.
        let sink = *core.sink();
        if let Some(sink) = sink {
            sink.tell(batch.logs);
        }
        Ok(())
    })
}

/// A descriptor that is readable (EPOLLIN, POLLIN) when clc_node_poll has something to bring, for an event loop. It
/// stays the node's: do not read it, do not close it. Call clc_node_poll with a time-out of 0 until it brings nothing,
/// then wait. Negative: a clc_status.
///
/// Any thread may call this.
///
/// # Safety
/// `node` is NULL or a live node.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_node_event_fd(node: *const clc_node) -> c_int {
    boundary_value(|| {
        // SAFETY: NULL or a live node that is only shared, per the contract above.
        let node = unsafe { node.as_ref() }.ok_or_else(|| null("node"))?;
        Ok(node.core.node()?.event_fd())
    })
}

/// Sets where log records go; NULL: nowhere. `user` is given to each call. Records from before come with the next
/// poll that finds them.
///
/// Errors: NULL_ARGUMENT, FORKED. Any thread may call this; a poll that is running may still use the one
/// before.
///
/// # Safety
/// `node` is NULL or a live node; `sink` may be called with `user` by every thread that polls, until another is set
/// and those polls have returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_node_set_log_sink(
    node: *mut clc_node,
    sink: clc_log_sink,
    user: *mut c_void,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live node that is only shared, per the contract above.
        let node = unsafe { node.as_ref() }.ok_or_else(|| null("node"))?;
        node.core.node()?;
        *node.core.sink() = Sink::new(sink, user);
        Ok(())
    })
}

/// Which driver and features run, and why: "uring: multishot_accept, ...". Valid as long as the node; NULL for
/// NULL. Any thread may call this.
///
/// # Safety
/// `node` is NULL or a live node.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_node_driver_report(node: *const clc_node) -> *const c_char {
    // SAFETY: NULL or a live node that is only shared, per the contract above.
    unsafe { node.as_ref() }.map_or(std::ptr::null(), |node| node.core.report.as_ptr())
}

/// A time-out as C writes it; negative is none.
pub(crate) fn wait(timeout_ns: i64) -> Option<Duration> {
    u64::try_from(timeout_ns).ok().map(Duration::from_nanos)
}

const QUEUE_DEPTH: u32 = 1024;
