//! Batched mode: an array of events.

use super::error::CloudEventError;
use super::json::{decode_text, encode_json_with};
use crate::event::{Event, EventLimits};
use crate::json::{items, utf8};

/// Writes a batch, event by event.
#[derive(Debug)]
pub struct BatchWriter {
    out: String,
    len: usize,
}

impl Default for BatchWriter {
    fn default() -> BatchWriter {
        BatchWriter { out: "[".into(), len: 0 }
    }
}

impl BatchWriter {
    /// Adds an event, with further attributes as [`encode_json_with`] takes them.
    pub fn push(&mut self, event: &Event, further: &[(&str, &str)]) {
        if self.len > 0 {
            self.out.push(',');
        }
        self.len += 1;
        encode_json_with(event, further, &mut self.out);
    }

    /// How many events are in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True while there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes so far.
    pub fn bytes_len(&self) -> usize {
        self.out.len()
    }

    /// The whole batch.
    pub fn finish(mut self) -> String {
        self.out.push(']');
        self.out
    }
}

/// The events of a body in batched mode, all of them or none.
///
/// Errors: `TooManyEvents`, `Json`, and `InBatch` for the first event that is wrong.
pub fn decode_batch(
    body: &[u8],
    limits: &EventLimits,
    events_max: usize,
) -> Result<Vec<Event>, CloudEventError> {
    let Some(items) = items(utf8(body)?, events_max)? else {
        return Err(CloudEventError::TooManyEvents { max: events_max });
    };
    let decode = |(index, text)| {
        decode_text(text, limits).map_err(|error| CloudEventError::InBatch { index, error: error.into() })
    };
    items.into_iter().enumerate().map(decode).collect()
}
