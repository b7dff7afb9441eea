//! The bounds of a head and of what a chunked body may carry beside its data.

/// Bounds of one message head; the trailer section of a chunked body has the same bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of a whole head, first line and final empty line included. Above it: 431, or 414 when even the
    /// first line did not end.
    pub head_bytes_max: usize,
    /// Number of fields; [`HEADERS_CEILING`] holds whatever is set here. Above it: 431.
    pub headers_max: usize,
    /// Bytes of a request target. Above it: 414.
    pub target_bytes_max: usize,
}

impl Default for HeadLimits {
    fn default() -> HeadLimits {
        HeadLimits { head_bytes_max: 32 * 1024, headers_max: 100, target_bytes_max: 16 * 1024 }
    }
}

impl HeadLimits {
    /// The number of fields that really holds: `headers_max`, at most [`HEADERS_CEILING`].
    pub(super) fn fields_max(&self) -> usize {
        self.headers_max.min(HEADERS_CEILING)
    }
}

/// The most fields a head can have whatever is configured: their table is on the stack (4 KiB).
pub const HEADERS_CEILING: usize = 128;

/// The most field names that `Connection` may list besides the well-known options.
pub const CONNECTION_OPTIONS_MAX: usize = 16;

/// Bytes of extensions on one chunk-size line.
pub const CHUNK_EXTENSION_BYTES_MAX: u32 = 1024;

/// Bytes of extensions in one body. Extensions carry nothing that we use and can be larger than the data.
pub const CHUNK_EXTENSIONS_BYTES_MAX: u32 = 16 * 1024;
