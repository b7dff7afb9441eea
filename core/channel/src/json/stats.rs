//! Counters.

use super::object::Object;
use crate::stats::{ChannelStats, IntakeStats, QueueStats};

macro_rules! counters {
    ($($(#[$doc:meta])* $function:ident($type:ident): $($field:ident),*;)*) => {$(
        $(#[$doc])*
        pub fn $function(stats: &$type, object: &mut Object<'_>) {
            let $type { $($field),* } = stats;
            $(object.plain(stringify!($field), $field);)*
        }
    )*};
}

counters! {
    /// Of a channel.
    write_channel_stats(ChannelStats): unwanted, evaluations, events, bytes, deliveries, unwritten, sharing;
    /// Of a consumer's queue.
    write_queue_stats(QueueStats): queued, delivered, redelivered, settled, expired, discarded, dead, dropped, missed;
    /// Of a supplier's buffer.
    write_intake_stats(IntakeStats): taken, spread, expired, discarded, failed, repeats, filtered, refused, direct;
}
