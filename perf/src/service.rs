//! What the sample service answers: pure parsing and content, no socket.
//!
//! Paths: `/file/<bytes>`, `/<n>k` (n KiB) and `/` (1 KiB), each with `?cpu_ms=` and `?wait_ms=`; `/healthz`; `/stats`.

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// A file of `bytes`, after `cpu_us` of computing and `wait_us` of waiting.
    File {
        /// Length of the body.
        bytes: u64,
        /// CPU time to spend before the answer, microseconds.
        cpu_us: u64,
        /// Time to wait before the answer, microseconds.
        wait_us: u64,
    },
    /// Whether the service is well.
    Health,
    /// Requests and CPU time so far.
    Stats,
    /// No such path, or a number above its limit.
    NotFound,
}

/// Reads a request target: path and query.
pub fn route(target: &str) -> Route {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    match path {
        "/healthz" => return Route::Health,
        "/stats" => return Route::Stats,
        _ => {}
    }
    let bytes = match path.strip_prefix("/file/") {
        Some(number) => number.parse().ok(),
        None if path == "/" => Some(1024),
        None => path
            .strip_prefix('/')
            .and_then(|name| name.strip_suffix('k'))
            .and_then(|number| number.parse::<u64>().ok())
            .and_then(|kib| kib.checked_mul(1024)),
    };
    let (Some(bytes), Some(cpu_us), Some(wait_us)) =
        (bytes, milliseconds(query, "cpu_ms"), milliseconds(query, "wait_ms"))
    else {
        return Route::NotFound;
    };
    if bytes > FILE_BYTES_MAX { Route::NotFound } else { Route::File { bytes, cpu_us, wait_us } }
}

/// Value of `name` in the query in microseconds; 0 when absent, `None` when it is not a time of up to a minute.
fn milliseconds(query: &str, name: &str) -> Option<u64> {
    let found = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name);
    let Some((_, value)) = found else { return Some(0) };
    let value: f64 = value.parse().ok()?;
    (0.0..=60_000.0).contains(&value).then_some((value * 1000.0) as u64)
}

/// The bytes that files are made of: byte `i` of any file is byte `i % CONTENT_BYTES` of this.
///
/// The same on every back end, so that a client can compare answers that came from different ones.
pub fn content() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(CONTENT_BYTES);
    while bytes.len() < CONTENT_BYTES {
        // xorshift64: quick, and no short period that a misplaced block could hide in.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

/// Length of the block that repeats through a file.
pub const CONTENT_BYTES: usize = 256 * 1024;
/// The longest file.
pub const FILE_BYTES_MAX: u64 = 1 << 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_sizes() {
        let file = |bytes, cpu_us, wait_us| Route::File { bytes, cpu_us, wait_us };
        assert_eq!(route("/file/123"), file(123, 0, 0));
        assert_eq!(route("/500k"), file(512_000, 0, 0));
        assert_eq!(route("/"), file(1024, 0, 0));
        assert_eq!(route("/1k?cpu_ms=10&wait_ms=0.5"), file(1024, 10_000, 500));
        assert_eq!(route("/healthz"), Route::Health);
        assert_eq!(route("/stats"), Route::Stats);
    }

    #[test]
    fn what_makes_no_sense_is_not_found() {
        for target in [
            "/file/",
            "/file/-1",
            "/file/99999999999999999999",
            "/k",
            "/1m",
            "x",
            "/1k?cpu_ms=-1",
            "/1k?cpu_ms=nan",
            "/1k?wait_ms=60001",
            "/1k?wait_ms=",
            "/18446744073709551615k",
        ] {
            assert_eq!(route(target), Route::NotFound, "{target}");
        }
    }

    #[test]
    fn content_is_the_same_every_time_and_does_not_repeat_early() {
        let block = content();
        assert_eq!((block.len(), crc32c::crc32c(&block)), (CONTENT_BYTES, crc32c::crc32c(&content())));
        assert_ne!(block[..1024], block[1024..2048]);
    }
}
