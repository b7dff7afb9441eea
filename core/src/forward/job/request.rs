//! A request's way into messages.

use super::Job;
use super::leg::{LegId, LegState};
use crate::counters::Counter;
use crate::forward::backend::Backend;
use crate::forward::client::{ClientId, Phase};
use crate::forward::failure::Blame;
use crate::forward::{Forwarder, Io, Mode, ProxyProtocol};
use crate::io::Driver;
use crate::messages::Sent;
use clustercore_proto::forward::http::{ChunkError, HeadScan, Method};
use clustercore_proto::job::{
    Message, OPEN_BYTES_MAX, PART_BYTES_MAX, REQUEST_CREDIT, Receiving, Sending, stream_of,
};
use clustercore_proto::policy::FailureKind;
use std::sync::Arc;

impl Forwarder {
    /// Whether exchanges of this service may go by messages at all.
    pub(super) fn goes_by_messages(&self) -> bool {
        let config = &self.service.config;
        config.mode == Mode::Http && config.proxy_out == ProxyProtocol::Off
    }

    /// Gives a request to its back end's job handler. `false`: it has to go by TCP.
    pub(in crate::forward) fn try_job<D: Driver>(
        &mut self,
        io: &mut Io<'_, D>,
        id: ClientId,
        backend: &Arc<Backend>,
    ) -> bool {
        let config = &self.service.config;
        let connect_timeout = config.connect_timeout;
        let Some(client) = self.clients.get_mut(id) else { return false };
        let Some(exchange) = client.exchange.as_mut() else { return false };
        if std::mem::take(&mut exchange.by_tcp) {
            self.counters.inc(Counter::JobFallbacks);
            return false;
        }
        // A tunnel is nothing that others could share, and a long head no message.
        if exchange.plan.upgrade || exchange.plan.connect || exchange.head.len() > OPEN_BYTES_MAX {
            return false;
        }
        let Some(leg_id) = self.legs.find(backend.key) else { return false };
        let Some(leg) = self.legs.slots.get_mut(leg_id) else { return false };
        match leg.state {
            LegState::Opening => {
                leg.waiting.push(id);
                client.phase = Phase::Connecting;
                client.deadline = io.now + connect_timeout;
                self.arm_client(io, id);
                true
            }
            LegState::Open if leg.port.as_ref().is_some_and(|port| port.outbox.len() < OUTBOX_MAX) => {
                self.begin_job(io, id, leg_id)
            }
            LegState::Open | LegState::Broken => {
                self.counters.inc(Counter::JobFallbacks);
                false
            }
        }
    }

    /// Sends the head with as much of the body as is here. `false`: there are as many exchanges as may be.
    pub(super) fn begin_job<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId, leg_id: LegId) -> bool {
        let config = &self.service.config;
        let Some(client) = self.clients.get_mut(id) else { return false };
        let Some(exchange) = client.exchange.as_mut() else { return false };
        let Some(leg) = self.legs.slots.get_mut(leg_id) else { return false };
        let Some(number) = leg.exchanges.begin(id) else { return false };
        let window = config.window_bytes as u64;
        let is_fresh = std::mem::take(&mut exchange.fresh);
        let mut out = io.driver.buffer();
        let open = Message::Open {
            exchange: number,
            is_end: false,
            is_head: exchange.plan.method == Method::Head,
            is_fresh,
            credit: window,
            bytes: &exchange.head,
        };
        open.put(&mut out);
        let room = OPEN_BYTES_MAX - exchange.head.len();
        let filled = exchange.request.fill(io.driver, &mut client.side, &mut out, room);
        let mut request = Sending::new(REQUEST_CREDIT);
        let is_end = exchange.request.is_done();
        let stream = request.send(number, exchange.head.len() + *filled.as_ref().unwrap_or(&0), is_end);
        if is_end {
            Message::set_end(&mut out);
        }
        exchange.job = Some(Job {
            leg: leg_id,
            id: number,
            request,
            response: Receiving::new(window, window),
            input: Vec::new(),
            scan: HeadScan::for_response(&config.limits),
            is_blocked: false,
            // Until it is sent, there is nothing to abort.
            is_over: true,
        });
        client.phase = Phase::Waiting;
        let Ok(filled) = filled else {
            io.driver.recycle(out);
            self.bad_request_body(io, id);
            return true;
        };
        if filled > 0 {
            exchange.body.clear();
            exchange.body.extend_from_slice(&out[out.len() - filled..]);
        }
        self.counters.inc(Counter::JobRequests);
        self.counters.add(Counter::CopiedMessages, filled as u64);
        self.counters.add(Counter::BytesToBackend, filled as u64);
        if let Some(job) = exchange.job.as_mut() {
            job.is_over = false;
        }
        self.give(io, id, stream, out);
        self.pump_request(io, id);
        true
    }

    /// Makes parts of what there is of the request's body, as the credit allows.
    pub(in crate::forward) fn pump_job<D: Driver>(
        &mut self,
        io: &mut Io<'_, D>,
        id: ClientId,
    ) -> Result<(), ChunkError> {
        loop {
            let Some(client) = self.clients.get_mut(id) else { return Ok(()) };
            let Some(exchange) = client.exchange.as_mut() else { return Ok(()) };
            let Some(job) = exchange.job.as_mut() else { return Ok(()) };
            if exchange.request.is_done() {
                return Ok(());
            }
            if !job.has_room() {
                client.side.stop(io.driver);
                return Ok(());
            }
            if client.side.input.is_empty() {
                client.side.read(io.driver);
                return Ok(());
            }
            let mut out = io.driver.buffer();
            Message::Part { exchange: job.id, is_end: false, bytes: &[] }.put(&mut out);
            let max = PART_BYTES_MAX.min(job.request.room());
            let filled = exchange.request.fill(io.driver, &mut client.side, &mut out, max)?;
            let is_end = exchange.request.is_done();
            if is_end {
                Message::set_end(&mut out);
            }
            let stream = job.request.send(job.id, filled, is_end);
            if client.phase == Phase::Responding {
                client.deadline = io.now + self.service.config.body_timeout;
            }
            self.counters.add(Counter::CopiedMessages, filled as u64);
            self.counters.add(Counter::BytesToBackend, filled as u64);
            self.give(io, id, stream, out);
        }
    }

    /// Hands a message of a client's exchange to the connection.
    fn give<D: Driver>(
        &mut self,
        io: &mut Io<'_, D>,
        id: ClientId,
        stream: clustercore_proto::datagram::StreamId,
        message: Vec<u8>,
    ) {
        let Some(exchange) = self.clients.get_mut(id).and_then(|client| client.exchange.as_mut()) else {
            return;
        };
        let Some(job) = exchange.job.as_mut() else { return };
        let port = self.legs.slots.get_mut(job.leg).and_then(|leg| leg.port.as_mut());
        let sent = match port {
            Some(port) => port.outbox.send(&mut port.endpoint, stream, &message, Some(id)),
            None => Sent::Never,
        };
        io.driver.recycle(message);
        match sent {
            Sent::Now => {}
            Sent::Later => job.is_blocked = true,
            // The event that says why is under way, and fails it.
            Sent::Never => job.is_blocked = true,
        }
    }

    /// An exchange by messages is over: the handler is told, unless it knows.
    pub(in crate::forward) fn end_job<D: Driver>(&mut self, io: &mut Io<'_, D>, job: Job) {
        let Some(leg) = self.legs.slots.get_mut(job.leg) else { return };
        leg.exchanges.end(job.id);
        let is_known = job.is_over || job.response.has_ended();
        if !is_known && let Some(port) = leg.port.as_mut() {
            let mut out = io.driver.buffer();
            Message::Abort { exchange: job.id }.put(&mut out);
            port.outbox.send(&mut port.endpoint, stream_of(job.id), &out, None);
            io.driver.recycle(out);
        }
        if leg.exchanges.is_empty() {
            self.close_leg_if_unused(io, job.leg);
        }
    }

    /// What the handler says when it has no response.
    pub(super) fn fail_job<D: Driver>(
        &mut self,
        io: &mut Io<'_, D>,
        id: ClientId,
        why: clustercore_proto::job::Why,
    ) {
        use clustercore_proto::job::Why;
        let Some(exchange) = self.clients.get_mut(id).and_then(|client| client.exchange.as_mut()) else {
            return;
        };
        let Some(job) = exchange.job.as_mut() else { return };
        job.is_over = true;
        let (kind, blame, was_executed) = match why {
            Why::Refused => (FailureKind::Connect, Blame::Backend, false),
            Why::Reset | Why::Cut => (FailureKind::Reset, Blame::Backend, true),
            Why::Stale => (FailureKind::Reset, Blame::KeptConnection, true),
            Why::Nonsense => (FailureKind::Protocol, Blame::Backend, true),
            Why::Busy => (FailureKind::Connect, Blame::Path, false),
        };
        if why == Why::Refused {
            self.counters.inc(Counter::BackendConnectsFailed);
        }
        let Some(job) = exchange.job.as_ref() else { return };
        let mut failed = job.failed(exchange, kind, blame);
        failed.is_given &= was_executed;
        failed.nothing_back &= !matches!(why, Why::Nonsense | Why::Cut);
        self.fail(io, id, failed);
    }
}

/// Messages that wait on a leg before further requests go by TCP.
const OUTBOX_MAX: usize = 1024;
