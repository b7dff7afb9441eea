//! One endpoint: its machine and its socket.

use super::arrived::Arrivals;
use super::config::EndpointConfig;
use super::mail::Mail;
use super::socket::EndpointId;
use super::trace::TraceFile;
use crate::error::{Error, Result};
use crate::io::{DatagramId, Driver, Ecn, Instant, Lease, Train};
use crate::log::Trouble;
use crate::security::{EndpointSecurity, Mode};
use clustercore_proto::datagram::{self as proto, Run, Transmit};
use clustercore_proto::rpc::Calls;
use std::net::SocketAddr;

/// A machine for connections, and the socket that they share.
pub(crate) struct Endpoint {
    pub machine: proto::Endpoint<EndpointSecurity>,
    /// Calls on its connections, if they are wanted.
    pub calls: Option<Calls>,
    pub socket: DatagramId,
    /// It was opened without keys.
    pub is_clear: bool,
    /// Trains were held back because the socket had enough.
    is_stuffed: bool,
    /// Why its trace or key log lacks something; `None` without either.
    trouble: Option<Trouble>,
}

impl Endpoint {
    /// Binds the socket.
    ///
    /// Errors: `InsecureAddress`, `BadConfiguration`, `KeyExposed`, those of `bind(2)`, and of making the trace and the key log.
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
        let EndpointConfig { mut machine, security, calls, trace_path, key_log_path, .. } = config;
        if let Some(granted) = driver.datagram_receive_buffer(socket) {
            // More under way than the socket holds would be lost there. A connection always gets room for its longest message.
            let least = machine.message_bytes_max + 16;
            machine.receive_window = machine.receive_window.min((granted / 2).max(least));
            machine.stream_window = machine.stream_window.min(machine.receive_window);
        }
        let security = security.unwrap_or(Mode::Clear);
        let is_clear = matches!(security, Mode::Clear);
        let port = driver.datagram_address(socket).map_or(0, |address| address.port());
        let trouble = (trace_path.is_some() || key_log_path.is_some()).then(Trouble::default);
        let opened = EndpointSecurity::new(security, port).and_then(|mut security| {
            if let (Some(path), Some(trouble)) = (&key_log_path, &trouble) {
                security.log_keys_or_tell(path, trouble.clone())?;
            }
            let mut machine = proto::Endpoint::new(now, machine, security)
                .map_err(|error| Error::new(crate::error::Code::BadConfiguration, error.to_string()))?;
            if let (Some(path), Some(trouble)) = (&trace_path, &trouble) {
                machine.set_tracer(Some(Box::new(TraceFile::create(path, now, trouble.clone())?)));
            }
            Ok(machine)
        });
        match opened {
            Ok(machine) => {
                let calls = calls.map(|config| Calls::new(now, config));
                Ok(Endpoint { machine, calls, socket, is_clear, is_stuffed: false, trouble })
            }
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
                let has_calls = self.calls.is_some();
                self.machine.handle(now, train, &mut |run: Run<'_>| arrivals.push(name, run, has_calls));
            }
            None => debug_assert!(false, "a received train has one lease"),
        }
        arrivals.enter(driver, runs_before, lease);
        let Endpoint { machine, calls, .. } = self;
        if let Some(calls) = calls {
            arrivals.handle_calls(driver, runs_before, |connection, stream, message, told| {
                calls.on_message(now, machine, connection, stream, message, &mut |incoming| told(incoming));
            });
        }
    }

    /// An event of a connection, if there is one. Calls are told of it first.
    pub fn poll_event(&mut self, name: EndpointId, arrivals: &mut Arrivals) -> Option<proto::Event> {
        let event = self.machine.poll_event()?;
        self.tell_calls(name, &event, arrivals);
        Some(event)
    }

    /// As [`Endpoint::poll_event`], but the end of a connection waits until its last words have left.
    pub fn poll_event_but_gone(&mut self, name: EndpointId, arrivals: &mut Arrivals) -> Option<proto::Event> {
        let event = self.machine.poll_event_but_gone()?;
        self.tell_calls(name, &event, arrivals);
        Some(event)
    }

    fn tell_calls(&mut self, name: EndpointId, event: &proto::Event, arrivals: &mut Arrivals) {
        if let Some(calls) = &mut self.calls {
            calls.on_event(&mut self.machine, event, &mut |incoming| arrivals.push_told(name, incoming));
        }
    }

    /// What its trace or its key log has to say, once.
    pub fn take_trouble(&self) -> Option<String> {
        self.trouble.as_ref()?.take()
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
        if wants_now {
            return Some(Instant::ZERO);
        }
        let calls = self.calls.as_ref().and_then(Calls::next_timeout);
        [self.machine.next_timeout(), calls].into_iter().flatten().min()
    }

    /// Runs what is due of calls. To be done before [`Endpoint::drive`].
    pub fn drive_calls(&mut self, now: Instant, name: EndpointId, arrivals: &mut Arrivals) {
        if let Some(calls) = &mut self.calls
            && calls.next_timeout().is_some_and(|due| due <= now)
        {
            calls.handle_timeout(now, &mut self.machine, &mut |incoming| arrivals.push_told(name, incoming));
        }
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
