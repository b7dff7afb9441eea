//! How a shard is made.

use super::Shard;
use crate::error::Result;
use crate::io::{DriverChoice, DriverConfig};
use std::time::Duration;

/// Builds a [`Shard`].
#[derive(Clone, Debug, Default)]
pub struct ShardBuilder {
    choice: DriverChoice,
    config: DriverConfig,
    seed: u64,
}

impl ShardBuilder {
    /// Which driver (default: io_uring where the system allows it).
    pub fn driver(mut self, choice: DriverChoice) -> Self {
        self.choice = choice;
        self
    }
    /// Sizes and bounds.
    pub fn config(mut self, config: DriverConfig) -> Self {
        self.config = config;
        self
    }
    /// Spins this long before a wait blocks: trades CPU for latency.
    pub fn spin(mut self, spin: Duration) -> Self {
        self.config.spin_ns = spin.as_nanos() as u64;
        self
    }
    /// Seed of the random choices (power of two, jitter); the same seed and the same events give the same choices.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
    /// Opens the driver.
    ///
    /// Errors: `IoUringForbidden`, `UnsupportedKernel`, `OutOfMemory`, `DescriptorsExhausted`.
    pub fn build(self) -> Result<Shard> {
        self.build_at(0)
    }

    /// Opens the driver of one of the shards of a node.
    ///
    /// Errors: as [`ShardBuilder::build`].
    pub(crate) fn build_at(&self, index: usize) -> Result<Shard> {
        let (driver, report) = crate::io::open(self.choice, self.config)?;
        let mut shard = Shard::with_driver(driver, report, self.seed);
        shard.set_index(index);
        Ok(shard)
    }
}
