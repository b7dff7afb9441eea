//! The end of a back end's service: no new requests, and word when the last one is done.

use super::service::Backend;
use super::{BackendState, ForwardEvent, Forwarder, Io, Timer, TimerKey};
use crate::io::{Driver, Instant};
use clustercore_proto::policy::BackendKey;
use std::sync::Arc;

impl Forwarder {
    /// Takes note of the drains that have begun since the last look at the child list. With that this shard begins no request there
    /// any more; every shard looks at the deadline, since any of them may end.
    pub(super) fn see_drains<D: Driver>(&mut self, io: &mut Io<'_, D>) {
        let children = Arc::clone(&self.children);
        for backend in children.iter().filter(|backend| backend.state() == BackendState::Draining) {
            let Some(deadline) = backend.see_drain(self.shard) else { continue };
            if deadline < Instant::MAX {
                let what = Timer::Drain(backend.key);
                io.wheel.insert(deadline, TimerKey { forwarder: self.id.index(), what });
            }
            self.tell_drained(io, backend);
        }
    }

    /// Tells, once, that nothing is in flight any more.
    pub(super) fn tell_drained<D: Driver>(&mut self, io: &mut Io<'_, D>, backend: &Backend) {
        if backend.take_drained() {
            self.emit(io, ForwardEvent::BackendDrained { backend: backend.key, in_flight: 0 });
            self.service.forget_retired(backend.key);
        }
    }

    /// The deadline of a drain may have passed.
    pub(super) fn on_drain_timer<D: Driver>(&mut self, io: &mut Io<'_, D>, key: BackendKey) {
        if let Some(backend) = self.service.find(key)
            && backend.take_drain_expired(io.now)
        {
            let in_flight = backend.in_flight();
            self.emit(io, ForwardEvent::BackendDrained { backend: key, in_flight });
        }
    }

    /// The shard ends: what it had in flight is over. Returns the back ends that are drained with that.
    pub(crate) fn end_with_shard(&self) -> Vec<BackendKey> {
        self.service.end_shard(self.shard);
        let children = self.service.children();
        children.iter().filter(|backend| backend.take_drained()).map(|backend| backend.key).collect()
    }
}
