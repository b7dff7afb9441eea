//! Whether a call that did not go well is made again, and when.

use super::status::{Outcome, Status};
use crate::random::Random;
use core::time::Duration;

/// How often and how fast a call is made again. A call that was not executed may be made again by anybody; one of which nobody knows only when its
/// method is idempotent; one that was executed never, whatever its status.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// Times that a call is made, the first included.
    pub attempts_max: u32,
    /// Wait before the second time; doubled each time, and shortened by a random half so that callers do not come together.
    pub backoff_first: Duration,
    /// The longest wait.
    pub backoff_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy {
            attempts_max: 4,
            backoff_first: Duration::from_millis(20),
            backoff_max: Duration::from_secs(1),
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// Which one, from 1.
    pub number: u32,
    /// Its status.
    pub status: Status,
    /// Whether it was executed.
    pub outcome: Outcome,
    /// Its method may be executed twice as well as once.
    pub is_idempotent: bool,
    /// Until its deadline; `None` for no deadline.
    pub left: Option<Duration>,
}

impl RetryPolicy {
    /// Never again.
    pub const NONE: RetryPolicy =
        RetryPolicy { attempts_max: 1, backoff_first: Duration::ZERO, backoff_max: Duration::ZERO };

    /// The wait before the call is made again; `None`: its end is told.
    pub fn again(&self, attempt: &Attempt, random: &mut Random) -> Option<Duration> {
        let is_worth_it = matches!(attempt.status, Status::Unavailable | Status::ResourceExhausted);
        let is_allowed = match attempt.outcome {
            Outcome::Executed => false,
            Outcome::NotExecuted => is_worth_it,
            Outcome::Unknown => is_worth_it && attempt.is_idempotent,
        };
        if !is_allowed || attempt.number >= self.attempts_max {
            return None;
        }
        let doubled = 1u32.checked_shl(attempt.number - 1).unwrap_or(u32::MAX);
        let most = self.backoff_first.saturating_mul(doubled).min(self.backoff_max);
        let half = u64::try_from(most.as_nanos() / 2).unwrap_or(u64::MAX);
        let wait = Duration::from_nanos(half + random.below(half + 1));
        (attempt.left.is_none_or(|left| wait < left)).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(status: Status, outcome: Outcome) -> Attempt {
        Attempt { number: 1, status, outcome, is_idempotent: false, left: None }
    }

    #[test]
    fn what_was_executed_is_never_made_again_and_what_is_unknown_only_when_that_makes_no_difference() {
        let (policy, mut random) = (RetryPolicy::default(), Random::new(1));
        let unknown = attempt(Status::Unavailable, Outcome::Unknown);
        assert_eq!(policy.again(&attempt(Status::Unavailable, Outcome::Executed), &mut random), None);
        assert_eq!(policy.again(&unknown, &mut random), None);
        assert!(policy.again(&Attempt { is_idempotent: true, ..unknown }, &mut random).is_some());
        assert!(
            policy.again(&attempt(Status::ResourceExhausted, Outcome::NotExecuted), &mut random).is_some()
        );
        assert_eq!(policy.again(&attempt(Status::Unimplemented, Outcome::NotExecuted), &mut random), None);
        assert_eq!(policy.again(&attempt(Status::DeadlineExceeded, Outcome::Unknown), &mut random), None);
    }

    #[test]
    fn waits_double_within_their_bound_and_never_pass_the_deadline() {
        let (policy, mut random) =
            (RetryPolicy { attempts_max: 40, ..RetryPolicy::default() }, Random::new(2));
        for number in 1..39 {
            let busy = Attempt { number, ..attempt(Status::ResourceExhausted, Outcome::NotExecuted) };
            let most = Duration::from_millis(20 << (number - 1).min(30)).min(Duration::from_secs(1));
            let wait = policy.again(&busy, &mut random).unwrap();
            assert!(wait >= most / 2 - Duration::from_nanos(1) && wait <= most, "{number}: {wait:?}");
            let left = Some(Duration::from_millis(5));
            assert_eq!(policy.again(&Attempt { left, ..busy }, &mut random), None);
        }
        let last = Attempt { number: 40, ..attempt(Status::Unavailable, Outcome::NotExecuted) };
        assert_eq!(policy.again(&last, &mut random), None);
    }
}
