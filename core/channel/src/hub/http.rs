//! Connections that speak HTTP.

use super::{Hub, HubConfig, Record};
use crate::access::Access;
use crate::engine::Engine;
use crate::filter::Filters;
use crate::hook::HookConfig;
use crate::http::{HttpConfig, HttpFace};
use crate::id::ChannelId;
use crate::output::Output;
use crate::slots::Slots;
use clustercore_proto::time::Instant;
use std::sync::Arc;

/// A connection that speaks HTTP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HttpId {
    /// The place, used again and fit for indexing a side table.
    pub index: u32,
    /// Counts the uses of the place.
    pub generation: u32,
}

struct Connection {
    face: HttpFace,
    /// Bytes that the face has not taken yet.
    rest: Vec<u8>,
}

pub(super) struct Connections {
    config: Arc<HttpConfig>,
    all: Slots<Connection>,
}

impl Connections {
    pub fn new(config: &HubConfig, filters: &Arc<Filters>, hooks: Arc<HookConfig>) -> Connections {
        let HubConfig { http: limits, limits: event_limits, is_durable, .. } = *config;
        let config = HttpConfig { limits, event_limits, filters: Arc::clone(filters), hooks, is_durable };
        Connections { config: Arc::new(config), all: Slots::new() }
    }

    /// For connections from now on.
    pub fn set_hooks(&mut self, hooks: Arc<HookConfig>) {
        Arc::make_mut(&mut self.config).hooks = hooks;
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        self.all.iter().filter_map(|(.., it)| it.face.next_timeout()).min()
    }

    pub fn handle_timeout(&mut self, now: Instant, engine: &mut Engine, access: &Access) {
        for index in self.all.indices() {
            self.all[index].face.handle_timeout(now, engine, access);
        }
    }

    pub fn stir(
        &mut self,
        now: Instant,
        channel: ChannelId,
        output: &Output,
        engine: &mut Engine,
        access: &Access,
    ) {
        for index in self.all.indices() {
            self.all[index].face.stirred(now, channel, output, engine, access);
        }
    }

    pub fn recorded(
        &mut self,
        now: Instant,
        record: Record,
        is_written: bool,
        engine: &mut Engine,
        access: &Access,
    ) {
        for index in self.all.indices() {
            self.all[index].face.recorded(now, record, is_written, engine, access);
        }
    }

    fn get(&mut self, id: HttpId) -> Option<&mut Connection> {
        let is_there = self.all.generation(id.index) == Some(id.generation);
        self.all.get_mut(id.index).filter(|_| is_there)
    }
}

impl Hub {
    /// A connection that speaks HTTP was accepted. `None`: there are as many connections as may be.
    pub fn connect_http(&mut self, now: Instant) -> Option<HttpId> {
        if (self.sessions.len() + self.https.all.len()) as u64 >= u64::from(self.config.sessions_max) {
            return None;
        }
        let face = HttpFace::new(now, Arc::clone(&self.https.config));
        let (index, generation) = self.https.all.insert(Connection { face, rest: Vec::new() });
        Some(HttpId { index, generation })
    }

    /// It is gone.
    pub fn disconnect_http(&mut self, id: HttpId) {
        if self.https.get(id).is_some() {
            self.https.all.remove(id.index);
        }
    }

    /// Bytes have come on it.
    pub fn receive_http(&mut self, now: Instant, id: HttpId, bytes: &[u8]) {
        let (engine, access) = (&mut self.engine, &self.config.access);
        let Some(connection) = self.https.get(id) else { return };
        let mut rest = std::mem::take(&mut connection.rest);
        if rest.is_empty() {
            let taken = connection.face.receive(now, bytes, engine, access);
            rest.extend_from_slice(&bytes[taken..]);
        } else {
            rest.extend_from_slice(bytes);
            let taken = connection.face.receive(now, &rest, engine, access);
            rest.drain(..taken);
        }
        connection.rest = rest;
    }

    /// Whether its socket should be read.
    pub fn wants_http(&mut self, id: HttpId) -> bool {
        self.https.get(id).is_some_and(|it| it.rest.is_empty() && it.face.wants_bytes())
    }

    /// Bytes for such a connection.
    pub fn poll_http(&mut self, now: Instant) -> Option<(HttpId, Vec<u8>)> {
        for index in self.https.all.indices() {
            let Some(bytes) = self.https.all[index].face.poll_output() else { continue };
            let generation = self.https.all.generation(index)?;
            let id = HttpId { index, generation };
            // What waited for room goes on.
            self.receive_http(now, id, &[]);
            return Some((id, bytes));
        }
        None
    }

    /// A connection that is to be closed when what was sent to it has gone, and [`Hub::disconnect_http`]ed.
    pub fn poll_http_ended(&mut self) -> Option<HttpId> {
        let mut all = self.https.all.iter();
        all.find(|(.., it)| it.face.is_closed()).map(|(index, generation, _)| HttpId { index, generation })
    }
}
