//! An event as it lies in a frame: nothing is copied, and nothing held to limits yet.

use super::packed::{bytes, has, kind, text, time};
use crate::event::{FieldValue, Header, Reliability};
use clustercore_proto::time::Instant;
use clustercore_proto::wire::{Malformed, Reader};

/// An event of a frame. Of what is `None` the event before it in the frame says the same.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct EventView<'a> {
    /// Unique among the events of its source.
    pub id: &'a str,
    /// Who made it.
    pub source: Option<&'a str>,
    /// Its type.
    pub kind: Option<&'a str>,
    /// The trade that its type belongs to.
    pub domain: Option<&'a str>,
    /// The media type of the body.
    pub content_type: Option<&'a str>,
    /// Its body.
    pub body: &'a [u8],
    /// What it is about.
    pub name: &'a str,
    /// The schema of the body.
    pub schema: &'a str,
    /// When it happened.
    pub time: Option<Instant>,
    /// The quality of service that it asks for.
    pub header: Header,
    /// Its ordering key; an empty one is none.
    pub key: &'a str,
    /// Its number among those of its source.
    pub sequence: Option<u64>,
    field_count: u64,
    fields: &'a [u8],
}

impl<'a> EventView<'a> {
    /// Takes the next event off `reader`.
    ///
    /// Errors: it is cut off, has a number beyond its bounds, a bit that means nothing, or text that is not UTF-8.
    pub fn take(reader: &mut Reader<'a>) -> Result<EventView<'a>, Malformed> {
        let flags = reader.varint()?;
        if flags & !has::ALL != 0 {
            return Err(Malformed);
        }
        let is = |bit: u64| flags & bit != 0;
        let id = text(reader)?;
        let unless = |bit: u64, reader: &mut Reader<'a>| {
            if is(bit) { Ok(None) } else { text(reader).map(Some) }
        };
        let source = unless(has::SAME_SOURCE, reader)?;
        let event_kind = unless(has::SAME_KIND, reader)?;
        let domain = unless(has::SAME_DOMAIN, reader)?;
        let content_type = unless(has::SAME_CONTENT_TYPE, reader)?;
        let body = if is(has::BODY) { bytes(reader)? } else { &[] };
        let name = if is(has::NAME) { text(reader)? } else { "" };
        let (field_count, fields) = if is(has::FIELDS) { skip_fields(reader)? } else { (0, &[][..]) };
        let schema = if is(has::SCHEMA) { text(reader)? } else { "" };
        let moment = |bit: u64, reader: &mut Reader<'a>| is(bit).then(|| time(reader)).transpose();
        let event_time = moment(has::TIME, reader)?;
        let priority = is(has::PRIORITY).then(|| reader.u8()).transpose()?;
        let expiry = moment(has::EXPIRY, reader)?;
        let start = moment(has::START, reader)?;
        let reliability = match is(has::RELIABILITY).then(|| reader.u8()).transpose()? {
            None => None,
            Some(0) => Some(Reliability::BestEffort),
            Some(1) => Some(Reliability::Persistent),
            Some(_) => return Err(Malformed),
        };
        let key = if is(has::KEY) { text(reader)? } else { "" };
        let sequence = is(has::SEQUENCE).then(|| reader.varint()).transpose()?;
        Ok(EventView {
            id,
            source,
            kind: event_kind,
            domain,
            content_type,
            body,
            name,
            schema,
            time: event_time,
            header: Header { priority, expiry, start, reliability },
            key,
            sequence,
            field_count,
            fields,
        })
    }

    /// Its filterable fields, in order.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&'a str, FieldValue)> {
        let mut reader = Reader::new(self.fields);
        (0..self.field_count as usize).map(move |_| {
            let name = text(&mut reader);
            let value = take_value(&mut reader);
            name.ok().zip(value.ok()).expect("read once before")
        })
    }
}

/// How many fields there are, and their bytes.
fn skip_fields<'a>(reader: &mut Reader<'a>) -> Result<(u64, &'a [u8]), Malformed> {
    let count = reader.varint()?;
    let start = reader.rest();
    for _ in 0..count {
        text(reader)?;
        match reader.u8()? {
            kind::FALSE | kind::TRUE => {}
            kind::INT | kind::FLOAT | kind::TIME => {
                reader.u64()?;
            }
            kind::TEXT => {
                text(reader)?;
            }
            kind::BYTES => {
                bytes(reader)?;
            }
            _ => return Err(Malformed),
        }
    }
    Ok((count, &start[..start.len() - reader.rest().len()]))
}

fn take_value(reader: &mut Reader<'_>) -> Result<FieldValue, Malformed> {
    Ok(match reader.u8()? {
        kind::FALSE => false.into(),
        kind::TRUE => true.into(),
        kind::INT => (reader.u64()? as i64).into(),
        kind::FLOAT => f64::from_bits(reader.u64()?).into(),
        kind::TEXT => text(reader)?.into(),
        kind::BYTES => bytes(reader)?.into(),
        kind::TIME => time(reader)?.into(),
        _ => return Err(Malformed),
    })
}
