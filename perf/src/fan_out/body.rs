//! What is in an event: its number and when it was due, so that a subscriber sees what is lost, out of order, or late.
//!
//! ```text
//!  8 bytes  number, from 0, little-endian
//!  8 bytes  nanoseconds since the start of the run when it was due
//!           filling
//! ```

/// Number and time of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Events of the run before it.
    pub number: u64,
    /// Nanoseconds since the start of the run.
    pub due_ns: u64,
}

impl Mark {
    /// Writes the mark to the front of `body`, which has [`BODY_BYTES_MIN`] and more.
    pub fn write(self, body: &mut [u8]) {
        body[..8].copy_from_slice(&self.number.to_le_bytes());
        body[8..16].copy_from_slice(&self.due_ns.to_le_bytes());
    }

    /// The mark of a body; `None` when it is too short for one.
    pub fn read(body: &[u8]) -> Option<Self> {
        let (number, rest) = body.split_first_chunk()?;
        let due_ns = rest.first_chunk()?;
        Some(Self { number: u64::from_le_bytes(*number), due_ns: u64::from_le_bytes(*due_ns) })
    }
}

/// Bytes of the mark.
pub const BODY_BYTES_MIN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_survives_the_round_trip() {
        let mut body = [0xee; 20];
        let mark = Mark { number: u64::MAX, due_ns: 77 };
        mark.write(&mut body);
        assert_eq!(Mark::read(&body), Some(mark));
        assert_eq!(Mark::read(&body[..BODY_BYTES_MIN - 1]), None);
    }
}
