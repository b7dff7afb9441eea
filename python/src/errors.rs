//! Errors on their way to Python: the generated class of each registered code.

use clustercore::Error;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// What a call of the module can fail with.
pub enum Failure {
    /// An error of the core; becomes the exception class of its code.
    Core(Error),
    /// An exception that Python code raised.
    Python(PyErr),
}

/// The result of most calls.
pub type Answer<T> = Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Core(error)
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Failure {
        Failure::Python(error)
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> PyErr {
        match failure {
            Failure::Core(error) => Python::attach(|py| exception(py, &error).unwrap_or_else(|error| error)),
            Failure::Python(error) => error,
        }
    }
}

fn exception(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let from_code = FROM_CODE.import(py, "clustercore._errors", "from_code")?;
    Ok(PyErr::from_value(from_code.call1((error.code() as i32, error.to_string()))?))
}

static FROM_CODE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
