//! Values of one property, in both directions.

use super::error::JsonError;
use super::members::Scalar;
use super::object::Object;
use crate::channel::Mode;
use crate::event::Reliability;
use crate::hook::HookMode;
use crate::qos::{Acknowledgement, Discard, Order};
use crate::scheduler::Discipline;
use clustercore_proto::time::Duration;

/// A type that a member may have.
pub(super) trait Property: Sized {
    fn read(name: &str, value: &Scalar<'_>) -> Result<Self, JsonError>;
    fn write(&self, name: &str, object: &mut Object<'_>);
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl Property for $type {
            fn read(name: &str, value: &Scalar<'_>) -> Result<$type, JsonError> {
                value.to_narrow(name)
            }
            fn write(&self, name: &str, object: &mut Object<'_>) {
                object.plain(name, self);
            }
        }
    )*};
}

numbers!(u8, u16, u32, u64);

impl Property for Duration {
    fn read(name: &str, value: &Scalar<'_>) -> Result<Duration, JsonError> {
        value.to_seconds(name)
    }

    fn write(&self, name: &str, object: &mut Object<'_>) {
        object.seconds(name, *self);
    }
}

macro_rules! names {
    ($($type:ident, $wanted:literal: $($variant:ident $text:literal),*;)*) => {$(
        impl Property for $type {
            fn read(name: &str, value: &Scalar<'_>) -> Result<$type, JsonError> {
                match value {
                    Scalar::Text(text) => match &**text {
                        $($text => Ok($type::$variant),)*
                        _ => Err(value.wanted(name, $wanted)),
                    },
                    _ => Err(value.wanted(name, $wanted)),
                }
            }
            fn write(&self, name: &str, object: &mut Object<'_>) {
                object.text(name, match self { $($type::$variant => $text,)* });
            }
        }
    )*};
}

names! {
    Order, "fifo, priority or deadline": Fifo "fifo", Priority "priority", Deadline "deadline";
    Reliability, "besteffort or persistent": BestEffort "besteffort", Persistent "persistent";
    Discard, "oldest, newest, lowest_priority or refuse": Oldest "oldest", Newest "newest",
        LowestPriority "lowest_priority", Refuse "refuse";
    Acknowledgement, "none or explicit": None "none", Explicit "explicit";
    Discipline, "round_robin, weighted or priority": RoundRobin "round_robin", Weighted "weighted", Priority "priority";
    Mode, "push or pull": Push "push", Pull "pull";
    HookMode, "binary, structured or batched": Binary "binary", Structured "structured", Batched "batched";
}

/// How turns are given.
///
/// Errors: `Value`.
pub fn read_discipline(name: &str, value: &Scalar<'_>) -> Result<Discipline, JsonError> {
    Property::read(name, value)
}
