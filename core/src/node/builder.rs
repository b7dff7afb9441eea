//! How a node is made.

use super::command::Signals;
use super::link::ShardLink;
use super::services::Services;
use super::worker::{LastRing, Worker};
use super::{Node, Outlet, Shared};
use crate::error::{Code, Error, Result};
use crate::io::{DriverChoice, DriverConfig};
use crate::shard::ShardBuilder;
use clustercore_queue::bell::Bell;
use clustercore_queue::{mpsc, spsc};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Builds a [`Node`].
#[derive(Clone, Debug)]
pub struct NodeBuilder {
    shards: usize,
    /// What each of them is made like.
    shard: ShardBuilder,
    queue_depth: usize,
}

impl Default for NodeBuilder {
    fn default() -> Self {
        NodeBuilder { shards: 1, shard: ShardBuilder::default(), queue_depth: 1024 }
    }
}

impl NodeBuilder {
    /// Threads with a shard each, 1 to 256 (default 1).
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = shards;
        self
    }
    /// Which driver (default: io_uring where the system allows it).
    pub fn driver(mut self, choice: DriverChoice) -> Self {
        self.shard = self.shard.driver(choice);
        self
    }
    /// Sizes and bounds of each shard.
    pub fn config(mut self, config: DriverConfig) -> Self {
        self.shard = self.shard.config(config);
        self
    }
    /// Spins this long before a shard blocks.
    pub fn spin(mut self, spin: Duration) -> Self {
        self.shard = self.shard.spin(spin);
        self
    }
    /// Commands and events that may wait, per shard, 16 to 65536 (default 1024).
    pub fn queue_depth(mut self, depth: usize) -> Self {
        self.queue_depth = depth;
        self
    }
    /// Seed of the random choices.
    pub fn seed(mut self, seed: u64) -> Self {
        self.shard = self.shard.seed(seed);
        self
    }

    /// Starts the threads.
    ///
    /// Errors: `InvalidArgument`, `IoUringForbidden`, `UnsupportedKernel`, `OutOfMemory`, `DescriptorsExhausted`.
    pub fn build(self) -> Result<Node> {
        if !(1..=256).contains(&self.shards) {
            let text = format!("a node of {} shards; it must be 1 to 256", self.shards);
            return Err(Error::new(Code::InvalidArgument, text));
        }
        if !(16..=65_536).contains(&self.queue_depth) {
            let text = format!("queue_depth is {}; it must be 16 to 65536", self.queue_depth);
            return Err(Error::new(Code::InvalidArgument, text));
        }
        let flags = rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK;
        let fd = rustix::event::eventfd(0, flags)
            .map_err(|error| Error::from_io("make an eventfd", &error.into()))?;
        let shared = Arc::new(Outlet { bell: Bell::new(), fd });
        // Armed from the start: the descriptor tells of events before the first poll too.
        std::mem::forget(shared.bell.prepare_sleep());
        // From here on an error ends the threads of the links that there are.
        let mut links = Vec::new();
        let mut inlets = Vec::new();
        let mut reports = Vec::new();
        for index in 0..self.shards {
            let (commands, inbox) = mpsc::ring(self.queue_depth);
            let (outbox, messages) = spsc::ring(self.queue_depth);
            let shard = self.shard.build_at(index)?;
            reports.push(shard.driver_report().to_owned());
            let waker = shard.waker().ok_or(Error::from(Code::Internal))?;
            let (bell, signals) = (Arc::new(Bell::new()), Arc::new(Signals::default()));
            let worker = Worker {
                inbox,
                signals: Arc::clone(&signals),
                shard,
                bell: Arc::clone(&bell),
                outbox,
                kept: Default::default(),
                outlet: LastRing(Arc::clone(&shared)),
            };
            let thread = std::thread::Builder::new()
                .name(format!("clustercore-{index}"))
                .spawn(move || worker.run())
                .map_err(|error| Error::from_io("start a shard's thread", &error))?;
            let (commands, thread) = (Mutex::new(commands), Mutex::new(Some(thread)));
            links.push(ShardLink { index, commands, signals, bell, waker, thread });
            inlets.push(messages);
        }
        Ok(Node {
            shared: Arc::new(Shared {
                links,
                outlet: shared,
                messages: Mutex::new(inlets),
                services: Services::default(),
                report: reports.swap_remove(0),
            }),
        })
    }
}
