//! Messages of calls on the wire.

use super::call::{Arguments, CallOptions, Method, Results};
use super::metadata::MetadataRef;
use super::status::Status;
use crate::wire::{Malformed, Reader, varint};
use alloc::vec::Vec;

/// A message, read where it lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message<'a> {
    /// A call.
    Call(CallMessage<'a>),
    /// Its reply.
    Reply(ReplyMessage<'a>),
    /// What the server knows of it.
    Working {
        /// Slot of the caller.
        slot: u32,
        /// Count of its calls.
        sequence: u64,
        /// What is done about it.
        state: WorkState,
    },
    /// What is done about it?
    Ask {
        /// Slot of the caller.
        slot: u32,
        /// Count of its calls.
        sequence: u64,
    },
    /// The caller wants it no more.
    Cancel {
        /// Slot of the caller.
        slot: u32,
        /// Count of its calls.
        sequence: u64,
    },
    /// Replies that the caller has: pairs of slot and sequence, each LEB128.
    Settled {
        /// The pairs.
        pairs: &'a [u8],
    },
    /// Bytes of streamed arguments or results.
    Part(PartMessage<'a>),
    /// Room for parts.
    Credit {
        /// Slot of the caller.
        slot: u32,
        /// Count of its calls.
        sequence: u64,
        /// For parts of the results, not of the arguments.
        is_for_results: bool,
        /// Bytes that may have been sent in all.
        total: u64,
    },
}

/// A call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CallMessage<'a> {
    /// Slot of the caller.
    pub slot: u32,
    /// Count of its calls.
    pub sequence: u64,
    /// What is called.
    pub method: Method,
    /// Milliseconds that are left.
    pub timeout_ms: Option<u64>,
    /// Pairs that travel with it.
    pub metadata: MetadataRef<'a>,
    /// Parts of the arguments follow.
    pub has_parts: bool,
    /// The arguments.
    pub arguments: &'a [u8],
}

/// A reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplyMessage<'a> {
    /// Slot of the caller.
    pub slot: u32,
    /// Count of its calls.
    pub sequence: u64,
    /// How it went.
    pub status: Status,
    /// The handler was not run and will not be.
    pub is_not_executed: bool,
    /// Pairs that travel with it.
    pub metadata: MetadataRef<'a>,
    /// Words for people.
    pub text: &'a str,
    /// The results.
    pub results: &'a [u8],
}

/// Bytes of streamed arguments or results.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartMessage<'a> {
    /// Slot of the caller.
    pub slot: u32,
    /// Count of its calls.
    pub sequence: u64,
    /// Of the results, not of the arguments.
    pub is_of_results: bool,
    /// No more follow.
    pub is_last: bool,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// What a server knows of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum WorkState {
    /// It has not arrived.
    NotSeen = 0,
    /// It waits for a worker.
    Waiting = 1,
    /// It is in the hands of the server's program.
    Executing = 2,
    /// It has ended, and its reply is on its way on a reliable stream.
    Replied = 3,
}

const CALL: u8 = 0x20;
const REPLY: u8 = 0x21;
const WORKING: u8 = 0x22;
const ASK: u8 = 0x23;
const CANCEL: u8 = 0x24;
const SETTLED: u8 = 0x25;
const PART: u8 = 0x26;
const CREDIT: u8 = 0x27;

const CALL_HAS_TIMEOUT: u8 = 1;
const CALL_HAS_METADATA: u8 = 2;
const CALL_HAS_PARTS: u8 = 4;
const REPLY_NOT_EXECUTED: u8 = 1;
const REPLY_HAS_METADATA: u8 = 2;
const REPLY_HAS_TEXT: u8 = 4;
const PART_IS_LAST: u8 = 1;
const OF_RESULTS: u8 = 2;

impl<'a> Message<'a> {
    /// Reads a message. Errors: what is cut off, of an unknown kind or flag, or holds metadata or a text that is none.
    pub fn read(bytes: &'a [u8]) -> Result<Message<'a>, Malformed> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u8()?;
        if kind == SETTLED {
            let pairs = reader.rest();
            while !reader.is_empty() {
                reader.varint_u32()?;
                reader.varint()?;
            }
            return Ok(Message::Settled { pairs });
        }
        let (slot, sequence) = (reader.varint_u32()?, reader.varint()?);
        let message = match kind {
            CALL => return read_call(slot, sequence, &mut reader),
            REPLY => return read_reply(slot, sequence, &mut reader),
            PART => {
                let flags = flags(&mut reader, PART_IS_LAST | OF_RESULTS)?;
                let (is_last, is_of_results) = (flags & PART_IS_LAST != 0, flags & OF_RESULTS != 0);
                let bytes = reader.rest();
                return Ok(Message::Part(PartMessage { slot, sequence, is_of_results, is_last, bytes }));
            }
            WORKING => {
                let state = match reader.u8()? {
                    0 => WorkState::NotSeen,
                    1 => WorkState::Waiting,
                    2 => WorkState::Executing,
                    3 => WorkState::Replied,
                    _ => return Err(Malformed),
                };
                Message::Working { slot, sequence, state }
            }
            ASK => Message::Ask { slot, sequence },
            CANCEL => Message::Cancel { slot, sequence },
            CREDIT => {
                let is_for_results = flags(&mut reader, OF_RESULTS)? != 0;
                Message::Credit { slot, sequence, is_for_results, total: reader.varint()? }
            }
            _ => return Err(Malformed),
        };
        if reader.is_empty() { Ok(message) } else { Err(Malformed) }
    }
}

#[inline]
fn read_call<'a>(slot: u32, sequence: u64, reader: &mut Reader<'a>) -> Result<Message<'a>, Malformed> {
    let method = Method(reader.u64()?);
    let flags = flags(reader, CALL_HAS_TIMEOUT | CALL_HAS_METADATA | CALL_HAS_PARTS)?;
    let timeout_ms = if flags & CALL_HAS_TIMEOUT != 0 { Some(reader.varint()?) } else { None };
    let metadata = metadata(reader, flags & CALL_HAS_METADATA != 0)?;
    let has_parts = flags & CALL_HAS_PARTS != 0;
    let arguments = reader.rest();
    Ok(Message::Call(CallMessage { slot, sequence, method, timeout_ms, metadata, has_parts, arguments }))
}

#[inline]
fn read_reply<'a>(slot: u32, sequence: u64, reader: &mut Reader<'a>) -> Result<Message<'a>, Malformed> {
    let status = Status::from_code(reader.u8()?);
    let flags = flags(reader, REPLY_NOT_EXECUTED | REPLY_HAS_METADATA | REPLY_HAS_TEXT)?;
    let metadata = metadata(reader, flags & REPLY_HAS_METADATA != 0)?;
    let text = if flags & REPLY_HAS_TEXT != 0 {
        core::str::from_utf8(block(reader)?).map_err(|_| Malformed)?
    } else {
        ""
    };
    let is_not_executed = flags & REPLY_NOT_EXECUTED != 0;
    let results = reader.rest();
    Ok(Message::Reply(ReplyMessage { slot, sequence, status, is_not_executed, metadata, text, results }))
}

fn flags(reader: &mut Reader<'_>, known: u8) -> Result<u8, Malformed> {
    let flags = reader.u8()?;
    if flags & !known == 0 { Ok(flags) } else { Err(Malformed) }
}

fn block<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let len = usize::try_from(reader.varint()?).map_err(|_| Malformed)?;
    reader.bytes(len)
}

fn metadata<'a>(reader: &mut Reader<'a>, is_there: bool) -> Result<MetadataRef<'a>, Malformed> {
    if !is_there {
        return Ok(MetadataRef::default());
    }
    MetadataRef::from_wire(block(reader)?).ok_or(Malformed)
}

/// The pairs of a settlement.
pub(super) fn settlements(pairs: &[u8]) -> impl Iterator<Item = (u32, u64)> + '_ {
    let mut reader = Reader::new(pairs);
    core::iter::from_fn(move || Some((reader.varint_u32().ok()?, reader.varint().ok()?)))
}

fn begin(out: &mut Vec<u8>, kind: u8, slot: u32, sequence: u64) {
    out.push(kind);
    varint::put(out, u64::from(slot));
    varint::put(out, sequence);
}

/// Appends a call.
pub(super) fn put_call(
    out: &mut Vec<u8>,
    slot: u32,
    sequence: u64,
    arguments: &Arguments<'_>,
    options: &CallOptions<'_>,
) {
    begin(out, CALL, slot, sequence);
    out.extend_from_slice(&arguments.method.0.to_le_bytes());
    let has_metadata = !options.metadata.is_empty();
    out.push(
        if options.timeout.is_some() { CALL_HAS_TIMEOUT } else { 0 }
            | if has_metadata { CALL_HAS_METADATA } else { 0 }
            | if arguments.has_parts { CALL_HAS_PARTS } else { 0 },
    );
    if let Some(timeout) = options.timeout {
        // Rounded up: a call is not too late at the server before it is here.
        varint::put(out, u64::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX));
    }
    if has_metadata {
        put_block(out, options.metadata.as_wire());
    }
    out.extend_from_slice(arguments.bytes);
}

/// Appends a reply.
pub(super) fn put_reply(out: &mut Vec<u8>, slot: u32, sequence: u64, results: &Results<'_>) {
    begin(out, REPLY, slot, sequence);
    out.push(results.status.code());
    let (has_metadata, has_text) = (!results.metadata.is_empty(), !results.text.is_empty());
    out.push(
        if results.is_not_executed { REPLY_NOT_EXECUTED } else { 0 }
            | if has_metadata { REPLY_HAS_METADATA } else { 0 }
            | if has_text { REPLY_HAS_TEXT } else { 0 },
    );
    if has_metadata {
        put_block(out, results.metadata.as_wire());
    }
    if has_text {
        put_block(out, results.text.as_bytes());
    }
    out.extend_from_slice(results.bytes);
}

fn put_block(out: &mut Vec<u8>, bytes: &[u8]) {
    varint::put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends what is known of a call.
pub(super) fn put_working(out: &mut Vec<u8>, slot: u32, sequence: u64, state: WorkState) {
    begin(out, WORKING, slot, sequence);
    out.push(state as u8);
}

/// Appends a question.
pub(super) fn put_ask(out: &mut Vec<u8>, slot: u32, sequence: u64) {
    begin(out, ASK, slot, sequence);
}

/// Appends a cancellation.
pub(super) fn put_cancel(out: &mut Vec<u8>, slot: u32, sequence: u64) {
    begin(out, CANCEL, slot, sequence);
}

/// Begins a settlement, to be followed by [`put_settlement`]s.
pub(super) fn put_settled(out: &mut Vec<u8>) {
    out.push(SETTLED);
}

/// Appends a pair to a settlement.
pub(super) fn put_settlement(out: &mut Vec<u8>, slot: u32, sequence: u64) {
    varint::put(out, u64::from(slot));
    varint::put(out, sequence);
}

/// Appends a part.
pub(super) fn put_part(out: &mut Vec<u8>, part: &PartMessage<'_>) {
    let PartMessage { slot, sequence, is_of_results, is_last, bytes } = *part;
    begin(out, PART, slot, sequence);
    out.push(if is_last { PART_IS_LAST } else { 0 } | if is_of_results { OF_RESULTS } else { 0 });
    out.extend_from_slice(bytes);
}

/// Appends credit.
pub(super) fn put_credit(out: &mut Vec<u8>, slot: u32, sequence: u64, is_for_results: bool, total: u64) {
    begin(out, CREDIT, slot, sequence);
    out.push(if is_for_results { OF_RESULTS } else { 0 });
    varint::put(out, total);
}

#[cfg(test)]
mod tests;
