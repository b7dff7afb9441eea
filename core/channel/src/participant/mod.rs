//! The participant's side of the channel protocol: a supplier, a consumer, an administrator, or all of them on one connection.
//!
//! Pure: the link hands in what arrived ([`Participant::receive`] or [`Participant::receive_frame`]), and takes what is to be sent
//! ([`Participant::poll_send`]). The link may be exchanged for another while events flow: [`Participant::link_lost`], then
//! [`Participant::link_made`] says again who we are, what we supply and what we consume, and sends again what was not taken.

mod consumer;
mod news;
mod supply;

pub use news::{News, ParticipantError, Refused};
pub use supply::{Emitted, SupplyConfig};

use crate::event::{Event, EventLimits};
use crate::id::DeliveryId;
use crate::json::{Object, write_text};
use crate::wire::{Delivered, Deliveries, Frame, Splitter, VERSION, take_delivered};
use clustercore_proto::time::Instant;
use consumer::Consumer;
use std::collections::{BTreeMap, VecDeque};
use supply::Supply;

/// A participant's own number for a proxy.
pub type Handle = u64;

/// What a participant is made with.
#[derive(Clone, Debug)]
pub struct ParticipantConfig {
    /// Shows the server who we are; empty for nobody in particular.
    pub token: String,
    /// Our name, for people.
    pub name: String,
    /// What arriving events are held to.
    pub limits: EventLimits,
    /// Longest frame that is taken from the server.
    pub frame_bytes_max: usize,
    /// Events that wait for their taker; with more, the link is not read.
    pub inbox_max: usize,
}

impl Default for ParticipantConfig {
    fn default() -> ParticipantConfig {
        ParticipantConfig {
            token: String::new(),
            name: String::new(),
            limits: EventLimits::default(),
            frame_bytes_max: 16 << 20,
            inbox_max: 16_384,
        }
    }
}

/// See the module's text.
#[derive(Debug)]
pub struct Participant {
    config: ParticipantConfig,
    is_linked: bool,
    splitter: Splitter,
    out: Vec<u8>,
    next_handle: Handle,
    next_request: u64,
    supplies: BTreeMap<Handle, Supply>,
    consumers: BTreeMap<Handle, Consumer>,
    /// Requests that make proxies, by the proxy.
    opening: BTreeMap<u64, Handle>,
    asked: VecDeque<u64>,
    inbox: VecDeque<(Handle, Delivered)>,
    news: VecDeque<News>,
}

impl Participant {
    /// One without a link.
    pub fn new(config: ParticipantConfig) -> Participant {
        Participant {
            is_linked: false,
            splitter: Splitter::new(config.frame_bytes_max),
            out: Vec::new(),
            next_handle: 1,
            next_request: 1,
            supplies: BTreeMap::new(),
            consumers: BTreeMap::new(),
            opening: BTreeMap::new(),
            asked: VecDeque::new(),
            inbox: VecDeque::new(),
            news: VecDeque::new(),
            config,
        }
    }

    /// There is a link: we say who we are, open our proxies (again), and send (again) what was not taken.
    pub fn link_made(&mut self) {
        self.is_linked = true;
        self.splitter = Splitter::new(self.config.frame_bytes_max);
        self.out.clear();
        let hello = Frame::Hello { version: VERSION, token: &self.config.token, name: &self.config.name };
        hello.put(&mut self.out);
        for handle in self.supplies.keys().copied().collect::<Vec<_>>() {
            self.open_supply(handle);
        }
        for handle in self.consumers.keys().copied().collect::<Vec<_>>() {
            self.open_consumer(handle);
        }
    }

    /// The link is gone. Questions under way are answered as lost; supplies and consumers wait for the next link.
    pub fn link_lost(&mut self) {
        self.is_linked = false;
        self.out.clear();
        self.opening.clear();
        let asked = std::mem::take(&mut self.asked);
        let refused = Refused { json: String::new() };
        self.news
            .extend(asked.into_iter().map(|request| News::Answer { request, result: Err(refused.clone()) }));
        self.supplies.values_mut().for_each(Supply::rewind);
        self.consumers.values_mut().for_each(Consumer::rewind);
    }

    /// Asks something: `json` is an object with `op` (docs/protocol/channel.md). [`News::Answer`] tells the end.
    pub fn ask(&mut self, json: &str) -> u64 {
        let request = self.next_request;
        self.next_request += 1;
        if self.is_linked {
            self.asked.push_back(request);
            Frame::Ask { request, json }.put(&mut self.out);
        } else {
            let result = Err(Refused { json: String::new() });
            self.news.push_back(News::Answer { request, result });
        }
        request
    }

    /// Becomes a supplier: `spec` are the members of a JSON object, `"channel":"load"` for example, or nothing. When the server refuses,
    /// [`News::Gone`] says why.
    pub fn supply(&mut self, spec: &str, config: SupplyConfig) -> Handle {
        let handle = self.next_handle;
        self.next_handle += 1;
        self.supplies.insert(handle, Supply::new(spec, config));
        if self.is_linked {
            self.open_supply(handle);
        }
        handle
    }

    /// Becomes a consumer; as [`Participant::supply`].
    pub fn consume(&mut self, spec: &str) -> Handle {
        let handle = self.next_handle;
        self.next_handle += 1;
        self.consumers.insert(handle, Consumer::new(spec));
        if self.is_linked {
            self.open_consumer(handle);
        }
        handle
    }

    /// Gives a proxy up.
    pub fn close(&mut self, handle: Handle) {
        let is_known = self.supplies.remove(&handle).is_some() | self.consumers.remove(&handle).is_some();
        self.inbox.retain(|(whose, _)| *whose != handle);
        if is_known && self.is_linked {
            self.ask(&format!("{{\"op\":\"close\",\"handle\":{handle}}}"));
        }
    }

    fn open_supply(&mut self, handle: Handle) {
        let Some(supply) = self.supplies.get(&handle) else { return };
        let (spec, first) = (supply.spec().to_owned(), supply.first());
        self.open("supply", handle, Some((first, supply.config().is_patient)), &spec);
        self.transmit(handle);
    }

    fn open_consumer(&mut self, handle: Handle) {
        let Some(consumer) = self.consumers.get_mut(&handle) else { return };
        consumer.again_at = None;
        let spec = consumer.spec.clone();
        self.open("consume", handle, None, &spec);
    }

    fn open(&mut self, op: &str, handle: Handle, supply: Option<(u64, bool)>, spec: &str) {
        let mut json = String::new();
        Object::write(&mut json, |object| {
            write_text(op, object.member("op"));
            object.plain("handle", handle);
            if let Some((first, is_patient)) = supply {
                object.plain("first", first);
                object.plain("patient", is_patient);
            }
        });
        if !spec.trim().is_empty() {
            json.pop();
            json.push(',');
            json.push_str(spec);
            json.push('}');
        }
        let request = self.ask(&json);
        self.opening.insert(request, handle);
    }

    /// Emits events: the numbers of those that are taken up for sending, in order, from the first on.
    ///
    /// Errors: `NoSuchHandle`; `WouldBlock`: none was.
    pub fn emit(&mut self, handle: Handle, events: &[Event]) -> Result<Emitted, ParticipantError> {
        let supply = self.supplies.get_mut(&handle).ok_or(ParticipantError::NoSuchHandle { handle })?;
        let emitted = supply.queue(events);
        if emitted.count == 0 && !events.is_empty() {
            return Err(ParticipantError::WouldBlock { max: supply.config().waiting_max });
        }
        self.transmit(handle);
        Ok(emitted)
    }

    /// Events that the server has not taken yet.
    ///
    /// Errors: `NoSuchHandle`.
    pub fn untaken(&self, handle: Handle) -> Result<usize, ParticipantError> {
        self.supplies.get(&handle).map(Supply::untaken).ok_or(ParticipantError::NoSuchHandle { handle })
    }

    /// Asks for events in pull mode, `max` at most.
    pub fn pull(&mut self, handle: Handle, max: u32) {
        if self.is_linked {
            Frame::Pull { handle, max }.put(&mut self.out);
        }
    }

    /// The next event, and whose it is.
    pub fn take(&mut self) -> Option<(Handle, Delivered)> {
        self.inbox.pop_front()
    }

    /// Events that wait to be taken.
    pub fn waiting(&self) -> usize {
        self.inbox.len()
    }

    /// Whether the link should be read: not while too many events wait.
    pub fn is_reading(&self) -> bool {
        self.inbox.len() < self.config.inbox_max
    }

    /// Done with these events.
    pub fn acknowledge(&mut self, handle: Handle, deliveries: &[DeliveryId]) {
        let mut packed = Vec::new();
        Deliveries::pack(&mut packed, deliveries);
        let deliveries = Deliveries::packed(deliveries.len(), &packed);
        if self.is_linked {
            Frame::Acknowledge { handle, deliveries }.put(&mut self.out);
        }
    }

    /// Could not deal with these events; `is_for_good`: nobody is to try again.
    pub fn reject(&mut self, handle: Handle, deliveries: &[DeliveryId], is_for_good: bool) {
        let mut packed = Vec::new();
        Deliveries::pack(&mut packed, deliveries);
        let deliveries = Deliveries::packed(deliveries.len(), &packed);
        if self.is_linked {
            Frame::Reject { handle, is_for_good, deliveries }.put(&mut self.out);
        }
    }

    /// What happened.
    pub fn poll_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// Puts news back that somebody was not looking for, before those that came since.
    pub fn put_back(&mut self, news: Vec<News>) {
        news.into_iter().rev().for_each(|it| self.news.push_front(it));
    }

    /// Whether there is something to be sent.
    pub fn has_to_send(&self) -> bool {
        !self.out.is_empty()
    }

    /// Frames to be sent, each behind its length.
    pub fn poll_send(&mut self) -> Option<Vec<u8>> {
        (!self.out.is_empty()).then(|| std::mem::take(&mut self.out))
    }

    /// When [`Participant::handle_timeout`] is to be called.
    pub fn next_timeout(&self) -> Option<Instant> {
        if !self.is_linked {
            return None;
        }
        let supplies = self.supplies.values().filter_map(Supply::retry_at);
        supplies.chain(self.consumers.values().filter_map(|it| it.again_at)).min()
    }

    /// Sends again what was refused and is due, asks again for consumers whose earlier connection was still there.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due = self.supplies.iter().filter(|(_, it)| it.retry_at().is_some_and(|at| at <= now));
        for handle in due.map(|(handle, _)| *handle).collect::<Vec<_>>() {
            self.supplies.get_mut(&handle).into_iter().for_each(Supply::retry);
            self.transmit(handle);
        }
        let due = self.consumers.iter().filter(|(_, it)| it.again_at.is_some_and(|at| at <= now));
        for handle in due.map(|(handle, _)| *handle).collect::<Vec<_>>() {
            self.open_consumer(handle);
        }
    }

    /// Bytes of the link, however they are cut.
    ///
    /// Errors: `Violation`: close the link.
    pub fn receive(&mut self, now: Instant, bytes: &[u8]) -> Result<(), ParticipantError> {
        let mut splitter = std::mem::replace(&mut self.splitter, Splitter::new(0));
        let mut result = Ok(());
        let fed = splitter.feed(bytes, &mut |frame| {
            result = self.receive_frame(now, frame);
            result.is_ok()
        });
        self.splitter = splitter;
        result.and(fed.map_err(|_| ParticipantError::Violation))
    }

    /// A frame that came whole, without the length before it. As [`Participant::receive`].
    pub fn receive_frame(&mut self, now: Instant, bytes: &[u8]) -> Result<(), ParticipantError> {
        let frame = Frame::parse(bytes).map_err(|_| ParticipantError::Violation)?;
        let news = match frame {
            Frame::Welcome { principal, .. } => News::Welcome { principal: principal.into() },
            Frame::Answer { request, is_done, json } => return self.on_answer(now, request, is_done, json),
            Frame::Taken { handle, first, count, unwritten: _, refusal, message } => {
                if let Some(supply) = self.supplies.get_mut(&handle)
                    && let Some(number) = supply.on_taken(now, first, count, refusal)
                {
                    let message = message.into();
                    self.news.push_back(News::Refused { handle, number, code: refusal, message });
                }
                self.transmit(handle);
                return Ok(());
            }
            Frame::Confirmed { handle, first, count } => News::Confirmed { handle, first, count },
            Frame::Lost { handle, number, refusal } => News::Lost { handle, number, code: refusal },
            Frame::Deliver { handle, offset, count, is_acknowledged, events } => {
                let is_ours = self.consumers.contains_key(&handle);
                let (inbox, limits) = (&mut self.inbox, &self.config.limits);
                let sink = &mut |delivered| {
                    if is_ours {
                        inbox.push_back((handle, delivered))
                    }
                };
                return take_delivered((offset, count, is_acknowledged), events, limits, sink)
                    .map_err(|_| ParticipantError::Violation);
            }
            Frame::Readable { handle } => News::Readable { handle },
            Frame::Wanted { handle, max } => News::Wanted { handle, max },
            Frame::Gone { handle, message } => News::Gone { handle, message: message.into() },
            Frame::Bye { message } => News::Bye { message: message.into() },
            _ => return Err(ParticipantError::Violation),
        };
        self.news.push_back(news);
        Ok(())
    }

    fn on_answer(
        &mut self,
        now: Instant,
        request: u64,
        is_done: bool,
        json: &str,
    ) -> Result<(), ParticipantError> {
        self.asked.retain(|it| *it != request);
        match (self.opening.remove(&request), is_done) {
            (Some(handle), true) => {
                self.consumers.get_mut(&handle).into_iter().for_each(|it| it.was_open = true);
            }
            (Some(handle), false)
                if self.consumers.get_mut(&handle).is_some_and(|it| it.is_patient(now, json)) => {}
            (Some(handle), false) => {
                let message = json.to_owned();
                self.supplies.remove(&handle);
                self.consumers.remove(&handle);
                self.news.push_back(News::Gone { handle, message });
            }
            (None, _) => {
                let result = if is_done { Ok(json.into()) } else { Err(Refused { json: json.into() }) };
                self.news.push_back(News::Answer { request, result });
            }
        }
        Ok(())
    }

    /// Sends what may be sent of a supply.
    fn transmit(&mut self, handle: Handle) {
        if self.is_linked
            && let Some(supply) = self.supplies.get_mut(&handle)
        {
            supply.transmit(handle, &mut self.out);
        }
    }
}
