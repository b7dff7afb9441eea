//! What a request is answered with: the engine, who asks, and what the connection remembers.

use super::config::HttpConfig;
use super::problem::Problem;
use super::reader::Request;
use super::response::Response;
use super::target::Target;
use super::{emit, take};
use crate::channel::Channel;
use crate::engine::{Engine, EngineError};
use crate::event::Text;
use crate::hub::Record;
use crate::id::{ChannelId, SupplierProxyId};
use crate::json::{JsonError, MEMBERS_MAX, Members};
use crate::principal::{Denied, Principal, Right};
use clustercore_proto::time::Instant;
use std::sync::Arc;

/// One request on its way to its answer.
pub(super) struct Call<'a> {
    pub now: Instant,
    pub request: &'a Request,
    pub target: &'a Target,
    pub who: &'a Arc<Principal>,
    pub engine: &'a mut Engine,
    pub config: &'a HttpConfig,
    pub known: &'a mut Known,
}

/// What comes of a request.
pub(super) enum Outcome {
    Answer(Response),
    /// Events are on their way to disk.
    Writing(emit::Writing),
    /// Events may come.
    Waiting(take::Waiting),
    /// What was made or deleted is on its way to disk.
    Recording(Recording),
}

/// A request whose answer waits for a record.
pub(super) struct Recording {
    pub record: Record,
    pub response: Response,
    pub until: Instant,
}

pub(super) type Answer = Result<Outcome, Problem>;

impl From<Response> for Outcome {
    fn from(response: Response) -> Outcome {
        Outcome::Answer(response)
    }
}

impl Call<'_> {
    /// The channel of this name, for one of `rights`. Who has none is not told whether it is there.
    pub fn channel(&self, name: &str, rights: &[Right]) -> Result<ChannelId, Problem> {
        if !rights.iter().any(|right| self.who.may(*right, name)) {
            let (principal, right) = (self.who.name.clone(), rights[0]);
            return Err(EngineError::Denied(Denied { principal, right, channel: name.into() }).into());
        }
        self.engine.find(name).ok_or_else(|| EngineError::NoSuchChannel.into())
    }

    /// Answers when it is on disk; at once where nothing goes to disk.
    pub fn record(&self, record: Record, response: Response) -> Answer {
        if !self.config.is_durable {
            return Ok(response.into());
        }
        let until = self.now + self.config.limits.write_timeout;
        Ok(Outcome::Recording(Recording { record, response, until }))
    }

    /// The default channel's name.
    pub fn default_name(&mut self) -> Text {
        let id = self.engine.default_channel();
        self.engine.machine(id).expect("the default channel stays").name().clone()
    }

    /// The machine of a channel that was found just now.
    pub fn machine(&mut self, id: ChannelId) -> Result<&mut Channel, Problem> {
        self.engine.machine(id).ok_or_else(|| EngineError::NoSuchChannel.into())
    }

    /// The consumer of this name that is his who asks.
    ///
    /// Errors: 404.
    pub fn consumer(&mut self, channel: ChannelId, name: &str) -> Result<SupplierProxyId, Problem> {
        let (who, known) = (self.who.clone(), &mut *self.known);
        let machine = self.engine.machine(channel).ok_or(EngineError::NoSuchChannel)?;
        known.find(machine, channel, &who, name).ok_or_else(|| {
            let detail = format!(
                "{:?} has no consumer {:?} here: make it by PUT",
                who.name,
                crate::json::shortened(name)
            );
            Problem::new(404, detail)
        })
    }

    /// The members of the body; of an empty one none.
    pub fn members(&self) -> Result<Members<'_>, JsonError> {
        let body = if self.request.body.is_empty() { b"{}" } else { &*self.request.body };
        Members::parse_bytes(body, MEMBERS_MAX)
    }

    /// The parameter that names a consumer.
    pub fn consumer_name(&self) -> &str {
        self.target.parameter("consumer").unwrap_or(CONSUMER_DEFAULT)
    }
}

/// A name under which a consumer can be made.
pub(super) fn check_consumer_name(name: &str) -> Result<(), Problem> {
    if !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control) {
        return Ok(());
    }
    let detail = format!("a consumer's name is 1 to {NAME_BYTES_MAX} bytes without control characters");
    Err(Problem::new(400, detail))
}

/// Consumers that this connection has spoken for, so that they need not be looked for.
#[derive(Default)]
pub(super) struct Known {
    list: Vec<(ChannelId, SupplierProxyId)>,
}

impl Known {
    /// The consumer of this name that `who` made; for administrators anybody's, where there is none of their own.
    pub fn find(
        &mut self,
        machine: &Channel,
        channel: ChannelId,
        who: &Principal,
        name: &str,
    ) -> Option<SupplierProxyId> {
        let is_his = |id| {
            let spec = machine.supplier_proxy(id)?;
            (*spec.name == *name && (spec.owner == who.name || spec.owner.is_empty())).then_some(id)
        };
        let mut known = self.list.iter().filter(|(of, _)| *of == channel);
        if let Some(id) = known.find_map(|(_, id)| is_his(*id)) {
            return Some(id);
        }
        let id = machine.supplier_proxies().find_map(|(id, _)| is_his(id));
        if let Some(id) = id {
            self.remember(channel, id);
            return Some(id);
        }
        let is_open = who.may(Right::Administer, machine.name());
        let mut all = machine.supplier_proxies().filter(|(_, spec)| is_open && *spec.name == *name);
        all.next().map(|(id, _)| id)
    }

    pub fn remember(&mut self, channel: ChannelId, id: SupplierProxyId) {
        if self.list.len() == KNOWN_MAX {
            self.list.remove(0);
        }
        self.list.push((channel, id));
    }
}

const CONSUMER_DEFAULT: &str = "default";
const NAME_BYTES_MAX: usize = 255;
const KNOWN_MAX: usize = 8;
