//! Counters: a fixed table with one writer per block, readable by anybody while running.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $variant:ident = $label:literal, $unit:literal;)+) => {
        /// What is counted. The order is fixed; new ones come at the end.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(usize)]
        pub enum Counter { $($(#[doc = $doc])+ $variant),+ }

        /// Every counter: label, unit, meaning.
        pub const COUNTERS: &[(Counter, &str, &str, &str)] =
            &[$((Counter::$variant, $label, $unit, concat!($($doc),+))),+];
    };
}

counters! {
    /// Connections accepted from clients.
    ClientsAccepted = "clients_accepted", "connections";
    /// Client connections open now.
    ClientsOpen = "clients_open", "connections";
    /// Client connections that ended with an error or a reset in the middle of an exchange.
    ClientsAborted = "clients_aborted", "connections";
    /// Requests whose head was complete and accepted.
    Requests = "requests", "requests";
    /// Requests in flight now, waiting ones included.
    RequestsActive = "requests_active", "requests";
    /// Requests refused for their form (400, 414, 417, 431, 501, 505).
    RequestsRefused = "requests_refused", "requests";
    /// Responses 1xx forwarded.
    Responses1xx = "responses_1xx", "responses";
    /// Responses 2xx, from back ends.
    Responses2xx = "responses_2xx", "responses";
    /// Responses 3xx, from back ends.
    Responses3xx = "responses_3xx", "responses";
    /// Responses 4xx, from back ends.
    Responses4xx = "responses_4xx", "responses";
    /// Responses 5xx, from back ends.
    Responses5xx = "responses_5xx", "responses";
    /// Requests answered 502 by us: the back end failed and no retry was allowed.
    Answered502 = "answered_502", "responses";
    /// Requests answered 503 by us: no back end in time, or the queue was full.
    Answered503 = "answered_503", "responses";
    /// Requests answered 504 by us: the back end did not answer in time.
    Answered504 = "answered_504", "responses";
    /// Requests answered 408 by us: the client was too slow.
    Answered408 = "answered_408", "responses";
    /// Responses cut in the middle: the client connection was reset so that nobody takes them for whole.
    ResponsesCut = "responses_cut", "responses";
    /// Requests sent again to another back end.
    Retries = "retries", "requests";
    /// Requests that had to wait for a back end.
    Queued = "queued", "requests";
    /// Requests that wait now.
    QueueLength = "queue_length", "requests";
    /// Connections opened to back ends.
    BackendConnects = "backend_connects", "connections";
    /// Connections to back ends that could not be opened or timed out.
    BackendConnectsFailed = "backend_connects_failed", "connections";
    /// Exchanges in which the back end failed.
    BackendFailures = "backend_failures", "exchanges";
    /// Requests sent on a connection that had served others before.
    BackendReuses = "backend_reuses", "requests";
    /// Active probes sent.
    Probes = "probes", "probes";
    /// Active probes that failed.
    ProbesFailed = "probes_failed", "probes";
    /// Bytes of bodies and tunnels towards back ends.
    BytesToBackend = "bytes_to_backend", "bytes";
    /// Bytes of bodies and tunnels towards clients.
    BytesToClient = "bytes_to_client", "bytes";
    /// Bytes that moved by splice.
    BytesSpliced = "bytes_spliced", "bytes";
    /// Bytes copied: small bodies joined to a head.
    CopiedJoined = "copied_joined", "bytes";
    /// Bytes copied: heads that came in pieces.
    CopiedPieces = "copied_pieces", "bytes";
    /// Bytes copied: chunked bodies opened for HTTP/1.0 clients.
    CopiedDechunked = "copied_dechunked", "bytes";
    /// Time-outs of clients that were idle between requests.
    IdleTimeouts = "idle_timeouts", "connections";
    /// Times accepting stopped for want of descriptors or memory.
    AcceptFailures = "accept_failures", "events";
    /// Back ends ejected.
    Ejections = "ejections", "events";
    /// PROXY headers refused.
    ProxyRefused = "proxy_refused", "connections";
    /// Tunnels opened (upgrade, CONNECT, TCP mode).
    Tunnels = "tunnels", "connections";
    /// Requests that went to a job handler in messages.
    JobRequests = "job_requests", "requests";
    /// Requests that went by TCP because messages to their back end's job handler did not get through.
    JobFallbacks = "job_fallbacks", "requests";
    /// Times the path of messages to a job handler broke.
    PathsBroken = "paths_broken", "events";
    /// Bytes copied: bodies between client and messages.
    CopiedMessages = "copied_messages", "bytes";
}

/// One block of counters. One thread writes, any thread reads; the alignment keeps blocks of two shards on cache lines of their own.
#[derive(Debug)]
#[repr(align(128))]
pub struct CounterBlock([AtomicU64; COUNTERS.len()]);

impl Default for CounterBlock {
    fn default() -> Self {
        CounterBlock([const { AtomicU64::new(0) }; COUNTERS.len()])
    }
}

impl CounterBlock {
    /// Adds; only the owner may.
    pub fn add(&self, counter: Counter, count: u64) {
        // Relaxed load and store: there is one writer, and readers want a recent value, not an order.
        let cell = &self.0[counter as usize];
        cell.store(cell.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// Adds one; only the owner may.
    pub fn inc(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Takes one off (what is "now"); only the owner may.
    pub fn dec(&self, counter: Counter) {
        self.add(counter, u64::MAX);
    }

    /// The value, from any thread.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0[counter as usize].load(Ordering::Relaxed)
    }
}
