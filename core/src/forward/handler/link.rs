//! Connections to the service.

use super::Handler;
use super::task::TaskId;
use crate::forward::side::Side;
use crate::io::{Chunk, Close, Driver, Instant, Lease, StreamId, StreamOptions};
use clustercore_proto::forward::http::HeadScan;
use clustercore_proto::job::Why;

/// Index of a link.
pub(super) type LinkId = u32;

/// A connection to the service.
#[derive(Debug)]
pub(super) struct Link {
    pub side: Side,
    pub task: Option<TaskId>,
    pub scan: HeadScan,
    is_connected: bool,
    /// What is to be sent when it is connected.
    early: Vec<u8>,
    /// When connecting, or waiting for a task, has lasted too long.
    until: Instant,
    /// When the wheel looks at it; `MAX` where it does not.
    timer: Instant,
}

impl<D: Driver> Handler<D> {
    /// Whose a stream is.
    pub(super) fn link_of(&self, stream: StreamId) -> Option<LinkId> {
        let (generation, link) = (*self.owners.get(stream.index as usize)?)?;
        (generation == stream.generation).then_some(link)
    }

    /// Begins to connect for a task. `None`: no descriptor.
    pub(super) fn connect(&mut self, now: Instant, task: TaskId) -> Option<LinkId> {
        let stream = self.driver.connect(self.config.service, &StreamOptions::default()).ok()?;
        self.stats.connects += 1;
        let until = now + self.config.connect_timeout;
        let id = self.links.insert(Link {
            side: Side::new(stream),
            task: Some(task),
            scan: HeadScan::for_response(&self.config.limits),
            is_connected: false,
            early: Vec::new(),
            until,
            timer: until,
        });
        let index = stream.index as usize;
        if self.owners.len() <= index {
            self.owners.resize(index + 1, None);
        }
        self.owners[index] = Some((stream.generation, id));
        self.wheel.insert(until, (id, stream));
        Some(id)
    }

    pub(super) fn on_link_connected(&mut self, id: LinkId, is_connected: bool) {
        let Some(link) = self.links.get_mut(id) else { return };
        if !is_connected {
            return self.fail_link(id, Why::Refused);
        }
        link.is_connected = true;
        link.until = Instant::MAX;
        let early = std::mem::take(&mut link.early);
        if !early.is_empty() {
            self.driver.send(link.side.stream, Chunk::Owned(early));
        }
        link.side.read(&mut self.driver);
    }

    /// Sends bytes to the service, when there is a connection.
    pub(super) fn write(&mut self, id: LinkId, bytes: Vec<u8>) {
        let Some(link) = self.links.get_mut(id) else { return };
        if link.is_connected {
            self.driver.send(link.side.stream, Chunk::Owned(bytes));
        } else if link.early.is_empty() {
            link.early = bytes;
        } else {
            link.early.extend_from_slice(&bytes);
            self.driver.recycle(bytes);
        }
    }

    pub(super) fn on_link_data(&mut self, id: LinkId, lease: Lease) {
        let Some(link) = self.links.get_mut(id) else { return self.driver.release(lease) };
        link.side.on_data(&mut self.driver, lease);
        match link.task {
            Some(task) => self.pump(task),
            // Bytes that nobody asked for: it cannot be trusted with a request.
            None => self.close_link(id, Close::Abort),
        }
    }

    pub(super) fn on_link_sent(&mut self, id: LinkId, unsent: usize) {
        if let Some(task) = self.links.get(id).and_then(|link| link.task) {
            self.grant(task, unsent);
        }
    }

    pub(super) fn on_link_stopped(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(id) else { return };
        link.side.on_stopped();
        match link.task {
            Some(task) => self.pump(task),
            None => link.side.read(&mut self.driver),
        }
    }

    pub(super) fn on_link_end(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(id) else { return };
        link.side.on_end();
        match link.task {
            Some(task) => self.pump(task),
            None => self.close_link(id, Close::AfterSend),
        }
    }

    pub(super) fn on_link_failed(&mut self, id: LinkId) {
        self.fail_link(id, Why::Reset);
    }

    /// A link is of no more use: its task has no (whole) response.
    fn fail_link(&mut self, id: LinkId, why: Why) {
        let Some(link) = self.links.get(id) else { return };
        let Some(task_id) = link.task else { return self.close_link(id, Close::Abort) };
        let is_silent = link.side.input.is_empty();
        let Some(task) = self.tasks.get(task_id) else { return self.close_link(id, Close::Abort) };
        let why = match (why, is_silent) {
            (Why::Reset, true) => task.why_ended(),
            (Why::Reset, false) => Why::Cut,
            (why, _) => why,
        };
        self.fail(task_id, why);
    }

    /// A task is done with its link: the next one has it, or it is closed.
    pub(super) fn keep_or_close(&mut self, id: LinkId, is_kept: bool) {
        let Some(link) = self.links.get_mut(id) else { return };
        link.task = None;
        let is_usable = is_kept
            && !link.side.ended
            && link.side.input.is_empty()
            && !self.is_ending
            && self.idle.len() < self.config.idle_max;
        if !is_usable {
            return self.close_link(id, Close::AfterSend);
        }
        link.scan.reset();
        link.side.read(&mut self.driver);
        link.until = self.driver.now() + self.config.idle_timeout;
        if link.until < link.timer {
            link.timer = link.until;
            self.wheel.insert(link.until, (id, link.side.stream));
        }
        self.idle.push(id);
    }

    pub(super) fn close_link(&mut self, id: LinkId, how: Close) {
        let Some(mut link) = self.links.remove(id) else { return };
        self.idle.retain(|other| *other != id);
        link.side.input.clear(&mut self.driver);
        if let Some(owner) = self.owners.get_mut(link.side.stream.index as usize) {
            *owner = None;
        }
        self.driver.close(link.side.stream, how);
    }

    pub(super) fn on_link_timer(&mut self, now: Instant, id: LinkId, stream: StreamId) {
        let Some(link) = self.links.get_mut(id).filter(|link| link.side.stream == stream) else { return };
        if link.timer > now {
            return;
        }
        link.timer = Instant::MAX;
        if !link.is_connected {
            return self.fail_link(id, Why::Refused);
        }
        if link.task.is_some() {
            return;
        }
        if link.until <= now {
            return self.close_link(id, Close::AfterSend);
        }
        link.timer = link.until;
        self.wheel.insert(link.until, (id, stream));
    }
}
