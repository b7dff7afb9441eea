//! The way from a participant to its server, over one driver.

mod call;
mod datagrams;
mod dial;

use super::config::Link;
use crate::error::{Error, Result};
use crate::io::{Chunk, Close, Driver, Errno, Event, StreamId, StreamOptions};
use call::CallLink;
use datagrams::DatagramLink;
pub(super) use dial::Keys;

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
    Udp(DatagramLink),
    Rpc(CallLink),
}

impl OpenLink {
    /// Begins to open one.
    ///
    /// Errors: `NoKey` (a key of ours, none of the server's), `InsecureAddress`, those of a socket.
    pub fn open<D: Driver>(driver: &mut D, link: &Link, keys: Keys) -> Result<OpenLink> {
        match link {
            Link::Tcp(address) => {
                let stream = driver
                    .connect(*address, &StreamOptions::default())
                    .map_err(|error| Error::from_io(format_args!("connect to {address}"), &error))?;
                Ok(OpenLink::Tcp { stream, is_made: false, is_reading: false })
            }
            Link::Udp(address, key) => DatagramLink::open(driver, *address, *key, keys).map(OpenLink::Udp),
            Link::Rpc(address, key) => CallLink::open(driver, *address, *key, keys).map(OpenLink::Rpc),
        }
    }

    pub fn close<D: Driver>(self, driver: &mut D) {
        match self {
            OpenLink::Tcp { stream, .. } => driver.close(stream, Close::AfterSend),
            OpenLink::Udp(link) => link.close(driver),
            OpenLink::Rpc(link) => link.close(driver),
        }
    }

    pub fn send<D: Driver>(&mut self, driver: &mut D, bytes: Vec<u8>) {
        match self {
            OpenLink::Tcp { stream, .. } => driver.send(*stream, Chunk::Owned(bytes)),
            OpenLink::Udp(link) => link.send(&bytes),
            OpenLink::Rpc(link) => link.send(&bytes),
        }
    }

    /// Whether more may be sent now.
    pub fn has_room<D: Driver>(&self, driver: &D) -> bool {
        match self {
            OpenLink::Tcp { stream, is_made, .. } => *is_made && driver.unsent(*stream) < UNSENT_MAX,
            OpenLink::Udp(link) => link.has_room(),
            OpenLink::Rpc(link) => link.has_room(),
        }
    }

    /// Reads, or does not for now: then the server's bytes wait on its side, but for a window of them.
    pub fn set_reading<D: Driver>(&mut self, driver: &mut D, wanted: bool) {
        match self {
            OpenLink::Tcp { stream, is_made: true, is_reading } if *is_reading != wanted => {
                *is_reading = wanted;
                if wanted { driver.recv(*stream) } else { driver.recv_stop(*stream) }
            }
            OpenLink::Tcp { .. } => {}
            OpenLink::Udp(link) => link.set_reading(wanted),
            OpenLink::Rpc(link) => link.set_reading(wanted),
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
                    Ok(()) => tell(Told::Made),
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
            (OpenLink::Udp(link), Event::Datagrams { socket, from, segment, ecn, lease })
                if link.socket() == socket =>
            {
                link.on_train(driver, (from, segment, ecn), lease, tell);
            }
            (OpenLink::Rpc(link), Event::Datagrams { socket, from, segment, ecn, lease })
                if link.socket() == socket =>
            {
                link.on_train(driver, (from, segment, ecn), lease, tell);
            }
            (_, Event::Data { lease, .. } | Event::Datagrams { lease, .. }) => driver.release(lease),
            _ => {}
        }
    }

    /// Time-outs and trains of a link over datagrams.
    pub fn drive<D: Driver>(&mut self, driver: &mut D, tell: &mut impl FnMut(Told<'_>)) {
        match self {
            OpenLink::Tcp { .. } => {}
            OpenLink::Udp(link) => link.drive(driver, tell),
            OpenLink::Rpc(link) => link.drive(driver, tell),
        }
    }

    pub fn next_timeout(&self) -> Option<crate::io::Instant> {
        match self {
            OpenLink::Tcp { .. } => None,
            OpenLink::Udp(link) => link.next_timeout(),
            OpenLink::Rpc(link) => link.next_timeout(),
        }
    }
}

fn words(errno: Errno) -> String {
    std::io::Error::from_raw_os_error(errno.0).to_string()
}

/// Bytes that may wait in the driver before no more are given to it.
const UNSENT_MAX: usize = 1 << 20;
