//! A server of event channels: a loop of its own over one driver.

mod calls;
mod hooks;
mod keeper;
mod peers;
mod streams;

use super::config::ChannelServerConfig;
use super::engine::hub::{HookId, HttpId, Hub, HubStats, Piece, SessionId};
use crate::error::{Code, Error, Result};
use crate::io::{
    AnyDriver, Chunk, Close, Driver, DriverChoice, DriverConfig, DriverKind, Event, Instant, ListenerId,
    StreamId, Waker,
};
use crate::messages::{Endpoint, EndpointConfig, Mail};
use calls::CallFace;
use clustercore_proto::datagram::Connection;
use clustercore_proto::rpc::CallId;
use keeper::Keeper;
use peers::Peer;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use streams::Speaker;

/// Serves the participants of a [`Hub`]: turn it.
pub struct ChannelServer<D: Driver = AnyDriver> {
    driver: D,
    hub: Hub,
    keeper: Option<Keeper>,
    config: ChannelServerConfig,
    /// From the driver's time to nanoseconds since 1970.
    wall: Duration,
    /// Of these, those with `true` speak HTTP.
    listeners: Vec<(ListenerId, bool)>,
    endpoint: Option<Endpoint>,
    mail: Mail,
    calls: Option<CallFace>,
    /// Who is at the other end of each stream, by the stream's place.
    streams: Vec<Option<(StreamId, Speaker)>>,
    peers: Vec<Option<Peer>>,
    /// How each participant is reached, by the session's place.
    ways: Vec<Option<(SessionId, Way)>>,
    /// The stream of each connection that speaks HTTP, by its place.
    https: Vec<Option<(HttpId, StreamId)>>,
    /// The stream of each web hook that has one, by its place.
    hooks: Vec<Option<(HookId, StreamId)>>,
    /// Listeners that could not accept, and when they try again.
    paused: Vec<(Instant, ListenerId)>,
    /// Streams of HTTP that are not read for now.
    resting: Vec<StreamId>,
    inbox: Vec<Event>,
    is_busy: bool,
}

/// How a participant is reached.
#[derive(Clone, Copy, Debug)]
enum Way {
    Stream(StreamId),
    Peer(Connection),
    Call(CallId),
}

impl ChannelServer {
    /// Opens a driver. Listen next.
    ///
    /// Errors: those of [`ChannelServer::with_driver`] and of opening a driver.
    pub fn open(choice: DriverChoice, spin: Duration, config: ChannelServerConfig) -> Result<ChannelServer> {
        let io = DriverConfig { spin_ns: spin.as_nanos() as u64, ..Default::default() };
        let (driver, _) = crate::io::open(choice, io)?;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        ChannelServer::with_driver(driver, wall, config)
    }
}

impl<D: Driver> ChannelServer<D> {
    /// A server over a driver that is open already; `wall` is the time since 1970 at this moment. What the journal has is there again.
    ///
    /// Errors: `BadConfiguration`: of the engine, or what is in the journal cannot be made again; `Io`: of the journal.
    pub fn with_driver(
        driver: D,
        wall: Duration,
        mut config: ChannelServerConfig,
    ) -> Result<ChannelServer<D>> {
        config.hub.is_durable |= config.journal.is_some();
        let mut hub = Hub::new(config.hub.clone())
            .map_err(|error| Error::new(Code::BadConfiguration, error.to_string()))?;
        let started = Duration::from_nanos(time(&driver).as_nanos());
        let now = Instant::from_nanos(u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX));
        let open = |journal| Keeper::open(journal, driver.waker(), &mut hub, now);
        let keeper = config.journal.as_ref().map(open).transpose()?;
        Ok(ChannelServer {
            driver,
            hub,
            keeper,
            config,
            wall: wall.saturating_sub(started),
            listeners: Vec::new(),
            endpoint: None,
            mail: Mail::default(),
            calls: None,
            streams: Vec::new(),
            peers: Vec::new(),
            ways: Vec::new(),
            https: Vec::new(),
            hooks: Vec::new(),
            paused: Vec::new(),
            resting: Vec::new(),
            inbox: Vec::new(),
            is_busy: false,
        })
    }

    /// Listens for participants over TCP; port 0 lets the system choose. Where it listens.
    ///
    /// Errors: `InsecureAddress`, `AddressInUse`, `AddressNotAvailable`, `PermissionDenied`.
    pub fn listen_tcp(&mut self, address: SocketAddr) -> Result<SocketAddr> {
        self.listen(address, false)
    }

    /// Listens for HTTP/1.1: CloudEvents in by POST and out by GET, channels and consumers as JSON (docs/channel.md). Where it listens.
    ///
    /// Errors: as [`ChannelServer::listen_tcp`].
    pub fn listen_http(&mut self, address: SocketAddr) -> Result<SocketAddr> {
        self.listen(address, true)
    }

    /// Listens for participants over reliable datagrams, once; port 0 lets the system choose. Where it listens.
    ///
    /// Errors: `InsecureAddress`, `BadConfiguration` (it listens already, or keys that cannot be), `AddressInUse`, `AddressNotAvailable`.
    pub fn listen_udp(&mut self, address: SocketAddr) -> Result<SocketAddr> {
        if self.endpoint.is_some() {
            return Err(Error::new(Code::BadConfiguration, "the server listens for datagrams already"));
        }
        self.narrow_hooks(address);
        let now = time(&self.driver);
        let mut config = EndpointConfig {
            security: self.config.security.clone(),
            insecure: self.config.insecure,
            ..EndpointConfig::default()
        };
        config.machine.epoch = crate::messages::epoch();
        let endpoint = Endpoint::open(&mut self.driver, now, address, config)?;
        let bound = self.driver.datagram_address(endpoint.socket).unwrap_or(address);
        self.endpoint = Some(endpoint);
        Ok(bound)
    }

    /// Engine, sessions, counters.
    pub fn hub(&mut self) -> &mut Hub {
        &mut self.hub
    }

    /// What was counted.
    pub fn stats(&self) -> HubStats {
        self.hub.stats()
    }

    /// Why it takes no persistent events any more, nor channels and durable consumers: its journal has failed. `None`: it does, or has no
    /// journal. It goes on with everything else; what is confirmed is there when it is started anew.
    pub fn failure(&self) -> Option<&str> {
        self.hub.failure().map(|why| &**why)
    }

    /// Rings it out of a wait, from any thread; `None` in the simulator.
    pub fn waker(&self) -> Option<Waker> {
        self.driver.waker()
    }

    /// The driver, for tests.
    pub fn driver(&self) -> &D {
        &self.driver
    }

    /// Now, in nanoseconds since 1970.
    pub fn now(&self) -> Instant {
        time(&self.driver) + self.wall
    }

    /// Does what there is to do; waits for at most `timeout` (`None`: until something happens) when there is nothing.
    ///
    /// Errors: `Io` when the driver can go no further.
    pub fn turn_for(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.pump();
        self.drive_endpoint();
        self.drive_calls();
        let timeout = match (timeout, self.next_timeout()) {
            (Some(timeout), Some(due)) => Some(timeout.min(due)),
            (timeout, due) => timeout.or(due),
        };
        let mut inbox = std::mem::take(&mut self.inbox);
        let result = self.driver.turn(timeout, &mut inbox);
        for event in inbox.drain(..) {
            self.on_event(event);
        }
        self.inbox = inbox;
        let now = self.driver.now();
        for (_, listener) in self.paused.extract_if(.., |(at, _)| *at <= now) {
            self.driver.accept_resume(listener);
        }
        self.take_news();
        self.take_call_news();
        self.pump();
        self.end_finished_calls();
        self.drive_endpoint();
        self.drive_calls();
        result.map_err(|error| Error::from_io("turn the driver", &error))
    }

    fn next_timeout(&mut self) -> Option<Duration> {
        if self.driver.pending() || self.is_busy {
            return Some(Duration::ZERO);
        }
        let now = time(&self.driver);
        let hub = self.hub.next_timeout().map(|at| at.saturating_sub(now + self.wall));
        let keeper =
            self.keeper.as_ref().map(|it| it.next_timeout(now + self.wall).saturating_sub(now + self.wall));
        let calls = self.calls.as_ref().map(|face| &face.endpoint);
        let endpoints = [self.endpoint.as_ref(), calls].into_iter().flatten();
        let endpoint = endpoints.filter_map(Endpoint::next_timeout).min();
        let accept = self.paused.iter().map(|(at, _)| at.saturating_sub(now)).min();
        [hub, keeper, endpoint.map(|at| at.saturating_sub(now)), accept].into_iter().flatten().min()
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Accepted { listener, stream, .. } => self.on_accepted(listener, stream),
            Event::AcceptFailed { listener, .. } => {
                // No descriptor, or no memory: there may be some in a while.
                self.paused.push((self.driver.now() + ACCEPT_RETRY, listener));
            }
            Event::Connected { stream, result } => self.on_connected(stream, result),
            Event::Data { stream, lease } => self.on_data(stream, lease),
            Event::Sent { stream, unsent } => {
                if let Some(Speaker::Participant(session)) = self.speaker(stream) {
                    self.hub.sent(session, unsent as usize);
                }
            }
            Event::End { stream } | Event::Failed { stream, .. } => match self.speaker(stream) {
                Some(Speaker::Participant(session)) => self.end(session, Close::AfterSend),
                Some(Speaker::Http(id)) => self.end_http(id),
                Some(Speaker::Hook(id)) => self.end_hook(id, &event),
                None => {}
            },
            Event::RecvStopped { stream } => self.look_after_http(stream),
            Event::Datagrams { socket, from, segment, ecn, lease } => {
                let is_of_calls = self.calls.as_ref().is_some_and(|face| face.endpoint.socket == socket);
                match is_of_calls {
                    true => self.on_calls((from, segment, ecn), lease),
                    false => self.on_train((from, segment, ecn), lease),
                }
            }
            _ => {}
        }
    }

    /// Lets events flow, and hands the bytes to the driver.
    fn pump(&mut self) {
        let now = self.now();
        self.keeper.iter_mut().for_each(|it| it.complete(&mut self.hub, now));
        self.is_busy = self.hub.pump(now, ROUNDS_MAX);
        self.is_busy |= self.keeper.as_mut().is_some_and(|it| it.append(&mut self.hub, now));
        while let Some((session, piece)) = self.hub.poll_send() {
            let way = self.ways.get(session.index as usize).copied().flatten();
            match way.filter(|(known, _)| *known == session).map(|(_, way)| way) {
                Some(Way::Stream(stream)) => {
                    let chunk = match piece {
                        Piece::Own(bytes) => Chunk::Owned(bytes),
                        Piece::Shared(bytes) => Chunk::Shared(bytes),
                    };
                    self.driver.send(stream, chunk);
                }
                Some(Way::Peer(connection)) => self.send_to_peer(connection, piece.as_slice()),
                Some(Way::Call(call)) => self.send_to_caller(call, piece.as_slice()),
                None => {}
            }
        }
        while let Some(session) = self.hub.poll_ended() {
            self.end(session, Close::AfterSend);
        }
        while let Some((id, bytes)) = self.hub.poll_http(now) {
            if let Some((known, stream)) = self.https.get(id.index as usize).copied().flatten()
                && known == id
            {
                self.driver.send(stream, Chunk::Owned(bytes));
            }
        }
        while let Some(id) = self.hub.poll_http_ended() {
            self.end_http(id);
        }
        self.drive_hooks();
        for stream in std::mem::take(&mut self.resting) {
            self.look_after_http(stream);
        }
    }

    /// A participant is gone, or is to go.
    fn end(&mut self, session: SessionId, how: Close) {
        let now = self.now();
        self.hub.disconnect(now, session);
        let Some((known, way)) = self.ways.get(session.index as usize).copied().flatten() else { return };
        if known != session {
            return;
        }
        self.ways[session.index as usize] = None;
        match way {
            Way::Stream(stream) => {
                self.streams[stream.index as usize] = None;
                self.driver.close(stream, how);
            }
            Way::Call(call) => self.end_call(call),
            Way::Peer(connection) => {
                let now = time(&self.driver);
                self.peers[connection.index as usize] = None;
                if let Some(endpoint) = &mut self.endpoint {
                    endpoint.machine.close(now, connection, 0, b"ended", true);
                }
            }
        }
    }
}

/// Notes how far everything has come, where there is a journal.
impl<D: Driver> Drop for ChannelServer<D> {
    fn drop(&mut self) {
        let now = self.now();
        if let Some(keeper) = &mut self.keeper {
            keeper.close(&mut self.hub, now);
        }
    }
}

fn set_way(ways: &mut Vec<Option<(SessionId, Way)>>, session: SessionId, way: Way) {
    let index = session.index as usize;
    if ways.len() <= index {
        ways.resize(index + 1, None);
    }
    ways[index] = Some((session, way));
}

/// The driver's time; between its turns it stands still but in the simulator.
pub(super) fn time<D: Driver>(driver: &D) -> Instant {
    if driver.kind() == DriverKind::Sim { driver.now() } else { crate::io::clock::now() }
}

/// Wait before a listener that could not accept tries again.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Rounds of the engine in one turn.
const ROUNDS_MAX: u32 = 16;
