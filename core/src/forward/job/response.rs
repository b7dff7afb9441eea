//! A response's way out of messages.

use super::leg::LegId;
use crate::counters::Counter;
use crate::forward::client::{ClientId, Phase};
use crate::forward::failure::Blame;
use crate::forward::flow::Flow;
use crate::forward::reply::counter_of;
use crate::forward::{Forwarder, Io};
use crate::io::{Chunk, Driver, Instant, Lease};
use crate::messages::Mail;
use clustercore_proto::forward::http::forward_response_resumed;
use clustercore_proto::job::{Message, stream_of};
use clustercore_proto::policy::FailureKind;

/// What a part of a response has come to.
enum Step {
    /// More is to come.
    More,
    /// The response is whole.
    Done,
    /// It cannot be read, or ended too early.
    Failed(FailureKind),
    /// The handler broke the rules.
    Violation,
}

impl Forwarder {
    /// A message from a handler. `false`: the handler broke the rules.
    pub(super) fn on_leg_message<D: Driver>(
        &mut self,
        io: &mut Io<'_, D>,
        leg_id: LegId,
        mail: &Mail,
        index: usize,
        lease: &Lease,
    ) -> bool {
        let mut out = io.driver.buffer();
        let Some(leg) = self.legs.slots.get(leg_id) else { return true };
        let Ok(message) = Message::read(mail.get(index, io.driver.bytes(lease)).1) else { return false };
        // Who is no longer waited for may be answered all the same.
        let client = leg.exchanges.get(message.exchange()).copied();
        let mut act = None;
        match message {
            Message::Part { is_end, bytes, .. } => {
                if let Some(id) = client {
                    act = Some((id, self.take_part(id, is_end, bytes, io.now, &mut out)));
                }
            }
            Message::Credit { total, .. } => {
                io.driver.recycle(out);
                if let Some(id) = client
                    && let Some(exchange) =
                        self.clients.get_mut(id).and_then(|client| client.exchange.as_mut())
                    && exchange.job.as_mut().is_some_and(|job| job.request.on_credit(total))
                {
                    self.pump_request(io, id);
                }
                return true;
            }
            Message::Failed { why, .. } => {
                io.driver.recycle(out);
                if let Some(id) = client {
                    self.fail_job(io, id, why);
                }
                return true;
            }
            Message::Open { .. } | Message::Abort { .. } => {
                io.driver.recycle(out);
                return false;
            }
        }
        match act {
            Some((id, step)) => self.act_on_part(io, id, step, out),
            None => {
                io.driver.recycle(out);
                true
            }
        }
    }

    /// Reads heads and body of a response as they come, and writes to `out` what the client gets.
    fn take_part(
        &mut self,
        id: ClientId,
        is_end: bool,
        bytes: &[u8],
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Step {
        let config = &self.service.config;
        let Some(client) = self.clients.get_mut(id) else { return Step::More };
        let Some(exchange) = client.exchange.as_mut() else { return Step::More };
        let Some(job) = exchange.job.as_mut() else { return Step::More };
        if job.response.receive(bytes.len(), is_end).is_err() {
            return Step::Violation;
        }
        let mut gathered = std::mem::take(&mut job.input);
        let mut rest = bytes;
        if !gathered.is_empty() {
            self.counters.add(Counter::CopiedPieces, bytes.len() as u64);
            gathered.extend_from_slice(bytes);
            rest = &gathered;
        }
        while client.phase == Phase::Waiting {
            // With the rest of the request unread, the next head may never be found.
            let keep = exchange.plan.keep_alive && exchange.request.is_done() && !client.side.is_over();
            let plan = forward_response_resumed(
                &mut job.scan,
                rest,
                &exchange.plan,
                &config.via,
                keep,
                &config.limits,
                out,
            );
            let plan = match plan {
                // There are no tunnels here.
                Ok(Some(plan)) if !plan.tunnel => plan,
                Ok(None) if is_end => return Step::Failed(FailureKind::Reset),
                Ok(None) => {
                    job.input = rest.to_vec();
                    return Step::More;
                }
                Ok(Some(_)) | Err(_) => return Step::Failed(FailureKind::Protocol),
            };
            rest = &rest[plan.head_len..];
            exchange.response_started = true;
            if plan.interim {
                self.counters.inc(Counter::Responses1xx);
                continue;
            }
            exchange.first_byte = Some(now);
            exchange.answer = Some(plan);
            self.counters.inc(counter_of(plan.status));
            exchange.response = Flow::new(plan.framing, &config.limits, plan.dechunk);
            client.phase = Phase::Responding;
        }
        let before = exchange.response.moved();
        let copied = exchange.response.copy(rest, out);
        let moved = exchange.response.moved() - before;
        self.counters.add(Counter::BytesToClient, moved);
        self.counters.add(Counter::CopiedMessages, moved);
        match copied {
            Err(_) => Step::Failed(FailureKind::Protocol),
            // What lies behind the end was not asked for.
            Ok(copied) if copied < rest.len() => Step::Failed(FailureKind::Protocol),
            Ok(_) if exchange.response.is_done() => Step::Done,
            Ok(_) if is_end && exchange.response.on_end() => Step::Done,
            Ok(_) if is_end => Step::Failed(FailureKind::Reset),
            Ok(_) => Step::More,
        }
    }

    /// Sends on what a part has come to.
    fn act_on_part<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId, step: Step, out: Vec<u8>) -> bool {
        let Some(client) = self.clients.get_mut(id) else { return true };
        if out.is_empty() || matches!(step, Step::Failed(_) | Step::Violation) {
            io.driver.recycle(out);
        } else {
            io.driver.send(client.side.stream, Chunk::Owned(out));
        }
        match step {
            Step::More => {
                let config = &self.service.config;
                if client.phase == Phase::Responding {
                    client.deadline = io.now + config.body_timeout;
                }
                self.grant_response(io, id);
            }
            Step::Done => self.finish(io, id),
            Step::Failed(kind) => {
                let Some(exchange) = client.exchange.as_ref() else { return true };
                let Some(job) = exchange.job.as_ref() else { return true };
                let failed = job.failed(exchange, kind, Blame::Backend);
                self.fail(io, id, failed);
            }
            Step::Violation => return false,
        }
        true
    }

    /// Lets the handler send on as far as the client has taken what came.
    pub(in crate::forward) fn grant_response<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let waiting = io.driver.unsent(client.side.stream);
        let Some(job) = client.exchange.as_mut().and_then(|exchange| exchange.job.as_mut()) else { return };
        if let Some(total) = job.response.grant(waiting)
            && let Some(port) = self.legs.slots.get_mut(job.leg).and_then(|leg| leg.port.as_mut())
        {
            let mut out = io.driver.buffer();
            Message::Credit { exchange: job.id, total }.put(&mut out);
            port.outbox.send(&mut port.endpoint, stream_of(job.id), &out, None);
            io.driver.recycle(out);
        }
        self.arm_client(io, id);
    }
}
