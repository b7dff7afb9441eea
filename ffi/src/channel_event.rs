//! Events of event channels, in and out.

use crate::channel_field::{clc_channel_field, text};
use crate::clc_bytes;
use crate::options::one_of;
use crate::status::null;
use clustercore::channel::engine::event::Header;
use clustercore::channel::engine::wire::Delivered;
use clustercore::channel::engine::{DeliveryId, Event, EventLimits, Instant, Reliability};
use clustercore::{Code, Error, Result};

/// What is promised of an event.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum clc_reliability {
    /// What proxy, group and channel say.
    Unset = 0,
    /// In memory only: gone with the process.
    BestEffort = 1,
    /// Confirmed when it is on disk, delivered also after a restart.
    Persistent = 2,
}

/// In `has`: the event has a priority.
pub const CLC_EVENT_HAS_PRIORITY: u32 = 1;
/// In `has`: the event has an expiry.
pub const CLC_EVENT_HAS_EXPIRY: u32 = 2;
/// In `has`: the event has a start.
pub const CLC_EVENT_HAS_START: u32 = 4;
/// In `has`: the event has a time.
pub const CLC_EVENT_HAS_TIME: u32 = 8;
/// In `has`: the event has a sequence number.
pub const CLC_EVENT_HAS_SEQUENCE: u32 = 16;

/// A structured event, one to one with CloudEvents 1.0. All text is UTF-8 with its length, without a final NUL; what is empty is not there.
/// Each event has an `id`, a `source` and a `type`. Numbers count when their bit is in `has`. Times are nanoseconds since the beginning of
/// 1970 (UTC).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_channel_event {
    /// Unique among the events of its source.
    pub id: clc_bytes,
    /// Who made it: a URI reference.
    pub source: clc_bytes,
    /// Its type.
    pub r#type: clc_bytes,
    /// The trade that its type belongs to.
    pub domain: clc_bytes,
    /// What it is about.
    pub name: clc_bytes,
    /// The media type of the body.
    pub content_type: clc_bytes,
    /// The schema of the body, a URI.
    pub schema: clc_bytes,
    /// Its ordering key: events with the same one reach a consumer in order.
    pub key: clc_bytes,
    /// Its body: any bytes.
    pub body: clc_bytes,
    /// Its fields, `fields_len` of them.
    pub fields: *const clc_channel_field,
    /// How many.
    pub fields_len: usize,
    /// When it happened: CLC_EVENT_HAS_TIME.
    pub time_ns: u64,
    /// From this moment on nobody wants it: CLC_EVENT_HAS_EXPIRY.
    pub expiry_ns: u64,
    /// Before this moment nobody gets it: CLC_EVENT_HAS_START.
    pub start_ns: u64,
    /// Its number among those of its source, which counts up: CLC_EVENT_HAS_SEQUENCE.
    pub sequence: u64,
    /// Which numbers it has: a sum of CLC_EVENT_HAS_...
    pub has: u32,
    /// 0 to 255, more is more urgent: CLC_EVENT_HAS_PRIORITY.
    pub priority: u32,
    /// A clc_reliability.
    pub reliability: u32,
    /// 0.
    pub reserved: u32,
}

/// An event that has arrived for a consumer.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_channel_delivery {
    /// The consumer, as clc_participant_consume has named it.
    pub handle: u64,
    /// Its place in the channel's order.
    pub offset: u64,
    /// The name by which it is acknowledged or rejected; 0: it is not to be.
    pub delivery: u64,
    /// How often it was handed over before.
    pub tries: u32,
    /// 0.
    pub reserved: u32,
    /// The event, lent.
    pub event: clc_channel_event,
}

impl clc_channel_event {
    /// A copy of the caller's event.
    ///
    /// Errors: `NullArgument`, `InvalidArgument`.
    ///
    /// # Safety
    /// Its texts, body and fields are readable, as long as they say.
    pub(crate) unsafe fn to_event(self, limits: &EventLimits) -> Result<Event> {
        self.check()?;
        // SAFETY: readable, per the contract.
        let text = |name: &str, bytes: clc_bytes| unsafe { text(name, bytes) };
        let mut builder =
            Event::builder(text("id", self.id)?, text("source", self.source)?, text("type", self.r#type)?)
                .domain(text("domain", self.domain)?)
                .name(text("name", self.name)?)
                .content_type(text("content_type", self.content_type)?)
                .schema(text("schema", self.schema)?)
                .key(text("key", self.key)?);
        // SAFETY: readable, per the contract.
        let body = unsafe { self.body.as_slice("body") }?;
        if body.len() > limits.body_bytes_max {
            let words =
                format!("body of the event is {} bytes, limit is {}", body.len(), limits.body_bytes_max);
            return Err(Error::new(Code::InvalidArgument, words));
        }
        builder = builder.body(body);
        if self.fields_len > limits.fields_max {
            let words = format!("the event has {} fields, limit is {}", self.fields_len, limits.fields_max);
            return Err(Error::new(Code::InvalidArgument, words));
        }
        // SAFETY: as many readable fields as it says, per the contract.
        for field in unsafe { slice("fields", self.fields, self.fields_len) }? {
            // SAFETY: readable, per the contract.
            let (name, value) = unsafe { field.parts() }?;
            builder = builder.field(name, value);
        }
        if self.has & CLC_EVENT_HAS_PRIORITY != 0 {
            let priority = u8::try_from(self.priority).map_err(|_| {
                let words = format!("priority is {}, it must be 0 to 255", self.priority);
                Error::new(Code::InvalidArgument, words)
            })?;
            builder = builder.priority(priority);
        }
        if self.has & CLC_EVENT_HAS_EXPIRY != 0 {
            builder = builder.expiry(Instant::from_nanos(self.expiry_ns));
        }
        if self.has & CLC_EVENT_HAS_START != 0 {
            builder = builder.start(Instant::from_nanos(self.start_ns));
        }
        if self.has & CLC_EVENT_HAS_TIME != 0 {
            builder = builder.time(Instant::from_nanos(self.time_ns));
        }
        if self.has & CLC_EVENT_HAS_SEQUENCE != 0 {
            builder = builder.sequence(self.sequence);
        }
        if let Some(reliability) = one_of("reliability", self.reliability, &RELIABILITIES)? {
            builder = builder.reliability(reliability);
        }
        builder.build(limits).map_err(|error| Error::new(Code::InvalidArgument, error.to_string()))
    }

    /// A number that nobody would see is a mistake.
    fn check(&self) -> Result<()> {
        let numbers = [
            ("priority", "CLC_EVENT_HAS_PRIORITY", CLC_EVENT_HAS_PRIORITY, u64::from(self.priority)),
            ("expiry_ns", "CLC_EVENT_HAS_EXPIRY", CLC_EVENT_HAS_EXPIRY, self.expiry_ns),
            ("start_ns", "CLC_EVENT_HAS_START", CLC_EVENT_HAS_START, self.start_ns),
            ("time_ns", "CLC_EVENT_HAS_TIME", CLC_EVENT_HAS_TIME, self.time_ns),
            ("sequence", "CLC_EVENT_HAS_SEQUENCE", CLC_EVENT_HAS_SEQUENCE, self.sequence),
        ];
        let known = numbers.iter().fold(0, |known, (_, _, bit, _)| known | bit);
        if self.has & !known != 0 {
            let words = format!("has is {}, it must be a sum of CLC_EVENT_HAS_...", self.has);
            return Err(Error::new(Code::InvalidArgument, words));
        }
        match numbers.into_iter().find(|(_, _, bit, value)| self.has & bit == 0 && *value != 0) {
            Some((name, bit, _, value)) => {
                let words = format!("{name} is {value}, but {bit} is not in has");
                Err(Error::new(Code::InvalidArgument, words))
            }
            None => Ok(()),
        }
    }

    /// Lends an event, with the fields that were lent of it before.
    fn lend(event: &Event, fields: &[clc_channel_field]) -> clc_channel_event {
        let lent = |text: &str| clc_bytes::from(text.as_bytes());
        let Header { priority, expiry, start, reliability } = *event.header();
        let bit = |is_there: bool, bit: u32| if is_there { bit } else { 0 };
        let nanos = |at: Option<Instant>| at.map_or(0, Instant::as_nanos);
        clc_channel_event {
            id: lent(event.id()),
            source: lent(event.source()),
            r#type: lent(event.kind()),
            domain: lent(event.domain()),
            name: lent(event.name()),
            content_type: lent(event.content_type()),
            schema: lent(event.schema()),
            key: event.key().map_or(clc_bytes::from(&b""[..]), |key| lent(key)),
            body: clc_bytes::from(&event.body()[..]),
            fields: fields.as_ptr(),
            fields_len: fields.len(),
            time_ns: nanos(event.time()),
            expiry_ns: nanos(expiry),
            start_ns: nanos(start),
            sequence: event.sequence().unwrap_or(0),
            has: bit(priority.is_some(), CLC_EVENT_HAS_PRIORITY)
                | bit(expiry.is_some(), CLC_EVENT_HAS_EXPIRY)
                | bit(start.is_some(), CLC_EVENT_HAS_START)
                | bit(event.time().is_some(), CLC_EVENT_HAS_TIME)
                | bit(event.sequence().is_some(), CLC_EVENT_HAS_SEQUENCE),
            priority: priority.map_or(0, u32::from),
            reliability: RELIABILITIES.iter().position(|it| *it == reliability).unwrap_or(0) as u32,
            reserved: 0,
        }
    }
}

/// Events that the caller has, until the next ones.
#[derive(Default)]
pub(crate) struct Lent {
    delivered: Vec<(u64, Delivered)>,
    fields: Vec<clc_channel_field>,
}

impl Lent {
    /// Takes events out of `next`, `max` of them at most; what was lent before ends.
    pub fn fill(&mut self, max: usize, next: impl FnMut() -> Option<(u64, Delivered)>) {
        self.fields.clear();
        self.delivered.clear();
        self.delivered.extend(std::iter::from_fn(next).take(max));
        let events = self.delivered.iter().map(|(_, delivered)| &delivered.event);
        self.fields.extend(events.flat_map(|event| event.fields().iter().map(clc_channel_field::lend)));
    }

    pub fn deliveries(&self) -> impl ExactSizeIterator<Item = clc_channel_delivery> {
        let mut rest = &self.fields[..];
        self.delivered.iter().map(move |(handle, delivered)| {
            let (fields, others) = rest.split_at(delivered.event.fields().len());
            rest = others;
            clc_channel_delivery {
                handle: *handle,
                offset: delivered.offset,
                delivery: delivered.delivery.map_or(0, to_number),
                tries: u32::from(delivered.tries),
                reserved: 0,
                event: clc_channel_event::lend(&delivered.event, fields),
            }
        })
    }
}

/// Never 0: no place has the index `u32::MAX`.
fn to_number(DeliveryId { index, generation }: DeliveryId) -> u64 {
    u64::from(generation) << 32 | u64::from(index.wrapping_add(1))
}

/// The reverse of what a delivery is named for C.
pub(crate) fn to_delivery(number: u64) -> DeliveryId {
    ((number as u32).wrapping_sub(1), (number >> 32) as u32).into()
}

/// An array argument.
///
/// Errors: `NullArgument`.
///
/// # Safety
/// `pointer` is NULL or has `len` readable things that nobody writes for `'a`.
pub(crate) unsafe fn slice<'a, T>(name: &str, pointer: *const T, len: usize) -> Result<&'a [T]> {
    match (len, pointer.is_null()) {
        (0, _) => Ok(&[]),
        (_, true) => Err(null(name)),
        // SAFETY: not NULL, and the caller vouches for the rest.
        _ => Ok(unsafe { std::slice::from_raw_parts(pointer, len) }),
    }
}

/// By the numbers of clc_reliability.
const RELIABILITIES: [Option<Reliability>; 3] =
    [None, Some(Reliability::BestEffort), Some(Reliability::Persistent)];

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> clc_bytes {
        clc_bytes::from(text.as_bytes())
    }

    fn minimal() -> clc_channel_event {
        // SAFETY: zero bytes are a valid value: integers and pointers that may be NULL.
        let zero: clc_channel_event = unsafe { std::mem::zeroed() };
        clc_channel_event { id: bytes("1"), source: bytes("/test"), r#type: bytes("load"), ..zero }
    }

    fn read(event: clc_channel_event) -> Result<Event> {
        // SAFETY: the tests' bytes are static or outlive the call.
        unsafe { event.to_event(&EventLimits::default()) }
    }

    #[test]
    fn sizes_are_fixed() {
        assert_eq!((size_of::<clc_channel_field>(), size_of::<clc_channel_event>()), (56, 208));
        assert_eq!(size_of::<clc_channel_delivery>(), 240);
    }

    #[test]
    fn an_event_comes_out_as_it_went_in() {
        let event = Event::builder("7", "/node", "load")
            .domain("cluster")
            .name("cpu")
            .content_type("text/plain")
            .schema("urn:load")
            .key("node-1")
            .body(&b"busy"[..])
            .time(Instant::from_nanos(4))
            .priority(0)
            .expiry(Instant::from_nanos(9))
            .start(Instant::from_nanos(3))
            .sequence(0)
            .reliability(Reliability::Persistent)
            .field("text", "a")
            .field("bytes", &[0u8, 255][..])
            .field("int", -5i64)
            .field("float", 0.5)
            .field("bool", true)
            .field("moment", Instant::from_nanos(8))
            .build(&EventLimits::default())
            .unwrap();
        let plain = Event::builder("8", "/node", "load").build(&EventLimits::default()).unwrap();
        let delivery = Some(DeliveryId { index: 0, generation: 0 });
        let mut waiting = vec![
            (5, Delivered { event: event.clone(), offset: 11, tries: 2, delivery }),
            (6, Delivered { event: plain.clone(), offset: 12, tries: 0, delivery: None }),
        ]
        .into_iter();
        let mut lent = Lent::default();
        lent.fill(8, || waiting.next());
        let out: Vec<_> = lent.deliveries().collect();
        assert_eq!((out[0].handle, out[0].offset, out[0].tries, out[0].delivery), (5, 11, 2, 1));
        assert_eq!((out[1].handle, out[1].delivery, out[1].event.fields_len), (6, 0, 0));
        assert_eq!(read(out[0].event), Ok(event));
        assert_eq!(read(out[1].event), Ok(plain));
    }

    #[test]
    fn a_delivery_has_a_number_that_is_not_zero() {
        for (index, generation) in [(0, 0), (1, 0), (0, 1), (u32::MAX - 1, u32::MAX)] {
            let delivery = DeliveryId { index, generation };
            assert_ne!(to_number(delivery), 0);
            assert_eq!(to_delivery(to_number(delivery)), delivery);
        }
    }

    #[test]
    fn what_is_wrong_with_an_event_is_said() {
        let words = |event| read(event).unwrap_err().to_string();
        assert_eq!(
            words(clc_channel_event { id: bytes(""), ..minimal() }),
            "the event has no id: give it one"
        );
        assert_eq!(
            words(clc_channel_event { priority: 9, ..minimal() }),
            "priority is 9, but CLC_EVENT_HAS_PRIORITY is not in has"
        );
        let has = CLC_EVENT_HAS_PRIORITY;
        assert_eq!(
            words(clc_channel_event { has, priority: 256, ..minimal() }),
            "priority is 256, it must be 0 to 255"
        );
        assert!(words(clc_channel_event { has: 32, ..minimal() }).starts_with("has is 32"));
        assert!(words(clc_channel_event { reliability: 3, ..minimal() }).contains("must be 0 to 2"));
        let not_text = clc_bytes::from(&[b'a', 0xff][..]);
        assert_eq!(
            words(clc_channel_event { name: not_text, ..minimal() }),
            "name is not UTF-8 from byte 1 on"
        );
        assert_eq!(words(clc_channel_event { fields_len: 1, ..minimal() }), "fields is NULL");
        assert!(words(clc_channel_event { fields_len: 65, ..minimal() }).contains("65 fields, limit is 64"));
    }
}
