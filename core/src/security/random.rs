//! Randomness of the kernel.
//!
//! Not that of `aws-lc-rs`, whose first use costs 0.2 s: it gathers entropy of its own from the processor's jitter.

use crate::{Code, Error, Result};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

/// Fills `out` with random bytes. Errors: `Internal` when the kernel has none.
pub(super) fn fill(out: &mut [u8]) -> Result<()> {
    let mut filled = 0;
    while filled < out.len() {
        match getrandom(&mut out[filled..], GetRandomFlags::empty()) {
            Ok(0) => return Err(Error::new(Code::Internal, "the kernel gave no random bytes")),
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(error) => {
                return Err(Error::new(Code::Internal, format!("the kernel gave no random bytes: {error}")));
            }
        }
    }
    Ok(())
}

/// Random numbers, fetched many at a time. Each is given once.
#[derive(Default)]
pub(super) struct RandomWords {
    words: Vec<u64>,
}

impl RandomWords {
    #[inline]
    pub fn next(&mut self) -> u64 {
        match self.words.pop() {
            Some(word) => word,
            None => self.fetch(),
        }
    }

    #[cold]
    fn fetch(&mut self) -> u64 {
        let mut bytes = [0; 8 * WORDS];
        // A number that can be guessed would be worse than a shard that ends.
        fill(&mut bytes).expect("the kernel has random bytes");
        let (words, _) = bytes.as_chunks::<8>();
        self.words.extend(words.iter().map(|word| u64::from_ne_bytes(*word)));
        self.words.pop().expect("just fetched")
    }
}

/// Numbers fetched at a time: as many bytes as one call always gives whole.
const WORDS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_number_is_given_once_and_half_of_the_bits_are_set() {
        let (mut a, mut b) = (RandomWords::default(), RandomWords::default());
        let count = 10 * WORDS;
        let numbers: HashSet<u64> = (0..count).flat_map(|_| [a.next(), b.next()]).collect();
        assert_eq!(numbers.len(), 2 * count);
        let ones: u32 = numbers.iter().map(|number| number.count_ones()).sum();
        let bits = 64 * numbers.len() as u32;
        // Half of 40,960 bits, and twenty standard deviations.
        assert!(ones.abs_diff(bits / 2) < 2000, "{ones} of {bits}");
    }

    #[test]
    fn long_and_empty_pieces_are_filled() {
        fill(&mut []).unwrap();
        let mut long = vec![0; 100_000];
        fill(&mut long).unwrap();
        assert!(long.chunks(16).all(|chunk| chunk.iter().any(|byte| *byte != 0)));
    }
}
