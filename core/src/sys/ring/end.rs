//! The end of a ring: the last submission, the end of what is in flight, and the memory after that.

use super::*;

impl Ring {
    /// Submits what is queued, for the last time: from now on the owner may close the descriptors that operations name. What cannot be
    /// submitted (on another thread than the ring's) never will be.
    pub fn seal(&mut self) {
        if self.enabled {
            let mut done = Vec::new();
            for _ in 0..SUBMIT_TRIES_MAX {
                if self.enter(Some(Duration::ZERO), Duration::ZERO, &mut done).is_err() || self.queued == 0 {
                    break;
                }
                std::thread::yield_now();
            }
            discard(&mut done);
        }
        self.sealed = self.queued > 0;
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // End what is in flight before the memory it points at goes.
        let mut done = Vec::new();
        // Connections that were accepted and never looked at must not stay open.
        self.reap(&mut done);
        discard(&mut done);
        if self.enabled && !self.sealed {
            let all = types::CancelBuilder::any().all();
            let _ = self
                .ring
                .submitter()
                .register_sync_cancel(Some(types::Timespec::from(Duration::from_secs(1))), all);
            for _ in 0..DROP_ROUNDS_MAX {
                if self.table.in_flight() == 0 {
                    break;
                }
                let entered = self.enter(Some(Duration::from_millis(10)), Duration::ZERO, &mut done);
                discard(&mut done);
                if entered.is_err() {
                    // Not our thread: nobody can wait for the ends.
                    break;
                }
            }
        }
        let finished = self.table.in_flight() == 0 || !self.enabled;
        // SAFETY: dropped once, here; nothing uses the field afterwards.
        unsafe { ManuallyDrop::drop(&mut self.ring) };
        if !finished {
            // The kernel still holds memory of ours: leaking it is the only safe thing.
            return;
        }
        // SAFETY: dropped once, here, after the ring and with nothing in flight.
        unsafe { ManuallyDrop::drop(&mut self.table) };
        // SAFETY: as above.
        unsafe { ManuallyDrop::drop(&mut self.bufring) };
        // SAFETY: as above.
        unsafe { ManuallyDrop::drop(&mut self.trains) };
        // SAFETY: as above.
        unsafe { ManuallyDrop::drop(&mut self.buffers) };
    }
}

/// Lets completions go that nobody will look at, and with them the connections they brought.
fn discard(done: &mut Vec<Done>) {
    for done in done.drain(..) {
        if let (Kind::Accept(_), Ok(fd)) = (done.kind, done.result) {
            drop(adopt(fd));
        }
    }
}

const DROP_ROUNDS_MAX: usize = 200;
