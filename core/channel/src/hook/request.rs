//! Requests to a target.

use super::config::HookConfig;
use super::target::{HookMode, HookSpec};
use crate::cloudevents::webhook::{Ask, REQUEST_ORIGIN};
use crate::cloudevents::{
    BATCH_MEDIA_TYPE, BatchWriter, MEDIA_TYPE, encode_headers, encode_json, fits_binary,
};
use crate::event::Event;
use crate::output::Handed;
use std::fmt::Write;

/// What is asked of the target.
pub(super) fn ask(spec: &HookSpec, config: &HookConfig) -> Ask {
    Ask { origin: config.origin.clone(), rate: spec.rate, callback: None }
}

/// The request of the handshake.
pub(super) fn options(spec: &HookSpec, config: &HookConfig) -> Vec<u8> {
    let mut head = begin("OPTIONS", spec);
    for (name, value) in ask(spec, config).fields() {
        field(&mut head, name, &value);
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// A request with the first of `events`, in batched mode with as many as fit. How many, and whether the first went in binary mode.
pub(super) fn post<'a>(
    spec: &HookSpec,
    config: &HookConfig,
    mode: HookMode,
    events: impl Iterator<Item = Handed<'a>>,
) -> (Vec<u8>, usize, bool) {
    let mut head = begin("POST", spec);
    field(&mut head, REQUEST_ORIGIN, &config.origin);
    let mut events = events.map(|handed| handed.event);
    if mode == HookMode::Batched {
        let mut batch = BatchWriter::default();
        while batch.is_empty()
            || (batch.bytes_len() < config.batch_bytes_max && batch.len() < config.batch_events_max)
        {
            let Some(event) = events.next() else { break };
            batch.push(event, &[]);
        }
        let len = batch.len();
        return (finish(head, Some(BATCH_MEDIA_TYPE), batch.finish().as_bytes()), len, false);
    }
    let Some(event) = events.next() else { return (Vec::new(), 0, false) };
    let is_binary = mode == HookMode::Binary && fits_binary(event);
    let request = if is_binary { binary(head, event) } else { structured(head, event) };
    (request, 1, is_binary)
}

fn binary(mut head: String, event: &Event) -> Vec<u8> {
    encode_headers(event, |name, value| field(&mut head, name, value));
    finish(head, None, event.body())
}

fn structured(head: String, event: &Event) -> Vec<u8> {
    let mut body = String::new();
    encode_json(event, &mut body);
    finish(head, Some(MEDIA_TYPE), body.as_bytes())
}

fn begin(method: &str, spec: &HookSpec) -> String {
    let mut head = String::with_capacity(512);
    let _ = write!(head, "{method} {} HTTP/1.1\r\nHost: {}\r\n", spec.path, spec.address);
    if let Some(token) = &spec.token {
        let _ = write!(head, "Authorization: Bearer {token}\r\n");
    }
    head
}

/// Values are ours, were checked where they came in, or are encoded.
fn field(head: &mut String, name: &str, value: &str) {
    debug_assert!(value.bytes().all(|byte| matches!(byte, b' '..=b'~')));
    let _ = write!(head, "{name}: {value}\r\n");
}

fn finish(mut head: String, content_type: Option<&str>, body: &[u8]) -> Vec<u8> {
    content_type.iter().for_each(|value| field(&mut head, "Content-Type", value));
    let _ = write!(head, "Content-Length: {}\r\n\r\n", body.len());
    let mut request = head.into_bytes();
    request.extend_from_slice(body);
    request
}
