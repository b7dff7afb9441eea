//! What happened, as a hash and, when wanted, as the last lines of text.

use crate::io::Instant;
use std::collections::VecDeque;
use std::fmt::{self, Write};

/// A running hash (FNV-1a, 64 bits) over lines of text.
#[derive(Debug)]
pub(super) struct Trace {
    hash: u64,
    keep: bool,
    lines: VecDeque<String>,
}

impl Trace {
    /// Empty; `keep` keeps the last lines.
    pub fn new(keep: bool) -> Trace {
        Trace { hash: 0xcbf2_9ce4_8422_2325, keep, lines: VecDeque::new() }
    }

    /// Adds a line.
    pub fn add(&mut self, now: Instant, what: fmt::Arguments<'_>) {
        // Writing into the hash cannot fail.
        let _ = writeln!(self, "{now:?} {what}");
        if self.keep {
            if self.lines.len() == LINES_MAX {
                self.lines.pop_front();
            }
            self.lines.push_back(format!("{now:?} {what}"));
        }
    }

    /// Hash so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The lines kept.
    pub fn text(&self) -> String {
        self.lines.iter().fold(String::new(), |text, line| text + line + "\n")
    }
}

impl Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}

const LINES_MAX: usize = 10_000;
