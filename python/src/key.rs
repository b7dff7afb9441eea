//! The key of an endpoint in secure mode.

use crate::errors::Answer;
use clustercore::security::{PrivateKey, PublicKey};
use pyo3::prelude::*;
use pyo3::types::PyType;
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

    /// The private key as text, `clc-private-x25519 BASE64`. To be kept secret.
    fn to_private_text(&self) -> String {
        self.0.to_text().to_string()
    }

    fn __repr__(&self) -> String {
        format!("<clustercore.Key of {}>", self.0.public())
    }
}

/// The public key in `text`, as it is written: `clc-public-x25519 BASE64`. Raises BadKey when it is none, or one that
/// nobody can have.
#[pyfunction]
pub fn parse_public_key(text: &str) -> Answer<String> {
    Ok(PublicKey::parse(text)?.to_string())
}
