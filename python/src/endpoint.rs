//! Endpoints of reliable datagrams of a shard, and their connections.

use crate::argument::{address, choice, count, invalid, seconds};
use crate::errors::{Answer, Failure};
use crate::payload::Payload;
use crate::shard::Shard;
use clustercore::proto::datagram::{self as proto, Config, ControlKind, StreamId, StreamKind};
use clustercore::{Code, EndpointConfig, EndpointId, Error, Result};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::time::Duration;

/// Exchanges messages with other endpoints over UDP, exactly once while both live. Made by `Shard.endpoint`, whose options
/// are here.
///
/// Port 0 lets the system choose. `window` is the credit of a connection: bytes, plus 16 a message, that have arrived and
/// that no turn has given back yet; `stream_window` that of each stream, None for the same. `send_buffer` bytes wait to be
/// sent or acknowledged. `idle_timeout` and `keep_alive` 0 mean never; a peer that acknowledges nothing for `gone_after`
/// is gone. Without `accepting` peers may not connect. `fixed_window` stands in for congestion control on a path whose
/// capacity is set aside; `path_known` says that packets of `packet_bytes_max` pass. Clear messages outside loopback must
/// be asked for by `insecure`. Times are in seconds, sizes in bytes.
///
/// To look for the reason of something: `trace_path` names a new file in qlog's manner (`.sqlog`) that tells what happens,
/// packet by packet; to `key_log_path` the secrets of connections are appended, in secure mode: whoever reads that file can
/// read what is sent.
///
/// Raises BadAddress, InsecureAddress, BadConfiguration, InvalidArgument, AddressInUse, AddressNotAvailable,
/// PermissionDenied, TooLarge, KeyExposed, InputOutput, WrongThread, Closed.
#[pyclass(frozen, module = "clustercore")]
pub struct Endpoint {
    owner: Py<Shard>,
    id: EndpointId,
}

#[pymethods]
impl Endpoint {
    #[new]
    #[pyo3(signature = (owner, address, *, window=4194304, stream_window=None, send_buffer=4194304, receive_buffer=0,
        message_bytes_max=1048576, packet_bytes_max=1472, path_known=false, connections_max=16384, streams_max=1024,
        accepting=true, idle_timeout=60.0, keep_alive=0.0, gone_after=10.0, handshake_timeout=10.0,
        acknowledgement_delay=0.005, fixed_window=None, ecn=true, insecure=false, trace_path=None, key_log_path=None))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        owner: Py<Shard>,
        address: &str,
        window: i64,
        stream_window: Option<i64>,
        send_buffer: i64,
        receive_buffer: i64,
        message_bytes_max: i64,
        packet_bytes_max: i64,
        path_known: bool,
        connections_max: i64,
        streams_max: i64,
        accepting: bool,
        idle_timeout: f64,
        keep_alive: f64,
        gone_after: f64,
        handshake_timeout: f64,
        acknowledgement_delay: f64,
        fixed_window: Option<i64>,
        ecn: bool,
        insecure: bool,
        trace_path: Option<PathBuf>,
        key_log_path: Option<PathBuf>,
    ) -> Answer<Endpoint> {
        let wanted = self::address(address)?;
        // Their bounds are the machine's, which names them when they are crossed.
        let size = |name: &str, value: i64| count(name, value, 0..=1usize << 40);
        let machine = Config {
            receive_window: size("window", window)?,
            stream_window: size("stream_window", stream_window.unwrap_or(window))?,
            send_buffer_bytes: size("send_buffer", send_buffer)?,
            message_bytes_max: size("message_bytes_max", message_bytes_max)?,
            packet_bytes_max: size("packet_bytes_max", packet_bytes_max)?,
            is_path_known: path_known,
            connections_max: size("connections_max", connections_max)?,
            streams_max: size("streams_max", streams_max)?,
            is_accepting: accepting,
            idle_timeout: seconds("idle_timeout", idle_timeout)?,
            keep_alive: seconds("keep_alive", keep_alive)?,
            gone_after: positive("gone_after", gone_after)?,
            handshake_timeout: positive("handshake_timeout", handshake_timeout)?,
            acknowledgement_delay: seconds("acknowledgement_delay", acknowledgement_delay)?,
            control: match fixed_window {
                Some(bytes) => ControlKind::Fixed(count("fixed_window", bytes, 1..=1u64 << 40)?),
                None => ControlKind::Cubic,
            },
            has_ecn: ecn,
            ..Config::default()
        };
        let config = EndpointConfig {
            machine,
            insecure,
            receive_buffer_bytes: size("receive_buffer", receive_buffer)?,
            trace_path,
            key_log_path,
            ..EndpointConfig::default()
        };
        let id = owner.get().push(py, |shard| shard.open_endpoint(wanted, config))?;
        Ok(Endpoint { owner, id })
    }

    /// Where it is bound, "ip:port". Raises NoSuchEndpoint (it was closed).
    #[getter]
    fn address(&self, py: Python<'_>) -> Answer<String> {
        Ok(self.owner.get().with(py, |shard| shard.endpoint_address(self.id))?.to_string())
    }

    /// Begins a connection to "ip:port"; an event tells the end, Connected or ConnectionGone. `key` is the public key, 32
    /// bytes, that the peer must have, in secure mode.
    ///
    /// Raises BadAddress, ConnectionsExhausted, NoKey, BadConfiguration (a key, and the endpoint is clear), NoSuchEndpoint.
    #[pyo3(signature = (peer, key=None))]
    fn connect(slf: &Bound<'_, Self>, peer: &str, key: Option<Payload<'_>>) -> Answer<Connection> {
        let peer = self::address(peer)?;
        let key = match key {
            Some(key) => {
                let len = key.as_bytes().len();
                let key = key.as_bytes().try_into();
                Some(key.map_err(|_| invalid(format!("key is {len} bytes; it must be 32")))?)
            }
            None => None,
        };
        let this = slf.get();
        let name = this.owner.get().push(slf.py(), |shard| shard.connect(this.id, peer, key))?;
        Ok(Connection { endpoint: slf.clone().unbind(), name })
    }

    /// What it has counted, by label.
    fn stats<'py>(&self, py: Python<'py>) -> Answer<Bound<'py, PyDict>> {
        let stats = self.owner.get().with(py, |shard| shard.endpoint_stats(self.id))?;
        let answer = PyDict::new(py);
        for (label, value) in [
            ("packets_sent", stats.packets_sent),
            ("trains_sent", stats.trains_sent),
            ("acknowledgements_alone", stats.acknowledgements_alone),
            ("packets_received", stats.packets_received),
            ("packets_repeated", stats.packets_repeated),
            ("packets_corrupt", stats.packets_corrupt),
            ("packets_unknown", stats.packets_unknown),
            ("packets_malformed", stats.packets_malformed),
            ("packets_deferred", stats.packets_deferred),
            ("packets_lost", stats.packets_lost),
            ("losses_spurious", stats.losses_spurious),
            ("probes", stats.probes),
            ("ecn_marks", stats.ecn_marks),
            ("answers_dropped", stats.answers_dropped),
            ("answers_sent", stats.answers_sent),
            ("resets_sent", stats.resets_sent),
            ("handshakes_refused", stats.handshakes_refused),
            ("violations", stats.violations),
            ("key_updates", stats.key_updates),
        ] {
            answer.set_item(label, value)?;
        }
        Ok(answer)
    }

    /// Closes it. Its connections end without a word to their peers: finish them before. Does nothing when called again.
    fn close(&self, py: Python<'_>) -> Answer<()> {
        unless_over(self.owner.get().push(py, |shard| shard.close_endpoint(self.id)))
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, pyo3::types::PyTuple>) -> Answer<()> {
        self.close(py)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Endpoint>().is_ok_and(|other| self.is_same(other.get()))
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.id, self.owner.as_ptr().addr()).hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self) -> String {
        format!("<clustercore.Endpoint {}>", self.id)
    }
}

impl Endpoint {
    pub fn of(owner: &Bound<'_, Shard>, id: EndpointId) -> Endpoint {
        Endpoint { owner: owner.clone().unbind(), id }
    }

    fn is_same(&self, other: &Endpoint) -> bool {
        self.id == other.id && self.owner.is(&other.owner)
    }
}

/// A connection of an endpoint to a peer: a value. Made by `Endpoint.connect`, and named by messages and events.
#[pyclass(frozen, module = "clustercore")]
pub struct Connection {
    /// Its endpoint.
    #[pyo3(get)]
    endpoint: Py<Endpoint>,
    name: proto::Connection,
}

#[pymethods]
impl Connection {
    /// Its place: small, used again after its end.
    #[getter]
    fn index(&self) -> u32 {
        self.name.index
    }

    /// Counts the uses of the place.
    #[getter]
    fn generation(&self) -> u32 {
        self.name.generation
    }

    /// Sends a message and returns its place in its stream, from 0; it leaves with the next turn.
    ///
    /// `kind` is what the stream promises: "ordered" and "unordered", each message exactly once; "latest", the newest one,
    /// older ones may be skipped; "unreliable", at most once. Each kind has streams 0 to 2**30 - 1 of its own. Raises
    /// WouldBlock (the event Writable tells when to go on), NotConnected, TooLarge, InvalidArgument, NoSuchEndpoint.
    #[pyo3(signature = (data, stream=0, kind="ordered"))]
    fn send(&self, py: Python<'_>, data: Payload<'_>, stream: i64, kind: &str) -> Answer<u64> {
        let number = count("stream", stream, 0..=StreamId::NUMBER_MAX)?;
        let stream = StreamId::new(number, choice("kind", kind, KINDS)?);
        let stream = stream.ok_or_else(|| Error::from(Code::Internal))?;
        let endpoint = self.endpoint.get();
        let bytes = data.as_bytes();
        endpoint.owner.get().push(py, |shard| {
            shard.send(endpoint.id, self.name, stream, bytes).map_err(|error| {
                // One that is closed is told from a connection that is over.
                shard.endpoint_address(endpoint.id).err().unwrap_or(error.into())
            })
        })
    }

    /// Ends it when all that was sent has arrived; the peer gets `code`, 256 or more, and `text`. ConnectionGone follows.
    ///
    /// Raises InvalidArgument, NoSuchEndpoint.
    #[pyo3(signature = (code=256, text=""))]
    fn finish(&self, py: Python<'_>, code: i64, text: &str) -> Answer<()> {
        self.end(py, code, text, true)
    }

    /// Ends it at once; the peer gets `code`, 256 or more, and `text`. ConnectionGone follows.
    ///
    /// Raises InvalidArgument, NoSuchEndpoint.
    #[pyo3(signature = (code=256, text=""))]
    fn close(&self, py: Python<'_>, code: i64, text: &str) -> Answer<()> {
        self.end(py, code, text, false)
    }

    /// What is known of its path. Raises NotConnected, NoSuchEndpoint.
    fn path(&self, py: Python<'_>) -> Answer<Path> {
        let endpoint = self.endpoint.get();
        let report = endpoint.owner.get().with(py, |shard| {
            shard.path(endpoint.id, self.name)?.ok_or_else(|| Error::from(Code::NotConnected))
        })?;
        Ok(Path {
            rtt: report.rtt.as_secs_f64(),
            rtt_min: report.rtt_min.as_secs_f64(),
            window: report.window,
            in_flight: report.in_flight,
            packet_bytes: report.packet_bytes,
            ecn: report.has_ecn,
        })
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Connection>().is_ok_and(|other| {
            let other = other.get();
            self.name == other.name && self.endpoint.get().is_same(other.endpoint.get())
        })
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.name, self.endpoint.get().__hash__()).hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self) -> String {
        format!("<clustercore.Connection {}>", self.name())
    }
}

impl Connection {
    pub fn of(endpoint: Py<Endpoint>, name: proto::Connection) -> Connection {
        Connection { endpoint, name }
    }

    /// For people.
    pub fn name(&self) -> String {
        let proto::Connection { index, generation } = self.name;
        format!("{index}.{generation} of endpoint {}", self.endpoint.get().id)
    }

    fn end(&self, py: Python<'_>, code: i64, text: &str, is_finishing: bool) -> Answer<()> {
        let code = count("code", code, proto::CloseCode::APPLICATION..=i64::MAX as u64)?;
        let endpoint = self.endpoint.get();
        endpoint
            .owner
            .get()
            .push(py, |shard| shard.close_connection(endpoint.id, self.name, code, text, is_finishing))
    }
}

/// What a connection knew of its path at the moment of asking. Times are in seconds.
#[pyclass(frozen, get_all, eq, module = "clustercore")]
#[derive(PartialEq)]
pub struct Path {
    /// Smoothed round trip.
    rtt: f64,
    /// The shortest one.
    rtt_min: f64,
    /// Bytes that may be in flight.
    window: u64,
    /// Bytes in flight.
    in_flight: u64,
    /// Longest packet, bytes of UDP payload.
    packet_bytes: usize,
    /// Whether packets are marked as capable of congestion notification.
    ecn: bool,
}

#[pymethods]
impl Path {
    fn __repr__(&self) -> String {
        let Path { rtt, window, packet_bytes, .. } = self;
        format!("<clustercore.Path rtt={rtt} window={window} packet_bytes={packet_bytes}>")
    }
}

/// The word for a kind of stream.
pub fn kind(stream: StreamId) -> &'static str {
    KINDS.iter().find(|(_, kind)| *kind == stream.kind()).map_or("", |(word, _)| word)
}

/// Closing again what is over, or is over with its owner, is no error.
pub fn unless_over(closed: Answer<()>) -> Answer<()> {
    match closed {
        Err(Failure::Core(error))
            if matches!(error.code(), Code::Closed | Code::NoSuchEndpoint | Code::NoSuchSocket) =>
        {
            Ok(())
        }
        closed => closed,
    }
}

/// A time that is not 0.
fn positive(name: &str, value: f64) -> Result<Duration> {
    if value > 0.0 {
        return seconds(name, value);
    }
    Err(invalid(format!("{name} is {value} s; it must be above 0")))
}

const KINDS: &[(&str, StreamKind)] = &[
    ("ordered", StreamKind::Ordered),
    ("unordered", StreamKind::Unordered),
    ("latest", StreamKind::Latest),
    ("unreliable", StreamKind::Unreliable),
];
