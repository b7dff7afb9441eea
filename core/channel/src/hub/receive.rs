//! What participants say.

use super::{Hub, SessionId};
use crate::event::Text;
use crate::principal::Principal;
use crate::wire::{Deliveries, Frame, VERSION};
use clustercore_proto::time::Instant;

impl Hub {
    /// Bytes of a participant's stream, however they are cut. `false`: it has broken the protocol, was told so, and is to be closed
    /// ([`Hub::poll_ended`]).
    pub fn receive(&mut self, now: Instant, id: SessionId, bytes: &[u8]) -> bool {
        let Some(session) = self.session_mut(id) else { return false };
        if session.is_ending {
            return false;
        }
        let mut splitter = std::mem::replace(&mut session.splitter, crate::wire::Splitter::new(0));
        let mut is_sound = true;
        let fed = splitter.feed(bytes, &mut |frame| {
            is_sound = self.receive_frame(now, id, frame);
            is_sound
        });
        if let Err(error) = &fed {
            self.violate(id, &error.to_string());
        }
        if let Some(session) = self.session_mut(id) {
            session.splitter = splitter;
        }
        is_sound && fed.is_ok()
    }

    /// A frame that came whole, without the length before it. As [`Hub::receive`].
    pub fn receive_frame(&mut self, now: Instant, id: SessionId, bytes: &[u8]) -> bool {
        let Some(session) = self.session_mut(id) else { return false };
        if session.is_ending {
            return false;
        }
        let is_known = session.principal.is_some();
        match (Frame::parse(bytes), is_known) {
            (Ok(Frame::Hello { version, token, name }), false) => self.on_hello(id, version, token, name),
            (Ok(_), false) => self.violate(id, "say who you are first: a Hello"),
            (Ok(frame), true) => self.on_frame(now, id, &frame),
            (Err(error), _) => self.violate(id, &error.to_string()),
        }
    }

    fn on_hello(&mut self, id: SessionId, version: u64, token: &str, name: &str) -> bool {
        if version != VERSION {
            return self.violate(id, &format!("protocol version {version}; this server speaks {VERSION}"));
        }
        let token = (!token.is_empty()).then_some(token.as_bytes());
        let Some(principal) = self.config.access.find(token).map(|it| Principal::clone(it)) else {
            return self.violate(id, "the secret is not known here, or none was shown and one is needed");
        };
        let frame_bytes_max = self.config.frame_bytes_max as u64;
        let Some(session) = self.session_mut(id) else { return false };
        session.name = Text::from(&name[..name.floor_char_boundary(NAME_BYTES_MAX)]);
        let welcome = Frame::Welcome { version, frame_bytes_max, principal: &principal.name };
        session.put(&welcome);
        session.principal = Some(principal);
        self.queue(id);
        true
    }

    fn on_frame(&mut self, now: Instant, id: SessionId, frame: &Frame<'_>) -> bool {
        match *frame {
            Frame::Ask { request, json } => self.on_ask(now, id, request, json),
            Frame::Emit { handle, first, count, events } => {
                self.on_emit(now, id, handle, (first, count), events)
            }
            Frame::Pull { handle, max } => self.on_pull(now, id, handle, max),
            Frame::Acknowledge { handle, deliveries } => self.settle(now, id, handle, None, deliveries),
            Frame::Reject { handle, is_for_good, deliveries } => {
                self.settle(now, id, handle, Some(is_for_good), deliveries);
            }
            _ => return self.violate(id, "a frame that only a server sends, or a second Hello"),
        }
        let unread_max = self.config.unread_bytes_max;
        match self.session(id) {
            Some(session) if session.unsent > unread_max => {
                let message =
                    format!("{} bytes wait to be read, limit is {unread_max}: read them", session.unsent);
                self.violate(id, &message)
            }
            Some(session) => !session.is_ending,
            None => false,
        }
    }

    /// Acknowledges deliveries, or rejects them. Those that are not in flight any more were tried again: nothing is to be done.
    fn settle(
        &mut self,
        now: Instant,
        id: SessionId,
        handle: u64,
        rejects: Option<bool>,
        deliveries: Deliveries<'_>,
    ) {
        let Some(consumer) = self.session(id).and_then(|it| it.consumers.get(&handle)) else { return };
        let (channel, proxy) = (consumer.channel, consumer.proxy);
        let Some(machine) = self.engine.machine(channel) else { return };
        for delivery in deliveries.iter() {
            let _ = match rejects {
                None => machine.acknowledge(now, proxy, delivery),
                Some(is_for_good) => machine.reject(now, proxy, delivery, is_for_good),
            };
        }
    }

    /// Ends a connection that cannot be gone on with, and says why. Always `false`.
    pub(super) fn violate(&mut self, id: SessionId, message: &str) -> bool {
        if let Some(session) = self.session_mut(id)
            && !session.is_ending
        {
            session.is_ending = true;
            session.put(&Frame::Bye { message });
            self.stats.violations += 1;
            self.queue(id);
        }
        false
    }
}

const NAME_BYTES_MAX: usize = 255;
