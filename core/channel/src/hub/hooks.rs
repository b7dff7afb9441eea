//! Web hooks of a hub: each is bound to the proxy that was made for it, and goes with it.

use super::ask::{Answer, compile};
use super::question::{Question, members};
use super::trouble::Trouble;
use super::{Hub, Record};
use crate::channel::{Side, SupplierProxySpec};
use crate::engine::Engine;
use crate::hook::{Hook, HookConfig, HookTargets, Order, Settlement, State, Verdict, admit};
use crate::id::{ChannelId, SupplierProxyId};
use crate::json::{Object, patch_supplier_proxy};
use crate::principal::Principal;
use crate::slots::Slots;
use clustercore_proto::time::Instant;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// A web hook.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HookId {
    /// The place, used again and fit for indexing a side table.
    pub index: u32,
    /// Counts the uses of the place.
    pub generation: u32,
}

pub(super) struct Hooks {
    config: Arc<HookConfig>,
    all: Slots<Bound>,
    by_proxy: HashMap<(ChannelId, SupplierProxyId), u32>,
    orders: VecDeque<(HookId, Order)>,
    /// Those that were offered events since they were settled.
    offered: Vec<u32>,
}

struct Bound {
    hook: Hook,
    channel: ChannelId,
    proxy: SupplierProxyId,
}

impl Hooks {
    pub fn new(config: &HookConfig) -> Hooks {
        let config = Arc::new(config.clone());
        let (by_proxy, orders, offered) = (HashMap::new(), VecDeque::new(), Vec::new());
        Hooks { config, all: Slots::new(), by_proxy, orders, offered }
    }

    pub fn config(&self) -> &Arc<HookConfig> {
        &self.config
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        self.all.iter().filter_map(|(.., bound)| bound.hook.next_timeout()).min()
    }

    /// The hook of a proxy.
    pub fn of(&self, channel: ChannelId, proxy: SupplierProxyId) -> Option<&Hook> {
        self.by_proxy.get(&(channel, proxy)).map(|index| &self.all[*index].hook)
    }

    /// Offers a batch to its hook: how many events it took; `None`, there is none. What follows comes with [`Hub::settle_hooks`].
    pub fn give(
        &mut self,
        now: Instant,
        channel: ChannelId,
        batch: &crate::channel::Batch<'_>,
    ) -> Option<usize> {
        let index = *self.by_proxy.get(&(channel, batch.proxy))?;
        self.offered.push(index);
        let events: Vec<_> = batch.iter().collect();
        Some(self.all[index].hook.give(now, events.iter().copied()))
    }

    fn add(&mut self, now: Instant, engine: &mut Engine, channel: ChannelId, proxy: SupplierProxyId) {
        let spec = engine.machine(channel).and_then(|machine| machine.supplier_proxy(proxy)?.hook.clone());
        let Some(spec) = spec else { return };
        let hook = Hook::new(now, spec, Arc::clone(&self.config));
        let (index, _) = self.all.insert(Bound { hook, channel, proxy });
        self.by_proxy.insert((channel, proxy), index);
        self.settle(now, index, engine);
    }

    fn remove(&mut self, index: u32) {
        let Some(generation) = self.all.generation(index) else { return };
        let Some(mut bound) = self.all.remove(index) else { return };
        self.by_proxy.remove(&(bound.channel, bound.proxy));
        let id = HookId { index, generation };
        // A connection that the hook has ended already is closed by its own orders.
        while let Some(order) = bound.hook.poll_order() {
            self.orders.extend((order == Order::Close).then_some((id, order)));
        }
        if bound.hook.has_link() {
            self.orders.push_back((id, Order::Close));
        }
    }

    /// Tells the engine and the sockets what a hook wants done.
    fn settle(&mut self, now: Instant, index: u32, engine: &mut Engine) {
        let Some(generation) = self.all.generation(index) else { return };
        let Bound { hook, channel, proxy } = &mut self.all[index];
        let (channel, proxy) = (*channel, *proxy);
        while let Some(order) = hook.poll_order() {
            self.orders.push_back((HookId { index, generation }, order));
        }
        let is_gone = hook.state() == State::Gone;
        let (has_room, mut settlement) = (hook.poll_room(), hook.poll_settlement());
        if let Some(machine) = engine.machine(channel).filter(|_| is_gone || has_room || settlement.is_some())
        {
            while let Some(Settlement { delivery, verdict }) = settlement {
                // It may have timed out and be on its way again, or have gone without being waited for.
                let _ = match verdict {
                    Verdict::Taken => machine.acknowledge(now, proxy, delivery),
                    Verdict::Failed => machine.reject(now, proxy, delivery, false),
                    Verdict::Returned => machine.give_back(now, proxy, delivery),
                };
                settlement = self.all[index].hook.poll_settlement();
            }
            if has_room {
                machine.writable(proxy);
            }
            if is_gone {
                // It may be gone already.
                let _ = machine.remove_supplier_proxy(now, proxy);
            }
        }
        if is_gone {
            self.remove(index);
        }
    }

    fn index_of(&self, id: HookId) -> Option<u32> {
        (self.all.generation(id.index) == Some(id.generation)).then_some(id.index)
    }
}

impl Hub {
    /// Where web hooks that are made from now on may lead.
    pub fn set_hook_targets(&mut self, targets: HookTargets) {
        Arc::make_mut(&mut self.hooks.config).targets = targets;
        self.https.set_hooks(Arc::clone(&self.hooks.config));
    }

    /// Where they may.
    pub fn hook_targets(&self) -> &HookTargets {
        &self.hooks.config.targets
    }

    /// Something to do with the connection of a web hook, which may be gone itself. In order.
    pub fn poll_hook(&mut self) -> Option<(HookId, Order)> {
        self.hooks.orders.pop_front()
    }

    /// Its connection is made.
    pub fn hook_connected(&mut self, now: Instant, id: HookId) {
        self.with_hook(now, id, |hook| hook.connected(now));
    }

    /// Its connection could not be made, or has ended; why, for people.
    pub fn hook_lost(&mut self, now: Instant, id: HookId, why: &str) {
        self.with_hook(now, id, |hook| hook.lost(now, why));
    }

    /// Bytes have come on its connection.
    pub fn receive_hook(&mut self, now: Instant, id: HookId, bytes: &[u8]) {
        self.with_hook(now, id, |hook| hook.receive(now, bytes));
    }

    fn with_hook(&mut self, now: Instant, id: HookId, work: impl FnOnce(&mut Hook)) {
        if let Some(index) = self.hooks.index_of(id) {
            work(&mut self.hooks.all[index].hook);
            self.hooks.settle(now, index, &mut self.engine);
        }
    }

    pub(super) fn on_hooked(&mut self, now: Instant, channel: ChannelId, proxy: SupplierProxyId) {
        self.hooks.add(now, &mut self.engine, channel, proxy);
    }

    /// What hooks have to do by time; those whose proxies are gone go.
    pub(super) fn drive_hooks(&mut self, now: Instant) {
        if self.hooks.all.len() == 0 {
            return;
        }
        for index in self.hooks.all.indices() {
            let Bound { hook, channel, proxy } = &mut self.hooks.all[index];
            if !self.engine.has_consumer(*channel, *proxy) {
                self.hooks.remove(index);
                continue;
            }
            if hook.next_timeout().is_some_and(|at| at <= now) {
                hook.handle_timeout(now);
                self.hooks.settle(now, index, &mut self.engine);
            }
        }
    }

    /// What hooks have to do after they were offered events.
    pub(super) fn settle_hooks(&mut self, now: Instant) {
        for index in std::mem::take(&mut self.hooks.offered) {
            self.hooks.settle(now, index, &mut self.engine);
        }
    }

    /// Makes a consumer that is an address.
    pub(super) fn hook(&mut self, now: Instant, who: &Principal, question: &Question<'_>) -> Answer {
        let channel = self.channel(question)?;
        let filters = &self.filters;
        let spec = SupplierProxySpec { name: question.name.as_str().into(), ..SupplierProxySpec::default() };
        let mut spec = patch_supplier_proxy(spec, &members(question.spec)?, &|text| compile(filters, text))?;
        if spec.hook.is_none() {
            return Err(Trouble::missing(
                "hook, a member of spec, with url and perhaps mode, rate and token,",
            ));
        }
        spec.group = self.group_to_join(channel, Side::SupplierAdmin, question)?;
        if self.proxy_named(channel, &who.name, &question.name).is_some() {
            let message = format!("there is a consumer {:?} already: remove it first", question.name);
            return Err(Trouble::new("in_use", message));
        }
        admit(&self.engine, &self.hooks.config, &mut spec)?;
        let is_kept = spec.is_kept();
        let attached = self.engine.consume(who, channel)?.connect(now, spec)?;
        if is_kept {
            self.await_record(Record::Consumer(channel, attached.proxy));
        }
        let mut json = String::new();
        Object::write(&mut json, |object| object.plain("first", attached.first));
        Ok(json)
    }
}

/// What is said of the hook of a proxy, where it has one.
pub(super) fn write_state(
    hooks: &Hooks,
    now: Instant,
    (channel, proxy): (ChannelId, SupplierProxyId),
    object: &mut Object<'_>,
) {
    if let Some(hook) = hooks.of(channel, proxy) {
        object.object("hook_state", |object| hook.describe(now, object));
    }
}
