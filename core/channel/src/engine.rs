//! The channels of a server, and the faces through which people reach them.
//!
//! A server starts with a default channel; others come and go while it runs. Nobody reaches a channel but through a face
//! that his rights open: [`Emit`], [`Consume`], [`Engine::administer`]. A proxy belongs to the name that made it; others, but for
//! administrators, are told that there is no such proxy. Suppliers and consumers who need nothing special share the
//! default push proxies that each channel has.

use crate::channel::{Attached, Batch, Channel, ChannelConfig, ConsumerProxySpec, ManageError, Mode};
use crate::channel::{Reason, SettleError, SupplierProxySpec};
use crate::event::{Event, Text};
use crate::id::{ChannelId, ConsumerProxyId, DeliveryId, SupplierProxyId};
use crate::output::{Output, Pushed, Refusal};
use crate::principal::{Denied, Principal, Right};
use crate::slots::Slots;
use clustercore_proto::time::Instant;
use std::collections::{BTreeSet, VecDeque};
use std::fmt;

/// What an engine is made with.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Channels at most, the default one included.
    pub channels_max: u32,
    /// Name of the default channel.
    pub default_name: Text,
    /// What the default channel is made with.
    pub default_channel: ChannelConfig,
}

impl Default for EngineConfig {
    fn default() -> EngineConfig {
        let default_channel = ChannelConfig::default();
        EngineConfig { channels_max: 256, default_name: "default".into(), default_channel }
    }
}

/// Why a channel cannot be reached, made or deleted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EngineError {
    /// The principal has no right to it.
    Denied(Denied),
    /// No such channel, or it was deleted.
    NoSuchChannel,
    /// A channel of this name is there already.
    NameTaken {
        /// The name.
        name: Text,
    },
    /// A name is 1 to 255 bytes without control characters.
    Name,
    /// There are as many channels as there may be.
    TooMany {
        /// The limit.
        max: u32,
    },
    /// The default channel stays.
    IsDefault,
    /// The channel could not be made.
    Manage(ManageError),
}

/// The channels of a server.
pub struct Engine {
    config: EngineConfig,
    channels: Slots<Entry>,
    default: ChannelId,
    /// Channels that somebody has reached since they were last found without output: only these may have some. What the
    /// others cost in a turn of the loop is nothing.
    awake: VecDeque<u32>,
    /// When the others have something to do.
    deadlines: BTreeSet<(Instant, u32)>,
    /// Channels that let go of what is too old, at any time.
    ageing: Vec<u32>,
    /// Deleted, and nobody has asked which.
    deleted: Vec<ChannelId>,
}

struct Entry {
    channel: Channel,
    shared: ConsumerProxyId,
    is_awake: bool,
    /// Its place in `deadlines` while it is not awake.
    deadline: Option<Instant>,
}

impl Engine {
    /// An engine with its default channel.
    ///
    /// Errors: `Name`, `Manage` for what the default channel is made with.
    pub fn new(config: EngineConfig) -> Result<Engine, EngineError> {
        let default = (0, 0).into();
        let (awake, deadlines, ageing) = (VecDeque::new(), BTreeSet::new(), Vec::new());
        let (channels, deleted) = (Slots::new(), Vec::new());
        let mut engine = Engine { config, channels, default, awake, deadlines, ageing, deleted };
        let (name, channel) = (engine.config.default_name.clone(), engine.config.default_channel.clone());
        engine.default = engine.insert(name, channel)?;
        Ok(engine)
    }

    /// The default channel.
    pub fn default_channel(&self) -> ChannelId {
        self.default
    }

    /// Creates a channel.
    ///
    /// Errors: `Denied` without the right to administer it, `NameTaken`, `Name`, `TooMany`, `Manage`.
    pub fn create(
        &mut self,
        who: &Principal,
        name: impl Into<Text>,
        config: ChannelConfig,
    ) -> Result<ChannelId, EngineError> {
        let name = name.into();
        who.check(Right::Administer, &name)?;
        self.insert(name, config)
    }

    /// Creates a channel that was there before, in nobody's name.
    ///
    /// Errors: as [`Engine::create`], but for `Denied`.
    pub fn restore(
        &mut self,
        name: impl Into<Text>,
        config: ChannelConfig,
    ) -> Result<ChannelId, EngineError> {
        self.insert(name.into(), config)
    }

    fn insert(&mut self, name: Text, config: ChannelConfig) -> Result<ChannelId, EngineError> {
        if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
            return Err(EngineError::Name);
        }
        if self.find(&name).is_some() {
            return Err(EngineError::NameTaken { name });
        }
        if self.channels.len() as u64 >= u64::from(self.config.channels_max) {
            return Err(EngineError::TooMany { max: self.config.channels_max });
        }
        let qos = config.qos;
        let mut channel = Channel::new(name, config);
        channel.set_qos(Instant::ZERO, qos)?;
        let spec = ConsumerProxySpec { name: "shared".into(), ..ConsumerProxySpec::default() };
        let shared = channel.create_consumer_proxy(spec)?;
        let is_ageing = !channel.config().retention_age_max.is_zero();
        let entry = Entry { channel, shared, is_awake: false, deadline: None };
        let (index, generation) = self.channels.insert(entry);
        self.ageing.extend(is_ageing.then_some(index));
        self.wake(index);
        Ok((index, generation).into())
    }

    /// Deletes a channel with everything in it.
    ///
    /// Errors: `NoSuchChannel`, `Denied`, `IsDefault`.
    pub fn delete(&mut self, who: &Principal, id: ChannelId) -> Result<(), EngineError> {
        self.entry(who, id, Right::Administer)?;
        if id == self.default {
            return Err(EngineError::IsDefault);
        }
        self.remove(id);
        self.deleted.push(id);
        Ok(())
    }

    /// Removes a channel that is there, in nobody's name.
    pub(crate) fn remove(&mut self, id: ChannelId) {
        self.wake(id.index);
        self.channels.remove(id.index);
        self.awake.retain(|index| *index != id.index);
        self.ageing.retain(|index| *index != id.index);
    }

    /// A channel that was deleted since this was asked last.
    pub fn poll_deleted(&mut self) -> Option<ChannelId> {
        self.deleted.pop()
    }

    /// The channel of this name.
    pub fn find(&self, name: &str) -> Option<ChannelId> {
        let mut all = self.channels.iter();
        let found = all.find(|(.., entry)| &**entry.channel.name() == name);
        found.map(|(index, generation, _)| (index, generation).into())
    }

    /// The channels that a principal may do anything with.
    pub fn list(&self, who: &Principal) -> Vec<(ChannelId, &Text)> {
        let all =
            self.channels.iter().map(|(index, generation, it)| ((index, generation), it.channel.name()));
        let rights = [Right::Emit, Right::Consume, Right::Administer];
        let seen = all.filter(|(_, name)| rights.iter().any(|right| who.may(*right, name)));
        seen.map(|(id, name)| (id.into(), name)).collect()
    }

    /// All channels.
    pub(crate) fn ids(&self) -> Vec<ChannelId> {
        self.channels.iter().map(|(index, generation, _)| (index, generation).into()).collect()
    }

    /// Consumers that are an address.
    pub(crate) fn hooks(&self) -> usize {
        let hooks =
            |entry: &Entry| entry.channel.supplier_proxies().filter(|(_, spec)| spec.hook.is_some()).count();
        self.channels.iter().map(|(.., entry)| hooks(entry)).sum()
    }

    /// True while the consumer's proxy is there. Unlike [`Engine::machine`] this wakes nothing.
    pub(crate) fn has_consumer(&self, id: ChannelId, proxy: SupplierProxyId) -> bool {
        let is_there = self.channels.generation(id.index) == Some(id.generation);
        is_there && self.channels[id.index].channel.supplier_proxy(proxy).is_some()
    }

    /// The default push proxy of a channel.
    pub(crate) fn shared(&self, id: ChannelId) -> Option<ConsumerProxyId> {
        let is_there = self.channels.generation(id.index) == Some(id.generation);
        is_there.then(|| self.channels[id.index].shared)
    }

    /// The machine of a channel, for the server itself: time, outputs, deliveries.
    pub fn machine(&mut self, id: ChannelId) -> Option<&mut Channel> {
        if self.channels.generation(id.index) != Some(id.generation) {
            return None;
        }
        self.wake(id.index);
        Some(&mut self.channels[id.index].channel)
    }

    /// When [`Engine::handle_timeout`] is to be called at the latest.
    pub fn next_timeout(&self) -> Option<Instant> {
        let asleep = self.deadlines.first().map(|(at, _)| *at);
        let awake = self.awake.iter().filter_map(|index| self.channels[*index].channel.next_timeout());
        asleep.into_iter().chain(awake).min()
    }

    /// Does what is due in every channel.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(at, index)) = self.deadlines.first()
            && at <= now
        {
            self.wake(index);
        }
        for index in self.awake.iter().chain(&self.ageing) {
            self.channels[*index].channel.handle_timeout(now);
        }
    }

    /// What some channel wants done.
    pub fn poll_output(&mut self) -> Option<(ChannelId, Output)> {
        while let Some(&index) = self.awake.front() {
            let entry = &mut self.channels[index];
            if let Some(output) = entry.channel.poll_output() {
                let generation = self.channels.generation(index)?;
                return Some(((index, generation).into(), output));
            }
            self.awake.pop_front();
            entry.is_awake = false;
            entry.deadline = entry.channel.next_timeout();
            self.deadlines.extend(entry.deadline.map(|at| (at, index)));
        }
        None
    }

    /// Somebody reaches a channel: it may have outputs and another deadline from here on.
    fn wake(&mut self, index: u32) {
        let entry = &mut self.channels[index];
        if !entry.is_awake {
            entry.is_awake = true;
            self.awake.push_back(index);
            if let Some(at) = entry.deadline.take() {
                self.deadlines.remove(&(at, index));
            }
        }
    }

    /// The face for suppliers.
    ///
    /// Errors: `NoSuchChannel`, `Denied`.
    pub fn emit<'a>(&'a mut self, who: &'a Principal, id: ChannelId) -> Result<Emit<'a>, EngineError> {
        let entry = self.entry(who, id, Right::Emit)?;
        Ok(Emit { who, shared: entry.shared, channel: &mut entry.channel })
    }

    /// The face for consumers.
    ///
    /// Errors: as [`Engine::emit`].
    pub fn consume<'a>(&'a mut self, who: &'a Principal, id: ChannelId) -> Result<Consume<'a>, EngineError> {
        let entry = self.entry(who, id, Right::Consume)?;
        Ok(Consume { who, channel: &mut entry.channel })
    }

    /// The face for administrators: both admins, groups, every proxy.
    ///
    /// Errors: as [`Engine::emit`].
    pub fn administer(&mut self, who: &Principal, id: ChannelId) -> Result<&mut Channel, EngineError> {
        Ok(&mut self.entry(who, id, Right::Administer)?.channel)
    }

    fn entry(&mut self, who: &Principal, id: ChannelId, right: Right) -> Result<&mut Entry, EngineError> {
        if self.channels.generation(id.index) != Some(id.generation) {
            return Err(EngineError::NoSuchChannel);
        }
        who.check(right, self.channels[id.index].channel.name())?;
        self.wake(id.index);
        Ok(&mut self.channels[id.index])
    }
}

/// What a supplier may do.
pub struct Emit<'a> {
    who: &'a Principal,
    shared: ConsumerProxyId,
    channel: &'a mut Channel,
}

impl Emit<'_> {
    /// The default push proxy, which all suppliers share.
    pub fn shared(&self) -> ConsumerProxyId {
        self.shared
    }

    /// Makes a proxy of one's own: for pull, for other quality of service.
    ///
    /// Errors: as [`Channel::create_consumer_proxy`].
    pub fn connect(&mut self, spec: ConsumerProxySpec) -> Result<ConsumerProxyId, ManageError> {
        self.channel.create_consumer_proxy(ConsumerProxySpec { owner: self.who.name.clone(), ..spec })
    }

    /// See [`Channel::push`].
    pub fn push(&mut self, now: Instant, proxy: ConsumerProxyId, events: &[Event]) -> Pushed {
        match self.check(proxy) {
            Ok(()) => self.channel.push(now, proxy, events),
            Err(_) => Pushed { refusal: Some(Refusal::NoSuchProxy), ..Pushed::default() },
        }
    }

    /// See [`Channel::pulled`].
    pub fn pulled(&mut self, now: Instant, proxy: ConsumerProxyId, events: &[Event]) -> Pushed {
        match self.check(proxy) {
            Ok(()) => self.channel.pulled(now, proxy, events),
            Err(_) => Pushed { refusal: Some(Refusal::NoSuchProxy), ..Pushed::default() },
        }
    }

    /// See [`Channel::remove_consumer_proxy`]; the shared one stays.
    pub fn disconnect(&mut self, now: Instant, proxy: ConsumerProxyId) -> Result<(), ManageError> {
        self.check(proxy)?;
        if proxy == self.shared {
            return Err(ManageError::NoSuchProxy);
        }
        self.channel.remove_consumer_proxy(now, proxy)
    }

    fn check(&self, proxy: ConsumerProxyId) -> Result<(), ManageError> {
        let owner = self.channel.consumer_proxy(proxy).map(|spec| &spec.owner);
        check_owner(self.who, self.channel.name(), owner)
    }
}

/// What a consumer may do.
pub struct Consume<'a> {
    who: &'a Principal,
    channel: &'a mut Channel,
}

impl Consume<'_> {
    /// Makes a proxy of one's own; without anything said in the specification it is the default push proxy of this consumer.
    ///
    /// Errors: as [`Channel::create_supplier_proxy`].
    pub fn connect(&mut self, now: Instant, spec: SupplierProxySpec) -> Result<Attached, ManageError> {
        self.channel.create_supplier_proxy(now, SupplierProxySpec { owner: self.who.name.clone(), ..spec })
    }

    /// See [`Channel::pull`]. `None` when there is no such proxy of this consumer's.
    pub fn pull(
        &mut self,
        now: Instant,
        proxy: SupplierProxyId,
        events_max: u32,
        sink: &mut impl FnMut(Batch<'_>) -> usize,
    ) -> Option<usize> {
        self.check(proxy).ok()?;
        let is_pull = self.channel.supplier_proxy(proxy)?.mode == Mode::Pull;
        if is_pull { self.channel.pull(now, proxy, events_max, sink) } else { Some(0) }
    }

    /// See [`Channel::acknowledge`].
    pub fn acknowledge(
        &mut self,
        now: Instant,
        proxy: SupplierProxyId,
        delivery: DeliveryId,
    ) -> Result<(), SettleError> {
        self.check(proxy).map_err(|_| SettleError::NotInFlight)?;
        self.channel.acknowledge(now, proxy, delivery)
    }

    /// See [`Channel::reject`].
    pub fn reject(
        &mut self,
        now: Instant,
        proxy: SupplierProxyId,
        delivery: DeliveryId,
        is_for_good: bool,
    ) -> Result<(), SettleError> {
        self.check(proxy).map_err(|_| SettleError::NotInFlight)?;
        self.channel.reject(now, proxy, delivery, is_for_good)
    }

    /// See [`Channel::why`].
    pub fn why(&self, now: Instant, proxy: SupplierProxyId) -> Option<Vec<Reason>> {
        self.check(proxy).ok()?;
        self.channel.why(now, proxy)
    }

    /// See [`Channel::suspend_supplier_proxy`].
    pub fn suspend(&mut self, proxy: SupplierProxyId, is_suspended: bool) -> Result<(), ManageError> {
        self.check(proxy)?;
        self.channel.suspend_supplier_proxy(proxy, is_suspended)
    }

    /// See [`Channel::remove_supplier_proxy`].
    pub fn disconnect(&mut self, now: Instant, proxy: SupplierProxyId) -> Result<(), ManageError> {
        self.check(proxy)?;
        self.channel.remove_supplier_proxy(now, proxy)
    }

    fn check(&self, proxy: SupplierProxyId) -> Result<(), ManageError> {
        let owner = self.channel.supplier_proxy(proxy).map(|spec| &spec.owner);
        check_owner(self.who, self.channel.name(), owner)
    }
}

fn check_owner(who: &Principal, channel: &str, owner: Option<&Text>) -> Result<(), ManageError> {
    let is_his = owner.is_some_and(|owner| owner.is_empty() || *owner == who.name);
    let is_open = is_his || (owner.is_some() && who.may(Right::Administer, channel));
    if is_open { Ok(()) } else { Err(ManageError::NoSuchProxy) }
}

impl From<Denied> for EngineError {
    fn from(denied: Denied) -> EngineError {
        EngineError::Denied(denied)
    }
}

impl From<ManageError> for EngineError {
    fn from(error: ManageError) -> EngineError {
        EngineError::Manage(error)
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EngineError::Denied(denied) => denied.fmt(f),
            EngineError::NoSuchChannel => write!(f, "there is no such channel (any more): list them"),
            EngineError::NameTaken { name } => write!(f, "there is a channel {name:?} already: use it"),
            EngineError::Name => write!(f, "a channel's name is 1 to 255 bytes without control characters"),
            EngineError::TooMany { max } => write!(f, "there are {max} channels, the limit: delete some"),
            EngineError::IsDefault => write!(f, "the default channel cannot be deleted"),
            EngineError::Manage(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for EngineError {}

#[cfg(test)]
mod tests;
