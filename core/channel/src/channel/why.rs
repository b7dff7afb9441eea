//! Why nothing is being delivered to a consumer.

use super::Channel;
use super::proxy::Mode;
use crate::delivery::{Chain, State};
use crate::id::SupplierProxyId;
use crate::qos::Acknowledgement;
use clustercore_proto::time::Instant;
use std::fmt;

/// One reason. Several may hold at once; none holds while something is being delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The consumer is not connected.
    Disconnected,
    /// The proxy is suspended.
    Suspended,
    /// Its group is suspended.
    GroupSuspended,
    /// The consumer did not take all it was given, and has not said that it takes more.
    Blocked,
    /// A pulling consumer has to ask.
    NotPulled,
    /// Nothing is queued. Filters have rejected so many events since it joined, and failed over so many of them.
    Empty {
        /// Rejected.
        rejected: u64,
        /// Of these, because a filter failed.
        failed: u64,
    },
    /// As many deliveries wait for acknowledgement as may.
    WindowFull {
        /// So many.
        in_flight: u32,
        /// Of so many.
        max: u32,
    },
    /// What is queued has been handed out, here or to others of the consumer group, and awaits acknowledgement.
    InFlight {
        /// Events.
        events: u32,
    },
    /// What is queued is on its way to disk.
    Unwritten {
        /// Events.
        events: u32,
    },
    /// The earliest delivery, or the next try, is to come.
    NotBefore {
        /// When.
        at: Instant,
        /// Events that wait for their time.
        events: u32,
    },
    /// Events wait for earlier ones with their ordering key.
    KeyBusy {
        /// Events.
        events: u32,
        /// Keys under way.
        keys: u32,
    },
    /// The next batch comes at its pace.
    Paced {
        /// When.
        until: Instant,
    },
    /// The scheduler has given the turn to others; it comes with the next `deliver`.
    Turn,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Disconnected => write!(f, "the consumer is not connected"),
            Reason::Suspended => write!(f, "the proxy is suspended"),
            Reason::GroupSuspended => write!(f, "the proxy's group is suspended"),
            Reason::Blocked => write!(f, "the consumer does not take more for now"),
            Reason::NotPulled => write!(f, "the consumer pulls and has not asked"),
            Reason::Empty { rejected, failed } => {
                write!(f, "the queue is empty; filters rejected {rejected} events, {failed} by failing")
            }
            Reason::WindowFull { in_flight, max } => {
                write!(f, "waiting for acknowledgement of {in_flight} of at most {max}")
            }
            Reason::InFlight { events } => write!(f, "{events} events are handed out and not acknowledged"),
            Reason::Unwritten { events } => write!(f, "{events} events are on their way to disk"),
            Reason::NotBefore { at, events } => {
                write!(f, "{events} events wait for their time, first {at:?}")
            }
            Reason::KeyBusy { events, keys } => {
                write!(f, "{events} events wait for earlier ones with the same of {keys} ordering keys")
            }
            Reason::Paced { until } => write!(f, "the pace allows the next batch at {until:?}"),
            Reason::Turn => write!(f, "its turn comes with the next delivery"),
        }
    }
}

impl Channel {
    /// Every reason why nothing is being delivered to a consumer at `now`; `None` when there is no such proxy.
    pub fn why(&self, now: Instant, proxy: SupplierProxyId) -> Option<Vec<Reason>> {
        if self.outlets.generation(proxy.index) != Some(proxy.generation) {
            return None;
        }
        let outlet = &self.outlets[proxy.index];
        let queue = &self.queues[outlet.queue];
        let group = outlet.spec.group.and_then(|group| self.groups.get(group.index));
        let is_pull = outlet.spec.mode == Mode::Pull;
        let mut reasons = Vec::new();
        let mut say = |is: bool, reason: Reason| is.then(|| reasons.push(reason));
        say(!outlet.is_connected, Reason::Disconnected);
        say(outlet.is_suspended, Reason::Suspended);
        say(group.is_some_and(|group| group.is_suspended), Reason::GroupSuspended);
        say(outlet.is_blocked, Reason::Blocked);
        let (rejected, failed) = self.routes.rejections(queue.route);
        let (rejected, failed) = (rejected - outlet.rejections_before.0, failed - outlet.rejections_before.1);
        say(self.held(queue).0 == 0, Reason::Empty { rejected, failed });
        let (in_flight, max) = (outlet.in_flight, queue.settings.in_flight_max);
        let is_full = queue.settings.acknowledgement == Acknowledgement::Explicit && in_flight >= max;
        say(is_full, Reason::WindowFull { in_flight, max });
        let unwritten = queue.unwritten.iter(&self.deliveries, Chain::Turn).count() as u32;
        say(unwritten > 0, Reason::Unwritten { events: unwritten });
        if !self.has_ready(queue) {
            let events = queue.members.iter().map(|it| self.outlets[*it].in_flight).sum();
            say(events > 0 && !is_full, Reason::InFlight { events });
            let timed = queue.age.iter(&self.deliveries, Chain::Age);
            let timed = timed.filter(|it| matches!(self.deliveries[*it].state, State::Held | State::Waiting));
            let times: Vec<Instant> = timed.map(|it| self.timers.at(self.deliveries[it].timer)).collect();
            if let Some(at) = times.iter().min() {
                say(true, Reason::NotBefore { at: *at, events: times.len() as u32 });
            }
            let (events, keys) = queue.parked(&self.deliveries);
            say(events > 0, Reason::KeyBusy { events: events as u32, keys: keys as u32 });
        }
        say(!is_pull && outlet.paced_until > now, Reason::Paced { until: outlet.paced_until });
        let has_work = self.has_ready(queue);
        say(is_pull && has_work, Reason::NotPulled);
        if has_work && reasons.is_empty() {
            reasons.push(Reason::Turn);
        }
        Some(reasons)
    }
}
