//! Who may connect.

use super::key::PublicKey;
use crate::{Code, Error, Result};
use std::collections::HashSet;
use std::path::Path;

/// Which clients a server lets in, by their public keys.
#[derive(Clone, Debug, Default)]
pub enum Access {
    /// Everybody who has a key; the owner looks at the identity.
    #[default]
    Any,
    /// These and nobody else.
    Only(HashSet<PublicKey>),
}

impl Access {
    /// Reads a list: one public key a line; what follows a `#` is a comment.
    ///
    /// Errors: `BadKey` with the number of the first line that is wrong.
    pub fn parse(text: &str) -> Result<Access> {
        let mut keys = HashSet::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let key = PublicKey::parse(line)
                .map_err(|error| Error::new(error.code(), format!("line {}: {error}", index + 1)))?;
            keys.insert(key);
        }
        Ok(Access::Only(keys))
    }

    /// Reads a list from a file, as [`Access::parse`]. Errors: `BadKey` with file and line; what reading a file can fail with.
    pub fn load(path: &Path) -> Result<Access> {
        let shown = path.display();
        let text = std::fs::read(path).map_err(|error| Error::from_io(format!("read {shown}"), &error))?;
        let text = String::from_utf8(text)
            .map_err(|_| Error::new(Code::BadKey, format!("{shown} is not text: no list of public keys")))?;
        Access::parse(&text).map_err(|error| Error::new(error.code(), format!("{shown}, {error}")))
    }

    /// Whether that client is let in.
    pub fn allows(&self, client: &PublicKey) -> bool {
        match self {
            Access::Any => true,
            Access::Only(keys) => keys.contains(client),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::PrivateKey;

    #[test]
    fn a_list_has_comments_and_lets_nobody_else_in() {
        let keys = [(); 3].map(|()| PrivateKey::generate().unwrap().public());
        let text = format!("# our nodes\n\n{}  # the first\r\n  {}\n", keys[0], keys[1]);
        let access = Access::parse(&text).unwrap();
        assert_eq!([0, 1, 2].map(|index| access.allows(&keys[index])), [true, true, false]);
        assert!(!Access::parse("# nobody").unwrap().allows(&keys[0]));
        assert!(Access::Any.allows(&keys[2]));
    }

    #[test]
    fn a_bad_line_is_named() {
        let private = PrivateKey::generate().unwrap();
        let text = format!("{}\n# fine\n{}\n", private.public(), private.to_text().as_str());
        let error = Access::parse(&text).unwrap_err();
        assert_eq!(error.code(), Code::BadKey);
        assert_eq!(error.to_string(), "line 3: this is a private key, a public one is wanted");
        let error = Access::load(Path::new("/nowhere/peers")).unwrap_err();
        assert!(error.to_string().starts_with("read /nowhere/peers: "), "{error}");
    }
}
