//! A channel: many suppliers, many consumers, none of whom knows another.
//!
//! Suppliers speak to consumer proxies, consumers to supplier proxies. An event goes from a supplier's buffer (the
//! scheduler says whose is next) by its routes into the queues of those who want it, and from there, again by turns, to its
//! consumers. Time comes in as an argument, wishes go out by [`Channel::poll_output`], events by [`Channel::deliver`]
//! and [`Channel::pull`]. Access rules are those of the engine's faces; here everybody may everything.

mod accept;
mod check;
mod group;
mod hand;
mod manage;
mod persist;
mod proxy;
mod replay;
mod settle;
mod share;
mod spread;
mod time;
mod why;

pub use group::{Group, GroupSpec, Side};
pub use hand::{Batch, Span};
pub use manage::{Attached, ManageError};
pub use proxy::{ConsumerProxySpec, Mode, Start, SupplierProxySpec};
pub use settle::{SettleError, Verdict};
pub use why::Reason;

use crate::delivery::Deliveries;
use crate::event::{Event, Text};
use crate::lane::SharedLane;
use crate::output::Output;
use crate::predicate::TypePattern;
use crate::qos::{Qos, Settings};
use crate::queue::Queue;
use crate::routes::Routes;
use crate::scheduler::{Discipline, Scheduler};
use crate::seen::Seen;
use crate::slots::Slots;
use crate::stats::ChannelStats;
use crate::timers::Timers;
use clustercore_proto::time::{Duration, Instant};
use proxy::{Intake, Outlet};
use std::collections::VecDeque;

/// What a channel is made with. Bounds hold for its life, the rest can be changed.
#[derive(Clone, Debug)]
pub struct ChannelConfig {
    /// Quality of service for all of it.
    pub qos: Qos,
    /// Events in memory at most: in buffers, queues, retention and on their way to disk.
    pub events_max: u64,
    /// Their bytes.
    pub bytes_max: u64,
    /// Consumer proxies at most.
    pub suppliers_max: u32,
    /// Supplier proxies at most.
    pub consumers_max: u32,
    /// Groups at most.
    pub groups_max: u32,
    /// Events kept for replay at most; 0 for none.
    pub retention_events_max: u64,
    /// Bytes kept for replay at most.
    pub retention_bytes_max: u64,
    /// How long events are kept for replay; zero for as long as there is room.
    pub retention_age_max: Duration,
    /// Events among which repeats are recognised; 0 for none.
    pub repeats_window: u32,
    /// Whose buffer is drained next.
    pub supplier_turns: Discipline,
    /// Whose queue is served next.
    pub consumer_turns: Discipline,
    /// Types that go directly to their consumers, beside buffers, order and pace.
    pub direct: Vec<TypePattern>,
    /// Seed of the keys by which repeats are recognised.
    pub seed: u64,
}

impl Default for ChannelConfig {
    fn default() -> ChannelConfig {
        ChannelConfig {
            qos: Qos::default(),
            events_max: 1 << 20,
            bytes_max: 1 << 30,
            suppliers_max: 4096,
            consumers_max: 16_384,
            groups_max: 256,
            retention_events_max: 0,
            retention_bytes_max: 256 << 20,
            retention_age_max: Duration::ZERO,
            repeats_window: 0,
            supplier_turns: Discipline::RoundRobin,
            consumer_turns: Discipline::RoundRobin,
            direct: Vec::new(),
            seed: 0,
        }
    }
}

/// A channel. See the module's text.
pub struct Channel {
    name: Text,
    config: ChannelConfig,
    intakes: Slots<Intake>,
    outlets: Slots<Outlet>,
    queues: Slots<Queue>,
    lanes: Slots<SharedLane>,
    deliveries: Deliveries,
    groups: Slots<Group>,
    kept: Slots<Kept>,
    kept_bytes: u64,
    buffered: u64,
    buffered_bytes: u64,
    offset_next: u64,
    routes: Routes,
    intake_turns: Scheduler,
    outlet_turns: Scheduler,
    urgent_turns: VecDeque<u32>,
    timers: Timers<Key>,
    seen: Seen,
    /// Events in order that wait for the disk, or for one before them that does.
    pending: VecDeque<Pending>,
    retained: VecDeque<u32>,
    retained_bytes: u64,
    is_restoring: bool,
    replaying: Vec<u32>,
    outputs: VecDeque<Output>,
    /// Scratch: queues and lanes that want an event, readers that are woken, queues that could share a lane.
    wanted: Vec<u32>,
    wanted_lanes: Vec<u32>,
    woken: Vec<u32>,
    joining: Vec<u32>,
    picked: Vec<hand::Pick>,
    unwanted: u64,
}

/// An event in the store.
#[derive(Debug)]
struct Kept {
    event: Event,
    offset: u64,
    accepted_at: Instant,
    priority: u8,
    /// The last moment for never.
    expiry: Instant,
    start: Instant,
    is_persistent: bool,
    is_written: bool,
    refs: u32,
}

/// An event on its way to disk.
#[derive(Debug)]
struct Pending {
    kept: u32,
    offset: u64,
    deliveries: Vec<(u32, u32)>,
    is_written: bool,
    intake: (u32, u32),
    receipt: u64,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug)]
enum Key {
    Delivery(u32),
    Outlet(u32),
    Intake(u32),
    Stall(u32),
}

impl Channel {
    /// A channel of this name.
    pub fn new(name: impl Into<Text>, config: ChannelConfig) -> Channel {
        Channel {
            name: name.into(),
            intakes: Slots::new(),
            outlets: Slots::new(),
            queues: Slots::new(),
            lanes: Slots::new(),
            deliveries: Slots::new(),
            groups: Slots::new(),
            kept: Slots::new(),
            kept_bytes: 0,
            buffered: 0,
            buffered_bytes: 0,
            offset_next: 0,
            routes: Routes::default(),
            intake_turns: Scheduler::new(config.supplier_turns),
            outlet_turns: Scheduler::new(config.consumer_turns),
            urgent_turns: VecDeque::new(),
            timers: Timers::new(),
            seen: Seen::new(config.repeats_window as usize, config.seed),
            pending: VecDeque::new(),
            retained: VecDeque::new(),
            retained_bytes: 0,
            is_restoring: false,
            replaying: Vec::new(),
            outputs: VecDeque::new(),
            wanted: Vec::new(),
            wanted_lanes: Vec::new(),
            woken: Vec::new(),
            joining: Vec::new(),
            picked: Vec::new(),
            unwanted: 0,
            config,
        }
    }

    /// Its name.
    pub fn name(&self) -> &Text {
        &self.name
    }

    /// What it was made with, as changed since.
    pub fn config(&self) -> &ChannelConfig {
        &self.config
    }

    /// What it wants done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// True while [`Channel::spread`] or [`Channel::deliver`] have something to do.
    pub fn is_busy(&self) -> bool {
        self.intake_turns.len() + self.outlet_turns.len() + self.urgent_turns.len() > 0
    }

    /// What has been counted.
    pub fn stats(&self) -> ChannelStats {
        ChannelStats {
            unwanted: self.unwanted,
            evaluations: self.routes.evaluations,
            events: self.kept.len() as u64 + self.buffered,
            bytes: self.kept_bytes + self.buffered_bytes,
            deliveries: self.deliveries.len() as u64,
            unwritten: self.pending.iter().filter(|it| !it.is_written).count() as u64,
            sharing: self.lanes.iter().map(|(.., lane)| lane.readers.len() as u64).sum(),
        }
    }

    /// The place in the order that the next event will have.
    pub fn offset_next(&self) -> u64 {
        self.offset_next
    }

    /// Puts an event into the store; nobody refers to it yet.
    fn keep(&mut self, kept: Kept) -> u32 {
        self.kept_bytes += kept.event.size() as u64;
        self.kept.insert(kept).0
    }

    /// One reference less; the last one frees the event.
    #[inline]
    fn unkeep(&mut self, index: u32) {
        let kept = &mut self.kept[index];
        kept.refs -= 1;
        if kept.refs == 0 {
            self.kept_bytes -= kept.event.size() as u64;
            self.kept.remove(index);
        }
    }

    fn settings(&self, base: Settings, group: Option<u32>, qos: &Qos) -> Settings {
        let group = group.map_or_else(Qos::default, |group| self.groups[group].spec.qos);
        base.narrowed(&self.config.qos).narrowed(&group).narrowed(qos)
    }
}

#[cfg(test)]
mod tests;
