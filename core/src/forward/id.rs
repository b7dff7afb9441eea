//! What a forwarder is called by.

use std::fmt;

/// A forwarder of a shard or node: a place, and which of those that had the place one after the other. So an id that was kept
/// when its forwarder was removed reaches nobody, until the place has changed hands 65536 times.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ForwarderId(u32);

impl ForwarderId {
    /// The forwarder number `generation` (from 0) at place `index`.
    pub const fn new(index: u16, generation: u16) -> ForwarderId {
        ForwarderId((generation as u32) << 16 | index as u32)
    }

    /// Its place: small, dense, used again.
    pub const fn index(self) -> u16 {
        self.0 as u16
    }

    /// How many had the place before.
    pub const fn generation(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// Who gets the place next.
    pub(crate) fn next(self) -> ForwarderId {
        ForwarderId::new(self.index(), self.generation().wrapping_add(1))
    }
}

impl From<ForwarderId> for u32 {
    /// Place and generation in one number: equal to the place for the first who has it.
    fn from(id: ForwarderId) -> u32 {
        id.0
    }
}

impl fmt::Display for ForwarderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.generation() {
            0 => write!(f, "{}", self.index()),
            generation => write!(f, "{}.{generation}", self.index()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_and_generation_keep_apart() {
        let id = ForwarderId::new(u16::MAX, 6);
        assert_eq!((id.index(), id.generation(), id.to_string()), (u16::MAX, 6, "65535.6".to_owned()));
        assert_eq!(id.next(), ForwarderId::new(u16::MAX, 7));
        assert_eq!(ForwarderId::new(3, u16::MAX).next(), ForwarderId::new(3, 0));
        assert_eq!(
            (u32::from(ForwarderId::new(3, 0)), ForwarderId::new(3, 0).to_string()),
            (3, "3".to_owned())
        );
    }
}
