//! Web hooks: connections that the server makes.

use super::ChannelServer;
use super::streams::Speaker;
use crate::channel::engine::hook::{HookTargets, Order};
use crate::channel::engine::hub::HookId;
use crate::io::{Chunk, Close, Driver, Errno, Event, StreamId, StreamOptions};
use std::net::SocketAddr;

impl<D: Driver> ChannelServer<D> {
    /// Who listens to others does not let them reach into its own machine, unless it was said where hooks may lead.
    pub(super) fn narrow_hooks(&mut self, address: SocketAddr) {
        if !address.ip().is_loopback() && *self.hub.hook_targets() == HookTargets::Loopback {
            self.hub.set_hook_targets(HookTargets::Nowhere);
        }
    }

    /// Does what the hooks want done with their connections.
    pub(super) fn drive_hooks(&mut self) {
        while let Some((id, order)) = self.hub.poll_hook() {
            match order {
                Order::Connect(address) => self.connect_hook(id, address),
                Order::Send(bytes) => {
                    if let Some(stream) = self.hook_stream(id) {
                        self.driver.send(stream, Chunk::Owned(bytes));
                    }
                }
                Order::Close => {
                    if let Some(stream) = self.hook_stream(id) {
                        self.hooks[id.index as usize] = None;
                        self.set_speaker(stream, None);
                        // Who does not take a request is not waited for.
                        let is_sent = self.driver.unsent(stream) == 0;
                        self.driver.close(stream, if is_sent { Close::AfterSend } else { Close::Abort });
                    }
                }
            }
        }
    }

    fn connect_hook(&mut self, id: HookId, address: SocketAddr) {
        match self.driver.connect(address, &StreamOptions::default()) {
            Ok(stream) => {
                let index = id.index as usize;
                if self.hooks.len() <= index {
                    self.hooks.resize(index + 1, None);
                }
                self.hooks[index] = Some((id, stream));
                self.set_speaker(stream, Some(Speaker::Hook(id)));
            }
            Err(error) => {
                let now = self.now();
                self.hub.hook_lost(now, id, &error.to_string());
            }
        }
    }

    pub(super) fn on_connected(&mut self, stream: StreamId, result: Result<(), Errno>) {
        let Some(Speaker::Hook(id)) = self.speaker(stream) else { return };
        let now = self.now();
        match result {
            Ok(()) => {
                self.driver.recv(stream);
                self.hub.hook_connected(now, id);
            }
            Err(errno) => self.hub.hook_lost(now, id, &errno.to_io().to_string()),
        }
    }

    /// Its connection has ended. The hook says that it is to be closed.
    pub(super) fn end_hook(&mut self, id: HookId, event: &Event) {
        let now = self.now();
        match event {
            Event::Failed { errno, .. } => {
                self.hub.hook_lost(now, id, &errno.to_io().to_string());
            }
            _ => self.hub.hook_lost(now, id, "the target has closed it"),
        }
    }

    fn hook_stream(&self, id: HookId) -> Option<StreamId> {
        let (known, stream) = self.hooks.get(id.index as usize).copied().flatten()?;
        (known == id).then_some(stream)
    }
}
