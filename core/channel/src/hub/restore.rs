//! What was on disk comes back, before anybody connects.

use super::ask::compile;
use super::{Hub, Record};
use crate::channel::{Mode, Start, SupplierProxySpec};
use crate::engine::EngineError;
use crate::event::Event;
use crate::hook::admit;
use crate::id::{ChannelId, SupplierProxyId};
use crate::json::{JsonError, MEMBERS_MAX, Members, patch_supplier_proxy, read_channel_config};
use crate::output::Output;
use clustercore_proto::time::Instant;
use std::fmt;

/// Why a channel or a consumer cannot be made again.
#[derive(Clone, PartialEq, Debug)]
pub enum RestoreError {
    /// What is said of it cannot be read.
    Json(JsonError),
    /// The engine does not make it.
    Engine(EngineError),
}

impl Hub {
    /// Makes a channel of before again, empty.
    ///
    /// Errors: see [`RestoreError`].
    pub fn restore_channel(&mut self, name: &str, config: &str) -> Result<ChannelId, RestoreError> {
        let config = read_channel_config(&Members::parse(config, MEMBERS_MAX)?)?;
        let id = self.engine.restore(name, config)?;
        self.is_written(Record::Channel(id));
        Ok(id)
    }

    /// Puts an event of before into its channel: in the order of their offsets, before the consumers.
    pub fn restore_event(&mut self, channel: ChannelId, offset: u64, at: Instant, event: Event) {
        if let Some(machine) = self.engine.machine(channel) {
            machine.restore(offset, at, event);
        }
    }

    /// Places of a channel below `next` were used. To be said before its consumers come.
    pub fn restore_next(&mut self, channel: ChannelId, next: u64) {
        if let Some(machine) = self.engine.machine(channel) {
            machine.restore_next(next);
        }
    }

    /// Makes a durable consumer of before again: it goes on at `position`.
    ///
    /// Errors: see [`RestoreError`].
    pub fn restore_consumer(
        &mut self,
        now: Instant,
        channel: ChannelId,
        whose: (&str, &str),
        spec: &str,
        position: u64,
    ) -> Result<SupplierProxyId, RestoreError> {
        let (owner, name) = whose;
        let filters = &self.filters;
        let base = SupplierProxySpec { name: name.into(), owner: owner.into(), ..Default::default() };
        let spec =
            patch_supplier_proxy(base, &Members::parse(spec, MEMBERS_MAX)?, &|text| compile(filters, text))?;
        let mut spec = SupplierProxySpec { start: Start::Offset(position), ..spec };
        // One that may not lead there any more waits for somebody to consume it, or to remove it.
        if admit(&self.engine, self.hooks.config(), &mut spec).is_err() {
            spec.hook = None;
        }
        // One that pulls is there as soon as it asks, a web hook as soon as it is granted.
        let is_there = spec.mode == Mode::Pull || spec.hook.is_some();
        let machine = self.engine.machine(channel).ok_or(EngineError::NoSuchChannel)?;
        let proxy = machine.create_supplier_proxy(now, spec).map_err(EngineError::from)?.proxy;
        machine.set_connected(now, proxy, is_there).map_err(EngineError::from)?;
        self.is_written(Record::Consumer(channel, proxy));
        Ok(proxy)
    }

    /// All of a channel is back.
    pub fn restored(&mut self, now: Instant, channel: ChannelId) {
        if let Some(machine) = self.engine.machine(channel) {
            machine.restored(now);
        }
        // It says nothing that is not on disk; a web hook is to begin.
        while let Some((channel, output)) = self.engine.poll_output() {
            if let Output::Hooked { proxy } = output {
                self.on_hooked(now, channel, proxy);
            }
        }
    }
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestoreError::Json(error) => error.fmt(f),
            RestoreError::Engine(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RestoreError {}

impl From<JsonError> for RestoreError {
    fn from(error: JsonError) -> RestoreError {
        RestoreError::Json(error)
    }
}

impl From<EngineError> for RestoreError {
    fn from(error: EngineError) -> RestoreError {
        RestoreError::Engine(error)
    }
}
