//! Messages and plain datagrams that have arrived: lent until the next turn.

use crate::shard::clc_shard;
use crate::status::{boundary, null};
use crate::{clc_ip_port, clc_status};
use clustercore::messages::Messages;
use clustercore::proto::datagram::{Connection, StreamId, StreamKind, messages};
use clustercore::{Code, Error, Result, Shard};

/// Bytes of somebody else's. `data` may be NULL when `len` is 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_bytes {
    /// The first of them.
    pub data: *const u8,
    /// How many.
    pub len: usize,
}

impl clc_bytes {
    /// Errors: `NullArgument`.
    ///
    /// # Safety
    /// `data` is NULL or has `len` readable bytes that nobody writes for `'a`.
    pub(crate) unsafe fn as_slice<'a>(self, name: &str) -> Result<&'a [u8]> {
        if self.len == 0 {
            return Ok(&[]);
        }
        if self.data.is_null() {
            return Err(null(name));
        }
        // SAFETY: not NULL, and the caller vouches for the rest.
        Ok(unsafe { std::slice::from_raw_parts(self.data, self.len) })
    }
}

impl From<&[u8]> for clc_bytes {
    fn from(bytes: &[u8]) -> clc_bytes {
        clc_bytes { data: bytes.as_ptr(), len: bytes.len() }
    }
}

/// A connection of one endpoint: a value, to be copied and compared. One that is over reaches nobody.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct clc_connection {
    /// Its place: small, used again, fit for indexing an array of yours.
    pub index: u32,
    /// Counts the uses of the place.
    pub generation: u32,
}

impl From<Connection> for clc_connection {
    fn from(Connection { index, generation }: Connection) -> clc_connection {
        clc_connection { index, generation }
    }
}

impl From<clc_connection> for Connection {
    fn from(clc_connection { index, generation }: clc_connection) -> Connection {
        Connection { index, generation }
    }
}

/// What a stream promises.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum clc_stream_kind {
    /// Each message exactly once, in order.
    Ordered = 0,
    /// Each message exactly once, as it comes.
    Unordered = 1,
    /// The newest message arrives; older ones may be skipped, none comes after a newer one.
    Latest = 2,
    /// At most once, no retransmission; a message must fit a packet.
    Unreliable = 3,
}

/// A stream of a connection; it exists from its first message on. All zero is the ordered stream 0.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct clc_stream {
    /// Its number, below 2^30; each kind has numbers of its own.
    pub number: u32,
    /// A clc_stream_kind.
    pub kind: u32,
}

impl From<StreamId> for clc_stream {
    fn from(stream: StreamId) -> clc_stream {
        clc_stream { number: stream.number(), kind: stream.kind() as u32 }
    }
}

impl clc_stream {
    /// Errors: `InvalidArgument`.
    pub(crate) fn to_id(self) -> Result<StreamId> {
        let kinds = [StreamKind::Ordered, StreamKind::Unordered, StreamKind::Latest, StreamKind::Unreliable];
        let kind = crate::options::one_of("the stream's kind", self.kind, &kinds)?;
        StreamId::new(self.number, kind).ok_or_else(|| {
            let (number, max) = (self.number, StreamId::NUMBER_MAX);
            Error::new(
                Code::InvalidArgument,
                format!("the stream's number is {number}, it must be at most {max}"),
            )
        })
    }
}

/// A message that has arrived.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_message {
    /// Its bytes, lent until the next turn of the shard.
    pub payload: clc_bytes,
    /// Its place in its stream, from 0; always 0 on unreliable streams.
    pub sequence: u64,
    /// The connection.
    pub connection: clc_connection,
    /// The stream.
    pub stream: clc_stream,
    /// The endpoint, see clc_endpoint_id.
    pub endpoint: u32,
    /// 0.
    pub reserved: u32,
}

/// Messages of one stream that came together. `clustercore_runs.h` has a function to walk them.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_run {
    /// All of them in one piece, lent until the next turn: each a length (LEB128, unsigned) and its bytes; or, when `is_packed`
    /// is 0, one message alone without a length.
    pub bytes: clc_bytes,
    /// Sequence of the first; the others follow it, but on unreliable streams, where all are 0.
    pub first: u64,
    /// The connection.
    pub connection: clc_connection,
    /// The stream.
    pub stream: clc_stream,
    /// The endpoint, see clc_endpoint_id.
    pub endpoint: u32,
    /// How many messages.
    pub count: u32,
    /// 1 or 0.
    pub is_packed: u32,
    /// 0.
    pub reserved: u32,
}

/// A plain datagram that has arrived.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_datagram {
    /// Its bytes, lent until the next turn of the shard.
    pub payload: clc_bytes,
    /// The sender.
    pub from: clc_ip_port,
    /// The socket, see clc_socket_id.
    pub socket: u32,
    /// Its mark of congestion control, the two lowest bits of the traffic class (RFC 3168); 0 unless the socket was bound with `ecn`.
    pub ecn: u32,
}

/// How far the owner has read what the last turn has brought.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cursor {
    run: usize,
    /// Messages of the run that were taken, and where the next one begins.
    run_taken: u32,
    run_place: usize,
    train: usize,
    train_taken: usize,
}

impl Cursor {
    fn next_run(&mut self) {
        (self.run, self.run_taken, self.run_place) = (self.run + 1, 0, 0);
    }

    /// Messages from here on, at most `capacity`.
    fn messages(&mut self, shard: &Shard, capacity: usize, mut put: impl FnMut(clc_message)) {
        let mut room = capacity;
        for run in shard.messages().skip(self.run) {
            let (bytes, is_packed) = run.packed();
            let mut singles = (!is_packed).then_some(bytes).into_iter();
            let mut packed = messages(if is_packed { &bytes[self.run_place..] } else { &[] });
            loop {
                if room == 0 {
                    return;
                }
                let Some(payload) = singles.next().or_else(|| packed.next()) else { break };
                put(message(&run, self.run_taken, payload));
                room -= 1;
                self.run_taken += 1;
                self.run_place = payload.as_ptr_range().end.addr() - bytes.as_ptr().addr();
                if !is_packed {
                    break;
                }
            }
            self.next_run();
        }
    }

    /// Runs from here on, the first without the messages that were taken already.
    fn runs(&mut self, shard: &Shard, capacity: usize, mut put: impl FnMut(clc_run)) {
        for run in shard.messages().skip(self.run).take(capacity) {
            let (bytes, is_packed) = run.packed();
            if self.run_taken < run.count {
                put(clc_run {
                    bytes: bytes[self.run_place..].into(),
                    first: message(&run, self.run_taken, &[]).sequence,
                    connection: run.connection.into(),
                    stream: run.stream.into(),
                    endpoint: run.endpoint.to_raw(),
                    count: run.count - self.run_taken,
                    is_packed: u32::from(is_packed),
                    reserved: 0,
                });
            }
            self.next_run();
        }
    }

    /// Plain datagrams from here on, at most `capacity`.
    fn datagrams(&mut self, shard: &Shard, capacity: usize, mut put: impl FnMut(clc_datagram)) {
        let mut room = capacity;
        for train in shard.datagrams().skip(self.train) {
            for payload in train.iter().skip(self.train_taken) {
                if room == 0 {
                    return;
                }
                put(clc_datagram {
                    payload: payload.into(),
                    from: train.from.into(),
                    socket: train.socket.to_raw(),
                    ecn: train.ecn as u32,
                });
                room -= 1;
                self.train_taken += 1;
            }
            (self.train, self.train_taken) = (self.train + 1, 0);
        }
    }
}

fn message(run: &Messages<'_>, taken: u32, payload: &[u8]) -> clc_message {
    let is_numbered = run.stream.kind() != StreamKind::Unreliable;
    clc_message {
        payload: payload.into(),
        sequence: if is_numbered { run.first + u64::from(taken) } else { 0 },
        connection: run.connection.into(),
        stream: run.stream.into(),
        endpoint: run.endpoint.to_raw(),
        reserved: 0,
    }
}

/// Takes messages that the last turn has brought, of all endpoints of the shard, at most `capacity` of them; call again while it
/// fills the array. Their bytes are lent until the next turn, which gives their room back to the senders: what nobody has taken
/// by then is lost.
///
/// Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED. The shard's thread may call this.
///
/// # Safety
/// `shard` is NULL or a live shard; `messages_out` is NULL or has room for `capacity` messages; `messages_len_out` is NULL or
/// writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_shard_messages(
    shard: *mut clc_shard,
    messages_out: *mut clc_message,
    capacity: usize,
    messages_len_out: *mut usize,
) -> clc_status {
    // SAFETY: the same contract.
    unsafe {
        take(shard, "messages", messages_out, capacity, messages_len_out, |cursor, shard, put| {
            cursor.messages(shard, capacity, put)
        })
    }
}

/// As clc_shard_messages, but a whole run of messages at a time, for speed. Both go on where the other has stopped.
///
/// Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED. The shard's thread may call this.
///
/// # Safety
/// `shard` is NULL or a live shard; `runs_out` is NULL or has room for `capacity` runs; `runs_len_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_shard_runs(
    shard: *mut clc_shard,
    runs_out: *mut clc_run,
    capacity: usize,
    runs_len_out: *mut usize,
) -> clc_status {
    // SAFETY: the same contract.
    unsafe {
        take(shard, "runs", runs_out, capacity, runs_len_out, |cursor, shard, put| {
            cursor.runs(shard, capacity, put)
        })
    }
}

/// Takes plain datagrams that the last turn has brought, of all sockets of the shard, at most `capacity` of them; call again
/// while it fills the array. Their bytes are lent until the next turn; what nobody has taken by then is lost.
///
/// Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED. The shard's thread may call this.
///
/// # Safety
/// `shard` is NULL or a live shard; `datagrams_out` is NULL or has room for `capacity` datagrams; `datagrams_len_out` is NULL
/// or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_shard_datagrams(
    shard: *mut clc_shard,
    datagrams_out: *mut clc_datagram,
    capacity: usize,
    datagrams_len_out: *mut usize,
) -> clc_status {
    // SAFETY: the same contract.
    unsafe {
        take(shard, "datagrams", datagrams_out, capacity, datagrams_len_out, |cursor, shard, put| {
            cursor.datagrams(shard, capacity, put)
        })
    }
}

/// What the three functions above share. `read` puts at most `capacity` things.
///
/// # Safety
/// As theirs.
unsafe fn take<T>(
    shard: *mut clc_shard,
    name: &str,
    out: *mut T,
    capacity: usize,
    len_out: *mut usize,
    read: impl FnOnce(&mut Cursor, &Shard, &mut dyn FnMut(T)),
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live shard that is only shared, per the contract above.
        let shard = unsafe { shard.as_ref() }.ok_or_else(|| null("shard"))?;
        if out.is_null() {
            return Err(null(&format!("{name}_out")));
        }
        // SAFETY: NULL or writable, per the contract above.
        let len_out = unsafe { len_out.as_mut() }.ok_or_else(|| null(&format!("{name}_len_out")))?;
        shard.core().with(|state| {
            let mut len = 0;
            read(&mut state.cursor, &state.shard, &mut |thing| {
                assert!(len < capacity, "no more is read than there is room for");
                // SAFETY: `len` is below `capacity`, so this lies within the caller's array.
                let slot = unsafe { out.add(len) };
                // SAFETY: within the caller's array.
                unsafe { slot.write(thing) };
                len += 1;
            });
            *len_out = len;
            Ok(())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_fixed() {
        assert_eq!((size_of::<clc_message>(), size_of::<clc_run>()), (48, 56));
        assert_eq!((size_of::<clc_datagram>(), size_of::<clc_stream>()), (48, 8));
    }

    #[test]
    fn a_stream_is_checked() {
        assert_eq!(clc_stream::default().to_id(), Ok(StreamId::DEFAULT));
        let wrong_kind = clc_stream { number: 0, kind: 4 }.to_id().unwrap_err();
        assert_eq!(wrong_kind.to_string(), "the stream's kind is 4; it must be 0 to 3");
        let wrong_number = clc_stream { number: 1 << 30, kind: 0 }.to_id().unwrap_err();
        assert_eq!(wrong_number.code(), Code::InvalidArgument);
        let stream = clc_stream { number: 5, kind: clc_stream_kind::Latest as u32 };
        assert_eq!(clc_stream::from(stream.to_id().unwrap()), stream);
    }
}
