//! Questions about how it stands: a whole channel, and why a consumer gets nothing.

use super::ask::Answer;
use super::question::Question;
use super::{Hub, SessionId, groups, hooks};
use crate::channel::Reason;
use crate::engine::EngineError;
use crate::hook::Hook;
use crate::json::{
    Object, write_channel_config, write_channel_stats, write_consumer_proxy, write_intake_stats,
    write_queue_stats, write_reason, write_settings, write_supplier_proxy,
};
use crate::principal::Principal;
use clustercore_proto::time::Instant;

impl Hub {
    pub(super) fn why(
        &mut self,
        now: Instant,
        who: &Principal,
        id: SessionId,
        question: &Question<'_>,
    ) -> Answer {
        let (channel, proxy) = self.consumer(who, id, question)?;
        let machine = self.engine.machine(channel).ok_or(EngineError::NoSuchChannel)?;
        let reasons = machine.why(now, proxy).unwrap_or_default();
        let mut json = String::new();
        Object::write(&mut json, |object| {
            object.list("reasons", &reasons, |reason: &Reason, out| write_reason(reason, out));
            self.failure().into_iter().for_each(|why| object.text("failure", why));
            hooks::write_state(&self.hooks, now, (channel, proxy), object);
        });
        Ok(json)
    }

    /// Everything about a channel: configuration, counters, each consumer and each supplier.
    pub(super) fn describe(&mut self, now: Instant, who: &Principal, question: &Question<'_>) -> Answer {
        let id = self.channel(question)?;
        let failure = self.failure().cloned();
        let (consumers, hooks, is_durable) = (&self.consumers, &self.hooks, self.config.is_durable);
        let machine = self.engine.administer(who, id)?;
        let mut json = String::new();
        Object::write(&mut json, |object| {
            object.text("channel", machine.name());
            object.plain("is_durable", is_durable);
            failure.iter().for_each(|why| object.text("failure", why));
            object.plain("offset_next", machine.offset_next());
            object.plain("retained_from", machine.retained_from());
            object.object("config", |object| write_channel_config(machine.config(), object));
            object.object("stats", |object| write_channel_stats(&machine.stats(), object));
            groups::write_groups(machine, object);
            object.list("consumers", machine.supplier_proxies(), |(proxy, spec), out| {
                Object::write(out, |object| {
                    write_supplier_proxy(spec, object);
                    groups::name_of(machine, spec.group).iter().for_each(|name| object.text("group", name));
                    let is_granted = hooks.of(id, proxy).is_some_and(Hook::is_granted);
                    object.plain("is_connected", is_granted || consumers.contains_key(&(id, proxy)));
                    hooks::write_state(hooks, now, (id, proxy), object);
                    if let Some(position) = machine.position(proxy) {
                        object.plain("position", position);
                    }
                    if let Some((settings, len, bytes, stats)) = machine.queue(proxy) {
                        object.plain("queue_length", len);
                        object.plain("queue_bytes", bytes);
                        object.object("settings", |object| write_settings(&settings, object));
                        object.object("stats", |object| write_queue_stats(&stats, object));
                    }
                    let reasons = machine.why(now, proxy).unwrap_or_default();
                    object.list("why", &reasons, |reason: &Reason, out| write_reason(reason, out));
                });
            });
            object.list("suppliers", machine.consumer_proxies(), |(proxy, spec), out| {
                Object::write(out, |object| {
                    write_consumer_proxy(spec, object);
                    groups::name_of(machine, spec.group).iter().for_each(|name| object.text("group", name));
                    if let Some((_, len, bytes, stats)) = machine.buffer(proxy) {
                        object.plain("buffer_length", len);
                        object.plain("buffer_bytes", bytes);
                        object.object("stats", |object| write_intake_stats(&stats, object));
                    }
                });
            });
        });
        Ok(json)
    }
}
