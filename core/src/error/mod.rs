//! Errors: a registered code and words that name the thing, the value and the limit.

mod table;

pub use table::{Code, Side};

/// An error of any call. `Display` gives the words; [`Error::code`] is stable across versions and languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    code: Code,
    text: String,
}

impl Error {
    /// An error with words of its own. They name the thing, the value and the limit.
    pub fn new(code: Code, text: impl Into<String>) -> Error {
        Error { code, text: text.into() }
    }

    /// The registered code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Where the cause usually is.
    pub fn side(&self) -> Side {
        self.code.side()
    }

    /// Whether the same call may succeed later without the caller changing anything.
    pub fn is_retryable(&self) -> bool {
        self.code.is_retryable()
    }

    /// A system error in the words of what was tried: "listen on 127.0.0.1:80: address already in use".
    pub fn from_io(what: impl std::fmt::Display, error: &std::io::Error) -> Error {
        use rustix::io::Errno;
        let code = match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::ADDRINUSE) => Code::AddressInUse,
            Some(Errno::ADDRNOTAVAIL) => Code::AddressNotAvailable,
            Some(Errno::ACCESS | Errno::PERM) => Code::PermissionDenied,
            Some(Errno::MFILE | Errno::NFILE) => Code::DescriptorsExhausted,
            Some(Errno::NOMEM | Errno::NOBUFS) => Code::OutOfMemory,
            Some(Errno::NOSYS) => Code::UnsupportedKernel,
            Some(Errno::CONNREFUSED) => Code::ConnectionRefused,
            Some(Errno::CONNRESET | Errno::PIPE) => Code::ConnectionReset,
            Some(Errno::HOSTUNREACH | Errno::NETUNREACH) => Code::Unreachable,
            Some(Errno::INTR) => Code::Interrupted,
            Some(Errno::TIMEDOUT) => Code::Timeout,
            Some(Errno::NOTSOCK) => Code::NotAListener,
            None if error.kind() == std::io::ErrorKind::InvalidInput => Code::NotAListener,
            _ => Code::Io,
        };
        Error::new(code, format!("{what}: {error}"))
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.text.is_empty() { f.write_str(self.code.message()) } else { f.write_str(&self.text) }
    }
}

impl std::error::Error for Error {}

impl From<Code> for Error {
    fn from(code: Code) -> Error {
        Error::new(code, "")
    }
}

/// The result of most calls.
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named() {
        let error =
            Error::from_io("listen on 127.0.0.1:80", &std::io::Error::from_raw_os_error(libc::EADDRINUSE));
        assert_eq!(error.code(), Code::AddressInUse);
        assert!(error.to_string().starts_with("listen on 127.0.0.1:80: "), "{error}");
    }
}
