//! Names of what lives in a channel: an index and which use of it.

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident),*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name {
            /// The place, used again and fit for indexing a side table.
            pub index: u32,
            /// Counts the uses of the place.
            pub generation: u32,
        }

        impl From<(u32, u32)> for $name {
            fn from((index, generation): (u32, u32)) -> $name {
                $name { index, generation }
            }
        }
    )*};
}

id!(
    /// A channel of an engine.
    ChannelId,
    /// A consumer proxy: where a supplier speaks to the channel.
    ConsumerProxyId,
    /// A supplier proxy: where a consumer speaks to the channel.
    SupplierProxyId,
    /// A group of proxies of one of the admins.
    GroupId,
    /// One event on its way to one consumer, to be acknowledged.
    DeliveryId
);
