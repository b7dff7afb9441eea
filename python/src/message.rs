//! Messages that have arrived: one object each, or all of a turn in one buffer.

use crate::endpoint::{Connection, Endpoint, kind};
use crate::errors::Answer;
use crate::shard::Shard;
use clustercore::proto::datagram::{self as proto, StreamId, StreamKind};
use clustercore::{Code, EndpointId, Error};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyMemoryView};
use std::collections::HashMap;
use std::sync::atomic::Ordering;

/// A message that has arrived. Its bytes are a copy, and yours.
#[pyclass(frozen, get_all, module = "clustercore")]
pub struct Message {
    /// The connection it came by.
    connection: Py<Connection>,
    /// Number of the stream.
    stream: u32,
    /// Kind of the stream: "ordered", "unordered", "latest" or "unreliable".
    kind: &'static str,
    /// Its place in the stream, from 0; always 0 on unreliable ones.
    sequence: u64,
    /// Its bytes.
    payload: Py<PyBytes>,
}

#[pymethods]
impl Message {
    #[classattr]
    #[allow(non_upper_case_globals)]
    const __match_args__: (&'static str, &'static str, &'static str, &'static str, &'static str) =
        ("connection", "stream", "kind", "sequence", "payload");

    fn __repr__(&self, py: Python<'_>) -> String {
        let Message { stream, kind, sequence, payload, .. } = self;
        let len = payload.as_bytes(py).len();
        format!("<clustercore.Message {sequence} of {kind} stream {stream}, {len} bytes>")
    }
}

/// All messages of a turn in one buffer, for speed.
///
/// Message `n` is `buffer[offsets[2 * n] : offsets[2 * n + 1]]`. `runs` tells whose they are: (connection, stream, kind,
/// sequence of the first, how many) in the order of the buffer.
#[pyclass(frozen, module = "clustercore")]
pub struct MessageBatch {
    /// The bytes of all messages.
    #[pyo3(get)]
    buffer: Py<PyBytes>,
    offsets: Vec<u32>,
    runs: Vec<PythonRun>,
}

struct PythonRun {
    connection: Py<Connection>,
    stream: StreamId,
    first: u64,
    count: u32,
}

#[pymethods]
impl MessageBatch {
    /// Begin and end of each message in the buffer: a view of unsigned 32-bit numbers, two for each.
    #[getter]
    fn offsets<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let bytes: Vec<u8> = self.offsets.iter().flat_map(|offset| offset.to_ne_bytes()).collect();
        PyMemoryView::from(&PyBytes::new(py, &bytes))?.call_method1("cast", ("I",))
    }

    /// (connection, stream, kind, sequence of the first, how many) of messages that came together.
    #[getter]
    fn runs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let answer = PyList::empty(py);
        for PythonRun { connection, stream, first, count } in &self.runs {
            answer.append((connection, stream.number(), kind(*stream), first, count))?;
        }
        Ok(answer)
    }

    /// The messages as bytes of their own.
    fn to_list<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let bytes = self.buffer.as_bytes(py);
        let parts = self.offsets.chunks_exact(2).map(|place| place[0] as usize..place[1] as usize);
        PyList::new(py, parts.map(|place| PyBytes::new(py, &bytes[place])).collect::<Vec<_>>())
    }

    fn __len__(&self) -> usize {
        self.offsets.len() / 2
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let (count, bytes) = (self.__len__(), self.buffer.as_bytes(py).len());
        format!("<clustercore.MessageBatch of {count} messages, {bytes} bytes>")
    }
}

/// Objects for connections, each made once in a batch.
pub struct Connections<'a, 'py> {
    shard: &'a Bound<'py, Shard>,
    endpoints: HashMap<EndpointId, Py<Endpoint>>,
    known: HashMap<(EndpointId, proto::Connection), Py<Connection>>,
}

impl<'a, 'py> Connections<'a, 'py> {
    pub fn new(shard: &'a Bound<'py, Shard>) -> Self {
        Connections { shard, endpoints: HashMap::new(), known: HashMap::new() }
    }

    pub fn get(&mut self, endpoint: EndpointId, name: proto::Connection) -> PyResult<Py<Connection>> {
        let py = self.shard.py();
        if let Some(known) = self.known.get(&(endpoint, name)) {
            return Ok(known.clone_ref(py));
        }
        let owner = match self.endpoints.get(&endpoint) {
            Some(owner) => owner.clone_ref(py),
            None => {
                let owner = Py::new(py, Endpoint::of(self.shard, endpoint))?;
                self.endpoints.insert(endpoint, owner.clone_ref(py));
                owner
            }
        };
        let made = Py::new(py, Connection::of(owner, name))?;
        self.known.insert((endpoint, name), made.clone_ref(py));
        Ok(made)
    }
}

/// Messages of the last turn, as a list of objects; a second time in one turn, nothing.
pub fn messages<'py>(shard: &Bound<'py, Shard>) -> Answer<Bound<'py, PyList>> {
    let py = shard.py();
    // Only bytes are made while the shard is locked: no code of the program runs meanwhile.
    let found = shard.get().look(|core| {
        let is_taken = shard.get().messages_taken.swap(true, Ordering::Relaxed);
        let mut found = Vec::new();
        if !is_taken {
            for run in core.messages() {
                let step = u64::from(run.stream.kind() != StreamKind::Unreliable);
                for (place, payload) in run.iter().enumerate() {
                    let sequence = run.first + place as u64 * step;
                    let payload = PyBytes::new(py, payload).unbind();
                    found.push((run.endpoint, run.connection, run.stream, sequence, payload));
                }
            }
        }
        Ok(found)
    })?;
    let mut connections = Connections::new(shard);
    let answer = PyList::empty(py);
    for (endpoint, name, stream, sequence, payload) in found {
        let connection = connections.get(endpoint, name)?;
        let (stream, kind) = (stream.number(), kind(stream));
        answer.append(Message { connection, stream, kind, sequence, payload })?;
    }
    Ok(answer)
}

/// Messages of the last turn in one buffer; a second time in one turn, none.
pub fn batch(shard: &Bound<'_, Shard>) -> Answer<MessageBatch> {
    let py = shard.py();
    let (buffer, offsets, runs) = shard.get().look(|core| {
        let is_taken = shard.get().messages_taken.swap(true, Ordering::Relaxed);
        let (mut offsets, mut runs, mut total) = (Vec::new(), Vec::new(), 0usize);
        if !is_taken {
            for run in core.messages() {
                for payload in run.iter() {
                    offsets.extend([offset(total)?, offset(total + payload.len())?]);
                    total += payload.len();
                }
                runs.push((run.endpoint, run.connection, run.stream, run.first, run.count));
            }
        }
        let buffer = PyBytes::new_with(py, total, |buffer| {
            if !is_taken {
                let places = offsets.chunks_exact(2).map(|place| place[0] as usize..place[1] as usize);
                for (place, payload) in places.zip(core.messages().flat_map(|run| run.iter())) {
                    buffer[place].copy_from_slice(payload);
                }
            }
            Ok(())
        })?;
        Ok((buffer.unbind(), offsets, runs))
    })?;
    let mut connections = Connections::new(shard);
    let runs: PyResult<Vec<_>> = runs
        .into_iter()
        .map(|(endpoint, name, stream, first, count)| {
            Ok(PythonRun { connection: connections.get(endpoint, name)?, stream, first, count })
        })
        .collect();
    Ok(MessageBatch { buffer, offsets, runs: runs? })
}

fn offset(place: usize) -> Result<u32, Error> {
    u32::try_from(place).map_err(|_| Error::new(Code::TooLarge, "a batch of messages is longer than 4 GiB"))
}
