//! The way from a participant to its server, over one driver.

use super::config::Link;
use super::server::time;
use super::{MESSAGE_BYTES_MAX, STREAM};
use crate::error::{Error, Result};
use crate::io::{Chunk, Close, Driver, Event, StreamId, StreamOptions};
use crate::messages::{Endpoint, EndpointConfig, Mail, Outbox};
use crate::security::Mode;
use clustercore_proto::datagram::{Connection, Event as ConnectionEvent};

/// What a link tells.
pub(super) enum Told<'a> {
    /// It is there.
    Made,
    /// Bytes of the server.
    Bytes(&'a [u8]),
    /// It is gone.
    Lost,
}

/// A link that is open, or opening.
pub(super) enum OpenLink {
    Tcp { stream: StreamId, is_made: bool, is_reading: bool },
    Udp { endpoint: Box<Endpoint>, outbox: Outbox<()>, mail: Mail },
}

impl OpenLink {
    pub fn open<D: Driver>(driver: &mut D, link: &Link, security: Option<Mode>) -> Result<OpenLink> {
        let address = link.address();
        match link {
            Link::Tcp(_) => {
                let stream = driver
                    .connect(address, &StreamOptions::default())
                    .map_err(|error| Error::from_io(format_args!("connect to {address}"), &error))?;
                Ok(OpenLink::Tcp { stream, is_made: false, is_reading: false })
            }
            Link::Udp(_, key) => {
                let any = if address.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
                let any = if address.ip().is_loopback() { any } else { wildcard(address.is_ipv4()) };
                let any = any.parse().unwrap_or(address);
                let now = time(driver);
                let mut config = EndpointConfig { security, ..EndpointConfig::default() };
                config.machine.epoch = crate::messages::epoch();
                let mut endpoint = Endpoint::open(driver, now, any, config)?;
                let connection = endpoint.machine.connect(now, address, *key).map_err(|error| {
                    Error::new(
                        crate::error::Code::BadConfiguration,
                        format!("connect to {address}: {error:?}"),
                    )
                })?;
                let outbox = Outbox::new(connection);
                Ok(OpenLink::Udp { endpoint: Box::new(endpoint), outbox, mail: Mail::default() })
            }
        }
    }

    pub fn close<D: Driver>(self, driver: &mut D) {
        match self {
            OpenLink::Tcp { stream, .. } => driver.close(stream, Close::AfterSend),
            OpenLink::Udp { mut endpoint, outbox, .. } => {
                let now = time(driver);
                endpoint.machine.close(now, outbox.connection(), 0, b"gone", false);
                endpoint.drive(driver, now);
                driver.close_datagram(endpoint.socket);
            }
        }
    }

    pub fn send<D: Driver>(&mut self, driver: &mut D, bytes: Vec<u8>) {
        match self {
            OpenLink::Tcp { stream, .. } => driver.send(*stream, Chunk::Owned(bytes)),
            OpenLink::Udp { endpoint, outbox, .. } => {
                for message in bytes.chunks(MESSAGE_BYTES_MAX) {
                    outbox.send(endpoint, STREAM, message, ());
                }
            }
        }
    }

    /// Whether more may be sent now.
    pub fn has_room<D: Driver>(&self, driver: &D) -> bool {
        match self {
            OpenLink::Tcp { stream, is_made, .. } => *is_made && driver.unsent(*stream) < UNSENT_MAX,
            OpenLink::Udp { outbox, .. } => outbox.len() == 0,
        }
    }

    /// Reads, or does not for now.
    pub fn set_reading<D: Driver>(&mut self, driver: &mut D, wanted: bool) {
        if let OpenLink::Tcp { stream, is_made: true, is_reading } = self
            && *is_reading != wanted
        {
            *is_reading = wanted;
            if wanted { driver.recv(*stream) } else { driver.recv_stop(*stream) }
        }
    }

    /// Something happened. What came of it is told.
    pub fn on_event<D: Driver>(&mut self, driver: &mut D, event: Event, tell: &mut impl FnMut(Told<'_>)) {
        match (self, event) {
            (OpenLink::Tcp { stream, is_made, .. }, Event::Connected { stream: which, result })
                if *stream == which =>
            {
                *is_made = result.is_ok();
                tell(if *is_made { Told::Made } else { Told::Lost });
            }
            (OpenLink::Tcp { stream, .. }, Event::Data { stream: which, lease }) => {
                if *stream == which {
                    tell(Told::Bytes(driver.bytes(&lease)));
                }
                driver.release(lease);
            }
            (
                OpenLink::Tcp { stream, .. },
                Event::End { stream: which } | Event::Failed { stream: which, .. },
            ) if *stream == which => tell(Told::Lost),
            (
                OpenLink::Udp { endpoint, outbox, mail },
                Event::Datagrams { socket, from, segment, ecn, mut lease },
            ) if endpoint.socket == socket => {
                let now = driver.now();
                endpoint.read_train(driver, now, (from, segment, ecn), &mut lease, mail);
                take_news(endpoint, outbox, tell);
                for index in 0..mail.len() {
                    tell(Told::Bytes(mail.get(index, driver.bytes(&lease)).1));
                }
                let machine = &mut endpoint.machine;
                mail.clear(|connection, stream, cost| machine.consume(connection, stream, cost));
                driver.release(lease);
            }
            (_, Event::Data { lease, .. } | Event::Datagrams { lease, .. }) => driver.release(lease),
            _ => {}
        }
    }

    /// Time-outs and trains of the datagram link.
    pub fn drive<D: Driver>(&mut self, driver: &mut D, tell: &mut impl FnMut(Told<'_>)) {
        if let OpenLink::Udp { endpoint, outbox, .. } = self {
            let now = time(driver);
            endpoint.drive(driver, now);
            take_news(endpoint, outbox, tell);
        }
    }

    pub fn next_timeout(&self) -> Option<crate::io::Instant> {
        match self {
            OpenLink::Tcp { .. } => None,
            OpenLink::Udp { endpoint, .. } => endpoint.next_timeout(),
        }
    }
}

fn take_news(endpoint: &mut Endpoint, outbox: &mut Outbox<()>, tell: &mut impl FnMut(Told<'_>)) {
    let ours: Connection = outbox.connection();
    while let Some(event) = endpoint.machine.poll_event() {
        match event {
            ConnectionEvent::Connected { connection, .. } if connection == ours => tell(Told::Made),
            ConnectionEvent::Gone { connection, .. } if connection == ours => tell(Told::Lost),
            ConnectionEvent::Writable { connection } if connection == ours => outbox.flush(endpoint, |()| {}),
            _ => {}
        }
    }
}

fn wildcard(is_ipv4: bool) -> &'static str {
    if is_ipv4 { "0.0.0.0:0" } else { "[::]:0" }
}

/// Bytes that may wait in the driver before no more are given to it.
const UNSENT_MAX: usize = 1 << 20;
