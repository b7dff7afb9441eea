//! The simulator's splice: a pipe of bytes between two sockets.

use super::net::Net;
use crate::io::{Errno, SpliceEnd};
use crate::sys::splice::SpliceStep;
use std::collections::VecDeque;
use std::io::IoSlice;

/// One splice under way.
pub struct SimPump {
    left: u64,
    pipe: VecDeque<u8>,
    /// Bytes handed to the target so far.
    pub(super) moved: u64,
    source_ended: bool,
}

impl SimPump {
    pub(super) fn new(len: u64) -> SimPump {
        SimPump { left: len, pipe: VecDeque::new(), moved: 0, source_ended: false }
    }

    /// Moves what can be moved, as `splice(2)` through a pipe of bounded size would.
    pub(super) fn advance(&mut self, net: &mut Net, source: u64, target: u64) -> SpliceStep {
        loop {
            let mut source_dry = false;
            let room = (PIPE_BYTES - self.pipe.len()).min(usize::try_from(self.left).unwrap_or(usize::MAX));
            if room > 0 && !self.source_ended {
                let mut bytes = vec![0; room];
                match net.recv(source, &mut bytes) {
                    Ok(0) => self.source_ended = true,
                    Ok(count) => {
                        self.pipe.extend(&bytes[..count]);
                        self.left -= count as u64;
                    }
                    Err(Errno(libc::EAGAIN)) => source_dry = true,
                    Err(errno) => return SpliceStep::End(SpliceEnd::SourceFailed(errno)),
                }
            }
            if !self.pipe.is_empty() {
                match net.send(target, &[IoSlice::new(self.pipe.make_contiguous())]) {
                    Ok(count) => {
                        self.pipe.drain(..count);
                        self.moved += count as u64;
                    }
                    Err(Errno(libc::EAGAIN)) => return SpliceStep::WaitTarget,
                    Err(errno) => return SpliceStep::End(SpliceEnd::TargetFailed(errno)),
                }
            }
            if self.pipe.is_empty() {
                if self.left == 0 {
                    return SpliceStep::End(SpliceEnd::Done);
                }
                if self.source_ended {
                    return SpliceStep::End(SpliceEnd::SourceEnd);
                }
                if source_dry {
                    return SpliceStep::WaitSource;
                }
            }
        }
    }
}

const PIPE_BYTES: usize = 16 << 10;
