//! MQTT 3.1.1 with quality of service 0.

use super::protocol::{Item, Protocol, ProtocolError, TOPIC, bounded};

/// MQTT 3.1.1, at most once.
pub struct Mqtt {
    /// Tells the clients of this run from those of others: a second client of one name ends the first.
    pub run: u32,
}

impl Protocol for Mqtt {
    fn subscribe(&self, number: usize, out: &mut Vec<u8>) {
        connect(&format!("{}-{number}", self.run), out);
        let mut content = vec![0, 1];
        string(TOPIC, &mut content);
        content.push(0);
        packet(SUBSCRIBE, &[&content], out);
    }

    fn open(&self, out: &mut Vec<u8>) {
        connect(&format!("{}-publisher", self.run), out);
        packet(PINGREQ, &[], out);
    }

    fn emit(&self, body: &[u8], out: &mut Vec<u8>) {
        packet(PUBLISH, &[&(TOPIC.len() as u16).to_be_bytes(), TOPIC.as_bytes(), body], out);
    }

    fn read<'a>(&self, bytes: &'a [u8]) -> Result<Option<(Item<'a>, usize)>, ProtocolError> {
        let Some((&kind, rest)) = bytes.split_first() else { return Ok(None) };
        let Some((len, len_bytes)) = remaining_length(rest)? else { return Ok(None) };
        let start = 1 + len_bytes;
        let Some(content) = bytes.get(start..start + len) else { return Ok(None) };
        let item = match (kind, content) {
            (CONNACK, [_, 0]) => Item::Other,
            (CONNACK, [_, code]) => {
                return Err(ProtocolError::Refused(format!("CONNACK with return code {code}")));
            }
            (SUBACK, [_, _, 0..=2]) => Item::Ready,
            (SUBACK, [_, _, code]) => {
                return Err(ProtocolError::Refused(format!("SUBACK with return code {code}")));
            }
            (PINGRESP, []) => Item::Ready,
            // Only the retain flag may be set: this client asks for quality of service 0.
            (PUBLISH | PUBLISH_RETAINED, [high, low, rest @ ..]) => {
                let topic = usize::from(u16::from_be_bytes([*high, *low]));
                let body = rest.get(topic..).ok_or(ProtocolError::Malformed("a PUBLISH with its topic"))?;
                Item::Event(body)
            }
            _ => return Err(ProtocolError::Malformed("a packet of MQTT 3.1.1 for this client")),
        };
        Ok(Some((item, start + len)))
    }
}

fn connect(client: &str, out: &mut Vec<u8>) {
    let mut content = Vec::new();
    string("MQTT", &mut content);
    // Level 4, a clean session, no keep-alive.
    content.extend_from_slice(&[4, 2, 0, 0]);
    string(client, &mut content);
    packet(CONNECT, &[&content], out);
}

fn string(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn packet(kind: u8, pieces: &[&[u8]], out: &mut Vec<u8>) {
    out.push(kind);
    let mut len: usize = pieces.iter().map(|piece| piece.len()).sum();
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    for piece in pieces {
        out.extend_from_slice(piece);
    }
}

/// The length of what follows, in up to four bytes of seven bits, and how many they are.
fn remaining_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, ProtocolError> {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().take(4).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((bounded(value)?, index + 1)));
        }
    }
    if bytes.len() < 4 { Ok(None) } else { Err(ProtocolError::Malformed("a length of at most four bytes")) }
}

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const PUBLISH_RETAINED: u8 = 0x31;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
const PINGREQ: u8 = 0xc0;
const PINGRESP: u8 = 0xd0;

#[cfg(test)]
mod tests {
    use super::super::protocol::suite;
    use super::*;

    const MQTT: Mqtt = Mqtt { run: 9 };

    fn received(body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![CONNACK, 2, 0, 0, SUBACK, 3, 0, 1, 0, PINGRESP, 0];
        MQTT.emit(body, &mut bytes);
        bytes
    }

    #[test]
    fn a_subscriber_reads_its_subscription_and_bodies_of_any_length() {
        for len in [0, 64, 120, 121, 20_000] {
            let body = vec![0xd0; len];
            let items = [Item::Other, Item::Ready, Item::Ready, Item::Event(&body)];
            if len < 1000 {
                suite::every_split_reads_the_same(&MQTT, &received(&body), &items);
            }
            let mut event = Vec::new();
            MQTT.emit(&body, &mut event);
            assert_eq!(MQTT.read(&event), Ok(Some((items[3], event.len()))));
        }
    }

    #[test]
    fn a_client_says_who_it_is_and_what_it_wants() {
        let mut out = Vec::new();
        MQTT.subscribe(7, &mut out);
        assert_eq!(out, b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x00\x00\x039-7\x82\x0a\x00\x01\x00\x05event\x00");
    }

    #[test]
    fn refusals_and_nonsense_are_errors() {
        let refused = |bytes: &[u8]| matches!(MQTT.read(bytes), Err(ProtocolError::Refused(_)));
        assert!(refused(&[CONNACK, 2, 0, 5]) && refused(&[SUBACK, 3, 0, 1, 0x80]));
        for bytes in
            [&[PUBLISH, 3, 0, 9, 1][..], &[0x32, 3, 0, 1, 1], &[0x30, 0x80, 0x80, 0x80, 0x80], &[0, 0]]
        {
            assert!(matches!(MQTT.read(bytes), Err(ProtocolError::Malformed(_))), "{bytes:?}");
        }
        assert_eq!(MQTT.read(&[PUBLISH, 0xff, 0xff, 0x7f]), Err(ProtocolError::TooLong(0x1f_ffff)));
    }

    #[test]
    fn noise_is_survived() {
        suite::noise_is_survived(&MQTT, &received(b"body"));
    }
}
