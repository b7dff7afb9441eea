//! One endpoint: its machine and its socket.

use super::arrived::Arrivals;
use super::config::EndpointConfig;
use super::mail::Mail;
use super::socket::EndpointId;
use crate::error::{Error, Result};
use crate::io::{DatagramId, Driver, Ecn, Instant, Lease, Train};
use crate::security::{EndpointSecurity, Mode};
use clustercore_proto::datagram::{self as proto, Run, Transmit};
use std::net::SocketAddr;

/// A machine for connections, and the socket that they share.
pub(crate) struct Endpoint {
    pub machine: proto::Endpoint<EndpointSecurity>,
    pub socket: DatagramId,
    /// It was opened without keys.
    pub is_clear: bool,
    /// Trains were held back because the socket had enough.
    is_stuffed: bool,
}

impl Endpoint {
    /// Binds the socket.
    ///
    /// Errors: `InsecureAddress`, `BadConfiguration`, and those of `bind(2)`.
    pub fn open<D: Driver>(
        driver: &mut D,
        now: Instant,
        address: SocketAddr,
        config: EndpointConfig,
    ) -> Result<Endpoint> {
        config.check(address)?;
        let socket = driver
            .bind_datagram(address, &config.socket_options())
            .map_err(|error| Error::from_io(format_args!("bind {address}"), &error))?;
        let EndpointConfig { mut machine, security, .. } = config;
        if let Some(granted) = driver.datagram_receive_buffer(socket) {
            // More under way than the socket holds would be lost there. A connection always gets room for its longest message.
            let least = machine.message_bytes_max + 16;
            machine.receive_window = machine.receive_window.min((granted / 2).max(least));
            machine.stream_window = machine.stream_window.min(machine.receive_window);
        }
        let security = security.unwrap_or(Mode::Clear);
        let is_clear = matches!(security, Mode::Clear);
        let port = driver.datagram_address(socket).map_or(0, |address| address.port());
        let opened = EndpointSecurity::new(security, port).and_then(|security| {
            proto::Endpoint::new(now, machine, security)
                .map_err(|error| Error::new(crate::error::Code::BadConfiguration, error.to_string()))
        });
        match opened {
            Ok(machine) => Ok(Endpoint { machine, socket, is_clear, is_stuffed: false }),
            Err(error) => {
                driver.close_datagram(socket);
                Err(error)
            }
        }
    }

    /// Datagrams have arrived: opened where they lie, lent to the owner.
    #[expect(clippy::too_many_arguments, reason = "what is known of a train")]
    pub fn on_datagrams<D: Driver>(
        &mut self,
        driver: &mut D,
        now: Instant,
        name: EndpointId,
        from: SocketAddr,
        segment: u32,
        ecn: Ecn,
        mut lease: Lease,
        arrivals: &mut Arrivals,
    ) {
        let runs_before = arrivals.runs_len();
        match driver.bytes_mut(&mut lease) {
            Some(bytes) => {
                let train = proto::Train { from, bytes, segment: segment as usize, mark: ecn as u8 };
                self.machine.handle(now, train, &mut |run: Run<'_>| arrivals.push(name, run));
            }
            None => debug_assert!(false, "a received train has one lease"),
        }
        arrivals.enter(driver, runs_before, lease);
    }

    /// Datagrams have arrived: opened where they lie, for code that reads them before the lease goes.
    pub fn read_train<D: Driver>(
        &mut self,
        driver: &mut D,
        now: Instant,
        arrival: (SocketAddr, u32, Ecn),
        lease: &mut Lease,
        mail: &mut Mail,
    ) {
        let (from, segment, ecn) = arrival;
        match driver.bytes_mut(lease) {
            Some(bytes) => {
                let train = proto::Train { from, bytes, segment: segment as usize, mark: ecn as u8 };
                self.machine.handle(now, train, &mut |run: Run<'_>| mail.push(run));
            }
            None => debug_assert!(false, "a received train has one lease"),
        }
    }

    /// When it wants a turn: at once, at a time, or never.
    pub fn next_timeout(&self) -> Option<Instant> {
        let wants_now = self.machine.wants_to_send() && !self.is_stuffed;
        if wants_now { Some(Instant::ZERO) } else { self.machine.next_timeout() }
    }

    /// Runs what is due and hands trains to the driver, as many as the socket may hold.
    pub fn drive<D: Driver>(&mut self, driver: &mut D, now: Instant) {
        if self.machine.next_timeout().is_some_and(|due| due <= now) {
            self.machine.handle_timeout(now);
        }
        let socket = self.socket;
        self.is_stuffed = false;
        while self.machine.wants_to_send() {
            if driver.datagrams_unsent(socket) >= UNSENT_MAX {
                self.is_stuffed = true;
                return;
            }
            self.machine.transmit(now, TRAINS_AT_A_TIME, &mut |train: Transmit| {
                let Transmit { to, bytes, range, segment, is_ecn, .. } = train;
                let ecn = if is_ecn { Ecn::Capable0 } else { Ecn::NotCapable };
                let train = Train { ecn: Some(ecn), ..Train::shared(&bytes, range, segment) };
                driver.send_datagrams(socket, to, train);
            });
        }
    }
}

/// Bytes that the driver and the socket may hold before the machine keeps the rest.
const UNSENT_MAX: usize = 1 << 20;
const TRAINS_AT_A_TIME: usize = 16;
