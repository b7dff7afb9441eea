//! A link that is one streamed call: frames both ways in its parts.

use super::Told;
use super::dial::{Keys, connect, why};
use crate::calls::{Arguments, CallError, CallId, CallOptions, Incoming, Results, Status};
use crate::channel::engine::wire::{piece, piece_frames};
use crate::channel::server::time;
use crate::channel::{CONNECT, MESSAGE_BYTES_MAX, call_config};
use crate::error::Result;
use crate::io::{DatagramId, Driver, Ecn, Instant, Lease};
use crate::messages::{Endpoint, EndpointConfig, Mail};
use clustercore_proto::datagram::{Connection, Event};
use clustercore_proto::rpc::is_of_calls;
use std::collections::VecDeque;
use std::net::SocketAddr;

pub(in crate::channel) struct CallLink {
    endpoint: Box<Endpoint>,
    connection: Connection,
    /// `None` before the connection is there.
    call: Option<CallId>,
    /// Parts that wait for room.
    waiting: VecDeque<Vec<u8>>,
    mail: Mail,
    is_reading: bool,
    heard: Heard,
}

/// What was heard of calls and is to be dealt with.
#[derive(Default)]
struct Heard {
    /// Bytes of each part whose room the server has not got back.
    owed: Vec<usize>,
    is_writable: bool,
    /// Calls of the server, which has nothing to call here.
    strangers: Vec<CallId>,
}

impl CallLink {
    pub fn open<D: Driver>(
        driver: &mut D,
        address: SocketAddr,
        server_key: Option<[u8; 32]>,
        keys: Keys,
    ) -> Result<CallLink> {
        let config = EndpointConfig { calls: Some(call_config(1)), ..EndpointConfig::default() };
        let (endpoint, connection) = connect(driver, address, server_key, keys, config)?;
        Ok(CallLink {
            endpoint,
            connection,
            call: None,
            waiting: VecDeque::new(),
            mail: Mail::default(),
            is_reading: true,
            heard: Heard::default(),
        })
    }

    pub fn socket(&self) -> DatagramId {
        self.endpoint.socket
    }

    pub fn close<D: Driver>(mut self, driver: &mut D) {
        let now = time(driver);
        // The call ends with its connection.
        self.endpoint.machine.close(now, self.connection, 0, b"gone", false);
        self.endpoint.drive(driver, now);
        driver.close_datagram(self.endpoint.socket);
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.waiting.extend(bytes.chunks(MESSAGE_BYTES_MAX).map(piece));
        self.flush();
    }

    pub fn has_room(&self) -> bool {
        self.call.is_some() && self.waiting.is_empty()
    }

    pub fn set_reading(&mut self, wanted: bool) {
        self.is_reading = wanted;
        self.settle();
    }

    pub fn on_train<D: Driver>(
        &mut self,
        driver: &mut D,
        arrival: (SocketAddr, u32, Ecn),
        mut lease: Lease,
        tell: &mut impl FnMut(Told<'_>),
    ) {
        let now = driver.now();
        let mut mail = std::mem::take(&mut self.mail);
        self.endpoint.read_train(driver, now, arrival, &mut lease, &mut mail);
        self.take_news(now, tell);
        let CallLink { endpoint, heard, .. } = self;
        let machine = &mut endpoint.machine;
        if let Some(calls) = &mut endpoint.calls {
            for index in 0..mail.len() {
                let (connection, message) = mail.get(index, driver.bytes(&lease));
                let stream = mail.stream(index);
                if is_of_calls(stream) {
                    calls.on_message(now, machine, connection, stream, message, &mut |it| heard.on(it, tell));
                }
            }
        }
        // The room of parts is the call's matter; what the transport has delivered, it may forget.
        mail.clear(|connection, stream, cost| machine.consume(connection, stream, cost));
        self.mail = mail;
        driver.release(lease);
        self.settle();
    }

    pub fn drive<D: Driver>(&mut self, driver: &mut D, tell: &mut impl FnMut(Told<'_>)) {
        let now = time(driver);
        let CallLink { endpoint, heard, .. } = self;
        if let Endpoint { machine, calls: Some(calls), .. } = &mut **endpoint
            && calls.next_timeout().is_some_and(|due| due <= now)
        {
            calls.handle_timeout(now, machine, &mut |it| heard.on(it, tell));
        }
        self.endpoint.drive(driver, now);
        self.take_news(now, tell);
        self.settle();
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        self.endpoint.next_timeout()
    }

    fn take_news(&mut self, now: Instant, tell: &mut impl FnMut(Told<'_>)) {
        let CallLink { endpoint, connection: ours, call, heard, .. } = self;
        let Endpoint { machine, calls: Some(calls), .. } = &mut **endpoint else { return };
        while let Some(event) = machine.poll_event() {
            match &event {
                Event::Connected { connection, .. } if connection == ours => {
                    let arguments = Arguments { method: CONNECT, bytes: &[], has_parts: true };
                    let options = CallOptions { is_streamed: true, ..CallOptions::default() };
                    match calls.call(now, machine, *ours, &arguments, &options) {
                        Ok(made) => {
                            *call = Some(made);
                            tell(Told::Made);
                        }
                        Err(error) => tell(Told::Lost(&format!("the server takes no calls: {error:?}"))),
                    }
                }
                Event::Gone { connection, reason, .. } if connection == ours => {
                    tell(Told::Lost(&why(reason)));
                }
                _ => calls.on_event(machine, &event, &mut |it| heard.on(it, tell)),
            }
        }
    }

    /// Deals with what was heard.
    fn settle(&mut self) {
        if std::mem::take(&mut self.heard.is_writable) {
            self.flush();
        }
        let CallLink { endpoint, call: Some(call), is_reading, heard, .. } = self else { return };
        let Endpoint { machine, calls: Some(calls), .. } = &mut **endpoint else { return };
        if *is_reading {
            heard.owed.drain(..).for_each(|len| calls.consume(machine, *call, true, len));
        }
        for stranger in heard.strangers.drain(..) {
            let text = "a participant serves no calls";
            let results =
                Results { status: Status::Unimplemented, is_not_executed: true, text, ..Results::default() };
            // It may be over.
            let _ = calls.reply(machine, stranger, &results);
        }
    }

    fn flush(&mut self) {
        let CallLink { endpoint, call: Some(call), waiting, .. } = self else { return };
        let Endpoint { machine, calls: Some(calls), .. } = &mut **endpoint else { return };
        while let Some(part) = waiting.front() {
            match calls.send_arguments(machine, *call, part, false) {
                Ok(()) => waiting.pop_front(),
                Err(CallError::WouldBlock) => return,
                // The call is over, which its reply tells.
                Err(_) => return waiting.clear(),
            };
        }
    }
}

impl Heard {
    fn on(&mut self, incoming: Incoming<'_>, tell: &mut impl FnMut(Told<'_>)) {
        match incoming {
            Incoming::Part { is_ours: true, bytes, .. } => {
                self.owed.push(bytes.len());
                match piece_frames(bytes) {
                    Ok(frames) => tell(Told::Bytes(frames)),
                    Err(_) => tell(Told::Lost("the server broke the protocol: a part is no Piece")),
                }
            }
            Incoming::Reply(reply) => {
                let words = format!("the server has ended the call: {} {}", reply.status, reply.text);
                tell(Told::Lost(words.trim_end()));
            }
            Incoming::Writable { is_ours: true, .. } => self.is_writable = true,
            Incoming::Call(call) => self.strangers.push(call.call),
            Incoming::Part { .. } | Incoming::Writable { .. } | Incoming::Cancelled { .. } => {}
        }
    }
}
