//! NATS: PUB and SUB in its text protocol.

use super::protocol::{ITEM_BYTES_MAX, Item, Protocol, ProtocolError, TOPIC, decimal, line, words};
use std::io::Write;

/// The text protocol of NATS.
pub struct Nats;

impl Protocol for Nats {
    fn subscribe(&self, _number: usize, out: &mut Vec<u8>) {
        // Writing to memory does not fail.
        let _ = write!(out, "{CONNECT}SUB {TOPIC} 1\r\nPING\r\n");
    }

    fn open(&self, out: &mut Vec<u8>) {
        let _ = write!(out, "{CONNECT}PING\r\n");
    }

    fn emit(&self, body: &[u8], out: &mut Vec<u8>) {
        let _ = write!(out, "PUB {TOPIC} {}\r\n", body.len());
        out.extend_from_slice(body);
        out.extend_from_slice(b"\r\n");
    }

    fn read<'a>(&self, bytes: &'a [u8]) -> Result<Option<(Item<'a>, usize)>, ProtocolError> {
        let Some((head, at)) = line(bytes)? else { return Ok(None) };
        let mut fields = head.split(|&byte| byte == b' ');
        match fields.next() {
            Some(b"PONG") => Ok(Some((Item::Ready, at))),
            Some(b"PING") => Ok(Some((Item::Question(b"PONG\r\n"), at))),
            Some(b"INFO" | b"+OK") => Ok(Some((Item::Other, at))),
            Some(b"-ERR") => Err(ProtocolError::Refused(words(&head[4..]))),
            Some(b"MSG") => {
                let end = at + decimal(fields.next_back().unwrap_or_default())?;
                match bytes.get(at..end + 2) {
                    Some([body @ .., b'\r', b'\n']) => Ok(Some((Item::Event(body), end + 2))),
                    Some(_) => Err(ProtocolError::Malformed("a message that ends with CR LF")),
                    None => Ok(None),
                }
            }
            _ => Err(ProtocolError::Malformed("an operation of NATS")),
        }
    }
}

/// What a client says first; its own events do not come back to it.
pub const CONNECT: &str =
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":false,\"lang\":\"load\",\"version\":\"1\"}\r\n";

const _: () = assert!(ITEM_BYTES_MAX > 32 * 1024, "the greeting of a server with many addresses");

#[cfg(test)]
mod tests {
    use super::super::protocol::suite;
    use super::*;

    const RECEIVED: &[u8] = b"INFO {\"server_id\":\"x\"}\r\nPONG\r\nPING\r\nMSG event 1 4\r\n\r\nMS\r\nMSG event 1 reply 0\r\n\r\n+OK\r\n";

    #[test]
    fn a_subscriber_reads_greeting_question_and_binary_bodies() {
        let items = [
            Item::Other,
            Item::Ready,
            Item::Question(b"PONG\r\n"),
            Item::Event(b"\r\nMS"),
            Item::Event(b""),
            Item::Other,
        ];
        suite::every_split_reads_the_same(&Nats, RECEIVED, &items);
    }

    #[test]
    fn an_event_is_one_operation() {
        let mut out = Vec::new();
        Nats.emit(b"a\r\nb", &mut out);
        assert_eq!(out, b"PUB event 4\r\na\r\nb\r\n");
    }

    #[test]
    fn refusals_and_nonsense_are_errors() {
        let refused = Nats.read(b"-ERR 'maximum connections exceeded'\r\n").unwrap_err();
        assert_eq!(refused, ProtocolError::Refused("'maximum connections exceeded'".to_owned()));
        for bytes in [&b"MSG\r\n"[..], b"MSG event 1 x\r\n", b"MSG event 1 1\r\nabc", b"\r\n", b"msg\r\n"] {
            assert!(matches!(Nats.read(bytes), Err(ProtocolError::Malformed(_))), "{bytes:?}");
        }
        assert_eq!(Nats.read(b"MSG event 1 99999999\r\n"), Err(ProtocolError::TooLong(99_999_999)));
    }

    #[test]
    fn noise_is_survived() {
        suite::noise_is_survived(&Nats, RECEIVED);
    }
}
