//! Questions of participants: a JSON object in, a JSON object out. What can be asked: docs/protocol/channel.md.

use super::question::{Question, members, read};
use super::session::{ConsumerHandle, SupplierHandle};
use super::trouble::Trouble;
use super::{Hub, Place, Record, SessionId};
use crate::channel::{ConsumerProxySpec, ManageError, Mode, Side, SupplierProxySpec};
use crate::engine::EngineError;
use crate::event::Text;
use crate::filter::FilterError;
use crate::id::{ChannelId, SupplierProxyId};
use crate::json::{
    Object, patch_consumer_proxy, patch_qos, patch_supplier_proxy, read_channel_config, write_settings,
    write_text,
};
use crate::predicate::Filter;
use crate::principal::Principal;
use crate::qos::{Level, Qos, Settings, validate};
use crate::wire::Frame;
use clustercore_proto::time::Instant;

pub(super) type Answer = Result<String, Trouble>;

impl Hub {
    pub(super) fn on_ask(&mut self, now: Instant, id: SessionId, request: u64, json: &str) {
        let answer = read(json).map_err(Trouble::from).and_then(|question| self.answer(now, id, &question));
        if answer.as_ref().is_ok_and(|json| self.keep_answer(id, request, json)) {
            return;
        }
        let is_done = answer.is_ok();
        let json = answer.unwrap_or_else(|trouble| {
            let mut json = String::new();
            Object::write(&mut json, |object| {
                object.text("error", trouble.error);
                object.text("message", &trouble.message);
            });
            json
        });
        if let Some(session) = self.session_mut(id) {
            session.put(&Frame::Answer { request, is_done, json: &json });
        }
        self.queue(id);
    }

    fn answer(&mut self, now: Instant, id: SessionId, question: &Question<'_>) -> Answer {
        let Some(who) = self.session(id).and_then(|it| it.principal.clone()) else {
            return Err(Trouble::new("denied", "say who you are first"));
        };
        match &*question.op {
            "ping" => Ok("{}".into()),
            "list" => Ok(self.list(&who)),
            "create" => self.create(&who, question),
            "delete" => self.delete(&who, question),
            "supply" => self.supply(&who, id, question),
            "consume" => self.consume(now, &who, id, question),
            "hook" => self.hook(now, &who, question),
            "close" => self.close(now, id, question),
            "set" => self.set(now, &who, id, question),
            "validate" => self.validate(&who, id, question),
            "suspend" | "resume" => self.suspend(&who, id, question),
            "remove" => self.remove(now, &who, id, question),
            "why" => self.why(now, &who, id, question),
            "create_group" => self.create_group(&who, question),
            "set_group" => self.set_group(now, &who, question),
            "suspend_group" | "resume_group" => self.suspend_group(&who, question),
            "remove_group" => self.remove_group(now, &who, question),
            "describe" => self.describe(now, &who, question),
            other => Err(Trouble::new("unknown_op", format!("op is {other:?}, possible are {OPS}"))),
        }
    }

    fn list(&mut self, who: &Principal) -> String {
        let mut json = String::new();
        Object::write(&mut json, |object| {
            object.list("channels", self.engine.list(who), |(_, name), out| write_text(name, out));
        });
        json
    }

    fn create(&mut self, who: &Principal, question: &Question<'_>) -> Answer {
        let name = question.channel.as_deref().ok_or_else(|| Trouble::missing("channel"))?;
        let config = read_channel_config(&members(question.config)?)?;
        let id = self.engine.create(who, name, config)?;
        self.await_record(Record::Channel(id));
        Ok("{}".into())
    }

    fn delete(&mut self, who: &Principal, question: &Question<'_>) -> Answer {
        let id = self.channel(question)?;
        self.engine.delete(who, id)?;
        self.await_record(Record::ChannelGone(id));
        self.forget_channel(id, "the channel was deleted");
        Ok("{}".into())
    }

    /// A channel is gone: those who are connected to it are told.
    pub(super) fn forget_channel(&mut self, id: ChannelId, message: &str) {
        let gone: Vec<Place> = self
            .consumers
            .iter()
            .filter(|((channel, _), _)| *channel == id)
            .map(|(_, place)| *place)
            .collect();
        self.consumers.retain(|(channel, _), _| *channel != id);
        self.suppliers.pulled.retain(|(channel, _), _| *channel != id);
        self.tell_gone(gone, message);
    }

    /// Consumers lose their proxies, and hear why.
    pub(super) fn tell_gone(&mut self, gone: Vec<Place>, message: &str) {
        for place in gone {
            if let Some(session) = self.session_mut(place.session) {
                session.consumers.remove(&place.handle);
                session.put(&Frame::Gone { handle: place.handle, message });
            }
            self.queue(place.session);
        }
    }

    fn supply(&mut self, who: &Principal, id: SessionId, question: &Question<'_>) -> Answer {
        let channel = self.channel(question)?;
        let handle = self.new_handle(id, question)?;
        let spec = ConsumerProxySpec { name: question.name.as_str().into(), ..ConsumerProxySpec::default() };
        let filters = &self.filters;
        let mut spec = patch_consumer_proxy(spec, &members(question.spec)?, &|text| compile(filters, text))?;
        spec.group = self.group_to_join(channel, Side::ConsumerAdmin, question)?;
        if spec.group.is_some() && question.spec.is_none() {
            let message = "the shared proxy is in no group: supply with a spec to have your own";
            return Err(Trouble::new("shared", message));
        }
        let (is_own, is_pulled) = (question.spec.is_some(), spec.mode == Mode::Pull);
        let mut face = self.engine.emit(who, channel)?;
        let proxy = if is_own { face.connect(spec)? } else { face.shared() };
        if is_pulled {
            self.suppliers.pulled.insert((channel, proxy), Place { session: id, handle });
        }
        let (is_patient, next) = (!question.is_hasty, question.first);
        let supplier =
            SupplierHandle { channel, proxy, is_own, is_pulled, next, is_patient, may_skip: false };
        if let Some(session) = self.session_mut(id) {
            session.suppliers.insert(handle, supplier);
        }
        Ok("{}".into())
    }

    fn consume(&mut self, now: Instant, who: &Principal, id: SessionId, question: &Question<'_>) -> Answer {
        let channel = self.channel(question)?;
        let handle = self.new_handle(id, question)?;
        let filters = &self.filters;
        let spec = SupplierProxySpec { name: question.name.as_str().into(), ..SupplierProxySpec::default() };
        let mut spec = patch_supplier_proxy(spec, &members(question.spec)?, &|text| compile(filters, text))?;
        spec.group = self.group_to_join(channel, Side::SupplierAdmin, question)?;
        if spec.hook.is_some() {
            return Err(Trouble::new("hook", "an address consumes by itself: ask by op hook"));
        }
        let known = (!question.name.is_empty())
            .then(|| self.proxy_named(channel, &who.name, &question.name))
            .flatten();
        let (proxy, first) = match known {
            Some(proxy) if self.consumers.contains_key(&(channel, proxy)) => {
                let message = format!("consumer {:?} is connected already: close it there", question.name);
                return Err(Trouble::new("in_use", message));
            }
            Some(proxy) if self.is_hook(channel, proxy) => {
                let message = format!("consumer {:?} is a web hook: remove it first", question.name);
                return Err(Trouble::new("in_use", message));
            }
            Some(proxy) => {
                self.lingering.retain(|(_, at, it)| (*at, *it) != (channel, proxy));
                let machine = self.engine.machine(channel).ok_or(EngineError::NoSuchChannel)?;
                machine.set_connected(now, proxy, true).map_err(EngineError::from)?;
                (proxy, None)
            }
            None => {
                let attached = self.engine.consume(who, channel)?.connect(now, spec)?;
                (attached.proxy, Some(attached.first))
            }
        };
        self.consumers.insert((channel, proxy), Place { session: id, handle });
        if let Some(session) = self.session_mut(id) {
            session.consumers.insert(handle, ConsumerHandle { channel, proxy });
        }
        let machine = self.engine.machine(channel);
        let is_kept = machine.and_then(|it| it.supplier_proxy(proxy)).is_some_and(SupplierProxySpec::is_kept);
        if first.is_some() && is_kept {
            self.await_record(Record::Consumer(channel, proxy));
        }
        let mut json = String::new();
        Object::write(&mut json, |object| {
            object.plain("is_new", first.is_some());
            first.into_iter().for_each(|first| object.plain("first", first));
        });
        Ok(json)
    }

    fn close(&mut self, now: Instant, id: SessionId, question: &Question<'_>) -> Answer {
        let handle = question.handle.ok_or_else(|| Trouble::missing("handle"))?;
        let session = self.session_mut(id);
        let (consumer, supplier) =
            session.map_or((None, None), |it| (it.consumers.remove(&handle), it.suppliers.remove(&handle)));
        if let Some(consumer) = &consumer {
            self.consumers.remove(&(consumer.channel, consumer.proxy));
            if let Some(machine) = self.engine.machine(consumer.channel) {
                // It may be gone already.
                let _ = machine.remove_supplier_proxy(now, consumer.proxy);
            }
        }
        if let Some(supplier) = &supplier {
            self.release(now, supplier);
        }
        match (consumer, supplier) {
            (None, None) => Err(Trouble::no_handle(handle)),
            _ => Ok("{}".into()),
        }
    }

    /// Changes quality of service and filter: of one's own proxy, of a consumer by its name, or of the channel.
    fn set(&mut self, now: Instant, who: &Principal, id: SessionId, question: &Question<'_>) -> Answer {
        let supplier = question.handle.and_then(|handle| self.session(id)?.suppliers.get(&handle));
        if let Some(supplier) = supplier {
            let (channel, proxy, is_own) = (supplier.channel, supplier.proxy, supplier.is_own);
            if !is_own {
                return Err(Trouble::new(
                    "shared",
                    "the proxy is shared: supply with a spec to have your own",
                ));
            }
            let machine = self.engine.machine(channel).ok_or(EngineError::NoSuchChannel)?;
            let old = machine.consumer_proxy(proxy).map_or_else(Qos::default, |spec| spec.qos);
            machine.set_consumer_proxy_qos(now, proxy, patch_qos(old, &members(question.qos)?)?)?;
            return Ok("{}".into());
        }
        if question.handle.is_none() && question.consumer.is_none() {
            let channel = self.channel(question)?;
            let machine = self.engine.administer(who, channel)?;
            let qos = patch_qos(machine.config().qos, &members(question.qos)?)?;
            machine.set_qos(now, qos)?;
            return Ok("{}".into());
        }
        let (channel, proxy) = self.consumer(who, id, question)?;
        let filter = match &question.filter {
            None => None,
            Some(None) => Some(None),
            Some(Some(text)) => Some(Some(compile(&self.filters, text).map_err(Trouble::filter)?)),
        };
        let machine = self.engine.machine(channel).ok_or(EngineError::NoSuchChannel)?;
        if question.qos.is_some() {
            let old = machine.supplier_proxy(proxy).map_or_else(Qos::default, |spec| spec.qos);
            machine.set_supplier_proxy_qos(now, proxy, patch_qos(old, &members(question.qos)?)?)?;
        }
        if let Some(filter) = filter {
            machine.set_filter(now, proxy, filter)?;
        }
        Ok("{}".into())
    }

    /// Says what would hold, and sets nothing.
    fn validate(&mut self, who: &Principal, id: SessionId, question: &Question<'_>) -> Answer {
        if let Some(Some(text)) = &question.filter {
            compile(&self.filters, text).map_err(Trouble::filter)?;
        }
        let channel = match question.handle {
            Some(_) => self.consumer(who, id, question)?.0,
            None => self.channel(question)?,
        };
        let machine = self.engine.machine(channel).ok_or(EngineError::NoSuchChannel)?;
        let wider = Settings::default().narrowed(&machine.config().qos);
        let qos = patch_qos(Qos::default(), &members(question.qos)?)?;
        let settings = validate(Level::Proxy, &wider, &qos).map_err(ManageError::from)?;
        let mut json = String::new();
        Object::write(&mut json, |object| write_settings(&settings, object));
        Ok(json)
    }

    fn suspend(&mut self, who: &Principal, id: SessionId, question: &Question<'_>) -> Answer {
        let (channel, proxy) = self.consumer(who, id, question)?;
        let machine = self.engine.machine(channel).ok_or(EngineError::NoSuchChannel)?;
        machine.suspend_supplier_proxy(proxy, question.op == "suspend")?;
        Ok("{}".into())
    }

    fn remove(&mut self, now: Instant, who: &Principal, id: SessionId, question: &Question<'_>) -> Answer {
        let (channel, proxy) = self.consumer(who, id, question)?;
        let machine = self.engine.machine(channel).ok_or(EngineError::NoSuchChannel)?;
        machine.remove_supplier_proxy(now, proxy)?;
        let gone = self.consumers.remove(&(channel, proxy));
        self.tell_gone(gone.into_iter().collect(), "the proxy was removed");
        Ok("{}".into())
    }

    pub(super) fn channel(&self, question: &Question<'_>) -> Result<ChannelId, Trouble> {
        match &question.channel {
            None => Ok(self.engine.default_channel()),
            Some(name) => self.engine.find(name).ok_or_else(|| {
                Trouble::new("no_such_channel", format!("there is no channel {name:?}: list them"))
            }),
        }
    }

    /// The consumer that is meant: by one's own handle, or by its name, which needs the right to administer where it is another's.
    pub(super) fn consumer(
        &mut self,
        who: &Principal,
        id: SessionId,
        question: &Question<'_>,
    ) -> Result<(ChannelId, SupplierProxyId), Trouble> {
        if let Some(handle) = question.handle {
            let consumer = self.session(id).and_then(|it| it.consumers.get(&handle));
            return consumer.map(|it| (it.channel, it.proxy)).ok_or_else(|| Trouble::no_handle(handle));
        }
        let name = question.consumer.as_deref().ok_or_else(|| Trouble::missing("handle or consumer"))?;
        let channel = self.channel(question)?;
        if let Some(own) = self.proxy_named(channel, &who.name, name) {
            return Ok((channel, own));
        }
        let machine = self.engine.administer(who, channel)?;
        let found = machine.supplier_proxies().find(|(_, spec)| &*spec.name == name);
        let found = found.map(|(proxy, _)| (channel, proxy));
        found.ok_or_else(|| Trouble::new("no_such_proxy", format!("there is no consumer {name:?}")))
    }

    fn is_hook(&mut self, channel: ChannelId, proxy: SupplierProxyId) -> bool {
        let machine = self.engine.machine(channel);
        machine.and_then(|machine| machine.supplier_proxy(proxy)).is_some_and(|spec| spec.hook.is_some())
    }

    pub(super) fn proxy_named(
        &mut self,
        channel: ChannelId,
        owner: &Text,
        name: &str,
    ) -> Option<SupplierProxyId> {
        let machine = self.engine.machine(channel)?;
        let mut all = machine.supplier_proxies();
        all.find(|(_, spec)| &*spec.name == name && spec.owner == *owner).map(|(proxy, _)| proxy)
    }

    fn new_handle(&self, id: SessionId, question: &Question<'_>) -> Result<u64, Trouble> {
        let handle = question.handle.ok_or_else(|| Trouble::missing("handle"))?;
        let session = self.session(id).ok_or_else(|| Trouble::no_handle(handle))?;
        if session.suppliers.contains_key(&handle) || session.consumers.contains_key(&handle) {
            return Err(Trouble::new("in_use", format!("handle {handle} is in use: choose another")));
        }
        let (len, max) = (session.suppliers.len() + session.consumers.len(), self.config.handles_max);
        if len >= max as usize {
            return Err(Trouble::new(
                "too_many",
                format!("this connection has {len} proxies, limit is {max}"),
            ));
        }
        Ok(handle)
    }
}

pub(super) fn compile(filters: &crate::filter::Filters, text: &str) -> Result<Filter, FilterError> {
    filters.compile(text).map(|filter| filter as Filter)
}

const OPS: &str = "ping list create delete supply consume hook close set validate suspend resume remove why create_group set_group suspend_group resume_group remove_group describe";
