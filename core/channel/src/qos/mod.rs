//! Quality of service: properties set on four levels, the narrowest winning.
//!
//! A [`Qos`] says something about some properties; [`Settings`] say something about all. Channel, admin group and proxy
//! have a `Qos` each, an event has its header. [`validate`] tells everything that is wrong before anything is set.
//! Source: the list is that of CORBA Notification 1.1; defaults and bounds are ours (docs/channel.md).

mod validate;

pub use validate::{Level, QosError, QosProblem, validate};

use crate::event::Reliability;
use clustercore_proto::time::Duration;

/// In which order a queue is emptied.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    /// As accepted.
    #[default]
    Fifo,
    /// Higher priority first, equal ones as accepted.
    Priority,
    /// What expires first goes first, what never does as accepted.
    Deadline,
}

/// What gives way when a queue is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Discard {
    /// The oldest event that nobody is working on.
    #[default]
    Oldest,
    /// The one that has just come.
    Newest,
    /// The oldest of the lowest priority, the one that has just come included.
    LowestPriority,
    /// Nothing: the supplier has to wait.
    Refuse,
}

/// When a delivery is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Acknowledgement {
    /// When it is handed over.
    #[default]
    None,
    /// When the consumer says so.
    Explicit,
}

macro_rules! properties {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $default:expr),* $(,)?) => {
        /// What one level says; `None` is left to the wider level.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct Qos {
            $($(#[$doc])* pub $name: Option<$type>,)*
        }

        /// All properties, as they hold for one proxy.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub struct Settings {
            $($(#[$doc])* pub $name: $type,)*
        }

        impl Default for Settings {
            fn default() -> Settings {
                Settings { $($name: $default,)* }
            }
        }

        impl Settings {
            /// What holds when a narrower level says `narrower`.
            pub fn narrowed(&self, narrower: &Qos) -> Settings {
                Settings { $($name: narrower.$name.unwrap_or(self.$name),)* }
            }
        }
    };
}

properties! {
    /// Order of a consumer's queue.
    order: Order = Order::Fifo,
    /// What is promised of events that say nothing themselves.
    reliability: Reliability = Reliability::BestEffort,
    /// Priority of events that say nothing themselves.
    priority: u8 = 100,
    /// How long after its acceptance an event expires that says nothing itself; zero for never.
    lifetime: Duration = Duration::ZERO,
    /// How long after its acceptance an event is delivered at the earliest that says nothing itself.
    delay: Duration = Duration::ZERO,
    /// Events in a queue or buffer, those that wait for acknowledgement included.
    length_max: u32 = 1024,
    /// Their bytes.
    bytes_max: u64 = 16 << 20,
    /// What gives way when it is full. A supplier's buffer refuses where nothing is said.
    discard: Discard = Discard::Oldest,
    /// Events handed over together at most.
    batch_max: u32 = 64,
    /// Time between two batches at least; zero for at once.
    pacing: Duration = Duration::ZERO,
    /// When a delivery is done.
    acknowledgement: Acknowledgement = Acknowledgement::None,
    /// How long an acknowledgement may take.
    acknowledge_timeout: Duration = Duration::from_secs(30),
    /// Deliveries of one consumer that wait for acknowledgement at most.
    in_flight_max: u32 = 256,
    /// How often an event is handed over before it is a dead letter.
    tries_max: u16 = 5,
    /// Wait before the second try; it doubles with each.
    backoff: Duration = Duration::from_millis(100),
    /// The longest such wait.
    backoff_max: Duration = Duration::from_secs(30),
    /// Share of the scheduler's turns: events in one turn.
    weight: u32 = 16,
    /// Priority of the proxy itself where the scheduler goes by priority.
    turn_priority: u8 = 100,
}

impl Settings {
    /// What holds where the levels say so, the widest first.
    pub fn resolve(levels: &[&Qos]) -> Settings {
        levels.iter().fold(Settings::default(), |settings, level| settings.narrowed(level))
    }

    /// The wait after try number `tries`, which counts from 1.
    pub fn backoff_after(&self, tries: u16) -> Duration {
        let doublings = u32::from(tries.saturating_sub(1)).min(31);
        self.backoff.saturating_mul(1 << doublings).min(self.backoff_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_level_wins() {
        let channel = Qos { priority: Some(1), length_max: Some(10), weight: Some(3), ..Qos::default() };
        let group = Qos { priority: Some(2), length_max: Some(20), ..Qos::default() };
        let proxy = Qos { priority: Some(3), ..Qos::default() };
        let settings = Settings::resolve(&[&channel, &group, &proxy]);
        assert_eq!((settings.priority, settings.length_max, settings.weight), (3, 20, 3));
        assert_eq!(settings.batch_max, Settings::default().batch_max);
        assert_eq!(Settings::resolve(&[]), Settings::default());
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let settings = Settings { backoff_max: Duration::from_millis(500), ..Settings::default() };
        let waits = [1, 2, 3, 4, 60_000].map(|tries| settings.backoff_after(tries).as_millis());
        assert_eq!(waits, [100, 200, 400, 500, 500]);
    }
}
