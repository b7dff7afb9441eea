//! What became of connections, as small typed classes.

use crate::endpoint::{Connection, kind};
use crate::errors::Answer;
use crate::message::Connections;
use crate::shard::Shard;
use clustercore::proto::datagram::{Event, GoneReason, RefuseCode};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

/// `Endpoint.connect` has ended well.
#[pyclass(frozen, get_all, module = "clustercore")]
pub struct Connected {
    /// The connection.
    connection: Py<Connection>,
    /// Which run of its program the peer is: another one after a restart.
    epoch: u64,
    /// Its public key, in secure mode.
    identity: Option<Py<PyBytes>>,
}

#[pymethods]
impl Connected {
    #[classattr]
    #[allow(non_upper_case_globals)]
    const __match_args__: (&'static str,) = ("connection",);

    fn __repr__(&self) -> String {
        format!("<clustercore.Connected {}>", self.connection.get().name())
    }
}

/// A peer has connected.
#[pyclass(frozen, get_all, module = "clustercore")]
pub struct Accepted {
    /// The connection.
    connection: Py<Connection>,
    /// Where it came from, "ip:port".
    peer: String,
    /// Which run of its program the peer is: another one after a restart.
    epoch: u64,
    /// Its public key, in secure mode.
    identity: Option<Py<PyBytes>>,
}

#[pymethods]
impl Accepted {
    #[classattr]
    #[allow(non_upper_case_globals)]
    const __match_args__: (&'static str, &'static str) = ("connection", "peer");

    fn __repr__(&self) -> String {
        format!("<clustercore.Accepted {} from {}>", self.connection.get().name(), self.peer)
    }
}

/// There is room again after a WouldBlock.
#[pyclass(frozen, get_all, module = "clustercore")]
pub struct Writable {
    /// The connection.
    connection: Py<Connection>,
}

#[pymethods]
impl Writable {
    #[classattr]
    #[allow(non_upper_case_globals)]
    const __match_args__: (&'static str,) = ("connection",);

    fn __repr__(&self) -> String {
        format!("<clustercore.Writable {}>", self.connection.get().name())
    }
}

/// The peer has moved to another address.
#[pyclass(frozen, get_all, module = "clustercore")]
pub struct Moved {
    /// The connection.
    connection: Py<Connection>,
    /// Where it is now, "ip:port".
    peer: String,
}

#[pymethods]
impl Moved {
    #[classattr]
    #[allow(non_upper_case_globals)]
    const __match_args__: (&'static str, &'static str) = ("connection", "peer");

    fn __repr__(&self) -> String {
        format!("<clustercore.Moved {} to {}>", self.connection.get().name(), self.peer)
    }
}

/// A connection is over.
#[pyclass(frozen, get_all, module = "clustercore")]
pub struct ConnectionGone {
    /// The connection.
    connection: Py<Connection>,
    /// Why: "closed" (by us), "closed_by_peer", "unreachable", "refused", "no_common_version", "silent", "restarted" (the
    /// peer's program) or "violation" (of the protocol by the peer).
    reason: &'static str,
    /// The code of the peer's close, refusal or violation; else 0.
    code: u64,
    /// The peer's words, or what the code means.
    text: String,
    /// Messages of ours that are not known to have arrived: (stream, kind, first, last) of each range.
    unconfirmed: Vec<(u32, &'static str, u64, u64)>,
}

#[pymethods]
impl ConnectionGone {
    #[classattr]
    #[allow(non_upper_case_globals)]
    const __match_args__: (&'static str, &'static str, &'static str, &'static str) =
        ("connection", "reason", "code", "text");

    fn __repr__(&self) -> String {
        let ConnectionGone { connection, reason, code, text, .. } = self;
        let connection = connection.get().name();
        format!("<clustercore.ConnectionGone {connection} reason='{reason}' code={code} text={text:?}>")
    }
}

/// What has happened to connections since the last call, as a list.
pub fn take<'py>(shard: &Bound<'py, Shard>) -> Answer<Bound<'py, PyList>> {
    let py = shard.py();
    let news = shard.get().with(py, |core| Ok(core.connection_events().collect::<Vec<_>>()))?;
    let mut connections = Connections::new(shard);
    let answer = PyList::empty(py);
    let identity = |key: Option<[u8; 32]>| key.map(|key| PyBytes::new(py, &key).unbind());
    for (endpoint, event) in news {
        match event {
            Event::Connected { connection, epoch, identity: key } => {
                let connection = connections.get(endpoint, connection)?;
                answer.append(Connected { connection, epoch, identity: identity(key) })?;
            }
            Event::Accepted { connection, peer, epoch, identity: key } => {
                let connection = connections.get(endpoint, connection)?;
                let (peer, identity) = (peer.to_string(), identity(key));
                answer.append(Accepted { connection, peer, epoch, identity })?;
            }
            Event::Writable { connection } => {
                answer.append(Writable { connection: connections.get(endpoint, connection)? })?;
            }
            Event::Moved { connection, peer } => {
                let connection = connections.get(endpoint, connection)?;
                answer.append(Moved { connection, peer: peer.to_string() })?;
            }
            Event::Gone { connection, reason, unconfirmed } => {
                let connection = connections.get(endpoint, connection)?;
                let (reason, code, text) = explain(reason);
                let unconfirmed = unconfirmed
                    .into_iter()
                    .map(|(stream, first, last)| (stream.number(), kind(stream), first, last))
                    .collect();
                answer.append(ConnectionGone { connection, reason, code, text, unconfirmed })?;
            }
        }
    }
    Ok(answer)
}

fn explain(reason: GoneReason) -> (&'static str, u64, String) {
    let plain = |word| (word, 0, String::new());
    match reason {
        GoneReason::Closed => plain("closed"),
        GoneReason::ClosedByPeer { code, text } => {
            ("closed_by_peer", code, String::from_utf8_lossy(&text).into_owned())
        }
        GoneReason::Unreachable => plain("unreachable"),
        GoneReason::Refused(code) => {
            let words = match code {
                RefuseCode::Full => "it has no room for another connection",
                RefuseCode::NotAccepting => "it takes no connections",
                RefuseCode::Handshake => "the handshake was not right",
                RefuseCode::Other => "for a reason of a later version",
            };
            ("refused", code as u64, words.to_owned())
        }
        GoneReason::NoCommonVersion => plain("no_common_version"),
        GoneReason::Silent => plain("silent"),
        GoneReason::Restarted => plain("restarted"),
        GoneReason::Violation(code) => ("violation", code as u64, format!("{code:?}")),
    }
}
