//! Front ends: their connections, and the messages from and to them.

use super::Handler;
use super::task::{Task, TaskId};
use crate::io::{Driver, Instant, Lease};
use crate::messages::{Mail, Outbox, Sent};
use clustercore_proto::datagram::{Connection, StreamId};
use clustercore_proto::job::{Accepted, ExchangeId, Message, Opened, WHOLE, Why};

/// A front end's connection.
#[derive(Debug)]
pub(super) struct Peer {
    /// The tasks whose messages wait for room.
    pub outbox: Outbox<Option<TaskId>>,
    pub tasks: Accepted<TaskId>,
}

impl<D: Driver> Handler<D> {
    pub(super) fn peer(&mut self, connection: Connection) -> Option<&mut Peer> {
        let peer = self.peers.get_mut(connection.index as usize)?.as_mut()?;
        (peer.outbox.connection() == connection).then_some(peer)
    }

    pub(super) fn on_peer(&mut self, connection: Connection) {
        let index = connection.index as usize;
        if self.peers.len() <= index {
            self.peers.resize_with(index + 1, || None);
        }
        self.peers[index] = Some(Peer { outbox: Outbox::new(connection), tasks: Accepted::default() });
    }

    /// Nobody waits for its tasks any more.
    pub(super) fn on_peer_gone(&mut self, connection: Connection) {
        if self.peer(connection).is_none() {
            return;
        }
        let Some(mut peer) = self.peers[connection.index as usize].take() else { return };
        for task in peer.tasks.drain() {
            self.stats.aborts += 1;
            self.drop_task(task);
        }
    }

    /// A message from a front end. `false`: it broke the rules.
    pub(super) fn on_message(
        &mut self,
        now: Instant,
        connection: Connection,
        mail: &Mail,
        index: usize,
        lease: &Lease,
    ) -> bool {
        let mut bytes = self.driver.buffer();
        let message = match Message::read(mail.get(index, self.driver.bytes(lease)).1) {
            Ok(message) => {
                bytes.extend_from_slice(message.bytes());
                message.without_bytes()
            }
            Err(_) => return false,
        };
        let Some(peer) = self.peer(connection) else { return true };
        let task = peer.tasks.get(message.exchange()).copied();
        match message {
            Message::Open { exchange, is_end, is_head, is_fresh, credit, .. } => {
                let name = (connection, exchange);
                let task = Task::new(name, is_head, credit, self.config.window_bytes);
                self.on_open(now, task, is_fresh, bytes, is_end)
            }
            Message::Part { is_end, .. } => match task {
                Some(id) => self.send_request(id, bytes, is_end),
                None => true,
            },
            Message::Credit { total, .. } => {
                if let Some(id) = task
                    && self.tasks.get_mut(id).is_some_and(|task| task.response.on_credit(total))
                {
                    self.pump(id);
                }
                true
            }
            Message::Abort { exchange } => {
                if let Some(id) = peer.tasks.end(exchange) {
                    self.stats.aborts += 1;
                    self.drop_task(id);
                }
                true
            }
            Message::Failed { .. } => false,
        }
    }

    /// A request begins. `false`: the front end broke the rules.
    fn on_open(&mut self, now: Instant, task: Task, is_fresh: bool, bytes: Vec<u8>, is_end: bool) -> bool {
        let (connection, exchange) = task.name;
        if self.is_ending || self.tasks.len() >= self.config.tasks_max {
            self.say_failed(connection, exchange, WHOLE, Why::Busy);
            return true;
        }
        let id = self.tasks.insert(task);
        let Some(peer) = self.peer(connection) else { return true };
        match peer.tasks.open(exchange, id) {
            Opened::New(before) => {
                if let Some(before) = before {
                    self.stats.aborts += 1;
                    self.drop_task(before);
                }
                self.stats.requests += 1;
                self.begin(now, id, is_fresh);
                self.send_request(id, bytes, is_end)
            }
            opened @ (Opened::Late | Opened::Again) => {
                self.tasks.remove(id);
                opened == Opened::Late
            }
        }
    }

    pub(super) fn say_failed(
        &mut self,
        connection: Connection,
        exchange: ExchangeId,
        stream: StreamId,
        why: Why,
    ) {
        let mut message = Vec::new();
        Message::Failed { exchange, why }.put(&mut message);
        self.say(connection, stream, &message, None);
    }

    /// Sends a message to a front end, or lets it wait.
    pub(super) fn say(
        &mut self,
        connection: Connection,
        stream: StreamId,
        message: &[u8],
        who: Option<TaskId>,
    ) -> Sent {
        let Some(Some(peer)) = self.peers.get_mut(connection.index as usize) else { return Sent::Never };
        if peer.outbox.connection() != connection {
            return Sent::Never;
        }
        peer.outbox.send(&mut self.endpoint, stream, message, who)
    }

    /// There is room on a connection again.
    pub(super) fn flush(&mut self, connection: Connection) {
        let Some(Some(peer)) = self.peers.get_mut(connection.index as usize) else { return };
        let freed = &mut self.freed;
        peer.outbox.flush(&mut self.endpoint, |task| freed.extend(task));
    }
}
