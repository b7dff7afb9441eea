//! The proxies: consumer proxies take events from suppliers, supplier proxies give them to consumers.

use crate::delivery::List;
use crate::event::{Event, Text};
use crate::hook::HookSpec;
use crate::predicate::{Change, Filter, Mapping, TypePattern};
use crate::qos::{Discard, Qos, Settings};
use crate::stats::IntakeStats;
use crate::timers::NO_TIMER;
use clustercore_proto::time::{Duration, Instant};
use std::collections::VecDeque;
use std::sync::Arc;

/// Who moves events through a proxy: the one who has them pushes, or the one who wants them pulls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// A supplier pushes into the channel; the channel pushes to a consumer.
    #[default]
    Push,
    /// The channel pulls from a supplier; a consumer pulls from the channel.
    Pull,
}

/// How a supplier speaks to the channel.
#[derive(Clone, Debug, Default)]
pub struct ConsumerProxySpec {
    /// Its name, for people.
    pub name: Text,
    /// Whose it is. Empty for one that is shared by all who may emit.
    pub owner: Text,
    /// Push or pull.
    pub mode: Mode,
    /// Its group of the ConsumerAdmin.
    pub group: Option<crate::GroupId>,
    /// What this proxy says itself.
    pub qos: Qos,
    /// Only events for which this holds are taken.
    pub filter: Option<Filter>,
    /// Changes of priority and lifetime.
    pub mappings: Vec<Mapping>,
}

/// How a consumer speaks to the channel.
#[derive(Clone, Debug, Default)]
pub struct SupplierProxySpec {
    /// Its name, for people.
    pub name: Text,
    /// Whose it is. Empty for one that is shared by all who may consume.
    pub owner: Text,
    /// Push or pull.
    pub mode: Mode,
    /// Its group of the SupplierAdmin.
    pub group: Option<crate::GroupId>,
    /// What this proxy says itself.
    pub qos: Qos,
    /// Types that it wants; none for all.
    pub types: Vec<TypePattern>,
    /// Only events for which this holds are delivered.
    pub filter: Option<Filter>,
    /// Changes of priority and lifetime, for this consumer alone.
    pub mappings: Vec<Mapping>,
    /// Its consumer group: each event goes to one of its members. The first member says what the group wants and its
    /// quality of service; later ones join in that.
    pub consumer_group: Option<Text>,
    /// Where it begins.
    pub start: Start,
    /// The retention keeps what its replay has not come to.
    pub is_durable: bool,
    /// Where events are sent to, when the consumer is an address. See [`admit`](crate::hook::admit).
    pub hook: Option<Arc<HookSpec>>,
}

/// Where a consumer begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Start {
    /// With what comes next.
    #[default]
    Now,
    /// With the oldest that is kept.
    Earliest,
    /// With this place in the channel's order.
    Offset(u64),
    /// With the first event accepted at this moment or later.
    Time(Instant),
}

/// A consumer proxy.
pub(super) struct Intake {
    pub spec: ConsumerProxySpec,
    pub settings: Settings,
    pub filter: Option<u32>,
    pub mappings: Box<[(u32, Change)]>,
    pub buffer: VecDeque<Arrival>,
    pub bytes: u64,
    pub receipts: u64,
    /// In the row of the scheduler.
    pub is_queued: bool,
    /// The queue whose room it waits for.
    pub stalled_on: Option<u32>,
    pub is_suspended: bool,
    pub is_connected: bool,
    /// The supplier was asked and has not answered.
    pub is_asked: bool,
    pub timer: u32,
    /// When the event that waits for room expires.
    pub stall_timer: u32,
    pub stats: IntakeStats,
}

/// An event in a supplier's buffer.
#[derive(Debug)]
pub(super) struct Arrival {
    pub event: Event,
    pub receipt: u64,
    pub accepted_at: Instant,
    pub priority: u8,
    pub expiry: Instant,
    pub start: Instant,
    pub is_persistent: bool,
}

impl Arrival {
    /// It waits for nothing but its turn.
    #[inline]
    pub fn is_plain(&self, now: Instant) -> bool {
        !self.is_persistent && self.expiry == Instant::MAX && self.start <= now
    }
}

/// A supplier proxy.
pub(super) struct Outlet {
    pub spec: SupplierProxySpec,
    pub queue: u32,
    pub in_flight: u32,
    pub flight: List,
    pub is_suspended: bool,
    pub is_connected: bool,
    /// It took less than it was given, and has not said that it takes more.
    pub is_blocked: bool,
    pub is_queued: bool,
    /// It pulled and found nothing.
    pub is_waiting: bool,
    pub paced_until: Instant,
    pub timer: u32,
    /// Rejections of its route before it joined.
    pub rejections_before: (u64, u64),
}

impl Intake {
    pub fn new(spec: ConsumerProxySpec, settings: Settings) -> Intake {
        Intake {
            spec,
            settings,
            filter: None,
            mappings: Box::default(),
            buffer: VecDeque::new(),
            bytes: 0,
            receipts: 0,
            is_queued: false,
            stalled_on: None,
            is_suspended: false,
            is_connected: true,
            is_asked: false,
            timer: NO_TIMER,
            stall_timer: NO_TIMER,
            stats: IntakeStats::default(),
        }
    }

    /// Settings before any level says something: a supplier is refused rather than losing what he was told is taken.
    pub fn base() -> Settings {
        Settings { discard: Discard::Refuse, ..Settings::default() }
    }

    pub fn is_full_for(&self, size: usize) -> bool {
        self.buffer.len() >= self.settings.length_max as usize
            || self.bytes + size as u64 > self.settings.bytes_max
    }
}

impl SupplierProxySpec {
    /// It is to be there again after a restart of a server that keeps channels on disk.
    pub fn is_kept(&self) -> bool {
        self.is_durable && !self.name.is_empty()
    }
}

impl Outlet {
    pub fn new(spec: SupplierProxySpec, queue: u32) -> Outlet {
        Outlet {
            spec,
            queue,
            in_flight: 0,
            flight: List::EMPTY,
            is_suspended: false,
            is_connected: true,
            is_blocked: false,
            is_queued: false,
            is_waiting: false,
            paced_until: Instant::ZERO,
            timer: NO_TIMER,
            rejections_before: (0, 0),
        }
    }
}

/// When something of this lifetime, begun at `now`, is over; the last moment where it is zero.
pub(super) fn expiry_after(now: Instant, lifetime: Duration) -> Instant {
    if lifetime.is_zero() { Instant::MAX } else { now + lifetime }
}
