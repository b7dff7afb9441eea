//! How a shard is made.

use crate::channel::DRIVERS;
use crate::clc_status;
use crate::options::{self, Options, one_of, or};
use crate::status::boundary;
use clustercore::io::{DriverChoice, DriverConfig};
use clustercore::{Code, Error, Result};

/// Which driver moves the bytes.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum clc_driver {
    /// io_uring where the system allows it, else epoll.
    Auto = 0,
    /// io_uring or an error.
    Uring = 1,
    /// epoll.
    Epoll = 2,
}

/// How to make a shard. 0 means the default in every field but the first.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_shard_options {
    /// sizeof(clc_shard_options)
    pub struct_size: usize,
    /// Spins this long before a wait blocks, in nanoseconds: trades CPU for latency. Default: not at all.
    pub spin_ns: u64,
    /// Seed of the random choices: the same seed and the same events give the same choices.
    pub seed: u64,
    /// A clc_driver.
    pub driver: u32,
    /// Connections at a time, of clients and to back ends together (20000).
    pub streams_max: u32,
    /// Submission queue entries, 1 to 32768 (1024); more wishes in one turn are submitted in several calls.
    pub submissions: u32,
    /// Shared receive buffers, a power of two up to 32768 (512).
    pub buffers_count: u32,
    /// Bytes of each shared receive buffer, 1024 to 1048576 (16384).
    pub buffer_bytes: u32,
    /// Pipes kept for splicing large bodies (256).
    pub pipes_max: u32,
}

// SAFETY: C layout, the size first, integers only.
unsafe impl Options for clc_shard_options {
    const NAME: &'static str = "clc_shard_options";
}

/// Writes the defaults into `*options`, whose size is `struct_size`: sizeof(clc_shard_options).
///
/// Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE. Any thread may call this.
///
/// # Safety
/// `options` is NULL or has room for `struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_shard_options_init(
    options: *mut clc_shard_options,
    struct_size: usize,
) -> clc_status {
    boundary(|| {
        let config = DriverConfig::default();
        let values = clc_shard_options {
            streams_max: config.streams_max as u32,
            submissions: config.submissions,
            buffers_count: u32::from(config.buffers.shared_count),
            buffer_bytes: config.buffers.shared_size,
            pipes_max: config.pipes_max as u32,
            ..clc_shard_options::zeroed()
        };
        // SAFETY: NULL or room for that size, per the contract above.
        unsafe { options::write(options, struct_size, values) }
    })
}

/// The driver that the options ask for, checked.
pub(crate) fn driver_config(options: &clc_shard_options) -> Result<(DriverChoice, DriverConfig)> {
    let choice = one_of("driver", options.driver, &DRIVERS)?;
    let mut config = DriverConfig::default();
    config.spin_ns = or(options.spin_ns, config.spin_ns);
    config.streams_max = or(options.streams_max as usize, config.streams_max);
    config.submissions = or(options.submissions, config.submissions);
    config.pipes_max = or(options.pipes_max as usize, config.pipes_max);
    config.buffers.shared_size = or(options.buffer_bytes, config.buffers.shared_size);
    let count = or(options.buffers_count, u32::from(config.buffers.shared_count));
    let bad = |text: String| Err(Error::new(Code::InvalidArgument, text));
    if config.streams_max > STREAMS_CEILING {
        return bad(format!("streams_max is {}, it must be at most {STREAMS_CEILING}", config.streams_max));
    }
    if config.submissions > 32_768 {
        return bad(format!("submissions is {}, it must be at most 32768", config.submissions));
    }
    if config.pipes_max > 65_536 {
        return bad(format!("pipes_max is {}, it must be at most 65536", config.pipes_max));
    }
    if !(1024..=1 << 20).contains(&config.buffers.shared_size) {
        return bad(format!("buffer_bytes is {}, it must be 1024 to 1048576", config.buffers.shared_size));
    }
    if !count.is_power_of_two() || count > 32_768 {
        return bad(format!("buffers_count is {count}, it must be a power of two up to 32768"));
    }
    config.buffers.shared_count = count as u16;
    Ok((choice, config))
}

/// Descriptors that Linux gives one process at most by default.
const STREAMS_CEILING: usize = 1 << 20;
