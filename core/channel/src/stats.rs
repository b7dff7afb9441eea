//! Counters, exact and never reset.

macro_rules! stats {
    ($(#[$top:meta])* $name:ident { $($(#[$doc:meta])* $field:ident),* $(,)? }) => {
        $(#[$top])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct $name {
            $($(#[$doc])* pub $field: u64,)*
        }
    };
}

stats! {
    /// Of one consumer's queue. `queued` is always `settled + expired + discarded + dead + dropped` and what is in the queue.
    QueueStats {
        /// Events that were for this queue.
        queued,
        /// Events handed over, repeats included.
        delivered,
        /// Of these, handed over again.
        redelivered,
        /// Events done: acknowledged, or handed over where nothing is acknowledged.
        settled,
        /// Events that expired in the queue.
        expired,
        /// Events that gave way because the queue was full.
        discarded,
        /// Events that became dead letters.
        dead,
        /// Events that went with the queue, were not written, or were left behind by a new position.
        dropped,
        /// Offsets that the retention did not hold any more when a replay came to them.
        missed,
    }
}

stats! {
    /// Of one supplier's buffer. `taken` is always `spread + expired + discarded + failed` and what is in the buffer or being written.
    IntakeStats {
        /// Events taken into the buffer.
        taken,
        /// Of these, passed on to the consumers' queues.
        spread,
        /// Expired in the buffer.
        expired,
        /// Gave way because the buffer was full, the ones that had just come included.
        discarded,
        /// Could not be written to disk.
        failed,
        /// Never taken: repeats of what had come already.
        repeats,
        /// Never taken: a filter of the proxy or its group did not let them through.
        filtered,
        /// Never taken: refused, and the supplier was told.
        refused,
        /// Delivered directly, beside the buffer.
        direct,
    }
}

stats! {
    /// Of a channel.
    ChannelStats {
        /// Events that no consumer and no retention wanted.
        unwanted,
        /// Filters evaluated.
        evaluations,
        /// Events in memory.
        events,
        /// Their bytes.
        bytes,
        /// Deliveries under way.
        deliveries,
        /// Events whose writing is awaited.
        unwritten,
        /// Queues that are alike and share what waits for them.
        sharing,
    }
}
