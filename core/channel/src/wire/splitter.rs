//! Frames out of a stream of bytes.

use super::FrameError;
use super::frame::LEN_BYTES;

/// Cuts a stream of bytes into frames.
#[derive(Debug)]
pub struct Splitter {
    max: usize,
    /// The beginning of a frame that is not whole yet.
    part: Vec<u8>,
}

impl Splitter {
    /// Frames of at most `max` bytes.
    pub fn new(max: usize) -> Splitter {
        Splitter { max, part: Vec::new() }
    }

    /// Bytes of a frame that is not whole yet.
    pub fn waiting(&self) -> usize {
        self.part.len()
    }

    /// Gives each whole frame in `bytes` to `each` until it says `false`; what is left is kept for the next call.
    ///
    /// Errors: `TooLong`: the stream cannot be read on.
    pub fn feed(&mut self, mut bytes: &[u8], each: &mut impl FnMut(&[u8]) -> bool) -> Result<(), FrameError> {
        while !self.part.is_empty() && !bytes.is_empty() {
            let missing = match self.frame_len(&self.part)? {
                Some(len) => LEN_BYTES + len - self.part.len(),
                None => LEN_BYTES - self.part.len(),
            };
            let (head, rest) = bytes.split_at(missing.min(bytes.len()));
            self.part.extend_from_slice(head);
            bytes = rest;
            if self.frame_len(&self.part)?.is_some_and(|len| self.part.len() == LEN_BYTES + len) {
                let goes_on = each(&self.part[LEN_BYTES..]);
                self.part.clear();
                if !goes_on {
                    return Ok(());
                }
            }
        }
        while let Some(len) = self.frame_len(bytes)?.filter(|len| bytes.len() >= LEN_BYTES + len) {
            let (frame, rest) = bytes[LEN_BYTES..].split_at(len);
            bytes = rest;
            if !each(frame) {
                return Ok(());
            }
        }
        self.part.extend_from_slice(bytes);
        Ok(())
    }

    fn frame_len(&self, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        let Some(len) = bytes.first_chunk::<LEN_BYTES>() else { return Ok(None) };
        let len = u32::from_le_bytes(*len) as usize;
        if len > self.max { Err(FrameError::TooLong { len, max: self.max }) } else { Ok(Some(len)) }
    }
}

#[cfg(test)]
mod tests;
