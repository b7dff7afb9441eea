//! Pairs of key and value that travel with a call or a reply.

use crate::wire::{Reader, varint};
use alloc::vec::Vec;

/// Pairs that are to be sent, in their order; keys may repeat.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Metadata {
    bytes: Vec<u8>,
}

impl Metadata {
    /// None.
    pub const fn new() -> Metadata {
        Metadata { bytes: Vec::new() }
    }

    /// Adds a pair.
    pub fn push(&mut self, key: &str, value: &[u8]) {
        varint::put(&mut self.bytes, key.len() as u64);
        self.bytes.extend_from_slice(key.as_bytes());
        varint::put(&mut self.bytes, value.len() as u64);
        self.bytes.extend_from_slice(value);
    }

    /// For reading.
    pub fn borrow(&self) -> MetadataRef<'_> {
        MetadataRef { bytes: &self.bytes }
    }

    /// Whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl<'a> FromIterator<(&'a str, &'a [u8])> for Metadata {
    fn from_iter<T: IntoIterator<Item = (&'a str, &'a [u8])>>(pairs: T) -> Metadata {
        let mut metadata = Metadata::new();
        for (key, value) in pairs {
            metadata.push(key, value);
        }
        metadata
    }
}

/// Pairs where they lie: each a length, a key (UTF-8), a length, a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MetadataRef<'a> {
    bytes: &'a [u8],
}

impl<'a> MetadataRef<'a> {
    /// From the wire. `None` when it is not pairs to its end.
    pub fn from_wire(bytes: &'a [u8]) -> Option<MetadataRef<'a>> {
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            pair(&mut reader)?;
        }
        Some(MetadataRef { bytes })
    }

    /// As on the wire.
    pub fn as_wire(self) -> &'a [u8] {
        self.bytes
    }

    /// Whether there are no pairs.
    pub fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// The pairs in their order.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let mut reader = Reader::new(self.bytes);
        core::iter::from_fn(move || if reader.is_empty() { None } else { pair(&mut reader) })
    }

    /// The first value of a key.
    pub fn get(self, key: &str) -> Option<&'a [u8]> {
        self.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// A copy that can be kept.
    pub fn to_owned(self) -> Metadata {
        Metadata { bytes: self.bytes.to_vec() }
    }
}

fn pair<'a>(reader: &mut Reader<'a>) -> Option<(&'a str, &'a [u8])> {
    let mut item = || {
        let len = usize::try_from(reader.varint().ok()?).ok()?;
        reader.bytes(len).ok()
    };
    let key = core::str::from_utf8(item()?).ok()?;
    Some((key, item()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn pairs_come_back_in_their_order_and_the_first_of_a_key_is_found() {
        let metadata: Metadata =
            [("trace", &b"1"[..]), ("empty", b""), ("trace", b"2")].into_iter().collect();
        let read = MetadataRef::from_wire(metadata.borrow().as_wire()).unwrap();
        assert_eq!(
            read.iter().collect::<Vec<_>>(),
            vec![("trace", &b"1"[..]), ("empty", b""), ("trace", b"2")]
        );
        assert_eq!((read.get("trace"), read.get("none")), (Some(&b"1"[..]), None));
    }

    #[test]
    fn what_is_not_pairs_to_its_end_is_refused() {
        for bytes in [&[1][..], &[1, b'k'], &[1, b'k', 2, 0], &[1, 0xff, 0], &[0x80]] {
            assert_eq!(MetadataRef::from_wire(bytes), None, "{bytes:?}");
        }
        assert!(MetadataRef::from_wire(&[]).unwrap().is_empty());
    }
}
