//! Bytes from Python: `bytes` where they are, other buffers copied.

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// What is to be sent.
pub enum Payload<'py> {
    /// Nobody can change it meanwhile.
    Bytes(Bound<'py, PyBytes>),
    /// Of a buffer that somebody else could change.
    Copied(Vec<u8>),
}

impl Payload<'_> {
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Payload::Bytes(bytes) => bytes.as_bytes(),
            Payload::Copied(bytes) => bytes,
        }
    }
}

impl<'a, 'py> FromPyObject<'a, 'py> for Payload<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Payload<'py>> {
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(Payload::Bytes(bytes.to_owned()));
        }
        let buffer = PyBuffer::<u8>::get(&object)?;
        Ok(Payload::Copied(buffer.to_vec(object.py())?))
    }
}
