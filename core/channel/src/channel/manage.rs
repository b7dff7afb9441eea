//! Proxies are made, changed, suspended and removed while events flow.

use super::proxy::{ConsumerProxySpec, Intake, Outlet, SupplierProxySpec};
use super::{Channel, Side, Verdict};
use crate::delivery::{Chain, NONE};
use crate::event::Text;
use crate::id::{ConsumerProxyId, GroupId, SupplierProxyId};
use crate::output::{Output, Refusal};
use crate::predicate::{Change, Filter, Mapping};
use crate::qos::{Discard, Level, Qos, QosError, Settings, validate};
use crate::queue::{Queue, Victim, is_plain};
use crate::scheduler::Discipline;
use crate::stats::{IntakeStats, QueueStats};
use clustercore_proto::time::Instant;
use std::fmt;

/// Why something cannot be made or changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ManageError {
    /// No such proxy, or it was removed.
    NoSuchProxy,
    /// No such group, or it belongs to the other admin.
    NoSuchGroup,
    /// There are as many as there may be.
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        max: u32,
    },
    /// The quality of service cannot be set.
    Qos(QosError),
    /// A later member of a consumer group wants something else than the group.
    GroupDiffers {
        /// What.
        what: &'static str,
    },
    /// There is no retention to begin in.
    NoRetention,
}

/// A consumer's beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attached {
    /// Its proxy.
    pub proxy: SupplierProxyId,
    /// The first place in the channel's order that it gets; later than asked for when the retention does not go back so far.
    pub first: u64,
}

impl From<QosError> for ManageError {
    fn from(error: QosError) -> ManageError {
        ManageError::Qos(error)
    }
}

impl fmt::Display for ManageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ManageError::NoSuchProxy => write!(f, "there is no such proxy (any more)"),
            ManageError::NoSuchGroup => write!(f, "this admin has no such group"),
            ManageError::TooMany { what, max } => write!(f, "there are {max} {what}, the limit: remove some"),
            ManageError::Qos(error) => write!(f, "quality of service: {error}"),
            ManageError::GroupDiffers { what } => {
                write!(f, "the consumer group has another {what}: join with the same or with none")
            }
            ManageError::NoRetention => write!(f, "the channel keeps nothing for replay: begin with now"),
        }
    }
}

impl std::error::Error for ManageError {}

impl Channel {
    pub(super) fn base(&self, side: Side) -> Settings {
        if side == Side::ConsumerAdmin { Intake::base() } else { Settings::default() }
    }

    fn check_group(&self, group: Option<GroupId>, side: Side) -> Result<Option<u32>, ManageError> {
        let Some(id) = group else { return Ok(None) };
        let group = self.group(id).filter(|group| group.spec.side == side);
        group.map(|_| Some(id.index)).ok_or(ManageError::NoSuchGroup)
    }

    /// Makes a proxy for a supplier, or one that suppliers share.
    ///
    /// Errors: `TooMany`, `NoSuchGroup`, `Qos`.
    pub fn create_consumer_proxy(&mut self, spec: ConsumerProxySpec) -> Result<ConsumerProxyId, ManageError> {
        let max = self.config.suppliers_max;
        if self.intakes.len() as u64 >= u64::from(max) {
            return Err(ManageError::TooMany { what: "consumer proxies", max });
        }
        let group = self.check_group(spec.group, Side::ConsumerAdmin)?;
        let wider = self.settings(Intake::base(), group, &Qos::default());
        let settings = validate(Level::Proxy, &wider, &spec.qos)?;
        let filter = spec.filter.as_ref().map(|filter| self.routes.add_filter(filter));
        let mappings = self.add_mappings(&spec.mappings);
        let intake = Intake { filter, mappings, ..Intake::new(spec, settings) };
        let (index, generation) = self.intakes.insert(intake);
        self.ask(index);
        Ok((index, generation).into())
    }

    /// Makes a proxy for a consumer.
    ///
    /// Errors: `TooMany`, `NoSuchGroup`, `Qos`, `GroupDiffers`, `NoRetention`.
    pub fn create_supplier_proxy(
        &mut self,
        now: Instant,
        spec: SupplierProxySpec,
    ) -> Result<Attached, ManageError> {
        self.handle_timeout(now);
        let max = self.config.consumers_max;
        if self.outlets.len() as u64 >= u64::from(max) {
            return Err(ManageError::TooMany { what: "supplier proxies", max });
        }
        let group = self.check_group(spec.group, Side::SupplierAdmin)?;
        let settings =
            validate(Level::Proxy, &self.settings(Settings::default(), group, &Qos::default()), &spec.qos)?;
        let from = self.start_at(spec.start);
        if from.is_some() && self.config.retention_events_max == 0 && !self.is_restoring {
            return Err(ManageError::NoRetention);
        }
        let is_hook = spec.hook.is_some();
        if let Some(queue) = self.queue_of_group(&spec)? {
            // What the group wants is what each member wants, also when the first has gone.
            let SupplierProxySpec { types, filter, qos, mappings, .. } =
                self.outlets[self.queues[queue].members[0]].spec.clone();
            let spec = SupplierProxySpec { types, filter, qos, mappings, ..spec };
            let (index, generation) = self.outlets.insert(Outlet::new(spec, queue));
            self.queues[queue].members.push(index);
            self.outlets[index].rejections_before = self.routes.rejections(self.queues[queue].route);
            self.wake_outlet(index);
            self.tell_kept(index);
            self.tell_hook((index, generation).into(), is_hook);
            return Ok(Attached { proxy: (index, generation).into(), first: self.offset_next });
        }
        let mappings = self.add_mappings(&spec.mappings);
        let mut made = Queue::new(settings, mappings);
        (made.cursor, made.is_durable) = (from, spec.is_durable);
        let (queue, _) = self.queues.insert(made);
        let filter = group.and_then(|group| self.groups[group].spec.filter.clone());
        let route = self.routes.join(queue, &spec.types, [filter.as_ref(), spec.filter.as_ref()]);
        let (index, generation) = self.outlets.insert(Outlet::new(spec, queue));
        self.queues[queue].route = route;
        self.queues[queue].members.push(index);
        self.outlets[index].rejections_before = self.routes.rejections(route);
        self.tell_kept(index);
        let first = from.map_or(self.offset_next, |from| from.max(self.retained_from()));
        if from.is_some() {
            self.replaying.push(queue);
            self.refill(now);
        }
        self.tell_hook((index, generation).into(), is_hook);
        Ok(Attached { proxy: (index, generation).into(), first })
    }

    /// Whoever keeps channels on disk is to keep what this consumer asks for.
    fn tell_kept(&mut self, index: u32) {
        if self.outlets[index].spec.is_kept() {
            let proxy = self.outlet_id(index);
            self.outputs.push_back(Output::ConsumerKept { proxy });
        }
    }

    fn tell_hook(&mut self, proxy: SupplierProxyId, is_hook: bool) {
        if is_hook {
            self.outputs.push_back(Output::Hooked { proxy });
        }
    }

    fn queue_of_group(&self, spec: &SupplierProxySpec) -> Result<Option<u32>, ManageError> {
        let Some(name) = &spec.consumer_group else { return Ok(None) };
        let mut outlets = self.outlets.iter();
        let Some((_, _, first)) = outlets.find(|(.., it)| it.spec.consumer_group.as_ref() == Some(name))
        else {
            return Ok(None);
        };
        let text = |filter: &Option<Filter>| filter.as_ref().map(|it| Text::from(it.text()));
        let what = if spec.filter.is_some() && text(&spec.filter) != text(&first.spec.filter) {
            "filter"
        } else if !spec.types.is_empty() && spec.types != first.spec.types {
            "list of types"
        } else if spec.qos != Qos::default() && spec.qos != first.spec.qos {
            "quality of service"
        } else if spec.group != first.spec.group {
            "group"
        } else {
            return Ok(Some(first.queue));
        };
        Err(ManageError::GroupDiffers { what })
    }

    fn add_mappings(&mut self, mappings: &[Mapping]) -> Box<[(u32, Change)]> {
        mappings.iter().map(|it| (self.routes.add_filter(&it.filter), it.change)).collect()
    }

    fn check_supplier(&self, id: SupplierProxyId) -> Result<(), ManageError> {
        let is_there = self.outlets.generation(id.index) == Some(id.generation);
        if is_there { Ok(()) } else { Err(ManageError::NoSuchProxy) }
    }

    fn check_consumer(&self, id: ConsumerProxyId) -> Result<(), ManageError> {
        let is_there = self.intakes.generation(id.index) == Some(id.generation);
        if is_there { Ok(()) } else { Err(ManageError::NoSuchProxy) }
    }

    /// Removes a supplier's proxy with what is in its buffer; what was to be confirmed is told to be lost.
    ///
    /// Errors: `NoSuchProxy`.
    pub fn remove_consumer_proxy(&mut self, now: Instant, id: ConsumerProxyId) -> Result<(), ManageError> {
        self.handle_timeout(now);
        self.check_consumer(id)?;
        while !self.intakes[id.index].buffer.is_empty() {
            let arrival = self.take_arrival(id.index, 0);
            if arrival.is_persistent {
                self.seen.close(&arrival.event, false);
                self.lose(id.index, arrival.receipt, Refusal::NoSuchProxy);
            }
        }
        self.unstall_intake(id.index);
        let intake = self.intakes.remove(id.index).expect("checked");
        self.timers.cancel(intake.timer);
        let mappings = intake.mappings.iter().map(|(filter, _)| *filter);
        intake.filter.into_iter().chain(mappings).for_each(|filter| self.routes.remove_filter(filter));
        Ok(())
    }

    /// Removes a consumer's proxy; with the last of its consumer group goes the queue.
    ///
    /// Errors: `NoSuchProxy`.
    pub fn remove_supplier_proxy(&mut self, now: Instant, id: SupplierProxyId) -> Result<(), ManageError> {
        self.set_connected(now, id, false)?;
        let outlet = self.outlets.remove(id.index).expect("checked");
        if outlet.spec.is_kept() {
            self.outputs.push_back(Output::ConsumerGone { proxy: id });
        }
        self.timers.cancel(outlet.timer);
        let queue = outlet.queue;
        self.queues[queue].members.retain(|it| *it != id.index);
        if !self.queues[queue].members.is_empty() {
            return Ok(());
        }
        self.clear(now, queue);
        self.unstall(queue);
        let removed = self.queues.remove(queue).expect("it had a member");
        self.replaying.retain(|it| *it != queue);
        self.routes.leave(queue, removed.route);
        removed.mappings.iter().for_each(|(filter, _)| self.routes.remove_filter(*filter));
        Ok(())
    }

    fn clear(&mut self, now: Instant, queue: u32) {
        self.leave_lane(queue);
        loop {
            let place = &self.queues[queue];
            let heads = [place.age.head, place.unwritten.head, place.urgent.head];
            let Some(head) = heads.into_iter().find(|head| *head != NONE) else { break };
            self.settle(now, head, Verdict::Dropped);
        }
        while let Some(plain) = self.queues[queue].plain.pop_front() {
            self.settle_plain(queue, plain, Verdict::Dropped);
        }
    }

    /// A consumer's connection comes or goes. When it goes, what it has not acknowledged waits for the next try at once.
    ///
    /// Errors: `NoSuchProxy`.
    pub fn set_connected(
        &mut self,
        now: Instant,
        id: SupplierProxyId,
        is_connected: bool,
    ) -> Result<(), ManageError> {
        self.handle_timeout(now);
        self.check_supplier(id)?;
        let outlet = &mut self.outlets[id.index];
        (outlet.is_connected, outlet.is_blocked, outlet.is_waiting) = (is_connected, false, false);
        if is_connected {
            self.resume_outlet(id.index);
            return Ok(());
        }
        while self.outlets[id.index].flight.head != NONE {
            let delivery = self.outlets[id.index].flight.head;
            self.put_into_queue(now, delivery);
        }
        self.refill(now);
        Ok(())
    }

    /// A supplier's connection comes or goes: matters to those that are pulled.
    ///
    /// Errors: `NoSuchProxy`.
    pub fn set_supplier_connected(
        &mut self,
        id: ConsumerProxyId,
        is_connected: bool,
    ) -> Result<(), ManageError> {
        self.check_consumer(id)?;
        let intake = &mut self.intakes[id.index];
        (intake.is_connected, intake.is_asked) = (is_connected, false);
        self.ask(id.index);
        Ok(())
    }

    /// Suspends or resumes a supplier: suspended, it is refused, and its buffer rests.
    ///
    /// Errors: `NoSuchProxy`.
    pub fn suspend_consumer_proxy(&mut self, id: ConsumerProxyId, is: bool) -> Result<(), ManageError> {
        self.check_consumer(id)?;
        self.intakes[id.index].is_suspended = is;
        self.resume_intake(id.index);
        Ok(())
    }

    /// Suspends or resumes a consumer: suspended, it gets nothing, and its queue fills.
    ///
    /// Errors: `NoSuchProxy`.
    pub fn suspend_supplier_proxy(&mut self, id: SupplierProxyId, is: bool) -> Result<(), ManageError> {
        self.check_supplier(id)?;
        self.outlets[id.index].is_suspended = is;
        self.resume_outlet(id.index);
        Ok(())
    }

    pub(super) fn resume_intake(&mut self, index: u32) {
        if !self.is_intake_suspended(index) {
            self.queue_intake(index);
            self.ask(index);
        }
    }

    pub(super) fn resume_outlet(&mut self, index: u32) {
        self.wake_outlet(index);
        let queue = self.outlets[index].queue;
        if !self.queues[queue].urgent.is_empty() {
            self.wake_urgently(queue);
        }
    }

    /// Changes the quality of service of the whole channel.
    ///
    /// Errors: `Qos`; nothing is changed then.
    pub fn set_qos(&mut self, now: Instant, qos: Qos) -> Result<(), ManageError> {
        validate(Level::Channel, &Settings::default(), &qos)?;
        self.config.qos = qos;
        self.outputs.push_back(Output::Configured);
        self.reset_all(now);
        Ok(())
    }

    /// Changes the quality of service of a consumer (of its consumer group, where it has one).
    ///
    /// Errors: `NoSuchProxy`, `Qos`; nothing is changed then.
    pub fn set_supplier_proxy_qos(
        &mut self,
        now: Instant,
        id: SupplierProxyId,
        qos: Qos,
    ) -> Result<(), ManageError> {
        self.check_supplier(id)?;
        let group = self.outlets[id.index].spec.group.map(|group| group.index);
        validate(Level::Proxy, &self.settings(Settings::default(), group, &Qos::default()), &qos)?;
        let queue = self.outlets[id.index].queue;
        for member in self.queues[queue].members.clone() {
            self.outlets[member].spec.qos = qos;
            self.tell_kept(member);
        }
        self.handle_timeout(now);
        self.reset_queue(now, queue);
        // What could not give way at an earlier change may now.
        self.shrink(now, queue);
        self.refill(now);
        Ok(())
    }

    /// Changes the quality of service of a supplier.
    ///
    /// Errors: `NoSuchProxy`, `Qos`; nothing is changed then.
    pub fn set_consumer_proxy_qos(
        &mut self,
        now: Instant,
        id: ConsumerProxyId,
        qos: Qos,
    ) -> Result<(), ManageError> {
        self.check_consumer(id)?;
        let group = self.intakes[id.index].spec.group.map(|group| group.index);
        validate(Level::Proxy, &self.settings(Intake::base(), group, &Qos::default()), &qos)?;
        self.intakes[id.index].spec.qos = qos;
        self.handle_timeout(now);
        self.reset_intake(id.index);
        Ok(())
    }

    /// Changes the filter of a consumer (of its consumer group). What is queued already stays.
    ///
    /// Errors: `NoSuchProxy`.
    pub fn set_filter(
        &mut self,
        now: Instant,
        id: SupplierProxyId,
        filter: Option<Filter>,
    ) -> Result<(), ManageError> {
        self.check_supplier(id)?;
        let queue = self.outlets[id.index].queue;
        for member in self.queues[queue].members.clone() {
            self.outlets[member].spec.filter = filter.clone();
            self.tell_kept(member);
        }
        self.handle_timeout(now);
        self.reset_queue(now, queue);
        self.refill(now);
        Ok(())
    }

    /// Changes how turns are given to suppliers and to consumers.
    pub fn set_turns(&mut self, suppliers: Discipline, consumers: Discipline) {
        (self.config.supplier_turns, self.config.consumer_turns) = (suppliers, consumers);
        self.intake_turns.set(suppliers);
        self.outlet_turns.set(consumers);
        self.outputs.push_back(Output::Configured);
    }

    /// Applies what the levels say now to everybody.
    fn reset_all(&mut self, now: Instant) {
        self.handle_timeout(now);
        self.intakes.indices().into_iter().for_each(|index| self.reset_intake(index));
        // All at once, rather than one by one below.
        self.lanes.indices().into_iter().for_each(|lane| self.dissolve(lane, &mut Vec::new()));
        self.queues.indices().into_iter().for_each(|queue| self.reset_queue(now, queue));
        self.refill(now);
    }

    /// Applies what the levels say now to a supplier.
    pub(super) fn reset_intake(&mut self, index: u32) {
        let spec = &self.intakes[index].spec;
        let settings = self.settings(Intake::base(), spec.group.map(|group| group.index), &spec.qos);
        self.intakes[index].settings = settings;
        self.ask(index);
    }

    /// Applies what the levels say now to the queue of a consumer or consumer group: settings and route are changed where they
    /// differ.
    pub(super) fn reset_queue(&mut self, now: Instant, queue: u32) {
        self.leave_lane(queue);
        let spec = self.outlets[self.queues[queue].members[0]].spec.clone();
        let group = spec.group.map(|group| group.index);
        let settings = self.settings(Settings::default(), group, &spec.qos);
        let filter = group.and_then(|group| self.groups[group].spec.filter.clone());
        let old = self.queues[queue].route;
        let route = self.routes.join(queue, &spec.types, [filter.as_ref(), spec.filter.as_ref()]);
        self.routes.leave_once(queue, old);
        if route != old {
            self.unstall(queue);
            self.queues[queue].route = route;
            for member in self.queues[queue].members.clone() {
                self.outlets[member].rejections_before = self.routes.rejections(route);
            }
        }
        if settings != self.queues[queue].settings {
            let Settings { order, discard, acknowledgement, .. } = settings;
            if !is_plain(order, discard, acknowledgement) {
                self.leave_plain(queue);
            }
            self.queues[queue].set(&mut self.deliveries, settings);
            self.shrink(now, queue);
            self.unstall(queue);
            self.wake(queue);
        }
    }

    /// Smaller bounds hold at once, as far as something may give way.
    fn shrink(&mut self, now: Instant, queue: u32) {
        loop {
            let place = &self.queues[queue];
            let Settings { length_max, bytes_max, .. } = place.settings;
            if place.len <= length_max && place.bytes <= bytes_max {
                return;
            }
            let victim = match place.settings.discard {
                Discard::Newest => place.newest(&self.deliveries),
                _ => place.victim(&self.deliveries, u8::MAX),
            };
            let Some(victim) = victim else { return };
            if place.settings.discard == Discard::Newest && victim == Victim::Plain {
                let plain = self.queues[queue].plain.pop_back().expect("chosen just now");
                self.settle_plain(queue, plain, Verdict::Discarded);
            } else {
                self.discard(now, queue, victim);
            }
        }
    }

    /// The specification of a consumer proxy.
    pub fn consumer_proxy(&self, id: ConsumerProxyId) -> Option<&ConsumerProxySpec> {
        self.check_consumer(id).ok().map(|()| &self.intakes[id.index].spec)
    }

    /// The specification of a supplier proxy.
    pub fn supplier_proxy(&self, id: SupplierProxyId) -> Option<&SupplierProxySpec> {
        self.check_supplier(id).ok().map(|()| &self.outlets[id.index].spec)
    }

    /// Ids and specifications of all supplier proxies.
    pub fn supplier_proxies(&self) -> impl Iterator<Item = (SupplierProxyId, &SupplierProxySpec)> {
        self.outlets.iter().map(|(index, generation, it)| ((index, generation).into(), &it.spec))
    }

    /// Ids and specifications of all consumer proxies.
    pub fn consumer_proxies(&self) -> impl Iterator<Item = (ConsumerProxyId, &ConsumerProxySpec)> {
        self.intakes.iter().map(|(index, generation, it)| ((index, generation).into(), &it.spec))
    }

    /// What holds for a consumer's queue, what it holds (events and bytes), and what was counted.
    pub fn queue(&self, id: SupplierProxyId) -> Option<(Settings, u32, u64, QueueStats)> {
        self.check_supplier(id).ok()?;
        let queue = &self.queues[self.outlets[id.index].queue];
        let (len, bytes) = self.held(queue);
        let mut stats = queue.stats;
        // What is in a lane is counted when it is read.
        stats.queued += u64::from(len - queue.len);
        Some((queue.settings, len, bytes, stats))
    }

    /// The same of a supplier's buffer.
    pub fn buffer(&self, id: ConsumerProxyId) -> Option<(Settings, u32, u64, IntakeStats)> {
        self.check_consumer(id).ok()?;
        let intake = &self.intakes[id.index];
        Some((intake.settings, intake.buffer.len() as u32, intake.bytes, intake.stats))
    }

    pub(super) fn flight_len(&self, index: u32) -> usize {
        self.outlets[index].flight.iter(&self.deliveries, Chain::Turn).count()
    }
}
