//! The streamed calls that a server has in hand, by name.

use super::parts::{Bell, Bounds, Line, Parts};
use super::{CallId, Failure, Incoming, Results, Status};
use crate::error::Result;
use crate::io::{Driver, Waker};
use crate::messages::EndpointId;
use crate::shard::Shard;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// Lines between handlers and the loop. Dropping it closes them, so that no handler waits for ever.
#[derive(Default)]
pub(super) struct Lines {
    open: HashMap<Name, Open>,
    /// Made with the first line.
    bell: Option<Arc<Bell>>,
    /// What parts of the calls of an endpoint may be.
    bounds: HashMap<EndpointId, Bounds>,
    /// Lines of calls in the owner's hands on which something came.
    stirred: VecDeque<Name>,
    /// Lines that the loop has news for.
    due: Vec<Name>,
}

pub(super) type Name = (EndpointId, CallId);

/// The results of a call, or what went wrong and whether it was not executed.
pub(super) type Outcome = std::result::Result<Vec<u8>, (Failure, bool)>;

struct Open {
    line: Arc<Line>,
    /// The handler has returned; its parts go before its reply.
    outcome: Option<Outcome>,
    /// Its owner is told when something comes.
    is_owners: bool,
    is_stirred: bool,
}

impl Lines {
    /// Learns what is needed to open the lines of calls that the last turn has brought.
    pub fn prepare<D: Driver>(&mut self, shard: &Shard<D>) {
        for (endpoint, incoming) in shard.call_events() {
            if let Incoming::Call(call) = incoming
                && call.is_streamed
                && let Some(config) = shard.call_config(endpoint)
            {
                let (part_bytes_max, part_window) = (config.part_bytes_max, config.part_window);
                self.bounds.insert(endpoint, Bounds { part_bytes_max, part_window });
            }
        }
    }

    /// Opens the line of a call that has come; `None` for one whose endpoint is gone.
    pub fn open(
        &mut self,
        (endpoint, call): Name,
        deadline: Option<Instant>,
        has_parts: bool,
        is_owners: bool,
        waker: Option<&Waker>,
    ) -> Option<Parts> {
        let bell = self.bell.get_or_insert_with(|| Arc::new(Bell::new(waker.cloned())));
        let bounds = *self.bounds.get(&endpoint)?;
        let line = Line::new(endpoint, call, bounds, deadline, has_parts, Arc::clone(bell));
        let line = Arc::new(line);
        let parts = Parts::new(Arc::clone(&line));
        self.open.insert((endpoint, call), Open { line, outcome: None, is_owners, is_stirred: false });
        Some(parts)
    }

    /// The call was refused after all.
    pub fn forget(&mut self, name: &Name) {
        self.open.remove(name);
    }

    /// Something was told of calls.
    pub fn on_incoming(&mut self, endpoint: EndpointId, incoming: &Incoming<'_>) {
        let call = match incoming {
            Incoming::Part { call, is_ours: false, .. }
            | Incoming::Writable { call, is_ours: false, .. }
            | Incoming::Cancelled { call } => *call,
            _ => return,
        };
        let name = (endpoint, call);
        let Some(open) = self.open.get_mut(&name) else { return };
        match incoming {
            Incoming::Part { bytes, is_last, .. } => open.line.arrive(bytes, *is_last),
            Incoming::Cancelled { .. } => {
                open.line.close(Failure::new(Status::Cancelled, "its caller waits for it no more"));
                self.due.push(name);
            }
            _ => self.due.push(name),
        }
        if open.is_owners && !std::mem::replace(&mut open.is_stirred, true) {
            self.stirred.push_back(name);
        }
    }

    /// The next line of the owner's on which something came since it was told.
    pub fn stirred(&mut self) -> Option<Name> {
        loop {
            let name = self.stirred.pop_front()?;
            if let Some(open) = self.open.get_mut(&name) {
                open.is_stirred = false;
                return Some(name);
            }
        }
    }

    /// Whether a call has a line.
    pub fn has(&self, name: &Name) -> bool {
        self.open.contains_key(name)
    }

    /// Streamed calls in hand.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// The handler of a call has returned: its reply goes behind the parts that it has sent. Errors: `NoSuchCall`: nobody waits for it.
    pub fn finish<D: Driver>(&mut self, shard: &mut Shard<D>, name: Name, outcome: Outcome) -> Result<()> {
        let Some(open) = self.open.get_mut(&name) else { return Ok(()) };
        open.outcome = Some(outcome);
        self.pump_one(shard, name)
    }

    /// Does what handlers have asked for.
    pub fn pump<D: Driver>(&mut self, shard: &mut Shard<D>) {
        let Some(bell) = &self.bell else { return };
        let rung = bell.take();
        for name in self.due.drain(..).chain(rung).collect::<Vec<_>>() {
            // A reply that nobody waits for goes nowhere.
            let _ = self.pump_one(shard, name);
        }
    }

    fn pump_one<D: Driver>(&mut self, shard: &mut Shard<D>, name: Name) -> Result<()> {
        let Some(open) = self.open.get_mut(&name) else { return Ok(()) };
        let is_empty = open.line.pump(shard);
        if open.is_owners && !std::mem::replace(&mut open.is_stirred, true) {
            self.stirred.push_back(name);
        }
        if !is_empty || open.outcome.is_none() {
            return Ok(());
        }
        let outcome = self.open.remove(&name).and_then(|open| open.outcome);
        outcome.map_or(Ok(()), |outcome| reply(shard, name, &outcome))
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        for open in self.open.values() {
            open.line.close(Failure::new(Status::Unavailable, "the server ends"));
        }
    }
}

/// Replies to a call. Errors: `NoSuchCall`: nobody waits for it.
pub(super) fn reply<D: Driver>(
    shard: &mut Shard<D>,
    (endpoint, call): Name,
    outcome: &Outcome,
) -> Result<()> {
    let results = match outcome {
        Ok(bytes) => Results { bytes, ..Results::default() },
        Err((failure, is_not_executed)) => Results {
            status: failure.status,
            text: &failure.text,
            is_not_executed: *is_not_executed,
            ..Results::default()
        },
    };
    Ok(shard.reply(endpoint, call, &results)?)
}
