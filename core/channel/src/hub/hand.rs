//! Events for participants: written once for all who get the same.

use super::hooks::Hooks;
use super::session::Session;
use super::{Hub, HubStats, Place, SessionId};
use crate::channel::{Batch, Span};
use crate::id::{ChannelId, SupplierProxyId};
use crate::output::Handed;
use crate::slots::Slots;
use crate::wire::{Frame, put_deliver};
use clustercore_proto::time::Instant;
use std::collections::HashMap;
use std::sync::Arc;

/// Frames of one round that others may get too.
#[derive(Default)]
pub(super) struct Written(Vec<Shared>);

struct Shared {
    channel: ChannelId,
    handle: u64,
    /// Of the whole batch.
    offsets: Vec<u64>,
    span: Option<Span>,
    /// How many of its events are in the frame.
    taken: usize,
    bytes: Arc<Vec<u8>>,
}

/// All that handing over needs beside the engine.
struct Desk<'a> {
    sessions: &'a mut Slots<Session>,
    consumers: &'a HashMap<(ChannelId, SupplierProxyId), Place>,
    hooks: &'a mut Hooks,
    now: Instant,
    frames: &'a mut Written,
    stats: &'a mut HubStats,
    unsent_bytes_max: usize,
    stirred: Vec<SessionId>,
}

impl Hub {
    /// Lets events flow: from suppliers' buffers to consumers' queues and on to the consumers, as long as there is something to do, but for
    /// `rounds_max` rounds at most. True when there is more.
    pub fn pump(&mut self, now: Instant, rounds_max: u32) -> bool {
        self.expire(now);
        self.drive_hooks(now);
        self.https.handle_timeout(now, &mut self.engine, &self.config.access);
        for _ in 0..rounds_max {
            let mut is_busy = false;
            for channel in self.engine.ids() {
                is_busy |= self.pump_channel(now, channel);
            }
            self.take_outputs(now);
            self.settle_hooks(now);
            if !is_busy {
                return false;
            }
        }
        true
    }

    fn pump_channel(&mut self, now: Instant, id: ChannelId) -> bool {
        let Hub { engine, sessions, consumers, hooks, frames, stats, config, .. } = self;
        let Some(channel) = engine.machine(id) else { return false };
        channel.handle_timeout(now);
        if !channel.is_busy() {
            return false;
        }
        let unsent_bytes_max = config.unsent_bytes_max;
        let stirred = Vec::new();
        let mut desk = Desk { sessions, consumers, hooks, now, frames, stats, unsent_bytes_max, stirred };
        let spread = channel.spread(now, SPREAD_MAX);
        let given = channel.deliver(now, BATCHES_MAX, &mut |batch| desk.give(id, &batch));
        let stirred = desk.stirred;
        self.frames.0.clear();
        stirred.into_iter().for_each(|session| self.queue(session));
        spread > 0 || given > 0
    }

    pub(super) fn on_pull(&mut self, now: Instant, id: SessionId, handle: u64, max: u32) {
        let Some(consumer) = self.session(id).and_then(|it| it.consumers.get(&handle)) else { return };
        let (channel, proxy) = (consumer.channel, consumer.proxy);
        let Hub { engine, sessions, consumers, hooks, frames, stats, config, .. } = self;
        let Some(machine) = engine.machine(channel) else { return };
        let unsent_bytes_max = config.unsent_bytes_max;
        let stirred = Vec::new();
        let mut desk = Desk { sessions, consumers, hooks, now, frames, stats, unsent_bytes_max, stirred };
        machine.pull(now, proxy, max, &mut |batch| desk.give(channel, &batch));
        self.frames.0.clear();
        self.queue(id);
    }
}

impl Desk<'_> {
    /// How many events of a batch are taken for its participant.
    fn give(&mut self, channel: ChannelId, batch: &Batch<'_>) -> usize {
        let Some(place) = self.consumers.get(&(channel, batch.proxy)) else {
            let taken = self.hooks.give(self.now, channel, batch).unwrap_or(0);
            self.stats.delivered += taken as u64;
            return taken;
        };
        let Some(session) = self.sessions.get_mut(place.session.index) else { return 0 };
        if session.unsent > self.unsent_bytes_max {
            session.is_blocked = true;
            return 0;
        }
        self.stirred.push(place.session);
        let taken = self.write(channel, *place, batch);
        self.stats.delivered += taken as u64;
        if let Some(session) = self.sessions.get_mut(place.session.index) {
            // The rest comes when this has gone.
            session.is_blocked |= taken < batch.len();
        }
        taken
    }

    /// Puts the first events of a batch into one frame: all, unless they are too large together. How many.
    fn write(&mut self, channel: ChannelId, place: Place, batch: &Batch<'_>) -> usize {
        let Some(session) = self.sessions.get_mut(place.session.index) else { return 0 };
        if batch.is_acknowledged {
            let taken = fitting(batch);
            self.stats.batches += 1;
            session.write(|out| put_deliver(out, place.handle, true, batch.iter().take(taken)));
            return taken;
        }
        let span = batch.span();
        let is_same = |it: &&Shared| {
            let is_alike = it.channel == channel && it.handle == place.handle;
            // Most often in one lane, which tells at once.
            is_alike && (span.is_some() && span == it.span || batch.offsets().eq(it.offsets.iter().copied()))
        };
        if let Some(shared) = self.frames.0.iter().rev().find(is_same).filter(|_| !batch.has_direct) {
            self.stats.shared += 1;
            session.share(&shared.bytes);
            return shared.taken;
        }
        let taken = fitting(batch);
        let mut bytes = Vec::with_capacity(taken * EVENT_BYTES_GUESS);
        put_deliver(&mut bytes, place.handle, false, batch.iter().take(taken));
        self.stats.batches += 1;
        let bytes = Arc::new(bytes);
        session.share(&bytes);
        if batch.has_direct {
            return taken;
        }
        if self.frames.0.len() == FRAMES_KEPT_MAX {
            self.frames.0.remove(0);
        }
        let offsets = batch.offsets().collect();
        self.frames.0.push(Shared { channel, handle: place.handle, offsets, span, taken, bytes });
        taken
    }
}

/// How many of a batch's events fit one frame, from the first on; at least one.
fn fitting(batch: &Batch<'_>) -> usize {
    let mut bytes = 0;
    let fits = |handed: &Handed<'_>| {
        bytes += handed.event.size();
        bytes <= FRAME_BYTES_MAX
    };
    batch.iter().take_while(fits).count().max(1)
}

/// Tells a participant that its proxy has something to pull.
pub(super) fn readable(session: &mut Session, handle: u64) {
    session.put(&Frame::Readable { handle });
}

/// Events looked at, and batches given, in one round of one channel.
const SPREAD_MAX: u64 = 4096;
const BATCHES_MAX: u32 = 4096;
/// Different frames of a round that are remembered.
const FRAMES_KEPT_MAX: usize = 16;
const EVENT_BYTES_GUESS: usize = 96;
/// Bytes of events in one frame, unless one event alone has more.
const FRAME_BYTES_MAX: usize = 1 << 20;
