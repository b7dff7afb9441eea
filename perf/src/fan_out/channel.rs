//! Our own channel server, in the channel protocol (docs/protocol/channel.md).

use super::body::Mark;
use super::protocol::{Item, Protocol, ProtocolError, bounded, words};
use clustercore::channel::engine::wire::{Code, Frame, VERSION, put_emit, view_delivered};
use clustercore::channel::engine::{Event, EventLimits};

/// The channel protocol.
pub struct Channel;

impl Protocol for Channel {
    fn subscribe(&self, _number: usize, out: &mut Vec<u8>) {
        hello(out);
        Frame::Ask { request: 1, json: CONSUME }.put(out);
    }

    fn open(&self, out: &mut Vec<u8>) {
        hello(out);
        Frame::Ask { request: 1, json: r#"{"op":"supply","handle":1}"# }.put(out);
    }

    fn emit(&self, body: &[u8], out: &mut Vec<u8>) {
        let event = event(body);
        put_emit(out, 1, number(body), event.iter());
    }

    /// As a participant sends what it is given at once.
    fn emit_batch(&self, bodies: &[Vec<u8>], out: &mut Vec<u8>) {
        for bodies in bodies.chunks(EMIT_MAX) {
            let events: Vec<Event> = bodies.iter().filter_map(|body| event(body)).collect();
            put_emit(out, 1, bodies.first().map_or(0, |body| number(body)), events.iter());
        }
    }

    fn read<'a>(&self, bytes: &'a [u8]) -> Result<Option<(Item<'a>, usize)>, ProtocolError> {
        let Some((len, rest)) = bytes.split_first_chunk() else { return Ok(None) };
        let len = bounded(u32::from_le_bytes(*len).into())?;
        let Some(frame) = rest.get(..len) else { return Ok(None) };
        let item = match Frame::parse(frame).map_err(|_| MALFORMED)? {
            Frame::Answer { is_done: true, .. } => Item::Ready,
            Frame::Answer { json, .. } => return Err(ProtocolError::Refused(words(json.as_bytes()))),
            Frame::Taken { refusal: Code::None, .. } | Frame::Welcome { .. } => Item::Other,
            Frame::Taken { message, .. } | Frame::Bye { message } => {
                return Err(ProtocolError::Refused(words(message.as_bytes())));
            }
            Frame::Deliver { .. } => Item::Batch(frame),
            _ => return Err(MALFORMED),
        };
        Ok(Some((item, 4 + len)))
    }

    fn unpack(&self, batch: &[u8], each: &mut dyn FnMut(&[u8])) -> Result<(), ProtocolError> {
        let Ok(Frame::Deliver { offset, count, is_acknowledged, events, .. }) = Frame::parse(batch) else {
            return Err(MALFORMED);
        };
        let head = (offset, count, is_acknowledged);
        view_delivered(head, events, &mut |it| each(it.event.body)).map_err(|_| MALFORMED)
    }
}

fn number(body: &[u8]) -> u64 {
    Mark::read(body).map_or(0, |mark| mark.number)
}

/// The load's own bodies are within every limit.
fn event(body: &[u8]) -> Option<Event> {
    Event::builder(number(body).to_string(), "/load", "load").body(body).build(&EventLimits::default()).ok()
}

fn hello(out: &mut Vec<u8>) {
    Frame::Hello { version: VERSION, token: "", name: "load" }.put(out);
}

/// As many events in a batch as the load emits together, and room for some batches.
const CONSUME: &str = r#"{"op":"consume","handle":1,"spec":{"qos":{"batch_max":512,"length_max":16384}}}"#;
/// Events of one frame at most, as participants have it.
const EMIT_MAX: usize = 512;
const MALFORMED: ProtocolError = ProtocolError::Malformed("a frame of the channel protocol");

#[cfg(test)]
mod tests {
    use super::super::protocol::suite;
    use super::*;
    use clustercore::channel::engine::wire::put_deliver;
    use clustercore::channel::engine::{DeliveryId, Handed};

    fn received() -> Vec<u8> {
        let mut bytes = Vec::new();
        Frame::Welcome { version: 1, frame_bytes_max: 1, principal: "a" }.put(&mut bytes);
        Frame::Answer { request: 1, is_done: true, json: "{}" }.put(&mut bytes);
        let events: Vec<Event> = [&b"one"[..], b"two"]
            .iter()
            .map(|body| Event::builder("1", "/s", "k").body(*body).build(&EventLimits::default()).unwrap())
            .collect();
        let handed = events.iter().enumerate().map(|(offset, event)| Handed {
            event,
            delivery: DeliveryId { index: 0, generation: 0 },
            offset: offset as u64,
            tries: 0,
        });
        put_deliver(&mut bytes, 1, false, handed);
        bytes
    }

    #[test]
    fn a_subscriber_reads_batches_of_bodies() {
        let bytes = received();
        let batch = bytes.len()
            - (0..bytes.len())
                .rev()
                .find(|at| {
                    bytes[*at..]
                        .first_chunk()
                        .is_some_and(|len| u32::from_le_bytes(*len) as usize + 4 == bytes.len() - at)
                })
                .unwrap();
        let frame = &bytes[bytes.len() - batch + 4..];
        suite::every_split_reads_the_same(&Channel, &bytes, &[Item::Other, Item::Ready, Item::Batch(frame)]);
        let mut bodies = Vec::new();
        Channel.unpack(frame, &mut |body| bodies.push(body.to_vec())).unwrap();
        assert_eq!(bodies, [b"one", b"two"]);
        suite::noise_is_survived(&Channel, &bytes);
    }

    #[test]
    fn refusals_are_errors() {
        let mut bytes = Vec::new();
        let refusal = Code::BufferFull;
        Frame::Taken { handle: 1, first: 0, count: 0, unwritten: 0, refusal, message: "full" }
            .put(&mut bytes);
        assert_eq!(Channel.read(&bytes), Err(ProtocolError::Refused("full".into())));
    }

    #[test]
    fn an_event_is_one_frame_with_its_number() {
        let mut body = vec![0; 64];
        Mark { number: 7, due_ns: 0 }.write(&mut body);
        let mut out = Vec::new();
        Channel.emit(&body, &mut out);
        assert!(matches!(Frame::parse(&out[4..]), Ok(Frame::Emit { handle: 1, first: 7, count: 1, .. })));
        out.clear();
        Channel.emit_batch(&[body.clone(), body], &mut out);
        assert!(matches!(Frame::parse(&out[4..]), Ok(Frame::Emit { handle: 1, first: 7, count: 2, .. })));
    }
}
