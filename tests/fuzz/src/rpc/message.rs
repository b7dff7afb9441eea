//! What holds for every message of calls.

use clustercore_proto::rpc::{Message, MetadataRef};

/// Reads a message. True when it could be read.
pub fn check(input: &[u8]) -> bool {
    let Ok(message) = Message::read(input) else { return false };
    let (metadata, inside): (MetadataRef<'_>, &[u8]) = match &message {
        Message::Call(call) => (call.metadata, call.arguments),
        Message::Reply(reply) => (reply.metadata, reply.results),
        Message::Part(part) => (MetadataRef::default(), part.bytes),
        Message::Settled { pairs } => (MetadataRef::default(), pairs),
        _ => return true,
    };
    assert!(inside.len() < input.len() && metadata.as_wire().len() < input.len());
    let pairs = metadata.iter().map(|(key, value)| key.len() + value.len() + 2).sum::<usize>();
    assert!(pairs <= metadata.as_wire().len(), "pairs take what they are long, and their lengths");
    true
}
