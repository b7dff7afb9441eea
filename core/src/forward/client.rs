//! A client's connection and the exchange on it.

use super::flow::Flow;
use super::job::{Job, LegId};
use super::side::Side;
use crate::io::{DatagramId, Driver, Instant, StreamId};
use clustercore_proto::forward::http::{
    Framing, HeadLimits, HeadScan, Method, RequestPlan, ResponsePlan, Version,
};
use clustercore_proto::policy::BackendKey;
use std::net::SocketAddr;
use std::sync::Arc;

use super::service::Backend;

/// Index of a client in its forwarder; with the stream's generation it is unique.
pub(super) type ClientId = u32;
/// Index of a connection to a back end in its forwarder.
pub(super) type LinkId = u32;

/// A client's connection.
#[derive(Debug)]
pub(super) struct Client {
    pub side: Side,
    pub peer: SocketAddr,
    /// Our own address, as the client sees it; the listener's until [`Client::learn_address`].
    pub local: SocketAddr,
    pub phase: Phase,
    pub scan: HeadScan,
    /// Forwarded and X-Forwarded-* of this client, written once, with its second request.
    pub fields: Vec<u8>,
    /// There was a request.
    pub is_served: bool,
    pub exchange: Option<Box<Exchange>>,
    /// When the phase has lasted too long.
    pub deadline: Instant,
    /// How far its last answer had got when the clock was last looked at.
    pub progress: u64,
}

impl Client {
    /// An empty one, to be begun.
    pub fn new(limits: &HeadLimits) -> Box<Client> {
        let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
        Box::new(Client {
            side: Side::new(StreamId { index: 0, generation: 0 }),
            peer: nobody,
            local: nobody,
            phase: Phase::Idle,
            scan: HeadScan::new(limits),
            fields: Vec::new(),
            is_served: false,
            exchange: None,
            deadline: Instant::MAX,
            progress: 0,
        })
    }

    /// Begins with a connection. What memory it had for the one before is used again.
    pub fn begin(&mut self, stream: StreamId, peer: SocketAddr, local: SocketAddr, phase: Phase) {
        self.side.begin(stream);
        self.peer = peer;
        self.local = local;
        self.phase = phase;
        self.scan.reset();
        self.fields.clear();
        self.is_served = false;
        self.exchange = None;
        self.deadline = Instant::MAX;
        self.progress = 0;
    }

    /// Asks the kernel for our own address where the listener is one on all addresses and does not say it. `true`: it was not known before.
    pub fn learn_address<D: Driver>(&mut self, driver: &D) -> bool {
        if !self.local.ip().is_unspecified() {
            return false;
        }
        let Some(local) = driver.local_address(self.side.stream) else { return false };
        self.local = local;
        !local.ip().is_unspecified()
    }

    /// Whether its memory is worth keeping for the next client.
    pub fn is_small(&self) -> bool {
        self.side.input.is_small()
    }
}

/// Where a client's connection stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Phase {
    /// Waits for a PROXY header.
    Proxy,
    /// Between requests.
    Idle,
    /// A head has begun.
    Head,
    /// A request waits for a back end.
    Queued,
    /// A connection to the back end is being opened.
    Connecting,
    /// The request has been sent (or is being sent), its response has not begun.
    Waiting,
    /// The response is on its way.
    Responding,
    /// Bytes both ways.
    Tunnel,
    /// Our last words have been sent; what the client still sends is read and forgotten.
    Lingering,
}

/// One request and its response.
#[derive(Debug)]
pub(super) struct Exchange {
    pub plan: RequestPlan,
    /// The head for the back end, kept for another try.
    pub head: Vec<u8>,
    /// The body that went with it in one message, kept as well.
    pub body: Vec<u8>,
    pub request: Flow,
    pub response: Flow,
    pub answer: Option<ResponsePlan>,
    pub backend: Option<Arc<Backend>>,
    pub link: Option<LinkId>,
    /// How it stands when it goes by messages, in the place of a link.
    pub job: Option<Job>,
    pub tried: Vec<BackendKey>,
    pub retries: u32,
    /// The link had served others before.
    pub reused: bool,
    /// It holds the one place of a back end on trial, whose outcome is still to be told.
    pub trial: bool,
    /// The next try opens a connection of its own, since a kept one has just failed.
    pub fresh: bool,
    /// The next try does not go by messages, since the handler had no place for this one.
    pub by_tcp: bool,
    /// Bytes came back, an interim response at least.
    pub response_started: bool,
    pub started: Instant,
    pub sent: Instant,
    pub first_byte: Option<Instant>,
    /// How far it had got when the clock was last looked at.
    pub progress: u64,
}

impl Exchange {
    /// An empty one, to be begun.
    pub fn new() -> Box<Exchange> {
        let limits = HeadLimits::default();
        let plan = RequestPlan {
            head_len: 0,
            method: Method::Other,
            version: Version::Http11,
            framing: Framing::None,
            keep_alive: false,
            expect_continue: false,
            upgrade: false,
            connect: false,
        };
        Box::new(Exchange {
            plan,
            head: Vec::new(),
            body: Vec::new(),
            request: Flow::new(Framing::None, &limits, false),
            response: Flow::new(Framing::None, &limits, false),
            answer: None,
            backend: None,
            link: None,
            job: None,
            tried: Vec::new(),
            retries: 0,
            reused: false,
            trial: false,
            fresh: false,
            by_tcp: false,
            response_started: false,
            started: Instant::ZERO,
            sent: Instant::ZERO,
            first_byte: None,
            progress: 0,
        })
    }

    /// The client waits for a 100, and the back end has said nothing yet.
    pub fn awaits_continue(&self) -> bool {
        self.plan.expect_continue && !self.response_started && self.request.moved() == 0
    }

    /// Begins with a request whose head is in `self.head`.
    pub fn begin(&mut self, plan: RequestPlan, request: Flow, now: Instant) {
        self.plan = plan;
        self.request = request;
        self.answer = None;
        self.body.clear();
        self.backend = None;
        self.link = None;
        self.job = None;
        self.tried.clear();
        self.retries = 0;
        self.reused = false;
        self.trial = false;
        self.fresh = false;
        self.by_tcp = false;
        self.response_started = false;
        self.started = now;
        self.sent = now;
        self.first_byte = None;
        self.progress = 0;
    }
}

/// A connection to a back end.
#[derive(Debug)]
pub(super) struct Link {
    pub side: Side,
    pub backend: Arc<Backend>,
    pub client: Option<ClientId>,
    pub connected: bool,
    pub served: u32,
    /// The last response was large: the next one is likely to be, so its head is received alone and its body can be spliced from the
    /// first byte.
    pub large: bool,
    pub scan: HeadScan,
    pub idle_until: Instant,
    pub timer: Instant,
}

impl Link {
    /// Waits for a response (or, idle, for the end).
    pub fn listen<D: Driver>(&mut self, driver: &mut D) {
        if self.large { self.side.read_block(driver, HEAD_BLOCK) } else { self.side.read(driver) }
    }
}

/// A head that is received alone, in bytes.
const HEAD_BLOCK: usize = 4 << 10;

/// Whose stream it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// A client's.
    Client(ClientId),
    /// A connection to a back end.
    Link(LinkId),
    /// A probe of a back end.
    Probe(u32),
}

/// Who owns each stream of a driver, by slot, and the few datagram sockets of forwarders.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    streams: Vec<Option<Owner>>,
    legs: Vec<(DatagramId, u16, LegId)>,
}

/// The forwarder and role of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Owner {
    generation: u32,
    /// Index of the forwarder in its shard.
    pub forwarder: u16,
    /// What the stream is to it.
    pub role: Role,
}

impl Owners {
    /// Enters a stream.
    pub fn set(&mut self, stream: StreamId, forwarder: u16, role: Role) {
        let index = stream.index as usize;
        if self.streams.len() <= index {
            self.streams.resize(index + 1, None);
        }
        self.streams[index] = Some(Owner { generation: stream.generation, forwarder, role });
    }

    /// The owner of a stream, unless it has been closed.
    pub fn get(&self, stream: StreamId) -> Option<Owner> {
        let owner = (*self.streams.get(stream.index as usize)?)?;
        if owner.generation == stream.generation { Some(owner) } else { None }
    }

    /// Forgets a stream.
    pub fn clear(&mut self, stream: StreamId) {
        if self.get(stream).is_some() {
            self.streams[stream.index as usize] = None;
        }
    }

    /// Enters the socket of a leg.
    pub fn set_leg(&mut self, socket: DatagramId, forwarder: u16, leg: LegId) {
        self.legs.push((socket, forwarder, leg));
    }

    /// The forwarder and the leg of a socket.
    pub fn leg(&self, socket: DatagramId) -> Option<(u16, LegId)> {
        self.legs.iter().find(|(other, ..)| *other == socket).map(|(_, forwarder, leg)| (*forwarder, *leg))
    }

    /// Forgets the socket of a leg.
    pub fn clear_leg(&mut self, socket: DatagramId) {
        self.legs.retain(|(other, ..)| *other != socket);
    }
}
