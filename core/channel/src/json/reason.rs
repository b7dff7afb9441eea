//! Reasons and problems: a word for programs, the numbers, a sentence for people.

use super::object::Object;
use crate::channel::Reason;
use crate::qos::QosProblem;

/// Why nothing is being delivered.
pub fn write_reason(reason: &Reason, out: &mut String) {
    Object::write(out, |object| {
        object.text("reason", name(reason));
        match *reason {
            Reason::Empty { rejected, failed } => {
                object.plain("rejected", rejected);
                object.plain("failed", failed);
            }
            Reason::WindowFull { in_flight, max } => {
                object.plain("in_flight", in_flight);
                object.plain("max", max);
            }
            Reason::InFlight { events } | Reason::Unwritten { events } => object.plain("events", events),
            Reason::NotBefore { at, events } => {
                object.moment("at", at);
                object.plain("events", events);
            }
            Reason::KeyBusy { events, keys } => {
                object.plain("events", events);
                object.plain("keys", keys);
            }
            Reason::Paced { until } => object.moment("until", until),
            _ => {}
        }
        object.text("text", &reason.to_string());
    });
}

/// What is wrong with a quality of service; times are in seconds there and in nanoseconds here.
pub fn write_qos_problem(problem: &QosProblem, out: &mut String) {
    Object::write(out, |object| {
        match *problem {
            QosProblem::OutOfRange { property, value, min, max } => {
                object.text("property", property);
                object.plain("value", value);
                object.plain("min", min);
                object.plain("max", max);
            }
            QosProblem::Conflict { property, with, .. } => {
                object.text("property", property);
                object.text("with", with);
            }
        }
        object.text("text", &problem.to_string());
    });
}

fn name(reason: &Reason) -> &'static str {
    match reason {
        Reason::Disconnected => "disconnected",
        Reason::Suspended => "suspended",
        Reason::GroupSuspended => "group_suspended",
        Reason::Blocked => "blocked",
        Reason::NotPulled => "not_pulled",
        Reason::Empty { .. } => "empty",
        Reason::WindowFull { .. } => "window_full",
        Reason::InFlight { .. } => "in_flight",
        Reason::Unwritten { .. } => "unwritten",
        Reason::NotBefore { .. } => "not_before",
        Reason::KeyBusy { .. } => "key_busy",
        Reason::Paced { .. } => "paced",
        Reason::Turn => "turn",
    }
}
