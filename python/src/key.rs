//! The key of an endpoint in secure mode.

use crate::argument::{contradiction, invalid};
use crate::errors::Answer;
use crate::payload::Payload;
use clustercore::security::{Access, Mode, PrivateKey, PublicKey};
use clustercore::{Code, Error};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyType};
use std::collections::HashSet;
use std::path::PathBuf;

/// The key of an endpoint in secure mode: a private key and the public one that follows from it. `Key.generate()`,
/// `Key.load(path)` and `Key.parse(text)` give one.
#[pyclass(frozen, module = "clustercore")]
pub struct Key(PrivateKey);

impl Key {
    /// The private key.
    pub fn private(&self) -> PrivateKey {
        self.0.clone()
    }
}

#[pymethods]
impl Key {
    /// A new key.
    #[classmethod]
    fn generate(_class: &Bound<'_, PyType>) -> Answer<Key> {
        Ok(Key(PrivateKey::generate()?))
    }

    /// Reads a private key from a file. Raises KeyExposed when others than its owner can get at the file, BadKey
    /// when there is no private key in it, OSError.
    #[classmethod]
    fn load(_class: &Bound<'_, PyType>, path: PathBuf) -> Answer<Key> {
        Ok(Key(PrivateKey::load(&path)?))
    }

    /// From the text of a private key, `clc-private-x25519 BASE64`. Raises BadKey.
    #[classmethod]
    fn parse(_class: &Bound<'_, PyType>, text: &str) -> Answer<Key> {
        Ok(Key(PrivateKey::parse(text)?))
    }

    /// Writes the private key to a new file that only its owner can read (mode 0600). Raises FileExists, and what
    /// is there stays; OSError.
    fn save(&self, path: PathBuf) -> Answer<()> {
        Ok(self.0.save(&path)?)
    }

    /// The public key as text, `clc-public-x25519 BASE64`: what others know this endpoint by.
    #[getter]
    fn public(&self) -> String {
        self.0.public().to_string()
    }

    /// The public key as 32 bytes: what `identity` of an event has.
    #[getter]
    fn public_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.public().as_bytes())
    }

    /// The private key as text, `clc-private-x25519 BASE64`. To be kept secret.
    fn to_private_text(&self) -> String {
        self.0.to_text().to_string()
    }

    fn __repr__(&self) -> String {
        format!("<clustercore.Key of {}>", self.0.public())
    }
}

/// Secure mode, where a key is given; `allow` says which clients are let in.
///
/// Errors: BadKey, InvalidArgument, BadConfiguration (`allow` without a key), TypeError.
pub fn mode(key: Option<&Key>, allow: Option<&Bound<'_, PyAny>>) -> Answer<Option<Mode>> {
    let Some(key) = key else {
        return match allow {
            None => Ok(None),
            Some(_) => {
                let text = "allow is given, and key is not: an endpoint in clear mode knows nobody";
                Err(contradiction(text).into())
            }
        };
    };
    let access = match allow {
        None => Access::Any,
        Some(allow) => match allow.cast::<PyString>() {
            Ok(list) => Access::parse(list.to_str()?)
                .map_err(|error| Error::new(error.code(), format!("allow: {error}")))?,
            Err(_) => Access::Only(keys(allow)?),
        },
    };
    Ok(Some(Mode::Secure { key: key.0.clone(), access }))
}

fn keys(allow: &Bound<'_, PyAny>) -> Answer<HashSet<PublicKey>> {
    let mut keys = HashSet::new();
    for one in allow.try_iter()? {
        let bytes = public_bytes("allow", &one?)?;
        let key = PublicKey::from_bytes(bytes);
        keys.insert(key.ok_or_else(|| Error::new(Code::BadKey, "allow has a key that nobody can have"))?);
    }
    Ok(keys)
}

/// The bytes of a public key from Python: given as text, or as these.
///
/// Errors: BadKey, InvalidArgument (not 32 bytes), TypeError.
pub fn public_bytes(name: &str, given: &Bound<'_, PyAny>) -> Answer<[u8; 32]> {
    if let Ok(text) = given.cast::<PyString>() {
        let key = PublicKey::parse(text.to_str()?);
        let key = key.map_err(|error| Error::new(error.code(), format!("{name}: {error}")))?;
        return Ok(*key.as_bytes());
    }
    let payload: Payload<'_> = given.extract()?;
    let len = payload.as_bytes().len();
    let bytes = payload.as_bytes().try_into();
    Ok(bytes.map_err(|_| invalid(format!("{name} is {len} bytes; it must be 32")))?)
}

/// The text, `clc-public-x25519 BASE64`, of a public key given as 32 bytes, such as the `identity` of an event. Raises BadKey
/// when nobody can have it, InvalidArgument.
#[pyfunction]
pub fn public_key_text(key: &Bound<'_, PyAny>) -> Answer<String> {
    let key = PublicKey::from_bytes(public_bytes("key", key)?);
    Ok(key.ok_or_else(|| Error::new(Code::BadKey, "this is a key that nobody can have"))?.to_string())
}

/// The public key in `text`, as it is written: `clc-public-x25519 BASE64`. Raises BadKey when it is none, or one that
/// nobody can have.
#[pyfunction]
pub fn parse_public_key(text: &str) -> Answer<String> {
    Ok(PublicKey::parse(text)?.to_string())
}
