//! A link on the ordered stream 0 of a connection of reliable datagrams.

use super::Told;
use super::dial::{Keys, connect, why};
use crate::channel::server::time;
use crate::channel::{MESSAGE_BYTES_MAX, STREAM};
use crate::error::Result;
use crate::io::{DatagramId, Driver, Ecn, Instant, Lease};
use crate::messages::{Endpoint, EndpointConfig, Mail, Outbox};
use clustercore_proto::datagram::{Connection, Event, StreamId};
use std::net::SocketAddr;

pub(in crate::channel) struct DatagramLink {
    endpoint: Box<Endpoint>,
    outbox: Outbox<()>,
    mail: Mail,
    is_reading: bool,
    /// What messages have cost whose room the server has not got back, since the participant does not read.
    owed: Vec<(Connection, StreamId, u64)>,
}

impl DatagramLink {
    pub fn open<D: Driver>(
        driver: &mut D,
        address: SocketAddr,
        server_key: Option<[u8; 32]>,
        keys: Keys,
    ) -> Result<DatagramLink> {
        let (endpoint, connection) = connect(driver, address, server_key, keys, EndpointConfig::default())?;
        let (outbox, mail, owed) = (Outbox::new(connection), Mail::default(), Vec::new());
        Ok(DatagramLink { endpoint, outbox, mail, is_reading: true, owed })
    }

    pub fn socket(&self) -> DatagramId {
        self.endpoint.socket
    }

    pub fn close<D: Driver>(mut self, driver: &mut D) {
        let now = time(driver);
        self.endpoint.machine.close(now, self.outbox.connection(), 0, b"gone", false);
        self.endpoint.drive(driver, now);
        driver.close_datagram(self.endpoint.socket);
    }

    pub fn send(&mut self, bytes: &[u8]) {
        for message in bytes.chunks(MESSAGE_BYTES_MAX) {
            self.outbox.send(&mut self.endpoint, STREAM, message, ());
        }
    }

    pub fn has_room(&self) -> bool {
        self.outbox.len() == 0
    }

    pub fn set_reading(&mut self, wanted: bool) {
        self.is_reading = wanted;
        if wanted {
            for (connection, stream, cost) in self.owed.drain(..) {
                self.endpoint.machine.consume(connection, stream, cost);
            }
        }
    }

    pub fn on_train<D: Driver>(
        &mut self,
        driver: &mut D,
        arrival: (SocketAddr, u32, Ecn),
        mut lease: Lease,
        tell: &mut impl FnMut(Told<'_>),
    ) {
        let now = driver.now();
        let mut mail = std::mem::take(&mut self.mail);
        self.endpoint.read_train(driver, now, arrival, &mut lease, &mut mail);
        // A connection is told before its first messages.
        self.take_news(tell);
        for index in 0..mail.len() {
            tell(Told::Bytes(mail.get(index, driver.bytes(&lease)).1));
        }
        let (machine, owed) = (&mut self.endpoint.machine, &mut self.owed);
        mail.clear(|connection, stream, cost| match self.is_reading {
            true => machine.consume(connection, stream, cost),
            false => owed.push((connection, stream, cost)),
        });
        self.mail = mail;
        driver.release(lease);
    }

    pub fn drive<D: Driver>(&mut self, driver: &mut D, tell: &mut impl FnMut(Told<'_>)) {
        let now = time(driver);
        self.endpoint.drive(driver, now);
        self.take_news(tell);
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        self.endpoint.next_timeout()
    }

    fn take_news(&mut self, tell: &mut impl FnMut(Told<'_>)) {
        let ours = self.outbox.connection();
        while let Some(event) = self.endpoint.machine.poll_event() {
            match event {
                Event::Connected { connection, .. } if connection == ours => tell(Told::Made),
                Event::Gone { connection, reason, .. } if connection == ours => {
                    tell(Told::Lost(&why(&reason)));
                }
                Event::Writable { connection } if connection == ours => {
                    self.outbox.flush(&mut self.endpoint, |()| {});
                }
                _ => {}
            }
        }
    }
}
