//! Who somebody is, by the secret that he shows.

use crate::event::Text;
use crate::principal::{Principal, Rights};
use std::fmt;

/// The principals of a server and their secrets.
#[derive(Clone, Default)]
pub struct Access {
    tokens: Vec<(Text, Principal)>,
    nobody: Option<Principal>,
}

impl Access {
    /// Everybody may everything: for tests, and where the network itself admits only who may.
    pub fn open() -> Access {
        Access { tokens: Vec::new(), nobody: Some(Principal::new("anybody", Rights::ALL)) }
    }

    /// Who shows this secret is this principal. Empty secrets are not taken.
    pub fn add(&mut self, token: impl Into<Text>, principal: Principal) {
        let token = token.into();
        if !token.is_empty() {
            self.tokens.push((token, principal));
        }
    }

    /// Who shows no secret is this principal.
    pub fn set_nobody(&mut self, principal: Principal) {
        self.nobody = Some(principal);
    }

    /// The principal of a secret, or of none. Every secret is compared to its end, so that time tells nothing.
    pub fn principal(&self, token: &str) -> Option<&Principal> {
        if token.is_empty() {
            return self.nobody.as_ref();
        }
        let mut found = None;
        for (secret, principal) in &self.tokens {
            let differences = secret.bytes().zip(token.bytes()).fold(0, |all, (one, two)| all | (one ^ two));
            if differences == 0 && secret.len() == token.len() {
                found = Some(principal);
            }
        }
        found
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} principals with a secret, nobody is {:?}", self.tokens.len(), self.nobody)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_tells_its_principal_and_no_other_does() {
        let mut access = Access::default();
        access.add("secret-a", Principal::new("a", Rights::ALL));
        access.add("secret-b", Principal::new("b", Rights::NONE));
        access.add("", Principal::new("c", Rights::ALL));
        let name = |token| access.principal(token).map(|it| it.name.to_string());
        assert_eq!(name("secret-b").as_deref(), Some("b"));
        assert_eq!(name("secret-a").as_deref(), Some("a"));
        for token in ["", "secret-", "secret-aa", "x"] {
            assert_eq!(name(token), None, "{token}");
        }
        assert!(!format!("{access:?}").contains("secret-a"));
        assert_eq!(Access::open().principal("").map(|it| &*it.name), Some("anybody"));
    }
}
