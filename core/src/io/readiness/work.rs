//! What all sockets of a readiness driver share: buffers, and the lists of those to look at again.

use super::sockets::Token;
use crate::io::sendq::Spare;
use crate::sys::buffers::Buffers;

/// Buffers and lists. A token is in `again` exactly when the flag `queued` of its owner is set, and in `starved` when its `starved` is.
pub struct Work {
    pub buffers: Buffers,
    pub spare: Spare,
    /// To look at in the next turn, without news.
    again: Vec<Token>,
    /// Datagram sockets that found no buffer for a train.
    starved: Vec<Token>,
}

impl Work {
    /// Nothing to do yet.
    pub fn new(buffers: Buffers) -> Work {
        Work { buffers, spare: Spare::default(), again: Vec::new(), starved: Vec::new() }
    }

    /// To be looked at in the next turn.
    pub fn again(&mut self, token: Token, queued: &mut bool) {
        if !std::mem::replace(queued, true) {
            self.again.push(token);
        }
    }

    /// To be looked at when train buffers are back. `false` when it waits for something already.
    pub fn starve(&mut self, token: Token, starved: &mut bool) -> bool {
        let is_new = !std::mem::replace(starved, true);
        if is_new {
            self.starved.push(token);
        }
        is_new
    }

    /// Whether somebody is to be looked at now.
    pub fn is_pending(&self) -> bool {
        !self.again.is_empty() || self.feeds_starved()
    }

    /// Hands out those to be looked at now; `list` is empty and keeps its memory. The first so many, which is returned, are not starved. The
    /// caller clears their flags.
    pub fn take(&mut self, list: &mut Vec<Token>) -> usize {
        std::mem::swap(&mut self.again, list);
        let count = list.len();
        if self.feeds_starved() {
            list.append(&mut self.starved);
        }
        count
    }

    fn feeds_starved(&self) -> bool {
        !self.starved.is_empty() && self.buffers.trains_idle() > 0
    }
}
