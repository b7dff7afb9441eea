//! What holds for every message between front end and job handler; see [`check`].

use clustercore_proto::job::{HEAD_BYTES_MAX, Message};

/// Reads a message, and writes what was read. True when it could be read.
pub fn check(input: &[u8]) -> bool {
    let Ok(message) = Message::read(input) else { return false };
    let mut written = Vec::new();
    message.put(&mut written);
    // Numbers may have come in a longer form than needed.
    assert!(written.len() <= input.len() && written.len() <= HEAD_BYTES_MAX + message.bytes().len());
    assert_eq!(Message::read(&written), Ok(message));
    let mut moved = Vec::new();
    message.without_bytes().put(&mut moved);
    moved.extend_from_slice(message.bytes());
    assert_eq!(moved, written);
    if let Message::Open { is_end: false, .. } | Message::Part { is_end: false, .. } = message {
        Message::set_end(&mut written);
        assert!(matches!(
            Message::read(&written),
            Ok(Message::Open { is_end: true, .. } | Message::Part { is_end: true, .. })
        ));
    }
    true
}
