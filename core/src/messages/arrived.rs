//! What has arrived in a turn and is lent until the next one.

use super::socket::{EndpointId, SocketId};
use crate::calls::{Incoming, Told};
use crate::io::{Driver, Ecn, Lease};
use clustercore_proto::datagram::{Connection, Content, Run, Sequence, StreamId, messages};
use clustercore_proto::rpc;
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
    fn of(run: &Arrived, bytes: &'a [u8], is_packed: bool) -> Messages<'a> {
        let Arrived { endpoint, connection, stream, first, count, .. } = *run;
        Messages { endpoint, connection, stream, first, count, bytes, is_packed }
    }

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
    /// Of calls: not for who reads messages.
    is_of_calls: bool,
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

impl Place {
    #[inline]
    fn bytes<'a, D: Driver>(&'a self, trains: &'a [Lease], driver: &'a D) -> (&'a [u8], bool) {
        match self {
            Place::Lent { train, start, len, is_packed } => {
                let train = driver.bytes(&trains[*train as usize]);
                (&train[*start as usize..][..*len as usize], *is_packed)
            }
            Place::Kept { bytes, is_packed } => (bytes, *is_packed),
        }
    }
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
    /// What was told of calls, and the run that it came in.
    calls: Vec<(EndpointId, u32, Told)>,
}

impl Arrivals {
    /// Takes a run that was found in the train that will be the next one entered.
    #[inline]
    pub fn push(&mut self, endpoint: EndpointId, run: Run<'_>, has_calls: bool) {
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
        let is_of_calls = has_calls && rpc::is_of_calls(stream);
        self.runs.push(Arrived { endpoint, connection, stream, first, count, cost, is_of_calls, place });
    }

    /// Gives the messages of calls since `runs_before` to `handle`, which tells what came of them.
    #[inline]
    pub fn handle_calls<D: Driver>(
        &mut self,
        driver: &D,
        runs_before: usize,
        mut handle: impl FnMut(Connection, StreamId, &[u8], &mut dyn FnMut(Incoming<'_>)),
    ) {
        let Arrivals { runs, trains, calls, .. } = self;
        for (index, run) in runs.iter().enumerate().skip(runs_before).filter(|(_, run)| run.is_of_calls) {
            let (bytes, is_packed) = run.place.bytes(trains, driver);
            let view = Messages::of(run, bytes, is_packed);
            for message in view.iter() {
                handle(run.connection, run.stream, message, &mut |incoming| {
                    calls.push((run.endpoint, index as u32, Told::of(bytes, incoming)));
                });
            }
        }
    }

    /// Something was told of a call that came in no message.
    pub fn push_told(&mut self, endpoint: EndpointId, incoming: Incoming<'_>) {
        self.calls.push((endpoint, NO_RUN, Told::of(&[], incoming)));
    }

    /// What was told of calls, in its order.
    pub fn calls<'a, D: Driver>(&'a self, driver: &'a D) -> impl Iterator<Item = (EndpointId, Incoming<'a>)> {
        self.calls.iter().map(move |(endpoint, run, told)| {
            let run = self.runs.get(*run as usize);
            let bytes = run.map_or(&[][..], |run| run.place.bytes(&self.trains, driver).0);
            (*endpoint, told.get(bytes))
        })
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
        self.runs.is_empty() && self.plain.is_empty() && self.calls.is_empty()
    }

    /// The runs, in the order of their arrival.
    pub fn messages<'a, D: Driver>(&'a self, driver: &'a D) -> impl Iterator<Item = Messages<'a>> {
        self.runs.iter().filter(|run| !run.is_of_calls).map(move |run| {
            let (bytes, is_packed) = run.place.bytes(&self.trains, driver);
            Messages::of(run, bytes, is_packed)
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
        self.calls.clear();
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

/// Of what came in no message.
const NO_RUN: u32 = u32::MAX;
