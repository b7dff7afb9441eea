//! What each side tells the other when a connection begins.

use crate::wire::{Malformed, Reader, varint};
use alloc::vec::Vec;
use core::time::Duration;

/// The bounds that a peer must keep, and what it should know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parameters {
    /// Credit of the connection at its start, in bytes.
    pub receive_window: u64,
    /// Credit of each stream at its start, in bytes.
    pub stream_window: u64,
    /// Streams that the peer may use.
    pub streams_max: u32,
    /// Bytes of a message, at most.
    pub message_bytes_max: u64,
    /// An acknowledgement waits this long at most.
    pub acknowledgement_delay: Duration,
    /// Bytes of a packet, at most.
    pub packet_bytes_max: u32,
    /// The connection ends after this long without a packet; zero: never.
    pub idle_timeout: Duration,
    /// What a Reset of this connection will carry.
    pub reset_token: [u8; 16],
}

impl Parameters {
    /// Appends them.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (low, high) = self.reset_token.split_at(8);
        let half = |bytes: &[u8]| bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
        let pairs = [
            (1, self.receive_window),
            (2, self.stream_window),
            (3, u64::from(self.streams_max)),
            (4, self.message_bytes_max),
            (5, self.acknowledgement_delay.as_micros() as u64),
            (6, u64::from(self.packet_bytes_max)),
            (7, self.idle_timeout.as_millis() as u64),
            (8, half(low)),
            (9, half(high)),
        ];
        for (id, value) in pairs {
            varint::put(out, id);
            varint::put(out, value);
        }
    }

    /// Reads them; unknown ids are skipped, what is missing is as small as can be.
    ///
    /// Errors: `Malformed` for bytes that are no pairs of numbers, or bounds with which nothing can be sent.
    pub fn read(bytes: &[u8]) -> Result<Parameters, Malformed> {
        let mut parameters = Parameters {
            receive_window: 0,
            stream_window: 0,
            streams_max: 0,
            message_bytes_max: 0,
            acknowledgement_delay: Duration::ZERO,
            packet_bytes_max: 0,
            idle_timeout: Duration::ZERO,
            reset_token: [0; 16],
        };
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            let (id, value) = (reader.varint()?, reader.varint()?);
            match id {
                1 => parameters.receive_window = value,
                2 => parameters.stream_window = value,
                3 => parameters.streams_max = u32::try_from(value).unwrap_or(u32::MAX),
                4 => parameters.message_bytes_max = value,
                5 => parameters.acknowledgement_delay = Duration::from_micros(value.min(DELAY_US_MAX)),
                6 => parameters.packet_bytes_max = u32::try_from(value).unwrap_or(u32::MAX),
                7 => parameters.idle_timeout = Duration::from_millis(value.min(IDLE_MS_MAX)),
                8 => parameters.reset_token[..8].copy_from_slice(&value.to_le_bytes()),
                9 => parameters.reset_token[8..].copy_from_slice(&value.to_le_bytes()),
                _ => {}
            }
        }
        if parameters.packet_bytes_max < super::packet::INIT_BYTES as u32 {
            return Err(Malformed);
        }
        Ok(parameters)
    }
}

/// Why a connection was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum RefuseCode {
    /// No room for another connection; later perhaps.
    Full = 1,
    /// This endpoint takes no connections.
    NotAccepting = 2,
    /// The handshake was not right: wrong key, unknown peer, parameters that make no sense.
    Handshake = 3,
    /// Something that a later version says.
    Other = 4,
}

impl RefuseCode {
    pub(super) fn from_wire(code: u16) -> RefuseCode {
        match code {
            1 => RefuseCode::Full,
            2 => RefuseCode::NotAccepting,
            3 => RefuseCode::Handshake,
            _ => RefuseCode::Other,
        }
    }
}

/// RFC 9000, 18.2.
const DELAY_US_MAX: u64 = (1 << 14) * 1000;
const IDLE_MS_MAX: u64 = 1 << 40;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn some() -> Parameters {
        Parameters {
            receive_window: 1 << 20,
            stream_window: 1 << 18,
            streams_max: 64,
            message_bytes_max: 1 << 16,
            acknowledgement_delay: Duration::from_millis(2),
            packet_bytes_max: 1472,
            idle_timeout: Duration::from_secs(30),
            reset_token: core::array::from_fn(|index| index as u8 + 1),
        }
    }

    #[test]
    fn they_come_back_and_unknown_ones_are_skipped() {
        let mut bytes = Vec::new();
        varint::put(&mut bytes, 1000);
        varint::put(&mut bytes, 5);
        some().write(&mut bytes);
        assert_eq!(Parameters::read(&bytes), Ok(some()));
    }

    #[test]
    fn a_peer_that_takes_no_packet_is_refused() {
        assert_eq!(Parameters::read(&[]), Err(Malformed));
        let mut bytes = Vec::new();
        Parameters { packet_bytes_max: 1199, ..some() }.write(&mut bytes);
        assert_eq!(Parameters::read(&bytes), Err(Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Parameters::read(&bytes);
        }
    }
}
