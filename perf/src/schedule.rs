//! When requests are to be sent: arithmetic only, time comes in as an argument.

use crate::options::Plan;

/// The requests of one generator thread, by the time each is due.
///
/// Invariant: `started <= due` in the open loop. All times are nanoseconds since the start of the run.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Time between requests in the open loop; `None` in the closed one.
    interval_ns: Option<f64>,
    requests_max: u64,
    until_ns: u64,
    timeout_ns: u64,
    due: u64,
    started: u64,
}

impl Schedule {
    /// The schedule of `plan`, nothing started.
    pub fn new(plan: &Plan) -> Self {
        Self {
            interval_ns: plan.interval_ns,
            requests_max: plan.requests_max,
            until_ns: plan.until_ns,
            timeout_ns: plan.timeout_ns,
            due: 0,
            started: 0,
        }
    }

    /// Requests started so far.
    pub fn started(&self) -> u64 {
        self.started
    }

    /// Whether nothing further is started. What came due in time in the open loop is started late rather than never,
    /// within the time-out.
    pub fn is_over(&self, now_ns: u64) -> bool {
        if self.started >= self.requests_max {
            return true;
        }
        match self.interval_ns {
            None => now_ns >= self.until_ns,
            Some(interval_ns) => {
                due_ns(interval_ns, self.started) >= self.until_ns
                    || now_ns >= self.until_ns + self.timeout_ns
            }
        }
    }

    /// Starts the next request that may be started at `now_ns` and returns the time it is meant for: in the open loop
    /// when it was due, in the closed one now.
    pub fn start_next(&mut self, now_ns: u64) -> Option<u64> {
        if self.is_over(now_ns) {
            return None;
        }
        let intended_ns = match self.interval_ns {
            None => now_ns,
            Some(interval_ns) => {
                self.come_due(now_ns);
                if self.started == self.due {
                    return None;
                }
                due_ns(interval_ns, self.started)
            }
        };
        self.started += 1;
        Some(intended_ns)
    }

    /// When the next request comes due in the open loop, if one does.
    pub fn next_due_ns(&self) -> Option<u64> {
        let next = due_ns(self.interval_ns?, self.due);
        (self.due < self.requests_max && next < self.until_ns).then_some(next)
    }

    /// The times of what came due in the open loop and was never started, at the end of the run.
    pub fn unsent(mut self) -> impl Iterator<Item = u64> {
        self.come_due(u64::MAX);
        let interval_ns = self.interval_ns.unwrap_or(0.0);
        // In the closed loop nothing is ever due.
        (self.started..self.due.max(self.started)).map(move |index| due_ns(interval_ns, index))
    }

    fn come_due(&mut self, now_ns: u64) {
        while self.next_due_ns().is_some_and(|next| next <= now_ns) {
            self.due += 1;
        }
    }
}

/// When request `index` is due: by multiplication, so that no rounding adds up.
fn due_ns(interval_ns: f64, index: u64) -> u64 {
    (interval_ns * index as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(interval_ns: Option<f64>, requests_max: u64) -> Schedule {
        Schedule { interval_ns, requests_max, until_ns: 1000, timeout_ns: 500, due: 0, started: 0 }
    }

    #[test]
    fn open_loop_starts_what_is_due_and_no_more() {
        let mut schedule = schedule(Some(100.0), u64::MAX);
        assert_eq!(schedule.start_next(0), Some(0));
        assert_eq!(schedule.start_next(99), None);
        assert_eq!(schedule.next_due_ns(), Some(100));
        assert_eq!(
            [schedule.start_next(250), schedule.start_next(250), schedule.start_next(250)],
            [Some(100), Some(200), None]
        );
    }

    #[test]
    fn what_was_due_in_time_is_started_late_until_the_time_out() {
        let mut late = schedule(Some(400.0), u64::MAX);
        assert_eq!(
            [late.start_next(1200), late.start_next(1200), late.start_next(1200)],
            [Some(0), Some(400), Some(800)]
        );
        assert!(late.is_over(1200) && late.start_next(1200).is_none());
        let mut later = schedule(Some(400.0), u64::MAX);
        assert_eq!(later.start_next(0), Some(0));
        assert_eq!(later.start_next(1500), None);
        assert_eq!(later.unsent().collect::<Vec<_>>(), [400, 800]);
    }

    #[test]
    fn the_number_of_requests_is_a_bound_in_both_loops() {
        let mut open = schedule(Some(1.0), 3);
        assert_eq!((0..10).filter_map(|_| open.start_next(900)).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!((open.next_due_ns(), open.unsent().count()), (None, 0));
        let mut closed = schedule(None, 2);
        assert_eq!(
            [closed.start_next(5), closed.start_next(6), closed.start_next(7)],
            [Some(5), Some(6), None]
        );
    }

    #[test]
    fn the_closed_loop_ends_with_its_time_and_leaves_nothing_unsent() {
        let mut closed = schedule(None, u64::MAX);
        assert_eq!((closed.start_next(999), closed.start_next(1000)), (Some(999), None));
        assert_eq!((closed.next_due_ns(), closed.started()), (None, 1));
        assert_eq!(closed.unsent().count(), 0);
    }
}
