//! Events come in by POST.

use super::call::{Answer, Call, Outcome};
use super::problem::Problem;
use super::response::Response;
use crate::cloudevents::{Mode, decode_batch, decode_binary, decode_json};
use crate::event::Event;
use crate::id::{ChannelId, ConsumerProxyId};
use crate::output::{Output, Pushed, Refusal};
use crate::principal::Right;
use clustercore_proto::time::Instant;

/// Events of one request that are on their way to disk.
pub(super) struct Writing {
    channel: ChannelId,
    proxy: ConsumerProxyId,
    pushed: Pushed,
    of: u64,
    written: u64,
    /// Places in the request of those that were lost, and why the last one was.
    lost: Vec<u64>,
    lost_why: Option<Refusal>,
    pub until: Instant,
}

/// Takes the events of a request.
pub(super) fn emit(call: &mut Call<'_>, name: &str) -> Answer {
    call.target.expect_only(&[])?;
    let channel = call.channel(name, &[Right::Emit])?;
    let events = events(call)?;
    let of = events.len() as u64;
    let mut face = call.engine.emit(call.who, channel)?;
    let proxy = face.shared();
    let pushed = face.push(call.now, proxy, &events);
    let until = call.now + call.config.limits.write_timeout;
    let writing = Writing { channel, proxy, pushed, of, written: 0, lost: Vec::new(), lost_why: None, until };
    if pushed.unwritten > 0 { Ok(Outcome::Writing(writing)) } else { writing.answer().map(Outcome::from) }
}

fn events(call: &Call<'_>) -> Result<Vec<Event>, Problem> {
    let (request, limits) = (call.request, &call.config.event_limits);
    match Mode::of(request.field("content-type")?.unwrap_or(""))? {
        Mode::Structured => Ok(vec![decode_json(&request.body, limits)?]),
        Mode::Batch => Ok(decode_batch(&request.body, limits, call.config.limits.batch_events_max)?),
        Mode::Binary => {
            if !request.lent().any(|(name, _)| name.len() > 3 && name[..3].eq_ignore_ascii_case("ce-")) {
                let detail = "this is no CloudEvent: send ce- fields, application/cloudevents+json, \
                              or application/cloudevents-batch+json";
                return Err(Problem::new(415, detail));
            }
            Ok(vec![decode_binary(request.lent(), &request.body, limits)?])
        }
    }
}

impl Writing {
    /// What the engine puts out; true when everything is known.
    pub fn hear(&mut self, channel: ChannelId, output: &Output) -> bool {
        if channel != self.channel {
            return false;
        }
        let (begin, end) = (self.pushed.receipt, self.pushed.receipt + self.pushed.taken);
        match *output {
            Output::Confirmed { proxy, first, last } if proxy == self.proxy => {
                self.written += (last.saturating_add(1)).min(end).saturating_sub(first.max(begin));
            }
            Output::Lost { proxy, receipt, reason }
                if proxy == self.proxy && (begin..end).contains(&receipt) =>
            {
                self.lost.push(receipt - begin);
                self.lost_why = Some(reason);
            }
            _ => {}
        }
        self.written + self.lost.len() as u64 >= self.pushed.unwritten
    }

    /// The answer once everything is known.
    pub fn answer(&self) -> Result<Response, Problem> {
        let Pushed { taken, unwritten, repeats, refusal, .. } = self.pushed;
        let accepted = taken - self.lost.len() as u64;
        let lost = || format!("{:?}", self.lost);
        match (self.lost_why, refusal) {
            (Some(why), _) => Err(Problem::refusal(why, accepted, self.of).with("lost", lost())),
            (None, Some(why)) => Err(Problem::refusal(why, accepted, self.of)),
            (None, None) if unwritten > 0 && unwritten + repeats == taken => Ok(Response::bare(204)),
            (None, None) => Ok(Response::bare(202)),
        }
    }

    /// The answer when it took too long.
    pub fn give_up(&self) -> Problem {
        let detail =
            "the events were taken, and it is not known in time whether they are on disk: send them again";
        let written = self.pushed.taken - self.pushed.unwritten + self.written;
        Problem::new(503, detail)
            .retry_after()
            .with("accepted", written.to_string())
            .with("of", self.of.to_string())
    }
}
