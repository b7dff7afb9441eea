//! The way from a participant to its server, over one driver.

use super::config::Link;
use super::server::time;
use super::{MESSAGE_BYTES_MAX, STREAM};
use crate::error::{Code, Error, Result};
use crate::io::{Chunk, Close, Driver, Errno, Event, StreamId, StreamOptions};
use crate::messages::{Endpoint, EndpointConfig, Mail, Outbox};
use crate::security::{Access, Mode, PrivateKey};
use clustercore_proto::datagram::{Connection, Event as ConnectionEvent, GoneReason, RefuseCode};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// What a link tells.
pub(super) enum Told<'a> {
    /// It is there.
    Made,
    /// Bytes of the server.
    Bytes(&'a [u8]),
    /// It is gone, and why.
    Lost(&'a str),
}

/// A link that is open, or opening.
pub(super) enum OpenLink {
    Tcp { stream: StreamId, is_made: bool, is_reading: bool },
    Udp { endpoint: Box<Endpoint>, outbox: Outbox<()>, mail: Mail },
}

impl OpenLink {
    /// Begins to open one. `security` is our key; without any, one is made for a server that must have a key.
    ///
    /// Errors: `NoKey` (a key of ours, none of the server's), `InsecureAddress`, those of a socket.
    pub fn open<D: Driver>(
        driver: &mut D,
        link: &Link,
        security: Option<Mode>,
        insecure: bool,
    ) -> Result<OpenLink> {
        let address = link.address();
        match link {
            Link::Tcp(_) => {
                let stream = driver
                    .connect(address, &StreamOptions::default())
                    .map_err(|error| Error::from_io(format_args!("connect to {address}"), &error))?;
                Ok(OpenLink::Tcp { stream, is_made: false, is_reading: false })
            }
            Link::Udp(_, key) => {
                let config = EndpointConfig::default();
                let (endpoint, connection) = connect(driver, address, *key, security, insecure, config)?;
                let outbox = Outbox::new(connection);
                Ok(OpenLink::Udp { endpoint, outbox, mail: Mail::default() })
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
                match result {
                    Ok(_) => tell(Told::Made),
                    Err(errno) => tell(Told::Lost(&words(errno))),
                }
            }
            (OpenLink::Tcp { stream, .. }, Event::Data { stream: which, lease }) => {
                if *stream == which {
                    tell(Told::Bytes(driver.bytes(&lease)));
                }
                driver.release(lease);
            }
            (OpenLink::Tcp { stream, .. }, Event::End { stream: which }) if *stream == which => {
                tell(Told::Lost("the server has closed the connection"));
            }
            (OpenLink::Tcp { stream, .. }, Event::Failed { stream: which, errno }) if *stream == which => {
                tell(Told::Lost(&words(errno)));
            }
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
            ConnectionEvent::Gone { connection, reason, .. } if connection == ours => {
                tell(Told::Lost(&why(&reason)));
            }
            ConnectionEvent::Writable { connection } if connection == ours => outbox.flush(endpoint, |()| {}),
            _ => {}
        }
    }
}

/// Opens an endpoint of its own for one connection, and begins that.
pub(super) fn connect<D: Driver>(
    driver: &mut D,
    address: SocketAddr,
    server_key: Option<[u8; 32]>,
    security: Option<Mode>,
    insecure: bool,
    config: EndpointConfig,
) -> Result<(Box<Endpoint>, Connection)> {
    let security = match (server_key, security) {
        (Some(_), None | Some(Mode::Clear)) => {
            Some(Mode::Secure { key: PrivateKey::generate()?, access: Access::Any })
        }
        (None, Some(Mode::Secure { .. })) => {
            let words = format!("connect to {address}: there is a key of ours; give the server's too");
            return Err(Error::new(Code::NoKey, words));
        }
        (_, security) => security,
    };
    let now = time(driver);
    let mut config = EndpointConfig { security, insecure, ..config };
    config.machine.epoch = crate::messages::epoch();
    config.machine.is_accepting = false;
    // A quiet consumer is none that is gone.
    config.machine.keep_alive = KEEP_ALIVE;
    let mut endpoint = Endpoint::open(driver, now, any(address), config)?;
    match endpoint.machine.connect(now, address, server_key) {
        Ok(connection) => Ok((Box::new(endpoint), connection)),
        Err(error) => {
            driver.close_datagram(endpoint.socket);
            Err(Error::new(Code::BadConfiguration, format!("connect to {address}: {error:?}")))
        }
    }
}

/// Why a connection is gone, in words for who made it.
pub(super) fn why(reason: &GoneReason) -> String {
    let words = match reason {
        GoneReason::Closed => "the connection was closed",
        GoneReason::ClosedByPeer { text, .. } => {
            return format!("the server has closed the connection: {}", String::from_utf8_lossy(text));
        }
        GoneReason::Unreachable => "the server cannot be reached",
        GoneReason::Refused(RefuseCode::Handshake) => {
            "the server refuses the handshake: it has another key than the one that was given, lets our key not in, or \
             one side has keys and the other has none"
        }
        GoneReason::Refused(_) => "the server takes no more connections",
        GoneReason::NoCommonVersion => "the server speaks none of our versions",
        GoneReason::Silent => "the server is silent",
        GoneReason::Restarted => "the server was started anew",
        GoneReason::Violation(_) => "the server broke the protocol",
    };
    words.to_owned()
}

fn words(errno: Errno) -> String {
    std::io::Error::from_raw_os_error(errno.0).to_string()
}

/// Where the socket of a link to `address` is bound: a link to this machine is not open to others.
fn any(address: SocketAddr) -> SocketAddr {
    let ip = match (address.ip(), address.ip().is_loopback()) {
        (IpAddr::V4(_), true) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        (IpAddr::V4(_), false) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        (IpAddr::V6(_), true) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        (IpAddr::V6(_), false) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(ip, 0)
}

/// A third of the time after which a quiet connection is taken for gone.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Bytes that may wait in the driver before no more are given to it.
const UNSENT_MAX: usize = 1 << 20;
