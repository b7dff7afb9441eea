//! What the engine wants done.

use super::{Hub, Place, hand};
use crate::event::Event;
use crate::id::ChannelId;
use crate::output::{Output, Refusal};
use crate::wire::Frame;
use clustercore_proto::time::Instant;

impl Hub {
    pub(super) fn take_outputs(&mut self, now: Instant) {
        while let Some((channel, output)) = self.engine.poll_output() {
            self.https.stir(now, channel, &output, &mut self.engine, &self.config.access);
            self.on_output(now, channel, output);
        }
        self.take_deleted(now);
    }

    fn on_output(&mut self, now: Instant, channel: ChannelId, output: Output) {
        match output {
            Output::Persist { .. }
            | Output::Configured
            | Output::ConsumerKept { .. }
            | Output::ConsumerGone { .. } => self.persist(now, channel, output),
            Output::Confirmed { proxy, first, last } => {
                for (place, number, count) in self.suppliers.take((channel, proxy), (first, last)) {
                    self.tell(place, &Frame::Confirmed { handle: place.handle, first: number, count });
                }
            }
            Output::Lost { proxy, receipt, reason } => {
                for (place, number, _) in self.suppliers.take((channel, proxy), (receipt, receipt)) {
                    let refusal = Some(reason).into();
                    self.tell(place, &Frame::Lost { handle: place.handle, number, refusal });
                }
            }
            Output::Pull { proxy, max } => match self.suppliers.pulled.get(&(channel, proxy)).copied() {
                Some(place) => self.tell(place, &Frame::Wanted { handle: place.handle, max }),
                None => {
                    if let Some(machine) = self.engine.machine(channel) {
                        machine.pulled(now, proxy, &[]);
                    }
                }
            },
            Output::Readable { proxy } => {
                if let Some(place) = self.consumers.get(&(channel, proxy)).copied() {
                    if let Some(session) = self.session_mut(place.session) {
                        hand::readable(session, place.handle);
                    }
                    self.queue(place.session);
                }
            }
            Output::Hooked { proxy } => self.on_hooked(now, channel, proxy),
            Output::DeadLetter { event, tries, .. } => self.on_dead_letter(now, channel, &event, tries),
        }
    }

    fn tell(&mut self, place: Place, frame: &Frame<'_>) {
        if let Some(session) = self.session_mut(place.session) {
            session.put(frame);
        }
        self.queue(place.session);
    }

    /// Puts an event that was tried too often into the channel for such events, with where it was and how often it was tried.
    fn on_dead_letter(&mut self, now: Instant, channel: ChannelId, event: &Event, tries: u16) {
        self.stats.dead_letters += 1;
        let Some(target) = self.config.dead_letter_channel.as_ref().and_then(|name| self.engine.find(name))
        else {
            return;
        };
        if target == channel {
            return;
        }
        let Some(machine) = self.engine.machine(channel) else { return };
        let from = machine.name().clone();
        let builder = event.to_builder().field("deadchannel", from).field("deadtries", i64::from(tries));
        let limits = &self.config.limits;
        // An event that has no room for two more fields goes as it was.
        let event = builder.build(limits).unwrap_or_else(|_| event.clone());
        let proxy = self.engine.shared(target);
        if let (Some(proxy), Some(machine)) = (proxy, self.engine.machine(target)) {
            let pushed = machine.push(now, proxy, &[event]);
            debug_assert!(pushed.refusal != Some(Refusal::NoSuchProxy));
        }
    }

    /// What has outlived its time.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((_, id)) = self.strangers.pop_front_if(|(until, _)| *until <= now) {
            if self.session(id).is_some_and(|session| session.principal.is_none()) {
                self.violate(id, "nobody said who he is: say Hello at once");
            }
        }
        let mut lingering = std::mem::take(&mut self.lingering);
        lingering.retain(|(until, channel, proxy)| {
            if self.consumers.contains_key(&(*channel, *proxy)) {
                return false;
            }
            if *until <= now
                && let Some(machine) = self.engine.machine(*channel)
            {
                // It may be gone already.
                let _ = machine.remove_supplier_proxy(now, *proxy);
            }
            *until > now
        });
        self.lingering = lingering;
        let mut leaving = std::mem::take(&mut self.leaving);
        leaving.retain(|(channel, proxy)| {
            let Some(machine) = self.engine.machine(*channel) else { return false };
            let is_left = machine.buffer(*proxy).is_some_and(|(_, len, ..)| len > 0);
            if !is_left {
                let _ = machine.remove_consumer_proxy(now, *proxy);
            }
            is_left
        });
        self.leaving = leaving;
    }
}
