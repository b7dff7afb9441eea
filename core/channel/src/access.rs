//! Who may come in: tokens and the principals that they stand for.

use crate::cloudevents::webhook::Policy;
use crate::principal::{Principal, Rights};
use std::fmt;
use std::sync::Arc;

/// Bearer tokens of a server.
#[derive(Clone, Default)]
pub struct Access {
    tokens: Vec<(Box<[u8]>, Arc<Principal>)>,
    anonymous: Option<Arc<Principal>>,
    /// Senders of web hooks that may push here.
    pub hooks: Policy,
}

impl Access {
    /// Nobody may come in.
    pub fn new() -> Access {
        Access::default()
    }

    /// Everybody may everything: where the network itself admits only who may.
    pub fn open() -> Access {
        Access::new().with_anonymous(Principal::new("anybody", Rights::ALL))
    }

    /// Who has this token is this principal. An empty token is nobody's.
    pub fn with_token(mut self, token: impl Into<Vec<u8>>, principal: Principal) -> Access {
        let token = token.into();
        if !token.is_empty() {
            self.tokens.push((token.into(), Arc::new(principal)));
        }
        self
    }

    /// Who has no token is this principal.
    pub fn with_anonymous(mut self, principal: Principal) -> Access {
        self.anonymous = Some(Arc::new(principal));
        self
    }

    /// The principal of a request with this token, or with none.
    pub(crate) fn find(&self, token: Option<&[u8]>) -> Option<&Arc<Principal>> {
        let Some(token) = token else { return self.anonymous.as_ref() };
        // All are looked at, each to its end: the time says nothing of how much was right.
        let mut found = None;
        for (known, principal) in &self.tokens {
            if is_equal(known, token) {
                found = Some(principal);
            }
        }
        found
    }
}

fn is_equal(known: &[u8], token: &[u8]) -> bool {
    let differing = known.iter().zip(token).fold(0, |differing, (one, other)| differing | (one ^ other));
    known.len() == token.len() && differing == 0
}

/// Tokens are not shown.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Access({} tokens, anonymous: {:?})", self.tokens.len(), self.anonymous)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_tells_its_principal_and_no_other_does() {
        let access = Access::new()
            .with_token("secret-a", Principal::new("a", Rights::ALL))
            .with_token("secret-b", Principal::new("b", Rights::NONE))
            .with_token("", Principal::new("c", Rights::ALL));
        let name = |token: &str| access.find(Some(token.as_bytes())).map(|it| it.name.to_string());
        assert_eq!(name("secret-b").as_deref(), Some("b"));
        assert_eq!(name("secret-a").as_deref(), Some("a"));
        for token in ["", "secret-", "secret-aa", "x"] {
            assert_eq!(name(token), None, "{token}");
        }
        assert!(access.find(None).is_none());
        assert!(!format!("{access:?}").contains("secret-a"));
        assert_eq!(Access::open().find(None).map(|it| &*it.name), Some("anybody"));
    }
}
