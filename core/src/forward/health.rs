//! Active probes and the timers of the health machines. The service's first shard does both for all.

use super::client::Role;
use super::service::Backend;
use super::{Forwarder, Io, Mode, Timer, TimerKey};
use crate::counters::Counter;
use crate::io::{Chunk, Close, Driver, Event, Instant, StreamId, StreamOptions};
use clustercore_proto::policy::Health;
use std::sync::Arc;

/// One probe under way.
#[derive(Debug)]
pub(super) struct Probe {
    stream: StreamId,
    backend: Arc<Backend>,
    received: Vec<u8>,
    /// The health machine has been told; the rest of the answer is read, so that the service sees no reset.
    told: bool,
}

impl Forwarder {
    /// Sees to it that the health machines are looked at when they want to be.
    pub(super) fn schedule_health<D: Driver>(&mut self, io: &mut Io<'_, D>) {
        if self.shard != 0 || self.service.config.health.is_none() {
            return;
        }
        let due = |backend: &Arc<Backend>| backend.health().and_then(|health| health.poll_timeout());
        let children = &self.children;
        let Some(next) = children.list.iter().chain(children.local.iter()).filter_map(due).min() else {
            return;
        };
        let next = next.max(io.now + HEALTH_TICK);
        if next < self.health_timer || self.health_timer <= io.now {
            self.health_timer = next;
            io.wheel.insert(next, TimerKey { forwarder: self.id.index(), what: Timer::Health });
        }
    }

    pub(super) fn on_health_timer<D: Driver>(&mut self, io: &mut Io<'_, D>) {
        if self.health_timer > io.now {
            return;
        }
        self.health_timer = Instant::MAX;
        self.refresh(io);
        let children = Arc::clone(&self.children);
        for backend in children.list.iter().chain(children.local.iter()) {
            let news = backend
                .with_health(io.now, |health| (health.handle_timeout(io.now), health.poll_probe(io.now)));
            let Some((change, probe)) = news else { continue };
            self.tell_health(io, backend, change);
            if probe {
                self.start_probe(io, backend);
            }
        }
        self.freed = true;
        self.schedule_health(io);
    }

    fn start_probe<D: Driver>(&mut self, io: &mut Io<'_, D>, backend: &Arc<Backend>) {
        let Some(config) = self.service.config.health.and_then(|health| health.probe) else { return };
        let Ok(stream) = io.driver.connect(backend.config.address, &StreamOptions::default()) else {
            // No descriptor: no news about the back end.
            backend.with_health(io.now, Health::forget_probe);
            return;
        };
        self.counters.inc(Counter::Probes);
        let id = self.probes.insert(Probe {
            stream,
            backend: Arc::clone(backend),
            received: Vec::new(),
            told: false,
        });
        io.owners.set(stream, self.id.index(), Role::Probe(id));
        let what = Timer::Probe(id, stream);
        io.wheel.insert(io.now + config.timeout, TimerKey { forwarder: self.id.index(), what });
    }

    pub(super) fn on_probe_event<D: Driver>(&mut self, io: &mut Io<'_, D>, id: u32, event: Event) {
        let Some(probe) = self.probes.get_mut(id) else { return };
        match event {
            Event::Connected { result: Ok(()), .. } => {
                if self.service.config.mode == Mode::Tcp {
                    return self.end_probe(io, id, true);
                }
                let request = format!(
                    "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {}-probe\r\nConnection: close\r\n\r\n",
                    self.service.config.probe_path, probe.backend.config.address, self.service.config.via
                );
                io.driver.send(probe.stream, Chunk::Owned(request.into_bytes()));
                io.driver.recv(probe.stream);
            }
            Event::Data { lease, .. } if probe.told => io.driver.release(lease),
            Event::Data { lease, .. } => {
                let room = STATUS_BYTES - probe.received.len().min(STATUS_BYTES);
                let bytes = io.driver.bytes(&lease);
                probe.received.extend_from_slice(&bytes[..bytes.len().min(room)]);
                io.driver.release(lease);
                if probe.received.len() == STATUS_BYTES {
                    let ok =
                        probe.received.starts_with(b"HTTP/1.") && matches!(probe.received[9], b'2' | b'3');
                    self.end_probe(io, id, ok);
                }
            }
            Event::Connected { result: Err(_), .. } | Event::End { .. } | Event::Failed { .. } => {
                self.end_probe(io, id, false)
            }
            _ => {}
        }
    }

    pub(super) fn on_probe_timer<D: Driver>(&mut self, io: &mut Io<'_, D>, id: u32, stream: StreamId) {
        if self.probes.get(id).is_some_and(|probe| probe.stream == stream) {
            self.end_probe(io, id, false);
        }
    }

    /// The answer is known, or will not come.
    fn end_probe<D: Driver>(&mut self, io: &mut Io<'_, D>, id: u32, ok: bool) {
        let Some(probe) = self.probes.get_mut(id) else { return };
        let told = std::mem::replace(&mut probe.told, true);
        let backend = Arc::clone(&probe.backend);
        // A good answer is read to its end; everything else ends the connection.
        if told || !ok || self.service.config.mode == Mode::Tcp {
            self.drop_probe(io, id);
        }
        if told {
            return;
        }
        if !ok {
            self.counters.inc(Counter::ProbesFailed);
        }
        let change = backend.with_health(io.now, |health| health.on_probe(io.now, ok)).flatten();
        self.tell_health(io, &backend, change);
        self.schedule_health(io);
    }

    pub(super) fn drop_probe<D: Driver>(&mut self, io: &mut Io<'_, D>, id: u32) {
        let Some(probe) = self.probes.remove(id) else { return };
        io.owners.clear(probe.stream);
        io.driver.close(probe.stream, Close::AfterSend);
    }
}

/// As far as a response is read: "HTTP/1.1 200".
const STATUS_BYTES: usize = 12;
/// The health machines are looked at no more often than this.
const HEALTH_TICK: std::time::Duration = std::time::Duration::from_millis(5);
