//! What became of connections.

use crate::shard::clc_shard;
use crate::status::{boundary, null};
use crate::{clc_bytes, clc_connection, clc_ip_port, clc_status, clc_stream};
use clustercore::proto::datagram::{Event, GoneReason, RefuseCode};
use clustercore::{EndpointId, Shard};
use std::collections::VecDeque;

/// What an event of a connection says.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum clc_connection_event_kind {
    /// Something that this header does not know yet.
    Unknown = 0,
    /// clc_endpoint_connect has ended well. `epoch`, `identity`.
    Connected = 1,
    /// A peer has connected. `peer`, `epoch`, `identity`.
    Accepted = 2,
    /// There is room again after a WOULD_BLOCK.
    Writable = 3,
    /// The peer has moved to another address. `peer`.
    Moved = 4,
    /// The connection is over. `reason`, `unconfirmed`; by `reason` also `code`, `text`, `refuse_code`.
    Gone = 5,
}

/// Why a connection is over.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum clc_gone_reason {
    /// Does not apply, or this header does not know it yet.
    None = 0,
    /// We closed it.
    Closed = 1,
    /// The peer closed it, with `code` and `text`.
    ClosedByPeer = 2,
    /// Nobody answered the handshake.
    Unreachable = 3,
    /// The peer said no; `refuse_code` says why.
    Refused = 4,
    /// The peer speaks none of our versions.
    NoCommonVersion = 5,
    /// Nothing was acknowledged for too long, or nothing came.
    Silent = 6,
    /// The peer's program was started anew and knows nothing of us.
    Restarted = 7,
    /// The peer broke the protocol; `code` says how (docs/protocol/datagram.md).
    Violation = 8,
}

/// Why a peer has refused a connection.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum clc_refuse_code {
    /// Does not apply.
    None = 0,
    /// It has no room for another connection; later perhaps.
    Full = 1,
    /// It takes no connections.
    NotAccepting = 2,
    /// The handshake was not right: wrong key, unknown peer, parameters that make no sense.
    Handshake = 3,
    /// Something that a later version says.
    Other = 4,
}

/// Messages of ours that are not known to have arrived.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct clc_unconfirmed {
    /// Their stream.
    pub stream: clc_stream,
    /// Sequence of the first.
    pub first: u64,
    /// Sequence of the last.
    pub last: u64,
}

/// Something happened to a connection. `kind` says which of the other fields apply; those that do not are 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_connection_event {
    /// A clc_connection_event_kind.
    pub kind: u32,
    /// The endpoint, see clc_endpoint_id.
    pub endpoint: u32,
    /// The connection.
    pub connection: clc_connection,
    /// Where the peer is.
    pub peer: clc_ip_port,
    /// Which run of its program the peer is: another one after a restart.
    pub epoch: u64,
    /// The peer's public key, when `has_identity`.
    pub identity: [u8; 32],
    /// 1 in secure mode, else 0.
    pub has_identity: u32,
    /// A clc_gone_reason.
    pub reason: u32,
    /// The code of a close; an application's are from 256 on.
    pub code: u64,
    /// The peer's words; lent until the next call of clc_shard_connection_events on the shard.
    pub text: clc_bytes,
    /// Ranges of messages; lent likewise.
    pub unconfirmed: *const clc_unconfirmed,
    /// How many ranges.
    pub unconfirmed_len: usize,
    /// A clc_refuse_code.
    pub refuse_code: u32,
    /// 0.
    pub reserved: [u32; 5],
}

/// Events of connections that wait for the owner, and what the ones last told refer to.
#[derive(Default)]
pub(crate) struct ConnectionNews {
    waiting: VecDeque<(EndpointId, Event)>,
    texts: Vec<Vec<u8>>,
    unconfirmed: Vec<Vec<clc_unconfirmed>>,
}

// What is told refers to vectors that this owns and keeps until it is asked again.
impl ConnectionNews {
    /// Whether none is left over from the last call.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The next events, at most `capacity`.
    fn take(&mut self, shard: &mut Shard, capacity: usize) -> Vec<clc_connection_event> {
        self.texts.clear();
        self.unconfirmed.clear();
        self.waiting.extend(shard.connection_events());
        let len = self.waiting.len().min(capacity);
        let taken: Vec<_> = self.waiting.drain(..len).collect();
        taken.into_iter().map(|(endpoint, event)| self.tell(endpoint, event)).collect()
    }

    fn tell(&mut self, endpoint: EndpointId, event: Event) -> clc_connection_event {
        let mut told = NOTHING;
        told.endpoint = endpoint.to_raw();
        let (kind, connection) = match event {
            Event::Connected { connection, epoch, identity } => {
                (told.epoch, told.has_identity) = (epoch, u32::from(identity.is_some()));
                told.identity = identity.unwrap_or_default();
                (clc_connection_event_kind::Connected, connection)
            }
            Event::Accepted { connection, peer, epoch, identity } => {
                (told.epoch, told.has_identity) = (epoch, u32::from(identity.is_some()));
                told.identity = identity.unwrap_or_default();
                told.peer = peer.into();
                (clc_connection_event_kind::Accepted, connection)
            }
            Event::Writable { connection } => (clc_connection_event_kind::Writable, connection),
            Event::Moved { connection, peer } => {
                told.peer = peer.into();
                (clc_connection_event_kind::Moved, connection)
            }
            Event::Gone { connection, reason, unconfirmed } => {
                self.explain(reason, &mut told);
                let ranges: Vec<_> = unconfirmed
                    .into_iter()
                    .map(|(stream, first, last)| clc_unconfirmed { stream: stream.into(), first, last })
                    .collect();
                if !ranges.is_empty() {
                    (told.unconfirmed, told.unconfirmed_len) = (ranges.as_ptr(), ranges.len());
                    self.unconfirmed.push(ranges);
                }
                (clc_connection_event_kind::Gone, connection)
            }
        };
        (told.kind, told.connection) = (kind as u32, connection.into());
        told
    }

    fn explain(&mut self, reason: GoneReason, told: &mut clc_connection_event) {
        let reason = match reason {
            GoneReason::Closed => clc_gone_reason::Closed,
            GoneReason::ClosedByPeer { code, text } => {
                (told.code, told.text) = (code, text[..].into());
                // The bytes stay where they are when the vector moves.
                self.texts.push(text);
                clc_gone_reason::ClosedByPeer
            }
            GoneReason::Unreachable => clc_gone_reason::Unreachable,
            GoneReason::Refused(code) => {
                told.refuse_code = match code {
                    RefuseCode::Full => clc_refuse_code::Full,
                    RefuseCode::NotAccepting => clc_refuse_code::NotAccepting,
                    RefuseCode::Handshake => clc_refuse_code::Handshake,
                    RefuseCode::Other => clc_refuse_code::Other,
                } as u32;
                clc_gone_reason::Refused
            }
            GoneReason::NoCommonVersion => clc_gone_reason::NoCommonVersion,
            GoneReason::Silent => clc_gone_reason::Silent,
            GoneReason::Restarted => clc_gone_reason::Restarted,
            GoneReason::Violation(code) => {
                told.code = code as u64;
                clc_gone_reason::Violation
            }
        };
        told.reason = reason as u32;
    }
}

const NOTHING: clc_connection_event = clc_connection_event {
    kind: 0,
    endpoint: 0,
    connection: clc_connection { index: 0, generation: 0 },
    peer: clc_ip_port { ip: [0; 16], scope: 0, port: 0, version: 0 },
    epoch: 0,
    identity: [0; 32],
    has_identity: 0,
    reason: 0,
    code: 0,
    text: clc_bytes { data: std::ptr::null(), len: 0 },
    unconfirmed: std::ptr::null(),
    unconfirmed_len: 0,
    refuse_code: 0,
    reserved: [0; 5],
};

/// Takes what has happened to connections of all endpoints of the shard since the last call, oldest first, at most `capacity`
/// events; call again while it fills the array. What they point to is lent until the next call.
///
/// Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED. The shard's thread may call this.
///
/// # Safety
/// `shard` is NULL or a live shard; `events_out` is NULL or has room for `capacity` events; `events_len_out` is NULL or
/// writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_shard_connection_events(
    shard: *mut clc_shard,
    events_out: *mut clc_connection_event,
    capacity: usize,
    events_len_out: *mut usize,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live shard that is only shared, per the contract above.
        let shard = unsafe { shard.as_ref() }.ok_or_else(|| null("shard"))?;
        if events_out.is_null() {
            return Err(null("events_out"));
        }
        // SAFETY: NULL or writable, per the contract above.
        let len_out = unsafe { events_len_out.as_mut() }.ok_or_else(|| null("events_len_out"))?;
        let told = shard.core().with(|state| Ok(state.news.take(&mut state.shard, capacity)))?;
        *len_out = told.len();
        for (index, event) in told.into_iter().enumerate() {
            // SAFETY: there are at most `capacity`, so this lies within the caller's array.
            let slot = unsafe { events_out.add(index) };
            // SAFETY: within the caller's array.
            unsafe { slot.write(event) };
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clustercore::proto::datagram::{Connection, StreamId};

    #[test]
    fn an_end_carries_its_words_and_what_is_not_confirmed() {
        let mut news = ConnectionNews::default();
        let connection = Connection { index: 3, generation: 2 };
        let reason = GoneReason::ClosedByPeer { code: 300, text: b"bye".to_vec() };
        let unconfirmed = vec![(StreamId::DEFAULT, 5, 9)];
        let told = news.tell(EndpointId::from_raw(7), Event::Gone { connection, reason, unconfirmed });
        assert_eq!((told.kind, told.endpoint, told.reason, told.code), (5, 7, 2, 300));
        assert_eq!(told.connection, clc_connection { index: 3, generation: 2 });
        assert_eq!((told.text.len, news.texts[0].as_ptr()), (3, told.text.data));
        assert_eq!((told.unconfirmed_len, news.unconfirmed[0].as_ptr()), (1, told.unconfirmed));
        assert_eq!((news.unconfirmed[0][0].first, news.unconfirmed[0][0].last), (5, 9));
    }

    #[test]
    fn the_size_is_fixed() {
        assert_eq!(size_of::<clc_connection_event>(), 152);
    }
}
