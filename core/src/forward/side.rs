//! One end of an exchange: a stream, what came from it, and how it is being read.

use super::input::Input;
use crate::io::{Driver, Lease, StreamId};

/// How a side is being read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reading {
    /// Not at all.
    Off,
    /// Into shared buffers.
    On,
    /// The end of `On` is under way.
    Stopping,
    /// Once, into a block.
    Block,
    /// By a splice to the other side.
    Splice,
}

/// A stream with its input.
#[derive(Debug)]
pub(super) struct Side {
    pub stream: StreamId,
    pub input: Input,
    pub reading: Reading,
    /// The other end will send nothing more.
    pub ended: bool,
}

impl Side {
    pub fn new(stream: StreamId) -> Side {
        Side { stream, input: Input::default(), reading: Reading::Off, ended: false }
    }

    /// Begins with another stream; the input of the one before is gone already.
    pub fn begin(&mut self, stream: StreamId) {
        debug_assert!(self.input.is_empty());
        self.stream = stream;
        self.reading = Reading::Off;
        self.ended = false;
    }

    /// Nothing more will come, and nothing that came is left.
    pub fn is_over(&self) -> bool {
        self.ended && self.input.is_empty()
    }

    /// Reads into shared buffers from now on, if nothing is under way.
    pub fn read<D: Driver>(&mut self, driver: &mut D) {
        if self.reading == Reading::Off && !self.ended {
            driver.recv(self.stream);
            self.reading = Reading::On;
        }
    }

    /// Reads no more for now.
    pub fn stop<D: Driver>(&mut self, driver: &mut D) {
        if self.reading == Reading::On {
            driver.recv_stop(self.stream);
            self.reading = Reading::Stopping;
        }
    }

    /// Reads once, `len` bytes at most.
    pub fn read_block<D: Driver>(&mut self, driver: &mut D, len: usize) {
        if self.reading == Reading::Off && !self.ended {
            driver.recv_block(self.stream, len);
            self.reading = Reading::Block;
        }
    }

    /// The other stream of a splice is gone, and the splice with it, without a word.
    pub fn on_splice_cancelled(&mut self) {
        if self.reading == Reading::Splice {
            self.reading = Reading::Off;
        }
    }

    /// Bytes came that nobody wants any more.
    pub fn on_unwanted<D: Driver>(&mut self, driver: &mut D, lease: Lease) {
        if self.reading == Reading::Block {
            self.reading = Reading::Off;
        }
        driver.release(lease);
        self.read(driver);
    }

    /// Bytes came. Returns how many were copied.
    pub fn on_data<D: Driver>(&mut self, driver: &mut D, lease: Lease) -> usize {
        if self.reading == Reading::Block {
            self.reading = Reading::Off;
        }
        self.input.push_waiting(driver, lease)
    }

    /// Reading has stopped.
    pub fn on_stopped(&mut self) {
        if self.reading == Reading::Stopping {
            self.reading = Reading::Off;
        }
    }

    /// The other end has ended.
    pub fn on_end(&mut self) {
        self.ended = true;
        self.reading = Reading::Off;
    }
}
