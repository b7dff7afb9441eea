//! Participants over remote calls: a streamed call is a link, its parts carry the frames.

use super::{ChannelServer, Way, set_way, time};
use crate::calls::{CallError, CallId, Incoming, IncomingCall, Results, Stats, Status};
use crate::channel::engine::hub::{Hub, SessionId};
use crate::channel::engine::wire::{piece, piece_frames};
use crate::channel::{CONNECT, MESSAGE_BYTES_MAX, call_config};
use crate::error::{Code, Error, Result};
use crate::io::{Driver, Ecn, Instant, Lease};
use crate::messages::{Endpoint, EndpointConfig, Mail};
use clustercore_proto::datagram::{Connection, Event as ConnectionEvent};
use clustercore_proto::rpc::is_of_calls;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

/// The face: an endpoint with calls, and the calls that are links.
pub(super) struct CallFace {
    pub(super) endpoint: Endpoint,
    mail: Mail,
    links: HashMap<CallId, CallLink>,
    /// What was heard and is to be dealt with.
    heard: Vec<Heard>,
    /// Links whose caller says no more: they end when what it said is answered.
    finished: Vec<CallId>,
}

/// A call that is a link.
struct CallLink {
    session: SessionId,
    /// Parts that wait for room, and the bytes of them all.
    waiting: VecDeque<Vec<u8>>,
    waiting_bytes: usize,
    /// How it ends: as its caller wants, or because of what it sent.
    end: (Status, &'static str),
}

enum Heard {
    Made(SessionId, CallId),
    Refused(CallId, Status, &'static str),
    /// A part has been read, of so many bytes.
    Read(CallId, usize),
    Writable(CallId),
    Finished(CallId),
    Ended(CallId),
}

impl<D: Driver> ChannelServer<D> {
    /// Listens for participants over remote calls, once: each is a streamed call of `clustercore.channel.v1.Channels/Connect`
    /// (docs/protocol/channels.proto). Port 0 lets the system choose. Where it listens.
    ///
    /// Errors: as [`ChannelServer::listen_udp`].
    pub fn listen_rpc(&mut self, address: SocketAddr) -> Result<SocketAddr> {
        if self.calls.is_some() {
            return Err(Error::new(Code::BadConfiguration, "the server listens for calls already"));
        }
        self.narrow_hooks(address);
        let now = time(&self.driver);
        let mut config = EndpointConfig {
            security: self.config.security.clone(),
            insecure: self.config.insecure,
            calls: Some(call_config(PEER_SLOTS_MAX)),
            ..EndpointConfig::default()
        };
        config.machine.epoch = crate::messages::epoch();
        let endpoint = Endpoint::open(&mut self.driver, now, address, config)?;
        let bound = self.driver.datagram_address(endpoint.socket).unwrap_or(address);
        self.calls = Some(CallFace {
            endpoint,
            mail: Mail::default(),
            links: HashMap::new(),
            heard: Vec::new(),
            finished: Vec::new(),
        });
        Ok(bound)
    }

    /// What was counted of calls, also of what is none (`malformed`, `refused`); `None` when the server listens for none.
    pub fn call_stats(&self) -> Option<Stats> {
        Some(self.calls.as_ref()?.endpoint.calls.as_ref()?.stats())
    }

    pub(super) fn on_calls(&mut self, arrival: (SocketAddr, u32, Ecn), mut lease: Lease) {
        let now = time(&self.driver);
        let Some(mut mail) = self.calls.as_mut().map(|face| std::mem::take(&mut face.mail)) else {
            return self.driver.release(lease);
        };
        if let Some(face) = &mut self.calls {
            face.endpoint.read_train(&mut self.driver, now, arrival, &mut lease, &mut mail);
        }
        self.take_call_news();
        for index in 0..mail.len() {
            let (connection, message) = mail.get(index, self.driver.bytes(&lease));
            let stream = mail.stream(index);
            let (hub, wall) = (&mut self.hub, now + self.wall);
            let Some(face) = &mut self.calls else { break };
            let (Endpoint { machine, calls: Some(calls), .. }, links, heard) = face.parts() else { break };
            if is_of_calls(stream) {
                let hear = &mut |incoming: Incoming<'_>| hear(incoming, wall, hub, links, heard);
                calls.on_message(now, machine, connection, stream, message, hear);
            } else {
                machine.close(
                    now,
                    connection,
                    0,
                    b"this address takes calls: the one of udp is another",
                    true,
                );
            }
            self.deal(connection);
        }
        if let Some(face) = &mut self.calls {
            let machine = &mut face.endpoint.machine;
            mail.clear(|connection, stream, cost| machine.consume(connection, stream, cost));
            face.mail = mail;
        }
        self.driver.release(lease);
    }

    pub(super) fn take_call_news(&mut self) {
        let wall = self.now();
        loop {
            let hub = &mut self.hub;
            let Some(face) = &mut self.calls else { return };
            let (Endpoint { machine, calls: Some(calls), .. }, links, heard) = face.parts() else { return };
            let Some(event) = machine.poll_event() else { return };
            calls.on_event(machine, &event, &mut |incoming| hear(incoming, wall, hub, links, heard));
            let connection = match event {
                ConnectionEvent::Gone { connection, .. }
                | ConnectionEvent::Writable { connection }
                | ConnectionEvent::Accepted { connection, .. } => connection,
                _ => continue,
            };
            self.deal(connection);
        }
    }

    pub(super) fn drive_calls(&mut self) {
        let now = time(&self.driver);
        self.take_call_news();
        let Some(face) = &mut self.calls else { return };
        if let Endpoint { machine, calls: Some(calls), .. } = &mut face.endpoint
            && calls.next_timeout().is_some_and(|due| due <= now)
        {
            // Only calls of ours could end by it, and there are none.
            calls.handle_timeout(now, machine, &mut |_| {});
        }
        face.endpoint.drive(&mut self.driver, now);
        self.take_call_news();
    }

    /// Ends the links whose callers have said all, after what they said was answered.
    pub(super) fn end_finished_calls(&mut self) {
        let finished = self.calls.as_mut().map(|face| std::mem::take(&mut face.finished)).unwrap_or_default();
        for call in finished {
            if let Some(session) = self.calls.as_ref().and_then(|face| Some(face.links.get(&call)?.session)) {
                self.end(session, crate::io::Close::AfterSend);
            }
        }
    }

    pub(super) fn send_to_caller(&mut self, call: CallId, bytes: &[u8]) {
        let Some(link) = self.calls.as_mut().and_then(|face| face.links.get_mut(&call)) else { return };
        for part in bytes.chunks(MESSAGE_BYTES_MAX).map(piece) {
            link.waiting_bytes += part.len();
            link.waiting.push_back(part);
        }
        self.flush_call(call);
    }

    /// The session is over: its call is replied to, behind what there is room for.
    pub(super) fn end_call(&mut self, call: CallId) {
        self.flush_call(call);
        let Some(face) = &mut self.calls else { return };
        let Some(link) = face.links.remove(&call) else { return };
        if let Endpoint { machine, calls: Some(calls), .. } = &mut face.endpoint {
            let (status, text) = link.end;
            // Its caller may be gone.
            let _ = calls.reply(machine, call, &Results { status, text, ..Results::default() });
        }
    }

    fn flush_call(&mut self, call: CallId) {
        let Some(face) = &mut self.calls else { return };
        let (Endpoint { machine, calls: Some(calls), .. }, links, _) = face.parts() else { return };
        let Some(link) = links.get_mut(&call) else { return };
        while let Some(part) = link.waiting.front() {
            match calls.send_results(machine, call, part) {
                Ok(()) => {
                    link.waiting_bytes -= part.len();
                    link.waiting.pop_front();
                }
                Err(CallError::WouldBlock) => break,
                // It is over, which is told.
                Err(_) => {
                    link.waiting.clear();
                    link.waiting_bytes = 0;
                }
            }
        }
        self.hub.sent(link.session, link.waiting_bytes);
    }

    /// Deals with what was heard on a connection.
    fn deal(&mut self, connection: Connection) {
        let Some(face) = &mut self.calls else { return };
        if face.heard.is_empty() {
            return;
        }
        for heard in std::mem::take(&mut face.heard) {
            let Some(CallFace { endpoint, links, finished, .. }) = &mut self.calls else { return };
            let Endpoint { machine, calls: Some(calls), .. } = endpoint else { return };
            match heard {
                Heard::Made(session, call) => {
                    debug_assert_eq!(call.connection, connection);
                    set_way(&mut self.ways, session, Way::Call(call));
                }
                Heard::Refused(call, status, text) => {
                    let results = Results { status, text, is_not_executed: true, ..Results::default() };
                    // Its caller may be gone.
                    let _ = calls.reply(machine, call, &results);
                }
                Heard::Read(call, len) => calls.consume(machine, call, false, len),
                Heard::Writable(call) => self.flush_call(call),
                Heard::Finished(call) => finished.push(call),
                Heard::Ended(call) => {
                    if let Some(session) = links.get(&call).map(|link| link.session) {
                        self.end(session, crate::io::Close::Abort);
                    }
                }
            }
        }
    }
}

impl CallFace {
    fn parts(&mut self) -> (&mut Endpoint, &mut HashMap<CallId, CallLink>, &mut Vec<Heard>) {
        (&mut self.endpoint, &mut self.links, &mut self.heard)
    }
}

/// Something came of a call. What it says goes to the hub, what it wants is noted.
fn hear(
    incoming: Incoming<'_>,
    wall: Instant,
    hub: &mut Hub,
    links: &mut HashMap<CallId, CallLink>,
    heard: &mut Vec<Heard>,
) {
    match incoming {
        Incoming::Call(call) => match open(&call, wall, hub) {
            Ok(session) => {
                let (waiting, end) = (VecDeque::new(), SERVER_ENDS);
                links.insert(call.call, CallLink { session, waiting, waiting_bytes: 0, end });
                heard.push(Heard::Made(session, call.call));
                read(call.call, call.arguments, !call.has_parts, wall, hub, links, heard);
            }
            Err((status, text)) => heard.push(Heard::Refused(call.call, status, text)),
        },
        Incoming::Part { call, is_ours: false, is_last, bytes, .. } => {
            heard.push(Heard::Read(call, bytes.len()));
            read(call, bytes, is_last, wall, hub, links, heard);
        }
        Incoming::Writable { call, is_ours: false, .. } => heard.push(Heard::Writable(call)),
        Incoming::Cancelled { call } => {
            if let Some(link) = links.get_mut(&call) {
                link.end = (Status::Cancelled, "");
            }
            heard.push(Heard::Ended(call));
        }
        // No call is ours.
        Incoming::Part { .. } | Incoming::Writable { .. } | Incoming::Reply(_) => {}
    }
}

/// A session for a call, or why it gets none.
fn open(
    call: &IncomingCall<'_>,
    wall: Instant,
    hub: &mut Hub,
) -> std::result::Result<SessionId, (Status, &'static str)> {
    if call.method != CONNECT {
        return Err((
            Status::Unimplemented,
            "a channel server has clustercore.channel.v1.Channels/Connect only",
        ));
    }
    if !call.is_streamed {
        return Err((Status::InvalidArgument, "the method is streamed: its calls are made as streams"));
    }
    hub.connect(wall).ok_or((Status::ResourceExhausted, "the server has as many participants as it may"))
}

/// The bytes of a part.
fn read(
    call: CallId,
    part: &[u8],
    is_last: bool,
    wall: Instant,
    hub: &mut Hub,
    links: &mut HashMap<CallId, CallLink>,
    heard: &mut Vec<Heard>,
) {
    let Some(link) = links.get_mut(&call) else { return };
    match piece_frames(part) {
        // What is no protocol is told by `poll_ended`.
        Ok(frames) => hub.receive(wall, link.session, frames),
        Err(_) => {
            link.end = NO_PIECE;
            return heard.push(Heard::Ended(call));
        }
    };
    if is_last {
        link.end = (Status::Ok, "");
        heard.push(Heard::Finished(call));
    }
}

/// How a call ends that the server ends.
const SERVER_ENDS: (Status, &str) =
    (Status::Aborted, "the server ends the link: its last frame, Bye, says why");
const NO_PIECE: (Status, &str) = (Status::InvalidArgument, "a part is no clustercore.channel.v1.Piece");
/// Links of one connection.
const PEER_SLOTS_MAX: u32 = 1024;
