//! What becomes of a web hook by an answer.

use super::answer::Answer;
use super::machine::Hook;
use super::order::Verdict;
use super::request;
use super::state::{Change, State};
use super::target::HookMode;
use crate::cloudevents::webhook::{Delivery, Permission, judge};
use clustercore_proto::time::Instant;

impl Hook {
    pub(super) fn on_answer(&mut self, now: Instant, answer: &Answer) {
        if self.state == State::Asking {
            return self.on_permission(now, answer);
        }
        let status = answer.status;
        match Delivery::of(status, answer.retry_after()) {
            Delivery::Taken => {
                self.settle(Verdict::Taken);
                (self.failures, self.why) = (0, String::new());
                self.change(Change::Finish);
            }
            Delivery::Gone => {
                self.settle(Verdict::Returned);
                self.why = "the target answered 410: it wants nothing any more".into();
                self.change(Change::End);
                self.close();
            }
            Delivery::Format if self.is_binary => {
                self.mode = HookMode::Structured;
                self.why = "the target answered 415 to binary mode: events go structured from here on".into();
                self.resume();
            }
            Delivery::Later(Some(wait)) => {
                let wait =
                    wait.clamp(self.config.backoff, self.config.retry_after_max.max(self.config.backoff));
                self.settle(Verdict::Returned);
                self.why = format!("the target answered {status} and put off by {wait:?}");
                self.until = now + wait;
                self.change(Change::Fail);
            }
            Delivery::Later(None) => self.fail(now, format!("the target answered {status}")),
            Delivery::Format | Delivery::Refused => {
                // The target is there, so others may go on at once; this one waits by its consumer's back-off.
                self.why = format!("the target answered {status}: it did not take the last event");
                self.settle(Verdict::Failed);
                self.change(Change::Finish);
            }
        }
    }

    fn on_permission(&mut self, now: Instant, answer: &Answer) {
        let again = self.config.ask_again;
        match judge(&request::ask(&self.spec, &self.config), answer.lent()) {
            Ok(Permission::Granted(rate)) => {
                self.grant = Some(rate);
                (self.failures, self.why) = (0, String::new());
                self.change(Change::Grant);
            }
            Ok(Permission::Withheld) => {
                self.why = format!(
                    "the target answered OPTIONS by {} without WebHook-Allowed-Origin for {:?}",
                    answer.status, self.config.origin
                );
                self.until = now + again;
                self.change(Change::Withhold);
            }
            Err(error) => {
                self.why = format!("the target's answer to OPTIONS grants nothing: {error}");
                self.until = now + again;
                self.change(Change::Withhold);
            }
        }
    }
}
