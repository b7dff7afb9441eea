//! Who asks, and what he may do with which channel.

use crate::event::Text;
use std::fmt;

/// Something that one may do with a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Right {
    /// Put events in.
    Emit,
    /// Get events out.
    Consume,
    /// Create and delete, set, suspend and remove what belongs to others; holds the other two.
    Administer,
}

/// A set of rights.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rights(u8);

/// A grant of rights.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// The channel's name; `None` for every channel.
    pub channel: Option<Text>,
    /// What may be done.
    pub rights: Rights,
}

/// Somebody whom the owner of the engine has authenticated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Principal {
    /// His name. Proxies belong to the name that made them.
    pub name: Text,
    /// What he may do.
    pub grants: Vec<Grant>,
}

/// A refusal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Denied {
    /// Who asked.
    pub principal: Text,
    /// What he may not do.
    pub right: Right,
    /// With which channel.
    pub channel: Text,
}

impl Rights {
    /// None.
    pub const NONE: Rights = Rights(0);
    /// All.
    pub const ALL: Rights = Rights(7);

    /// This one too.
    pub const fn and(self, right: Right) -> Rights {
        Rights(self.0 | 1 << right as u8)
    }

    /// True when `right` is among them.
    pub const fn has(self, right: Right) -> bool {
        self.0 & (1 << right as u8 | 1 << Right::Administer as u8) != 0
    }
}

impl Principal {
    /// Somebody with the same rights on every channel.
    pub fn new(name: impl Into<Text>, rights: Rights) -> Principal {
        Principal { name: name.into(), grants: vec![Grant { channel: None, rights }] }
    }

    /// True when he may do this with the channel of this name.
    pub fn may(&self, right: Right, channel: &str) -> bool {
        let mut grants = self.grants.iter();
        grants.any(|it| it.rights.has(right) && it.channel.as_deref().is_none_or(|name| name == channel))
    }

    pub(crate) fn check(&self, right: Right, channel: &Text) -> Result<(), Denied> {
        if self.may(right, channel) {
            return Ok(());
        }
        Err(Denied { principal: self.name.clone(), right, channel: channel.clone() })
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.right {
            Right::Emit => "put events into",
            Right::Consume => "get events out of",
            Right::Administer => "administer",
        };
        write!(f, "{:?} may not {what} channel {:?}: ask its administrator", self.principal, self.channel)
    }
}

impl std::error::Error for Denied {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_hold_for_the_channel_that_they_were_granted_for() {
        let grant = |channel: Option<&str>, right| Grant {
            channel: channel.map(Text::from),
            rights: Rights::NONE.and(right),
        };
        let grants = vec![grant(Some("a"), Right::Emit), grant(Some("b"), Right::Administer)];
        let who = Principal { name: "ann".into(), grants };
        let table: Vec<bool> = [Right::Emit, Right::Consume, Right::Administer]
            .into_iter()
            .flat_map(|right| ["a", "b", "c"].map(|channel| who.may(right, channel)))
            .collect();
        assert_eq!(table, [true, true, false, false, true, false, false, true, false]);
        let denied = who.check(Right::Consume, &"a".into()).unwrap_err();
        assert!(denied.to_string().contains("may not get events out of channel \"a\""));
        assert!(Principal::new("root", Rights::ALL).may(Right::Administer, "c"));
    }
}
