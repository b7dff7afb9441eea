//! What a journal is told of channels beside their records.

/// Something to be known of a channel when the journal is opened anew.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// There is a channel. Replaces what was said of it before.
    Channel {
        /// Its name.
        name: Box<str>,
        /// What it was made with, as its owner writes it.
        config: Box<str>,
    },
    /// The channel is gone, with its records, consumers and positions.
    RemoveChannel,
    /// The channel has a consumer whose position counts. Replaces what was said of it before.
    Consumer {
        /// Its number in the channel; the decimal digits name its position.
        number: u32,
        /// Whose it is.
        owner: Box<str>,
        /// Its name.
        name: Box<str>,
        /// What it asked for, as the owner of the journal writes it.
        spec: Box<str>,
    },
    /// The consumer is gone, with its position.
    RemoveConsumer {
        /// Its number.
        number: u32,
    },
}

impl Change {
    /// Bytes of its texts.
    pub(super) fn len(&self) -> usize {
        match self {
            Change::Channel { name, config } => name.len() + config.len(),
            Change::Consumer { owner, name, spec, .. } => owner.len() + name.len() + spec.len(),
            Change::RemoveChannel | Change::RemoveConsumer { .. } => 0,
        }
    }
}
