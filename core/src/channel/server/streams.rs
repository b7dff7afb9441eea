//! Streams: participants over TCP, those who speak HTTP, and the connections of web hooks.

use super::{ChannelServer, Way, set_way};
use crate::channel::config::check_clear;
use crate::channel::engine::hub::{HookId, HttpId, SessionId};
use crate::error::{Error, Result};
use crate::io::{Close, Driver, Lease, ListenOptions, ListenerId, StreamId};
use std::net::SocketAddr;

/// Who is at the other end of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) enum Speaker {
    Participant(SessionId),
    Http(HttpId),
    Hook(HookId),
}

impl<D: Driver> ChannelServer<D> {
    pub(super) fn listen(&mut self, address: SocketAddr, is_http: bool) -> Result<SocketAddr> {
        check_clear("listen on", address, self.config.insecure)?;
        self.narrow_hooks(address);
        let listener = self
            .driver
            .listen(address, &ListenOptions::default())
            .map_err(|error| Error::from_io(format_args!("listen on {address}"), &error))?;
        self.listeners.push((listener, is_http));
        Ok(self.driver.listener_address(listener).unwrap_or(address))
    }

    pub(super) fn on_accepted(&mut self, listener: ListenerId, stream: StreamId) {
        let is_http = self.listeners.iter().any(|(id, is_http)| *id == listener && *is_http);
        let now = self.now();
        let speaker = match is_http {
            true => self.hub.connect_http(now).map(Speaker::Http),
            false => self.hub.connect(now).map(Speaker::Participant),
        };
        match speaker {
            // Nobody accepts for a web hook.
            None | Some(Speaker::Hook(_)) => return self.driver.close(stream, Close::Abort),
            Some(Speaker::Participant(session)) => set_way(&mut self.ways, session, Way::Stream(stream)),
            Some(Speaker::Http(id)) => {
                let index = id.index as usize;
                if self.https.len() <= index {
                    self.https.resize(index + 1, None);
                }
                self.https[index] = Some((id, stream));
            }
        }
        self.set_speaker(stream, speaker);
        self.driver.recv(stream);
    }

    pub(super) fn set_speaker(&mut self, stream: StreamId, speaker: Option<Speaker>) {
        let index = stream.index as usize;
        if self.streams.len() <= index {
            self.streams.resize(index + 1, None);
        }
        self.streams[index] = speaker.map(|speaker| (stream, speaker));
    }

    pub(super) fn on_data(&mut self, stream: StreamId, lease: Lease) {
        let now = self.now();
        match self.speaker(stream) {
            // What is no protocol is told by `poll_ended`.
            Some(Speaker::Participant(session)) => {
                self.hub.receive(now, session, self.driver.bytes(&lease));
            }
            Some(Speaker::Http(id)) => {
                self.hub.receive_http(now, id, self.driver.bytes(&lease));
                if !self.hub.wants_http(id) {
                    self.driver.recv_stop(stream);
                }
            }
            Some(Speaker::Hook(id)) => self.hub.receive_hook(now, id, self.driver.bytes(&lease)),
            None => {}
        }
        self.driver.release(lease);
    }

    /// Receiving has stopped: it goes on when the connection takes bytes again.
    pub(super) fn look_after_http(&mut self, stream: StreamId) {
        match self.speaker(stream) {
            Some(Speaker::Http(id)) if self.hub.wants_http(id) => self.driver.recv(stream),
            Some(Speaker::Http(_)) => self.resting.push(stream),
            _ => {}
        }
    }

    pub(super) fn end_http(&mut self, id: HttpId) {
        self.hub.disconnect_http(id);
        let Some((known, stream)) = self.https.get(id.index as usize).copied().flatten() else { return };
        if known == id {
            self.https[id.index as usize] = None;
            self.streams[stream.index as usize] = None;
            self.driver.close(stream, Close::AfterSend);
        }
    }

    pub(super) fn speaker(&self, stream: StreamId) -> Option<Speaker> {
        let (known, speaker) = (*self.streams.get(stream.index as usize)?)?;
        (known == stream).then_some(speaker)
    }
}
