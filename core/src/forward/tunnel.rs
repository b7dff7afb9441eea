//! Bytes both ways: TCP mode, upgrades, CONNECT. Half-close is kept: the end of one direction is passed on when its bytes have been.

use super::client::{ClientId, Phase};
use super::flow::Flow;
use super::{Forwarder, Io};
use crate::counters::Counter;
use crate::io::{Close, Driver};
use clustercore_proto::forward::http::Framing;

impl Forwarder {
    /// From here on bytes pass both ways until both sides have ended.
    pub(super) fn open_tunnel<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) {
        let config = &self.service.config;
        let Some(client) = self.clients.get_mut(id) else { return };
        let Some(exchange) = client.exchange.as_mut() else { return };
        exchange.request = Flow::new(Framing::UntilClose, &config.limits, false);
        exchange.response = Flow::new(Framing::UntilClose, &config.limits, false);
        client.phase = Phase::Tunnel;
        client.deadline = io.now + config.idle_timeout;
        self.counters.inc(Counter::Tunnels);
        self.arm_client(io, id);
        let ended = client_ended(self, id);
        self.pump_request(io, id);
        self.pump_tunnel_to_client(io, id);
        if ended {
            self.tunnel_client_end(io, id);
        }
    }

    /// Bytes from the back end to the client.
    pub(super) fn pump_tunnel_to_client<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) {
        let limits = self.flow_limits();
        let Some(client) = self.clients.get_mut(id) else { return };
        let Some(exchange) = client.exchange.as_mut() else { return };
        let Some(link) = exchange.link.and_then(|link| self.links.get_mut(link)) else { return };
        let before = exchange.response.moved();
        if let Ok(true) =
            exchange.response.pump(io.driver, &mut link.side, &client.side, limits, &self.counters)
        {
            client.deadline = io.now + self.service.config.idle_timeout;
        }
        self.counters.add(Counter::BytesToClient, exchange.response.moved() - before);
    }

    pub(super) fn tunnel_client_end<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) {
        self.pump_request(io, id);
        let Some(client) = self.clients.get_mut(id) else { return };
        let Some(exchange) = client.exchange.as_mut() else { return };
        exchange.request.on_end();
        if let Some(link) = exchange.link.and_then(|link| self.links.get_mut(link)) {
            io.driver.shutdown(link.side.stream);
        }
        self.tunnel_close_if_done(io, id);
    }

    pub(super) fn tunnel_link_end<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) {
        self.pump_tunnel_to_client(io, id);
        let Some(client) = self.clients.get_mut(id) else { return };
        let Some(exchange) = client.exchange.as_mut() else { return };
        exchange.response.on_end();
        io.driver.shutdown(client.side.stream);
        self.tunnel_close_if_done(io, id);
    }

    fn tunnel_close_if_done<D: Driver>(&mut self, io: &mut Io<'_, D>, id: ClientId) {
        let Some(exchange) = self.clients.get_mut(id).and_then(|client| client.exchange.as_mut()) else {
            return;
        };
        if !exchange.request.is_done() || !exchange.response.is_done() {
            return;
        }
        let latency = io.now.saturating_sub(exchange.sent).as_nanos() as u64;
        let (link, backend) = (exchange.link.take(), exchange.backend.take());
        if let Some(backend) = backend {
            backend.on_end(self.shard);
            let change = backend.on_success(self.shard, io.now, latency);
            self.tell_health(io, &backend, change);
            self.tell_drained(io, &backend);
        }
        if let Some(link) = link {
            if let Some(state) = self.links.get_mut(link) {
                state.client = None;
            }
            self.drop_link(io, link);
        }
        self.close_client(io, id, Close::AfterSend);
    }
}

fn client_ended(forwarder: &Forwarder, id: ClientId) -> bool {
    forwarder.clients.get(id).is_some_and(|client| client.side.ended)
}
