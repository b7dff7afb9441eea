//! A service that takes requests in messages itself, on an endpoint of a shard.
//!
//! Requests come whole, up to a limit; answers of any length leave as the front end's credit allows. Invariants: what is kept is
//! bounded by `requests_max` requests of `request_bytes_max` bytes, and by the answers that the owner has given.

use crate::io::Driver;
use crate::messages::EndpointId;
use crate::shard::Shard;
use clustercore_proto::datagram::{Connection, SendError, StreamId};
use clustercore_proto::job::{
    Accepted, ExchangeId, Message, Opened, PART_BYTES_MAX, REQUEST_CREDIT, Receiving, Sending, WHOLE, Why,
    close, stream_of,
};
use std::collections::{HashMap, VecDeque};

/// A request of a front end, to be answered by this name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct JobId {
    /// The front end's connection.
    pub connection: Connection,
    /// What it calls the exchange.
    pub exchange: ExchangeId,
}

/// A request that has come whole.
#[derive(Debug)]
pub struct Request {
    /// To answer it by.
    pub id: JobId,
    /// Head and body, HTTP/1.1.
    pub bytes: Vec<u8>,
    /// Its response has no body, whatever its fields say.
    pub is_head: bool,
}

/// Takes requests in messages for its owner.
#[derive(Debug)]
pub struct LinkedService {
    endpoint: EndpointId,
    request_bytes_max: usize,
    requests_max: usize,
    peers: HashMap<Connection, Accepted<Box<Exchange>>>,
    ready: VecDeque<Request>,
    /// Messages that wait for room, in order, by connection.
    waiting: HashMap<Connection, VecDeque<(StreamId, Vec<u8>)>>,
    active: usize,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Exchange {
    request: Receiving,
    response: Sending,
    is_head: bool,
    /// Of the request so far; empty once it was handed out.
    bytes: Vec<u8>,
    /// Of the answer, what waits for credit, from `sent` on.
    answer: Vec<u8>,
    sent: usize,
}

impl LinkedService {
    /// On an endpoint of a shard that accepts connections. Longer requests are refused, as those beyond `requests_max` at a time.
    pub fn new(endpoint: EndpointId, request_bytes_max: usize, requests_max: usize) -> LinkedService {
        LinkedService {
            endpoint,
            request_bytes_max,
            requests_max,
            peers: HashMap::new(),
            ready: VecDeque::new(),
            waiting: HashMap::new(),
            active: 0,
            scratch: Vec::new(),
        }
    }

    /// The endpoint.
    pub fn endpoint(&self) -> EndpointId {
        self.endpoint
    }

    /// Requests that are not answered in whole.
    pub fn active(&self) -> usize {
        self.active
    }

    /// Takes what the last turn has brought to the endpoint. Call it once after each turn.
    pub fn collect<D: Driver>(&mut self, shard: &mut Shard<D>) {
        self.look_after(shard);
        let mut said = Vec::new();
        let mut violators = Vec::new();
        let endpoint = self.endpoint;
        for run in shard.messages().filter(|run| run.endpoint == endpoint) {
            for message in run.iter() {
                let name = |exchange| JobId { connection: run.connection, exchange };
                match Message::read(message) {
                    Ok(message) => {
                        if !self.on_message(name(message.exchange()), message, &mut said) {
                            violators.push(run.connection);
                        }
                    }
                    Err(_) => violators.push(run.connection),
                }
            }
        }
        for (connection, stream, message) in said {
            self.say(shard, connection, stream, &message);
        }
        for connection in violators {
            self.forget(connection);
            // One that is over is closed already.
            let _ = shard.close_connection(
                self.endpoint,
                connection,
                close::VIOLATION,
                "not a job message",
                false,
            );
        }
    }

    /// The next request.
    pub fn next_request(&mut self) -> Option<Request> {
        self.ready.pop_front()
    }

    /// Answers a request: `response` is head and body, HTTP/1.1. What is not credited yet is copied and follows. `false`: nobody waits for it
    /// any more.
    pub fn answer<D: Driver>(&mut self, shard: &mut Shard<D>, id: JobId, response: &[u8]) -> bool {
        let Some(exchange) = self.exchange(id) else { return false };
        if exchange.response.has_begun() || !exchange.answer.is_empty() || response.is_empty() {
            return false;
        }
        if response.len() <= PART_BYTES_MAX.min(exchange.response.room()) {
            let stream = exchange.response.send(id.exchange, response.len(), true);
            let mut message = std::mem::take(&mut self.scratch);
            message.clear();
            Message::Part { exchange: id.exchange, is_end: true, bytes: response }.put(&mut message);
            self.say(shard, id.connection, stream, &message);
            self.scratch = message;
            self.end(id);
            return true;
        }
        exchange.answer = response.to_vec();
        self.pump(shard, id);
        true
    }

    fn exchange(&mut self, id: JobId) -> Option<&mut Exchange> {
        self.peers.get_mut(&id.connection)?.get_mut(id.exchange).map(|exchange| &mut **exchange)
    }

    fn end(&mut self, id: JobId) {
        if self.peers.get_mut(&id.connection).and_then(|peer| peer.end(id.exchange)).is_some() {
            self.active -= 1;
        }
    }

    fn forget(&mut self, connection: Connection) {
        if let Some(peer) = self.peers.remove(&connection) {
            self.active -= peer.len();
        }
        self.waiting.remove(&connection);
        self.ready.retain(|request| request.id.connection != connection);
    }

    /// Messages that have waited, and connections that are over.
    fn look_after<D: Driver>(&mut self, shard: &mut Shard<D>) {
        let endpoint = self.endpoint;
        let is_over = |connection: &Connection| !matches!(shard.path(endpoint, *connection), Ok(Some(_)));
        let over: Vec<Connection> =
            self.peers.keys().filter(|connection| is_over(connection)).copied().collect();
        over.into_iter().for_each(|connection| self.forget(connection));
        self.waiting.retain(|connection, waiting| {
            while let Some((stream, message)) = waiting.front() {
                if shard.send(endpoint, *connection, *stream, message) == Err(SendError::WouldBlock) {
                    return true;
                }
                // Sent, or nobody is there any more, which the next look finds.
                waiting.pop_front();
            }
            false
        });
    }

    /// `false`: the front end broke the rules. What is to be said goes to `said`.
    fn on_message(
        &mut self,
        id: JobId,
        message: Message<'_>,
        said: &mut Vec<(Connection, StreamId, Vec<u8>)>,
    ) -> bool {
        match message {
            Message::Open { is_end, is_head, credit, bytes, .. } => {
                if self.active >= self.requests_max {
                    said.push(failed(id, WHOLE, Why::Busy));
                    return true;
                }
                let exchange = Exchange {
                    request: Receiving::new(REQUEST_CREDIT, REQUEST_CREDIT),
                    response: Sending::new(credit),
                    is_head,
                    bytes: Vec::new(),
                    answer: Vec::new(),
                    sent: 0,
                };
                match self.peers.entry(id.connection).or_default().open(id.exchange, Box::new(exchange)) {
                    Opened::New(before) => self.active += usize::from(before.is_none()),
                    Opened::Late => return true,
                    Opened::Again => return false,
                }
                self.on_bytes(id, bytes, is_end, said)
            }
            Message::Part { is_end, bytes, .. } => self.on_bytes(id, bytes, is_end, said),
            Message::Credit { total, .. } => {
                let Some(exchange) = self.exchange(id) else { return true };
                if exchange.response.on_credit(total) && !exchange.answer.is_empty() {
                    self.parts(id, said);
                }
                true
            }
            Message::Abort { .. } => {
                self.end(id);
                self.ready.retain(|request| request.id != id);
                true
            }
            Message::Failed { .. } => false,
        }
    }

    fn on_bytes(
        &mut self,
        id: JobId,
        bytes: &[u8],
        is_end: bool,
        said: &mut Vec<(Connection, StreamId, Vec<u8>)>,
    ) -> bool {
        let max = self.request_bytes_max;
        let Some(exchange) = self.exchange(id) else { return true };
        if exchange.request.receive(bytes.len(), is_end).is_err() {
            return false;
        }
        if exchange.bytes.len() + bytes.len() > max {
            let stream = exchange.response.send(id.exchange, 0, true);
            said.push(failed(id, stream, Why::Nonsense));
            self.end(id);
            return true;
        }
        exchange.bytes.extend_from_slice(bytes);
        if is_end {
            let (bytes, is_head) = (std::mem::take(&mut exchange.bytes), exchange.is_head);
            self.ready.push_back(Request { id, bytes, is_head });
        } else if let Some(total) = exchange.request.grant(0) {
            let mut message = Vec::new();
            Message::Credit { exchange: id.exchange, total }.put(&mut message);
            said.push((id.connection, stream_of(id.exchange), message));
        }
        true
    }

    /// Sends on of an answer what the credit allows.
    fn pump<D: Driver>(&mut self, shard: &mut Shard<D>, id: JobId) {
        let mut said = Vec::new();
        self.parts(id, &mut said);
        for (connection, stream, message) in said {
            self.say(shard, connection, stream, &message);
        }
    }

    fn parts(&mut self, id: JobId, said: &mut Vec<(Connection, StreamId, Vec<u8>)>) {
        let Some(exchange) = self.exchange(id) else { return };
        while exchange.sent < exchange.answer.len() && exchange.response.room() > 0 {
            let rest = &exchange.answer[exchange.sent..];
            let len = rest.len().min(PART_BYTES_MAX).min(exchange.response.room());
            let is_end = len == rest.len();
            let mut message = Vec::with_capacity(len + 16);
            Message::Part { exchange: id.exchange, is_end, bytes: &rest[..len] }.put(&mut message);
            said.push((id.connection, exchange.response.send(id.exchange, len, is_end), message));
            exchange.sent += len;
        }
        if exchange.sent == exchange.answer.len() {
            self.end(id);
        }
    }

    fn say<D: Driver>(
        &mut self,
        shard: &mut Shard<D>,
        connection: Connection,
        stream: StreamId,
        message: &[u8],
    ) {
        if let Some(waiting) = self.waiting.get_mut(&connection) {
            waiting.push_back((stream, message.to_vec()));
        } else if shard.send(self.endpoint, connection, stream, message) == Err(SendError::WouldBlock) {
            self.waiting.entry(connection).or_default().push_back((stream, message.to_vec()));
        }
    }
}

fn failed(id: JobId, stream: StreamId, why: Why) -> (Connection, StreamId, Vec<u8>) {
    let mut message = Vec::new();
    Message::Failed { exchange: id.exchange, why }.put(&mut message);
    (id.connection, stream, message)
}
