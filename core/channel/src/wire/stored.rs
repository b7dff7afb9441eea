//! An event as it lies in a journal: by itself, with its place in the channel's order.

use super::{Packer, Unpacker, WireError};
use crate::event::{Event, EventLimits};
use clustercore_proto::wire::{Reader, varint};

/// The event at `offset`, behind what is in `out` already.
///
/// ```text
/// format 1, offset (LEB128), the event as in a frame
/// ```
pub fn put_stored(out: &mut Vec<u8>, offset: u64, event: &Event) {
    out.push(FORMAT);
    varint::put(out, offset);
    Packer::default().put(out, event);
}

/// Offset and event.
///
/// Errors: `Malformed`; `Event`: it breaks `limits`.
pub fn take_stored(bytes: &[u8], limits: &EventLimits) -> Result<(u64, Event), WireError> {
    let mut reader = Reader::new(bytes);
    if reader.u8()? != FORMAT {
        return Err(WireError::Malformed);
    }
    let offset = reader.varint()?;
    let event = Unpacker::default().take(&mut reader, limits)?;
    if offset == u64::MAX || !reader.is_empty() {
        return Err(WireError::Malformed);
    }
    Ok((offset, event))
}

const FORMAT: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use clustercore_proto::random::Random;

    #[test]
    fn what_is_stored_comes_back_and_what_is_cut_or_changed_never_panics() {
        let limits = EventLimits::default();
        let event = Event::builder("7", "/node", "changed").key("k").sequence(9).body(vec![3; 40]);
        let event = event.field("load", 0.5).build(&limits).unwrap();
        let mut bytes = Vec::new();
        put_stored(&mut bytes, 300, &event);
        assert_eq!(take_stored(&bytes, &limits), Ok((300, event)));
        for len in 0..bytes.len() {
            assert_eq!(take_stored(&bytes[..len], &limits), Err(WireError::Malformed), "{len}");
        }
        let mut random = Random::new(5);
        for _ in 0..100_000 {
            let mut changed = bytes.clone();
            for _ in 0..=random.below(3) {
                let place = random.below(changed.len() as u64) as usize;
                changed[place] = random.next_u64() as u8;
            }
            if let Ok((offset, event)) = take_stored(&changed, &limits) {
                let mut again = Vec::new();
                put_stored(&mut again, offset, &event);
                assert_eq!(take_stored(&again, &limits), Ok((offset, event)));
            }
        }
    }
}
