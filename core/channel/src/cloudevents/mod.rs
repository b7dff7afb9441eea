//! Events as CloudEvents 1.0.2 over HTTP: binary, structured and batched.
//!
//! | mode | `Content-Type` | where it is |
//! | --- | --- | --- |
//! | [`Mode::Binary`] | that of the body | attributes in `ce-` fields ([`encode_headers`], [`decode_binary`]), body as it is |
//! | [`Mode::Structured`] | `application/cloudevents+json` | all in one object ([`encode_json`], [`decode_json`]) |
//! | [`Mode::Batch`] | `application/cloudevents-batch+json` | an array of these ([`BatchWriter`], [`decode_batch`]) |
//!
//! An event that goes out in one mode and comes in again is equal to what it was, but for white space around a JSON body.
//! CloudEvents has no floats, and in binary mode only text. So the extension `fieldtypes` says which fields are of another
//! type than they look (`load:float,at:time`); suppliers that are not ours may send it, or do without.
//!
//! Strict: what is missing, malformed, given twice or above a limit is refused, and the error names it. Nothing panics
//! whatever comes in, and no more is allocated than a small multiple of what came in.
//! Source: cloudevents/spec 1.0.2: `http-protocol-binding.md`, `json-format.md`, `http-webhook.md`.

mod attributes;
mod batch;
mod binary;
mod error;
mod json;
mod media;
mod outgoing;
mod percent;
mod timestamp;
pub mod webhook;

pub use batch::{BatchWriter, decode_batch};
pub use binary::{decode_binary, encode_headers, fits_binary};
pub use error::CloudEventError;
pub use json::{decode_json, encode_json, encode_json_with};
pub use media::Mode;
pub use timestamp::{parse_timestamp, write_timestamp};

/// The media type of one event in structured mode.
pub const MEDIA_TYPE: &str = "application/cloudevents+json";

/// The media type of a batch.
pub const BATCH_MEDIA_TYPE: &str = "application/cloudevents-batch+json";

#[cfg(test)]
mod tests;
