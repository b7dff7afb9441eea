//! Redis: PUBLISH and SUBSCRIBE in RESP2.
//!
//! The publisher asks for no replies (`CLIENT REPLY OFF`): nobody would read the counts, and the server is spared them.

use super::protocol::{Durable, Item, Protocol, ProtocolError, TOPIC, decimal, line, words};
use std::io::Write;

/// RESP2 of Redis and its kin.
pub struct Redis;

impl Protocol for Redis {
    fn subscribe(&self, _number: usize, out: &mut Vec<u8>) {
        command(&[b"SUBSCRIBE", TOPIC.as_bytes()], out);
    }

    fn open(&self, out: &mut Vec<u8>) {
        command(&[b"PING"], out);
        command(&[b"CLIENT", b"REPLY", b"OFF"], out);
    }

    fn emit(&self, body: &[u8], out: &mut Vec<u8>) {
        command(&[b"PUBLISH", TOPIC.as_bytes(), body], out);
    }

    fn read<'a>(&self, bytes: &'a [u8]) -> Result<Option<(Item<'a>, usize)>, ProtocolError> {
        let Some((head, mut at)) = line(bytes)? else { return Ok(None) };
        match head {
            b"+PONG" => return Ok(Some((Item::Ready, at))),
            [b'+' | b':', ..] => return Ok(Some((Item::Other, at))),
            [b'-', text @ ..] => return Err(ProtocolError::Refused(words(text))),
            // The number of an entry of a stream.
            [b'$', ..] => return Ok(element(bytes)?.map(|(_, len)| (Item::Kept, len))),
            b"*3" => {}
            _ => return Err(ProtocolError::Malformed("a RESP2 reply or an array of three")),
        }
        // A message of a channel: what it is, the channel, and a body or a count.
        let mut parts: [&[u8]; 3] = [b""; 3];
        for part in &mut parts {
            let Some((text, len)) = element(&bytes[at..])? else { return Ok(None) };
            *part = text;
            at += len;
        }
        match parts[0] {
            b"message" => Ok(Some((Item::Event(parts[2]), at))),
            b"subscribe" => Ok(Some((Item::Ready, at))),
            _ => Ok(Some((Item::Other, at))),
        }
    }
}

impl Durable for Redis {
    fn open_supplier(&self, out: &mut Vec<u8>) {
        command(&[b"PING"], out);
    }

    fn keep(&self, body: &[u8], out: &mut Vec<u8>) {
        command(&[b"XADD", TOPIC.as_bytes(), b"MAXLEN", b"~", STREAM_ENTRIES, b"*", b"body", body], out);
    }
}

/// A bulk string or an integer at the front of `bytes`, and its length with its framing.
fn element(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, ProtocolError> {
    let Some((head, at)) = line(bytes)? else { return Ok(None) };
    match head {
        [b':', digits @ ..] => Ok(Some((digits, at))),
        [b'$', digits @ ..] => {
            let end = at + decimal(digits)?;
            match bytes.get(at..end + 2) {
                Some([text @ .., b'\r', b'\n']) => Ok(Some((text, end + 2))),
                Some(_) => Err(ProtocolError::Malformed("a bulk string that ends with CR LF")),
                None => Ok(None),
            }
        }
        _ => Err(ProtocolError::Malformed("a bulk string or an integer")),
    }
}

fn command(words: &[&[u8]], out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = write!(out, "*{}\r\n", words.len());
    for word in words {
        let _ = write!(out, "${}\r\n", word.len());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// What a stream keeps in memory, so that a long run does not fill it.
const STREAM_ENTRIES: &[u8] = b"10000";

#[cfg(test)]
mod tests {
    use super::super::protocol::suite;
    use super::*;

    const RECEIVED: &[u8] = b"*3\r\n$9\r\nsubscribe\r\n$5\r\nevent\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$5\r\nevent\r\n$4\r\n\r\n*3\r\n\
        :50\r\n+PONG\r\n";

    #[test]
    fn a_subscriber_reads_its_subscription_and_binary_bodies() {
        let items = [Item::Ready, Item::Event(b"\r\n*3"), Item::Other, Item::Ready];
        suite::every_split_reads_the_same(&Redis, RECEIVED, &items);
    }

    #[test]
    fn an_event_is_one_command() {
        let mut out = Vec::new();
        Redis.emit(b"a\r\nb", &mut out);
        assert_eq!(out, b"*3\r\n$7\r\nPUBLISH\r\n$5\r\nevent\r\n$4\r\na\r\nb\r\n");
    }

    #[test]
    fn an_event_to_keep_is_acknowledged_with_its_number() {
        let mut out = Vec::new();
        Redis.keep(b"ab", &mut out);
        assert!(out.starts_with(b"*8\r\n$4\r\nXADD\r\n") && out.ends_with(b"$4\r\nbody\r\n$2\r\nab\r\n"));
        suite::every_split_reads_the_same(&Redis, b"$3\r\n1-0\r\n+PONG\r\n", &[Item::Kept, Item::Ready]);
    }

    #[test]
    fn refusals_and_nonsense_are_errors() {
        let refused = Redis.read(b"-ERR max number of clients reached\r\n").unwrap_err();
        assert_eq!(refused, ProtocolError::Refused("ERR max number of clients reached".to_owned()));
        for bytes in [&b"*4\r\n"[..], b"hello\r\n", b"*3\r\n$1\r\nab\r\n", b"*3\r\n+x\r\n"] {
            assert!(matches!(Redis.read(bytes), Err(ProtocolError::Malformed(_))), "{bytes:?}");
        }
        assert_eq!(Redis.read(b"*3\r\n$99999999\r\n"), Err(ProtocolError::TooLong(99_999_999)));
    }

    #[test]
    fn noise_is_survived() {
        suite::noise_is_survived(&Redis, RECEIVED);
    }
}
