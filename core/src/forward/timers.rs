//! Time-outs. A timer in the wheel is not taken out when its deadline moves: it looks at the deadline when it fires and goes back in.

use super::client::{ClientId, LinkId, Phase};
use super::failure::{Blame, Failed};
use super::job::Job;
use super::side::Reading;
use super::{Forwarder, Io, Timer, TimerKey};
use crate::counters::Counter;
use crate::io::{Close, Driver, Instant, StreamId};
use clustercore_proto::policy::FailureKind;

impl Forwarder {
    /// Sees to it that the wheel looks at a client no later than its deadline.
    pub(super) fn arm_client<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) {
        let Some(client) = self.clients.get(id) else { return };
        let index = id as usize;
        if self.client_timers.len() <= index {
            self.client_timers.resize(index + 1, Instant::MAX);
        }
        // The entry of the client before serves this one too. No entry is far ahead, however long the deadline, so that few are stale.
        let look = client.deadline.min(io.now + LOOK_MAX);
        let timer = &mut self.client_timers[index];
        if look < *timer && client.deadline != Instant::MAX {
            *timer = look;
            io.wheel.insert(look, TimerKey { forwarder: self.id.index(), what: Timer::Client(id) });
        }
    }

    pub(super) fn arm_link<D: Driver>(&mut self, io: &mut Io<'_, D>, id: LinkId) {
        let Some(link) = self.links.get_mut(id) else { return };
        if link.idle_until < link.timer {
            link.timer = link.idle_until;
            let what = Timer::Link(id, link.side.stream);
            io.wheel.insert(link.idle_until, TimerKey { forwarder: self.id.index(), what });
        }
    }

    pub(super) fn arm_queue<D: Driver>(&mut self, io: &mut Io<'_, D>) {
        // Another shard may free a place without this one hearing of it: look again soon.
        let soon = io.now + QUEUE_LOOK;
        let next = self.queue.poll_timeout().map_or(soon, |deadline| deadline.min(soon));
        if self.queue_timer > next || self.queue_timer <= io.now {
            self.queue_timer = next;
            io.wheel.insert(next, TimerKey { forwarder: self.id.index(), what: Timer::Queue });
        }
    }

    /// A timer has fired.
    pub(crate) fn on_timer<D: Driver>(&mut self, io: &mut Io<'_, D>, what: Timer) {
        match what {
            Timer::Client(id) => self.on_client_timer(io, id),
            Timer::Link(id, stream) => self.on_link_timer(io, id, stream),
            Timer::Probe(id, stream) => self.on_probe_timer(io, id, stream),
            Timer::Queue => self.on_queue_timer(io),
            Timer::Health => self.on_health_timer(io),
            Timer::Accept => self.resume_accepting(io),
            Timer::Drain(key) => self.on_drain_timer(io, key),
            Timer::Leg(leg) => self.on_leg_timer(io, leg),
        }
    }

    fn on_client_timer<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) {
        let Some(timer) = self.client_timers.get_mut(id as usize).filter(|timer| **timer <= io.now) else {
            // An older entry; a newer one is in the wheel.
            return;
        };
        *timer = Instant::MAX;
        let Some(client) = self.clients.get(id) else { return };
        let stream = client.side.stream;
        if client.deadline > io.now {
            return self.arm_client(io, id);
        }
        let phase = client.phase;
        if matches!(phase, Phase::Idle | Phase::Lingering) && self.moved_since(io, id) {
            // The last answer is still being read.
            return self.extend(io, id);
        }
        match phase {
            Phase::Idle => {
                self.counters.inc(Counter::IdleTimeouts);
                // Who has not taken the last answer by now is not waited for.
                let taken = io.driver.outstanding(stream) == 0;
                self.close_client(io, id, if taken { Close::AfterSend } else { Close::Abort });
            }
            Phase::Proxy | Phase::Lingering => self.close_client(io, id, Close::Abort),
            Phase::Head => self.answer_slow_head(io, id),
            Phase::Queued => {}
            Phase::Connecting => self.fail_exchange(io, id, FailureKind::Connect),
            Phase::Waiting => {
                // Who was promised a 100 and got none is not slow.
                let exchange = self.clients.get(id).and_then(|client| client.exchange.as_ref());
                let slow_client = exchange
                    .is_some_and(|exchange| !exchange.request.is_done() && !exchange.awaits_continue());
                let link = exchange.and_then(|exchange| self.links.get(exchange.link?));
                let backend_reads = link.is_some_and(|link| io.driver.unsent(link.side.stream) == 0)
                    || exchange.and_then(|exchange| exchange.job.as_ref()).is_some_and(Job::has_room);
                if self.moved_since(io, id) {
                    self.extend(io, id);
                } else if slow_client && backend_reads {
                    self.detach(io, id);
                    self.answer(io, id, 408);
                } else {
                    self.fail_exchange(io, id, FailureKind::Timeout);
                }
            }
            Phase::Responding => {
                if self.moved_since(io, id) {
                    self.extend(io, id);
                } else if io.driver.unsent(stream) > 0 || self.is_splicing(id) {
                    // The client does not read.
                    self.abort_client(io, id);
                } else {
                    self.fail_exchange(io, id, FailureKind::Timeout);
                }
            }
            Phase::Tunnel => {
                if self.moved_since(io, id) {
                    self.extend(io, id);
                } else {
                    self.close_client(io, id, Close::Abort);
                }
            }
        }
    }

    fn answer_slow_head<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) {
        let Some(client) = self.clients.get(id) else { return };
        self.counters.inc(Counter::Answered408);
        let mut out = io.driver.buffer();
        clustercore_proto::forward::http::local_response(408, false, None, &mut out);
        io.driver.send(client.side.stream, crate::io::Chunk::Owned(out));
        self.linger(io, id);
    }

    fn fail_exchange<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId, kind: FailureKind) {
        let Some(exchange) = self.clients.get(id).and_then(|client| client.exchange.as_ref()) else { return };
        match (exchange.link, &exchange.job) {
            (Some(link), _) => self.fail_link(io, link, kind),
            (None, Some(job)) => {
                let failed = job.failed(exchange, kind, Blame::Backend);
                self.fail(io, id, failed);
            }
            // It waited for a leg to be connected.
            (None, None) if exchange.backend.is_some() => {
                let blame = Blame::Path;
                self.fail(io, id, Failed { kind, is_given: false, nothing_back: true, blame });
            }
            (None, None) => self.answer(io, id, 502),
        }
    }

    fn is_splicing(&self, id: ClientId) -> bool {
        let link = self.clients.get(id).and_then(|client| self.links.get(client.exchange.as_ref()?.link?));
        link.is_some_and(|link| link.side.reading == Reading::Splice)
    }

    /// Whether bytes have moved since the last look although nobody told: by a splice, or out of a socket's buffer. A reader that
    /// takes a little at a time is slow, not gone.
    fn moved_since<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) -> bool {
        let Some(client) = self.clients.get_mut(id) else { return false };
        let stream = client.side.stream;
        let mut waiting = io.driver.outstanding(stream) as u64;
        let mut moved = 0;
        let seen = match client.exchange.as_mut() {
            None => &mut client.progress,
            Some(exchange) => {
                moved = exchange.request.moved() + exchange.response.moved() + io.driver.spliced(stream);
                if let Some(link) = exchange.link.and_then(|link| self.links.get(link)) {
                    waiting += io.driver.outstanding(link.side.stream) as u64;
                    moved += io.driver.spliced(link.side.stream);
                    waiting += u64::from(link.side.reading == Reading::Splice);
                }
                waiting += u64::from(client.side.reading == Reading::Splice);
                &mut exchange.progress
            }
        };
        if waiting == 0 {
            return false;
        }
        // More was taken, or less waits, than the last time; the first look has nothing to compare with.
        let now = PROGRESS_BASE + moved - waiting.min(PROGRESS_BASE);
        let more = now > *seen;
        *seen = now;
        more
    }

    fn extend<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) {
        let more = self.service.config.body_timeout;
        if let Some(client) = self.clients.get_mut(id) {
            client.deadline = io.now + more;
        }
        self.arm_client(io, id);
    }

    fn on_link_timer<D: Driver>(&mut self, io: &mut Io<'_, D>, id: LinkId, stream: StreamId) {
        let Some(link) = self.links.get_mut(id).filter(|link| link.side.stream == stream) else { return };
        if link.timer > io.now {
            return;
        }
        link.timer = Instant::MAX;
        if link.client.is_none() && link.idle_until <= io.now {
            return self.drop_link(io, id);
        }
        // In use: it is looked at again when it is kept.
        if link.client.is_none() {
            self.arm_link(io, id);
        }
    }

    fn on_queue_timer<D: Driver>(&mut self, io: &mut Io<'_, D>) {
        if self.queue_timer > io.now {
            return;
        }
        self.queue_timer = Instant::MAX;
        let mut late = Vec::new();
        self.queue.expire(io.now, &mut |id| late.push(id));
        for id in late {
            self.answer(io, id, 503);
        }
        self.freed = true;
        self.note_queue();
        if !self.queue.is_empty() {
            self.arm_queue(io);
        }
    }
}

/// What progress is counted from, so that what waits can be taken off.
const PROGRESS_BASE: u64 = 1 << 40;
const LOOK_MAX: std::time::Duration = std::time::Duration::from_secs(5);
const QUEUE_LOOK: std::time::Duration = std::time::Duration::from_millis(2);
