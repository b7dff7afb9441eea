//! What all sockets of a readiness driver share: buffers, and the lists of those to look at again.

use super::sockets::Token;
use crate::io::sendq::Spare;
use crate::sys::buffers::{Buffers, Empty};

/// Buffers and lists. A token is in one of the lists exactly when the flag `queued` of its owner is set.
pub struct Work {
    pub buffers: Buffers,
    pub spare: Spare,
    /// To look at in the next turn, without news.
    again: Vec<Token>,
    /// Datagram sockets that found no buffer for a train.
    starved: Vec<Token>,
    /// Whether datagrams come in trains, which need a buffer of `TRAIN_MAX` bytes.
    pub trains: bool,
}

impl Work {
    /// Nothing to do yet. Trains are received when wanted and when there can be buffers for them.
    pub fn new(buffers: Buffers, trains: bool) -> Work {
        let config = buffers.config();
        let trains =
            trains && (config.shared_size as usize >= TRAIN_MAX || config.block_bytes_max >= TRAIN_MAX);
        Work { trains, buffers, spare: Spare::default(), again: Vec::new(), starved: Vec::new() }
    }

    /// To be looked at in the next turn.
    pub fn again(&mut self, token: Token, queued: &mut bool) {
        if !std::mem::replace(queued, true) {
            self.again.push(token);
        }
    }

    /// To be looked at when buffers are back.
    pub fn starve(&mut self, token: Token, queued: &mut bool) {
        if !std::mem::replace(queued, true) {
            self.starved.push(token);
        }
    }

    /// Whether somebody is to be looked at now.
    pub fn is_pending(&self) -> bool {
        !self.again.is_empty() || self.feeds_starved()
    }

    /// Hands out those to be looked at now; `list` is empty and keeps its memory. The caller clears their flags.
    pub fn take(&mut self, list: &mut Vec<Token>) {
        std::mem::swap(&mut self.again, list);
        if self.feeds_starved() {
            list.append(&mut self.starved);
        }
    }

    /// A buffer for whatever a datagram socket may receive at once, if there is one.
    pub fn take_train(&mut self) -> Option<Empty> {
        if self.trains_shared() {
            return self.buffers.take_shared();
        }
        if self.buffers.has_block(TRAIN_MAX) { self.buffers.take_block(TRAIN_MAX).ok() } else { None }
    }

    fn trains_shared(&self) -> bool {
        !self.trains || self.buffers.config().shared_size as usize >= TRAIN_MAX
    }

    fn feeds_starved(&self) -> bool {
        !self.starved.is_empty()
            && if self.trains_shared() {
                self.buffers.shared_idle() > 0
            } else {
                self.buffers.has_block(TRAIN_MAX)
            }
    }
}

/// Bytes of the longest train: what a UDP datagram can be.
const TRAIN_MAX: usize = 64 << 10;
