//! Sockets for plain datagrams of a shard.

use crate::argument::{address, count, invalid};
use crate::errors::Answer;
use crate::payload::Payload;
use crate::shard::Shard;
use clustercore::SocketId;
use clustercore::io::{DatagramOptions, TRAIN_BYTES_MAX, Train};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::Ordering;

/// Sends and receives plain datagrams, of which nothing is promised. Made by `Shard.bind`, whose options are here.
///
/// Port 0 lets the system choose. `receive_buffer` and `send_buffer` are bytes that may wait in the socket, 0 for the
/// system's choice; `ecn` sends with ECT(0) and tells the mark of what is received; `reuse_port` lets several sockets
/// share an address; an `ipv6_only` socket takes no IPv4.
///
/// Raises BadAddress, AddressInUse, AddressNotAvailable, PermissionDenied, TooLarge, WrongThread, Closed.
#[pyclass(frozen, module = "clustercore")]
pub struct Socket {
    owner: Py<Shard>,
    id: SocketId,
}

#[pymethods]
impl Socket {
    #[new]
    #[pyo3(signature = (owner, address, *, receive_buffer=0, send_buffer=0, ecn=false, dont_fragment=false,
        reuse_port=false, ipv6_only=false))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        owner: Py<Shard>,
        address: &str,
        receive_buffer: i64,
        send_buffer: i64,
        ecn: bool,
        dont_fragment: bool,
        reuse_port: bool,
        ipv6_only: bool,
    ) -> Answer<Socket> {
        let options = DatagramOptions {
            receive_buffer_bytes: count("receive_buffer", receive_buffer, 0..=1 << 30)?,
            send_buffer_bytes: count("send_buffer", send_buffer, 0..=1 << 30)?,
            ecn,
            dont_fragment,
            reuse_port,
            ipv6_only,
            ..DatagramOptions::default()
        };
        let wanted = self::address(address)?;
        let id = owner.get().push(py, |shard| shard.bind(wanted, &options))?;
        Ok(Socket { owner, id })
    }

    /// Where it is bound, "ip:port". Raises NoSuchSocket (it was closed).
    #[getter]
    fn address(&self, py: Python<'_>) -> Answer<String> {
        Ok(self.owner.get().with(py, |shard| shard.socket_address(self.id))?.to_string())
    }

    /// Sends bytes to "ip:port", as one datagram or as many of `segment` bytes each; they leave with the next turn.
    ///
    /// Raises BadAddress, InvalidArgument, TooLarge (a datagram is longer than 65,507 bytes), WouldBlock (too many wait),
    /// NoSuchSocket.
    #[pyo3(signature = (to, data, segment=None))]
    fn send(&self, py: Python<'_>, to: &str, data: Payload<'_>, segment: Option<i64>) -> Answer<()> {
        let to = address(to)?;
        let bytes = data.as_bytes().to_vec();
        let segment = match segment {
            Some(segment) => count("segment", segment, 1..=TRAIN_BYTES_MAX as u32)?,
            None => u32::try_from(bytes.len().max(1)).map_err(|_| invalid("data is longer than 4 GiB"))?,
        };
        self.owner.get().push(py, |shard| shard.send_to(self.id, to, Train::owned(bytes, segment)))
    }

    /// What has passed through it, by label.
    fn counters<'py>(&self, py: Python<'py>) -> Answer<Bound<'py, PyDict>> {
        let counters = self.owner.get().with(py, |shard| shard.socket_counters(self.id))?;
        let answer = PyDict::new(py);
        for (label, value) in [
            ("trains_sent", counters.trains_sent),
            ("datagrams_sent", counters.datagrams_sent),
            ("trains_received", counters.trains_received),
            ("datagrams_received", counters.datagrams_received),
            ("truncated", counters.truncated),
            ("pauses", counters.pauses),
            ("refused", counters.refused),
        ] {
            answer.set_item(label, value)?;
        }
        Ok(answer)
    }

    /// Closes it; what can be sent at once is. Does nothing when called again.
    fn close(&self, py: Python<'_>) -> Answer<()> {
        crate::endpoint::unless_over(self.owner.get().push(py, |shard| shard.close_socket(self.id)))
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, pyo3::types::PyTuple>) -> Answer<()> {
        self.close(py)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Socket>().is_ok_and(|other| {
            let other = other.get();
            self.id == other.id && self.owner.is(&other.owner)
        })
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.id, self.owner.as_ptr().addr()).hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self) -> String {
        format!("<clustercore.Socket {}>", self.id)
    }
}

/// A plain datagram that has arrived.
#[pyclass(frozen, get_all, module = "clustercore")]
pub struct Datagram {
    /// The socket.
    socket: Py<Socket>,
    /// The sender, "ip:port".
    sender: String,
    /// Its bytes.
    payload: Py<PyBytes>,
    /// Its mark of congestion control, 0 to 3 (RFC 3168); 0 unless the socket was bound with `ecn`.
    ecn: u8,
}

#[pymethods]
impl Datagram {
    #[classattr]
    #[allow(non_upper_case_globals)]
    const __match_args__: (&'static str, &'static str, &'static str) = ("socket", "sender", "payload");

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("<clustercore.Datagram of {} bytes from {}>", self.payload.as_bytes(py).len(), self.sender)
    }
}

/// What the last turn has brought, as a list; a second time in one turn, nothing.
pub fn datagrams<'py>(shard: &Bound<'py, Shard>) -> Answer<Bound<'py, PyList>> {
    let py = shard.py();
    let answer = PyList::empty(py);
    let found = shard.get().look(|core| {
        let mut found = Vec::new();
        if shard.get().datagrams_taken.swap(true, Ordering::Relaxed) {
            return Ok(found);
        }
        for train in core.datagrams() {
            for payload in train.iter() {
                found.push((train.socket, train.from, train.ecn as u8, PyBytes::new(py, payload).unbind()));
            }
        }
        Ok(found)
    })?;
    for (id, from, ecn, payload) in found {
        let socket = Py::new(py, Socket { owner: shard.clone().unbind(), id })?;
        answer.append(Datagram { socket, sender: from.to_string(), payload, ecn })?;
    }
    Ok(answer)
}
