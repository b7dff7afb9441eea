//! A request and its response.

use super::Handler;
use super::link::LinkId;
use crate::io::{Close, Driver, Instant};
use clustercore_proto::datagram::Connection;
use clustercore_proto::forward::http::{BodyCursor, Framing, Method, RequestPlan, Version};
use clustercore_proto::job::{ExchangeId, Message, REQUEST_CREDIT, Receiving, Sending, Why, stream_of};

/// Index of a task.
pub(super) type TaskId = u32;

/// A request that the service is working on.
#[derive(Debug)]
pub(super) struct Task {
    /// Whose it is, and what the front end calls it.
    pub name: (Connection, ExchangeId),
    pub request: Receiving,
    pub response: Sending,
    pub link: Option<LinkId>,
    /// The link had served others before.
    pub is_reused: bool,
    pub is_head: bool,
    /// Bytes of a head that was looked at and not yet sent on.
    pub passing: usize,
    /// Where the body ends, once the final head is there.
    pub body: Option<BodyCursor>,
    /// The link can serve another after this.
    pub keeps: bool,
    /// A message of it waits for room on the connection.
    pub is_blocked: bool,
}

impl Task {
    pub fn new(name: (Connection, ExchangeId), is_head: bool, credit: u64, window: usize) -> Task {
        Task {
            name,
            request: Receiving::new(REQUEST_CREDIT, window as u64),
            response: Sending::new(credit),
            link: None,
            is_reused: false,
            is_head,
            passing: 0,
            body: None,
            keeps: false,
            is_blocked: false,
        }
    }

    /// What its response is read by.
    pub fn plan(&self) -> RequestPlan {
        RequestPlan {
            head_len: 0,
            method: if self.is_head { Method::Head } else { Method::Get },
            version: Version::Http11,
            framing: Framing::None,
            keep_alive: true,
            expect_continue: false,
            upgrade: false,
            connect: false,
        }
    }

    /// What it means that the service has ended, and nothing of it is left to be looked at.
    pub fn why_ended(&self) -> Why {
        let is_unanswered = !self.response.has_begun() && self.passing == 0 && self.body.is_none();
        match (is_unanswered, self.is_reused) {
            (true, true) => Why::Stale,
            (true, false) => Why::Reset,
            (false, _) => Why::Cut,
        }
    }
}

impl<D: Driver> Handler<D> {
    /// Gives a task to the service: on a kept connection, or a new one.
    pub(super) fn begin(&mut self, now: Instant, id: TaskId, is_fresh: bool) {
        let kept = if is_fresh { None } else { self.idle.pop() };
        let Some(task) = self.tasks.get_mut(id) else { return };
        match kept {
            Some(link_id) => {
                (task.link, task.is_reused) = (Some(link_id), true);
                if let Some(link) = self.links.get_mut(link_id) {
                    link.task = Some(id);
                }
            }
            None => match self.connect(now, id) {
                Some(link_id) => {
                    if let Some(task) = self.tasks.get_mut(id) {
                        task.link = Some(link_id);
                    }
                }
                // No descriptor: that says nothing about the service.
                None => self.fail(id, Why::Busy),
            },
        }
    }

    /// Bytes of a request have come. `false`: more than the front end was allowed.
    pub(super) fn send_request(&mut self, id: TaskId, bytes: Vec<u8>, is_end: bool) -> bool {
        let Some(task) = self.tasks.get_mut(id) else { return true };
        if task.request.receive(bytes.len(), is_end).is_err() {
            return false;
        }
        if let Some(link) = task.link {
            self.write(link, bytes);
        }
        true
    }

    /// The service has taken so much of a request that `waiting` bytes are left: the front end may send on.
    pub(super) fn grant(&mut self, id: TaskId, waiting: usize) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        let (connection, exchange) = task.name;
        if let Some(total) = task.request.grant(waiting) {
            let mut message = Vec::new();
            Message::Credit { exchange, total }.put(&mut message);
            self.say(connection, stream_of(exchange), &message, None);
        }
    }

    /// The response is whole.
    pub(super) fn finish(&mut self, id: TaskId) {
        let Some(task) = self.take_task(id) else { return };
        self.stats.responses += 1;
        if let Some(link) = task.link {
            let is_kept = task.keeps && task.request.has_ended();
            self.keep_or_close(link, is_kept);
        }
    }

    /// There will be no (whole) response.
    pub(super) fn fail(&mut self, id: TaskId, why: Why) {
        let Some(mut task) = self.take_task(id) else { return };
        self.stats.failures += 1;
        let (connection, exchange) = task.name;
        let stream = task.response.send(exchange, 0, true);
        self.say_failed(connection, exchange, stream, why);
        if let Some(link) = task.link {
            self.close_link(link, Close::Abort);
        }
    }

    /// Nobody waits for it.
    pub(super) fn drop_task(&mut self, id: TaskId) {
        if let Some(link) = self.tasks.remove(id).and_then(|task| task.link) {
            self.close_link(link, Close::Abort);
        }
    }

    fn take_task(&mut self, id: TaskId) -> Option<Box<Task>> {
        let task = self.tasks.remove(id)?;
        let (connection, exchange) = task.name;
        if let Some(peer) = self.peer(connection) {
            peer.tasks.end(exchange);
        }
        Some(task)
    }

    /// Goes on with tasks whose messages have gone.
    pub(super) fn pump_freed(&mut self) {
        while let Some(id) = self.freed.pop() {
            if let Some(task) = self.tasks.get_mut(id) {
                task.is_blocked = false;
                self.pump(id);
            }
        }
    }
}
