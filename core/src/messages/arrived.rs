//! What has arrived in a turn and is lent until the next one.

use super::socket::{EndpointId, SocketId};
use crate::io::{Driver, Ecn, Lease};
use clustercore_proto::datagram::{Connection, Content, Run, Sequence, StreamId, messages};
use std::net::SocketAddr;

/// Messages of one stream that came together, lent until the next turn.
#[derive(Clone, Copy, Debug)]
pub struct Messages<'a> {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The connection.
    pub connection: Connection,
    /// The stream.
    pub stream: StreamId,
    /// Sequence of the first; 0 on unreliable streams.
    pub first: Sequence,
    /// How many.
    pub count: u32,
    bytes: &'a [u8],
    is_packed: bool,
}

impl<'a> Messages<'a> {
    /// The messages in their order.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let single = (!self.is_packed).then_some(self.bytes);
        let packed: &'a [u8] = if self.is_packed { self.bytes } else { &[] };
        single.into_iter().chain(messages(packed))
    }

    /// All of them in one piece: each a length (LEB128) and its bytes, unless `is_packed` is false: then one message alone, without a
    /// length.
    pub fn packed(&self) -> (&'a [u8], bool) {
        (self.bytes, self.is_packed)
    }
}

/// Plain datagrams that came together from one sender, lent until the next turn.
#[derive(Clone, Copy, Debug)]
pub struct Datagrams<'a> {
    /// The socket.
    pub socket: SocketId,
    /// The sender.
    pub from: SocketAddr,
    /// Bytes of each but the last, which may be shorter.
    pub segment: usize,
    /// Their mark (RFC 3168).
    pub ecn: Ecn,
    bytes: &'a [u8],
}

impl<'a> Datagrams<'a> {
    /// The datagrams in their order.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let is_empty = self.bytes.is_empty();
        is_empty.then_some(self.bytes).into_iter().chain(self.bytes.chunks(self.segment.max(1)))
    }

    /// All of them in one piece.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// A run that has arrived; where its bytes are.
#[derive(Debug)]
struct Arrived {
    endpoint: EndpointId,
    connection: Connection,
    stream: StreamId,
    first: Sequence,
    count: u32,
    cost: u64,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// In the train of that number.
    Lent {
        train: u32,
        start: u32,
        len: u32,
        is_packed: bool,
    },
    Kept {
        bytes: Vec<u8>,
        is_packed: bool,
    },
}

/// A train of plain datagrams.
#[derive(Debug)]
pub(crate) struct PlainTrain {
    pub socket: SocketId,
    pub from: SocketAddr,
    pub segment: u32,
    pub ecn: Ecn,
    pub lease: Lease,
}

/// Everything lent to the owner of a shard at present.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    runs: Vec<Arrived>,
    trains: Vec<Lease>,
    plain: Vec<PlainTrain>,
}

impl Arrivals {
    /// Takes a run that was found in the train that will be the next one entered.
    #[inline]
    pub fn push(&mut self, endpoint: EndpointId, run: Run<'_>) {
        let Run { connection, stream, first, count, cost, content } = run;
        let train = self.trains.len() as u32;
        let place = match content {
            Content::Lent { place, bytes } => {
                Place::Lent { train, start: place as u32, len: bytes.len() as u32, is_packed: true }
            }
            Content::Single { place, bytes } => {
                Place::Lent { train, start: place as u32, len: bytes.len() as u32, is_packed: false }
            }
            Content::Kept(bytes) => Place::Kept { bytes, is_packed: true },
            Content::Whole(bytes) => Place::Kept { bytes, is_packed: false },
        };
        self.runs.push(Arrived { endpoint, connection, stream, first, count, cost, place });
    }

    /// Runs so far.
    pub fn runs_len(&self) -> usize {
        self.runs.len()
    }

    /// Enters the train in which runs since `runs_before` were found; it goes back at once when none of them lies in it.
    pub fn enter<D: Driver>(&mut self, driver: &mut D, runs_before: usize, lease: Lease) {
        let is_used = self.runs[runs_before..].iter().any(|run| matches!(run.place, Place::Lent { .. }));
        if is_used { self.trains.push(lease) } else { driver.release(lease) }
    }

    pub fn push_plain(&mut self, train: PlainTrain) {
        self.plain.push(train);
    }

    /// Whether the owner has something to read.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.plain.is_empty()
    }

    /// The runs, in the order of their arrival.
    pub fn messages<'a, D: Driver>(&'a self, driver: &'a D) -> impl Iterator<Item = Messages<'a>> {
        self.runs.iter().map(move |run| {
            let (bytes, is_packed) = match &run.place {
                Place::Lent { train, start, len, is_packed } => {
                    let train = driver.bytes(&self.trains[*train as usize]);
                    (&train[*start as usize..][..*len as usize], *is_packed)
                }
                Place::Kept { bytes, is_packed } => (&bytes[..], *is_packed),
            };
            let Arrived { endpoint, connection, stream, first, count, .. } = *run;
            Messages { endpoint, connection, stream, first, count, bytes, is_packed }
        })
    }

    /// The plain trains, in the order of their arrival.
    pub fn datagrams<'a, D: Driver>(&'a self, driver: &'a D) -> impl Iterator<Item = Datagrams<'a>> {
        self.plain.iter().map(move |train| Datagrams {
            socket: train.socket,
            from: train.from,
            segment: train.segment as usize,
            ecn: train.ecn,
            bytes: driver.bytes(&train.lease),
        })
    }

    /// The owner has read: everything goes back. `consume` is told what runs have cost.
    pub fn clear<D: Driver>(
        &mut self,
        driver: &mut D,
        mut consume: impl FnMut(EndpointId, Connection, StreamId, u64),
    ) {
        for run in self.runs.drain(..) {
            if run.cost > 0 {
                consume(run.endpoint, run.connection, run.stream, run.cost);
            }
        }
        for lease in self.trains.drain(..) {
            driver.release(lease);
        }
        for train in self.plain.drain(..) {
            driver.release(train.lease);
        }
    }
}
