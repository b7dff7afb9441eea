//! A body (or a tunnel's one direction) on its way from one side to the other.
//!
//! Small bodies travel in the shared buffers they came in. A body with much to go leaves the shared buffers: it is received into
//! blocks of its own, or spliced, so that a slow reader holds nothing that others need. Reading pauses while
//! more than a window waits to be sent.

use super::input::PIECE_BYTES_MAX;
use super::side::{Reading, Side};
use crate::counters::{Counter, CounterBlock};
use crate::io::{Chunk, Driver};
use clustercore_proto::forward::http::{BodyCursor, ChunkError, Framing, HeadLimits};

/// One direction.
#[derive(Debug)]
pub(super) struct Flow {
    cursor: BodyCursor,
    done: bool,
    dechunk: bool,
    moved: u64,
}

/// Bounds of a flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct FlowLimits {
    pub window: usize,
    pub splice_min: u64,
}

impl Flow {
    pub fn new(framing: Framing, limits: &HeadLimits, dechunk: bool) -> Flow {
        let done = framing == Framing::None || framing == Framing::Length(0);
        Flow { cursor: BodyCursor::new(framing, limits), done, dechunk, moved: 0 }
    }

    /// Whether the body has been handed on in whole.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Bytes handed on so far.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// Bytes to go, where the framing tells.
    pub fn remaining(&self) -> Option<u64> {
        self.cursor.remaining_hint()
    }

    /// Whether the end of the source's stream here completes the body.
    pub fn on_end(&mut self) -> bool {
        self.done |= self.cursor.on_close();
        self.done
    }

    /// Bytes moved by splice.
    pub fn on_spliced(&mut self, count: u64) {
        self.cursor.skip(count);
        self.moved += count;
        self.done |= self.cursor.is_done();
    }

    /// Takes what can be copied behind a head in the same buffer: a body (or its start) of up to `max` bytes that lies there
    /// already. Returns how many bytes.
    pub fn join<D: Driver>(
        &mut self,
        driver: &mut D,
        source: &mut Side,
        head: &mut Vec<u8>,
        max: usize,
    ) -> Result<usize, ChunkError> {
        if self.done || self.dechunk || source.input.is_empty() {
            return Ok(0);
        }
        let front = source.input.front(driver);
        if front.len() > max {
            return Ok(0);
        }
        let taken = self.cursor.take(front)?;
        head.extend_from_slice(&front[..taken.len]);
        source.input.advance(driver, taken.len);
        self.moved += taken.len as u64;
        self.done = taken.done;
        Ok(taken.len)
    }

    /// Copies what lies at the source behind what is in `out`, `max` bytes at most. Returns how many bytes.
    pub fn fill<D: Driver>(
        &mut self,
        driver: &mut D,
        source: &mut Side,
        out: &mut Vec<u8>,
        max: usize,
    ) -> Result<usize, ChunkError> {
        let mut filled = 0;
        while !self.done && filled < max && !source.input.is_empty() {
            let front = source.input.front(driver);
            let taken = self.cursor.take(&front[..front.len().min(max - filled)])?;
            out.extend_from_slice(&front[..taken.len]);
            source.input.advance(driver, taken.len);
            filled += taken.len;
            self.done = taken.done;
        }
        self.moved += filled as u64;
        Ok(filled)
    }

    /// Appends to `out` what belongs to the body of bytes that have come otherwise. Returns how many they are.
    pub fn copy(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, ChunkError> {
        if self.done || bytes.is_empty() {
            return Ok(0);
        }
        let before = out.len();
        let mut at = 0;
        if !self.dechunk {
            let taken = self.cursor.take(bytes)?;
            out.extend_from_slice(&bytes[..taken.len]);
            (at, self.done) = (taken.len, taken.done);
        }
        while self.dechunk
            && at < bytes.len()
            && !self.done
            && let Some(scanner) = self.cursor.chunks()
        {
            let data = scanner.next_data(&bytes[at..])?;
            out.extend_from_slice(&bytes[at + data.data.start..at + data.data.end]);
            at += data.consumed;
            self.done = data.done;
        }
        self.moved += (out.len() - before) as u64;
        Ok(at)
    }

    /// Hands on what lies at the source, then sees to it that more comes. `true`: bytes were handed on.
    pub fn pump<D: Driver>(
        &mut self,
        driver: &mut D,
        source: &mut Side,
        target: &Side,
        limits: FlowLimits,
        counters: &CounterBlock,
    ) -> Result<bool, ChunkError> {
        let mut moved = false;
        while !self.done && !source.input.is_empty() {
            moved = true;
            if self.dechunk {
                self.send_opened(driver, source, target, counters)?;
                continue;
            }
            let taken = self.cursor.take(source.input.front(driver))?;
            let mut chunk = source.input.take(driver, taken.len);
            if let Chunk::Lease(lease) = &chunk
                && lease.len() <= PIECE_BYTES_MAX
                && driver.unsent(target.stream) > 0
            {
                // Behind others on the way to a slow reader: a small piece must not pin the buffer it came in.
                let mut copy = driver.buffer();
                copy.extend_from_slice(driver.bytes(lease));
                counters.add(Counter::CopiedPieces, copy.len() as u64);
                if let Chunk::Lease(lease) = std::mem::replace(&mut chunk, Chunk::Owned(copy)) {
                    driver.release(lease);
                }
            }
            driver.send(target.stream, chunk);
            self.moved += taken.len as u64;
            self.done = taken.done;
        }
        if !self.done {
            self.read_more(driver, source, target, limits);
        }
        Ok(moved)
    }

    fn send_opened<D: Driver>(
        &mut self,
        driver: &mut D,
        source: &mut Side,
        target: &Side,
        counters: &CounterBlock,
    ) -> Result<(), ChunkError> {
        let mut out = driver.buffer();
        let front = source.input.front(driver);
        let mut at = 0;
        while at < front.len() && !self.done {
            let Some(scanner) = self.cursor.chunks() else { break };
            let data = scanner.next_data(&front[at..])?;
            out.extend_from_slice(&front[at + data.data.start..at + data.data.end]);
            at += data.consumed;
            self.done = data.done;
        }
        counters.add(Counter::CopiedDechunked, out.len() as u64);
        self.moved += out.len() as u64;
        source.input.advance(driver, at);
        driver.send(target.stream, Chunk::Owned(out));
        Ok(())
    }

    /// Chooses how the next bytes are received.
    fn read_more<D: Driver>(&mut self, driver: &mut D, source: &mut Side, target: &Side, limits: FlowLimits) {
        let unsent = driver.unsent(target.stream);
        let remaining = self.cursor.remaining_hint();
        // Where the end is not known (tunnels, chunks) shared buffers serve: a direction that pauses holds none of them.
        let large = remaining.is_some_and(|remaining| remaining >= LARGE);
        match source.reading {
            Reading::On if large || unsent > limits.window => source.stop(driver),
            Reading::Off if !source.ended => {
                if large {
                    // One splice for each pair: while the other direction has it, this one goes through blocks.
                    let spliceable = !self.dechunk
                        && target.reading != Reading::Splice
                        && remaining.is_some_and(|remaining| remaining >= limits.splice_min);
                    if spliceable {
                        // Everything before must have left: the splice writes to the socket itself.
                        if unsent > 0 {
                            return;
                        }
                        if driver.splice(source.stream, target.stream, remaining.unwrap_or(u64::MAX)) {
                            source.reading = Reading::Splice;
                            return;
                        }
                    }
                    if unsent <= limits.window {
                        let len = remaining.unwrap_or(BLOCK as u64).min(BLOCK as u64) as usize;
                        source.read_block(driver, len);
                    }
                } else if unsent <= limits.window {
                    source.read(driver);
                }
            }
            _ => {}
        }
    }
}

/// Bytes to go from which a body leaves the shared buffers.
pub(super) const LARGE: u64 = 48 << 10;
/// Bytes received at a time into a block.
const BLOCK: usize = 256 << 10;
