//! Messages of one train, for code of the core that reads them while it holds the train.

use clustercore_proto::datagram::{Connection, Content, Run, StreamId, messages};
use clustercore_proto::wire::varint;

/// The messages of a train, and what they have cost.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    pieces: Vec<Piece>,
    costs: Vec<(Connection, StreamId, u64)>,
}

#[derive(Debug)]
struct Piece {
    connection: Connection,
    stream: StreamId,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// In the train.
    Lent {
        start: u32,
        len: u32,
    },
    Kept(Vec<u8>),
}

impl Mail {
    /// Takes a run that was found in the train.
    pub fn push(&mut self, run: Run<'_>) {
        let Run { connection, stream, cost, content, .. } = run;
        if cost > 0 {
            match self.costs.last_mut() {
                Some((to, on, sum)) if *to == connection && *on == stream => *sum += cost,
                _ => self.costs.push((connection, stream, cost)),
            }
        }
        let mut add = |place| self.pieces.push(Piece { connection, stream, place });
        match content {
            Content::Single { place, bytes } => {
                add(Place::Lent { start: place as u32, len: bytes.len() as u32 })
            }
            Content::Whole(bytes) => add(Place::Kept(bytes)),
            Content::Kept(bytes) => messages(&bytes).for_each(|bytes| add(Place::Kept(bytes.to_vec()))),
            Content::Lent { place, bytes } => {
                let mut at = 0;
                while let Some((len, head)) = bytes.get(at..).and_then(varint::get) {
                    add(Place::Lent { start: (place + at + head) as u32, len: len as u32 });
                    at += head + len as usize;
                }
            }
        }
    }

    /// How many messages.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Message `index`, whose train has these bytes.
    pub fn get<'a>(&'a self, index: usize, train: &'a [u8]) -> (Connection, &'a [u8]) {
        let piece = &self.pieces[index];
        let bytes = match &piece.place {
            Place::Lent { start, len } => &train[*start as usize..][..*len as usize],
            Place::Kept(bytes) => bytes,
        };
        (piece.connection, bytes)
    }

    /// The stream that message `index` came on.
    pub fn stream(&self, index: usize) -> StreamId {
        self.pieces[index].stream
    }

    /// All have been read: `consume` is told what they have cost.
    pub fn clear(&mut self, mut consume: impl FnMut(Connection, StreamId, u64)) {
        self.pieces.clear();
        for (connection, stream, cost) in self.costs.drain(..) {
            consume(connection, stream, cost);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(cost: u64, content: Content<'_>) -> Run<'_> {
        let connection = Connection { index: 3, generation: 1 };
        Run { connection, stream: StreamId::DEFAULT, first: 0, count: 1, cost, content }
    }

    #[test]
    fn messages_are_found_wherever_they_lie() {
        let train = b"....\x02ab\x01c..whole";
        let mut mail = Mail::default();
        mail.push(run(35, Content::Lent { place: 4, bytes: &train[4..9] }));
        mail.push(run(21, Content::Single { place: 11, bytes: &train[11..] }));
        mail.push(run(17, Content::Whole(b"w".to_vec())));
        mail.push(run(18, Content::Kept(b"\x01x\x00".to_vec())));
        let found: Vec<&[u8]> = (0..mail.len()).map(|index| mail.get(index, train).1).collect();
        assert_eq!(found, [&b"ab"[..], b"c", b"whole", b"w", b"x", b""]);
        let mut costs = vec![];
        mail.clear(|_, _, cost| costs.push(cost));
        assert_eq!((costs, mail.len()), (vec![91], 0));
    }
}
