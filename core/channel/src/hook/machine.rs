//! The machine of one web hook.

use super::answer::AnswerReader;
use super::config::HookConfig;
use super::order::{HookStats, Order, Settlement, Verdict};
use super::request;
use super::state::{Change, State};
use super::target::{HookMode, HookSpec};
use crate::cloudevents::webhook::Rate;
use crate::id::DeliveryId;
use crate::json::Object;
use crate::output::Handed;
use clustercore_proto::time::{Duration, Instant};
use std::collections::VecDeque;
use std::sync::Arc;

/// One web hook. After each call its owner does what [`Hook::poll_order`] and [`Hook::poll_settlement`] give, and looks at
/// [`Hook::poll_room`], [`Hook::state`] and [`Hook::next_timeout`].
pub struct Hook {
    pub(super) spec: Arc<HookSpec>,
    pub(super) config: Arc<HookConfig>,
    pub(super) state: State,
    link: Link,
    /// As the events go out now.
    pub(super) mode: HookMode,
    /// The events of the request that is out went in binary mode.
    pub(super) is_binary: bool,
    /// What the target granted.
    pub(super) grant: Option<Option<Rate>>,
    reader: AnswerReader,
    carried: Vec<DeliveryId>,
    /// Of the states that wait.
    pub(super) until: Instant,
    /// The next request may go out, by the rate.
    next_at: Instant,
    /// Events were offered that it did not take.
    is_refusing: bool,
    has_room: bool,
    pub(super) failures: u32,
    pub(super) why: String,
    orders: VecDeque<Order>,
    settlements: VecDeque<Settlement>,
    stats: HookStats,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Link {
    None,
    /// It may take until then.
    Connecting(Instant),
    /// It may rest until then; an answer has come over it.
    Resting(Instant, bool),
    /// A request is out, whose answer may take until then; an earlier answer has come over it.
    Asked(Instant, bool),
}

impl Hook {
    /// A hook that begins to ask its target.
    pub fn new(now: Instant, spec: Arc<HookSpec>, config: Arc<HookConfig>) -> Hook {
        let (mode, reader) = (spec.mode, AnswerReader::new(&config));
        let mut hook = Hook {
            spec,
            config,
            state: State::Asking,
            link: Link::None,
            mode,
            is_binary: false,
            grant: None,
            reader,
            carried: Vec::new(),
            until: now,
            next_at: now,
            is_refusing: false,
            has_room: false,
            failures: 0,
            why: "not asked yet".into(),
            orders: VecDeque::new(),
            settlements: VecDeque::new(),
            stats: HookStats::default(),
        };
        hook.go_on(now);
        hook
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Why it stands there, for people.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// What was counted.
    pub fn stats(&self) -> HookStats {
        self.stats
    }

    /// True when the target has said that it wants events, and has not been found gone.
    pub fn is_granted(&self) -> bool {
        self.grant.is_some() && self.state != State::Gone
    }

    /// True when there is a connection, or one is being made.
    pub fn has_link(&self) -> bool {
        self.link != Link::None
    }

    /// Something for the owner of the socket.
    pub fn poll_order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// Something for the engine.
    pub fn poll_settlement(&mut self) -> Option<Settlement> {
        self.settlements.pop_front()
    }

    /// True once when events that it did not take may be offered again.
    pub fn poll_room(&mut self) -> bool {
        std::mem::take(&mut self.has_room)
    }

    /// When [`Hook::handle_timeout`] is to be called at the latest.
    pub fn next_timeout(&self) -> Option<Instant> {
        let link = match self.link {
            Link::None => None,
            Link::Connecting(until) | Link::Resting(until, _) | Link::Asked(until, _) => Some(until),
        };
        let state = match self.state {
            State::Waiting | State::Withheld => Some(self.until),
            State::Granted if self.is_refusing && !matches!(self.link, Link::Connecting(_)) => {
                Some(self.next_at)
            }
            _ => None,
        };
        link.into_iter().chain(state).min()
    }

    /// Offers events. How many it takes, from the first on: they are settled by [`Hook::poll_settlement`]. With fewer than all it says by
    /// [`Hook::poll_room`] when it takes more.
    pub fn give<'a>(
        &mut self,
        now: Instant,
        events: impl ExactSizeIterator<Item = Handed<'a>> + Clone,
    ) -> usize {
        let offered = events.len();
        let Link::Resting(_, is_used) = self.link else { return self.refuse(now) };
        if self.state != State::Granted || now < self.next_at {
            return self.refuse(now);
        }
        let (bytes, taken, is_binary) = request::post(&self.spec, &self.config, self.mode, events.clone());
        if taken == 0 {
            return 0;
        }
        self.carried.extend(events.take(taken).map(|handed| handed.delivery));
        self.is_binary = is_binary;
        self.is_refusing |= taken < offered;
        self.change(Change::Take);
        self.send(now, bytes, is_used);
        taken
    }

    fn refuse(&mut self, now: Instant) -> usize {
        self.is_refusing = true;
        self.has_room = false;
        if self.state == State::Granted && self.link == Link::None && now >= self.next_at {
            self.connect(now);
        }
        0
    }

    /// The connection is made.
    pub fn connected(&mut self, now: Instant) {
        if matches!(self.link, Link::Connecting(_)) {
            self.link = Link::Resting(now + self.config.idle_timeout, false);
            self.reader = AnswerReader::new(&self.config);
            self.go_on(now);
        }
    }

    /// The connection could not be made, or has ended; why, for people.
    pub fn lost(&mut self, now: Instant, why: &str) {
        let link = std::mem::replace(&mut self.link, Link::None);
        match link {
            Link::None => return,
            Link::Resting(..) => {}
            Link::Connecting(_) => {
                self.stats.lost += 1;
                self.fail(now, format!("no connection to {}: {why}", self.spec.address));
            }
            Link::Asked(_, is_used) => {
                self.orders.push_back(Order::Close);
                if let Some(answer) = self.reader.end() {
                    self.on_answer(now, &answer);
                } else if is_used && self.reader.is_empty() {
                    // It rested too long for the target, whose end and our request have crossed.
                    self.resume();
                } else {
                    self.stats.lost += 1;
                    self.fail(
                        now,
                        format!("the connection to {} ended before the answer: {why}", self.spec.address),
                    );
                }
                self.go_on(now);
                return;
            }
        }
        self.orders.push_back(Order::Close);
        self.go_on(now);
    }

    /// Bytes have come on the connection.
    pub fn receive(&mut self, now: Instant, bytes: &[u8]) {
        let Link::Asked(..) = self.link else {
            if matches!(self.link, Link::Resting(..)) {
                self.close();
                self.why = "the target sent bytes that nobody asked for".into();
                self.go_on(now);
            }
            return;
        };
        match self.reader.receive(bytes, &self.config) {
            Ok(None) => {}
            Ok(Some(answer)) => {
                if answer.keep_alive && self.reader.is_empty() {
                    self.link = Link::Resting(now + self.config.idle_timeout, true);
                } else {
                    self.close();
                }
                self.on_answer(now, &answer);
            }
            Err(bad) => {
                self.close();
                self.fail(now, format!("the target's answer is none: {bad}"));
            }
        }
        self.go_on(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.link {
            Link::Connecting(until) if until <= now => {
                self.close();
                self.stats.lost += 1;
                let (address, limit) = (self.spec.address, self.config.connect_timeout);
                self.fail(now, format!("no connection to {address} within {limit:?}"));
            }
            Link::Asked(until, _) if until <= now => {
                self.close();
                self.fail(now, format!("no answer within {:?}", self.config.answer_timeout));
            }
            Link::Resting(until, _) if until <= now => self.close(),
            _ => {}
        }
        if matches!(self.state, State::Waiting | State::Withheld) && self.until <= now {
            let is_granted = self.state == State::Waiting && self.grant.is_some();
            self.change(if is_granted { Change::GoOn } else { Change::Ask });
        }
        self.go_on(now);
    }

    /// The state as people and programs want to see it.
    pub fn describe(&self, now: Instant, object: &mut Object<'_>) {
        object.text("state", self.state.name());
        object.text("why", &self.why);
        object.text("mode", self.mode.name());
        match self.grant {
            Some(Some(Rate::PerMinute(rate))) => object.plain("rate", rate),
            Some(_) => object.text("rate", "unlimited"),
            None => {}
        }
        if matches!(self.state, State::Waiting | State::Withheld) {
            object.seconds("again_in", self.until.saturating_sub(now));
        }
        self.stats.write(object);
    }

    /// What must hold between calls; panics where it does not.
    pub fn check_invariants(&self) {
        let is_out = matches!(self.link, Link::Asked(..));
        assert_eq!(!self.carried.is_empty(), self.state == State::Delivering, "events are under way");
        assert!(!is_out || matches!(self.state, State::Asking | State::Delivering), "{:?}", self.state);
        assert!(self.state != State::Delivering || is_out, "a request with events is out: {:?}", self.link);
        assert!(self.state != State::Asking || self.link != Link::None, "who asks has a link");
        assert!(self.grant.is_some() || !matches!(self.state, State::Granted | State::Delivering));
    }

    /// The events of the request go back, and the next request may follow.
    pub(super) fn resume(&mut self) {
        self.settle(Verdict::Returned);
        if self.state == State::Delivering {
            self.change(Change::Finish);
        }
    }

    /// What was under way has failed: a wait, longer each time.
    pub(super) fn fail(&mut self, now: Instant, why: String) {
        self.settle(Verdict::Failed);
        self.why = why;
        let wait = self.config.backoff.saturating_mul(1 << self.failures.min(DOUBLINGS_MAX));
        self.failures += 1;
        self.until = now + wait.min(self.config.backoff_max);
        if matches!(self.state, State::Asking | State::Granted | State::Delivering) {
            self.change(Change::Fail);
        }
    }

    pub(super) fn settle(&mut self, verdict: Verdict) {
        let count = self.carried.len() as u64;
        match verdict {
            Verdict::Taken => self.stats.taken += count,
            Verdict::Failed => self.stats.failed += count,
            Verdict::Returned => self.stats.returned += count,
        }
        self.settlements.extend(self.carried.drain(..).map(|delivery| Settlement { delivery, verdict }));
    }

    /// Asks where that is to be done, and says when there is room for events.
    fn go_on(&mut self, now: Instant) {
        match (self.state, self.link) {
            (State::Asking, Link::None) => self.connect(now),
            (State::Asking, Link::Resting(_, is_used)) => {
                let bytes = request::options(&self.spec, &self.config);
                self.send(now, bytes, is_used);
            }
            (State::Granted, link) if self.is_refusing && now >= self.next_at => match link {
                Link::None => self.connect(now),
                Link::Resting(..) => (self.is_refusing, self.has_room) = (false, true),
                Link::Connecting(_) | Link::Asked(..) => {}
            },
            _ => {}
        }
    }

    fn connect(&mut self, now: Instant) {
        self.link = Link::Connecting(now + self.config.connect_timeout);
        self.orders.push_back(Order::Connect(self.spec.address));
    }

    fn send(&mut self, now: Instant, bytes: Vec<u8>, is_used: bool) {
        if let Some(Some(Rate::PerMinute(rate))) = self.grant {
            self.next_at = now + Duration::from_secs(60) / rate.get();
        }
        self.stats.requests += 1;
        self.link = Link::Asked(now + self.config.answer_timeout, is_used);
        self.orders.push_back(Order::Send(bytes));
    }

    pub(super) fn close(&mut self) {
        if self.link != Link::None {
            self.link = Link::None;
            self.orders.push_back(Order::Close);
        }
    }

    pub(super) fn change(&mut self, change: Change) {
        let after = self.state.after(change);
        debug_assert!(after.is_some(), "{change:?} in {:?}", self.state);
        self.state = after.unwrap_or(self.state);
    }
}

/// More would be beyond any sensible bound.
const DOUBLINGS_MAX: u32 = 20;
