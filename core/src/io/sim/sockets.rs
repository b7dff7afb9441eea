//! The simulator's sockets, as the readiness driver wants them.

use super::net::{Net, Owner};
use super::splice::SimPump;
use crate::io::readiness::{News, Sockets, Token};
use crate::io::{
    DatagramOptions, DriverKind, Errno, Features, Instant, ListenOptions, Part, StreamOptions, Waker,
};
use crate::sys::message::Arrived;
use crate::sys::splice::SpliceStep;
use std::cell::{RefCell, RefMut};
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

/// Sockets of one program.
pub struct SimSockets {
    net: Rc<RefCell<Net>>,
    program: u64,
    features: Features,
}

/// A socket; dropping it closes it.
pub struct SimSocket {
    net: Rc<RefCell<Net>>,
    id: u64,
}

impl SimSockets {
    pub(super) fn new(net: Rc<RefCell<Net>>, program: u64, mask: Features) -> SimSockets {
        let features = Features { udp_offload: true, splice: true, ..Features::NONE }.and(mask);
        SimSockets { net, program, features }
    }

    fn net(&self) -> RefMut<'_, Net> {
        self.net.borrow_mut()
    }

    fn owner(&self, token: Option<Token>) -> Owner {
        let ip = self.net.borrow().program(self.program).map(|program| program.ip);
        Owner { program: self.program, ip: ip.unwrap_or(NOWHERE.ip()), token }
    }

    fn socket(&self, id: u64) -> SimSocket {
        SimSocket { net: Rc::clone(&self.net), id }
    }
}

impl Sockets for SimSockets {
    type Socket = SimSocket;
    type Datagram = SimSocket;
    type Pump = SimPump;

    fn kind(&self) -> DriverKind {
        DriverKind::Sim
    }

    fn features(&self) -> Features {
        self.features
    }

    fn now(&self) -> Instant {
        self.net().now
    }

    fn fd(&self) -> Option<RawFd> {
        None
    }

    fn waker(&self) -> Option<Waker> {
        None
    }

    fn is_running(&self) -> bool {
        self.net().is_running(self.program)
    }

    fn has_news(&self) -> bool {
        self.net().has_news(self.program)
    }

    fn listen(&mut self, address: SocketAddr, options: &ListenOptions) -> io::Result<SimSocket> {
        let owner = self.owner(None);
        let id = self.net().listen(owner, address, options.backlog).map_err(Errno::to_io)?;
        Ok(self.socket(id))
    }

    fn adopt(&mut self, _fd: OwnedFd) -> io::Result<SimSocket> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "the simulator cannot listen on the kernel's sockets"))
    }

    fn accept(&mut self, listener: &SimSocket) -> Result<(SimSocket, SocketAddr), Errno> {
        let (id, peer) = self.net().accept(listener.id)?;
        Ok((self.socket(id), peer))
    }

    fn stream(&mut self, _address: SocketAddr, _options: &StreamOptions) -> io::Result<SimSocket> {
        let owner = self.owner(None);
        let local = self.net().bind(self.program, NOWHERE, |_, _| false).map_err(Errno::to_io)?;
        let id = self.net().endpoint(owner, local, NOWHERE, None);
        Ok(self.socket(id))
    }

    fn connect(&mut self, socket: &SimSocket, address: SocketAddr) -> Result<(), Errno> {
        self.net().connect(socket.id, address)
    }

    fn take_error(&mut self, socket: &SimSocket) -> Option<Errno> {
        self.net().take_error(socket.id)
    }

    fn local_address(&self, socket: &SimSocket) -> Option<SocketAddr> {
        let net = self.net();
        let stream = net.endpoints.get(&socket.id).map(|endpoint| endpoint.local);
        stream.or_else(|| net.listeners.get(&socket.id).map(|listener| listener.address))
    }

    fn recv(&mut self, socket: &SimSocket, bytes: &mut [u8]) -> Result<usize, Errno> {
        self.net().recv(socket.id, bytes)
    }

    fn send(&mut self, socket: &SimSocket, slices: &[IoSlice<'_>]) -> Result<usize, Errno> {
        self.net().send(socket.id, slices)
    }

    fn unacknowledged(&self, socket: &SimSocket) -> usize {
        self.net().unacknowledged(socket.id)
    }

    fn shutdown(&mut self, socket: &SimSocket) {
        self.net().shutdown(socket.id);
    }

    fn set_abort(&mut self, socket: &SimSocket) {
        self.net().set_abort(socket.id);
    }

    fn set_send_patience(&mut self, _socket: &SimSocket, _patience: Duration) {
        // A simulated peer reads, crashes or ends with the test.
    }

    fn watch(&mut self, socket: &SimSocket, token: Token) -> Result<(), Errno> {
        let owner = self.owner(Some(token));
        self.net().watch(socket.id, owner);
        Ok(())
    }

    fn datagram(&mut self, address: SocketAddr, options: &DatagramOptions) -> io::Result<SimSocket> {
        let owner = self.owner(None);
        let id = self.net().bind_datagram(owner, address, options).map_err(Errno::to_io)?;
        Ok(self.socket(id))
    }

    fn watch_datagram(&mut self, socket: &SimSocket, token: Token) -> Result<(), Errno> {
        let owner = self.owner(Some(token));
        self.net().watch_datagram(socket.id, owner);
        Ok(())
    }

    fn datagram_address(&self, socket: &SimSocket) -> Option<SocketAddr> {
        self.net().datagrams.get(&socket.id).map(|socket| socket.address)
    }

    fn datagram_receive_buffer(&self, socket: &SimSocket) -> Option<usize> {
        self.net().datagrams.get(&socket.id).map(|socket| socket.bytes_max)
    }

    fn send_datagrams(&mut self, socket: &SimSocket, part: &Part) -> Result<usize, Errno> {
        let bytes = part.bytes();
        let first = &bytes[..part.segment.min(bytes.len())];
        self.net().send_datagram(socket.id, part.to, first, part.ecn)?;
        Ok(first.len())
    }

    fn recv_datagrams(&mut self, socket: &SimSocket, bytes: &mut [u8]) -> Result<(usize, Arrived), Errno> {
        self.net().recv_datagrams(socket.id, bytes, self.features.udp_offload)
    }

    fn pump(&mut self, len: u64) -> Option<SimPump> {
        if self.features.splice { Some(SimPump::new(len)) } else { None }
    }

    fn pump_advance(&mut self, pump: &mut SimPump, source: &SimSocket, target: &SimSocket) -> SpliceStep {
        pump.advance(&mut self.net(), source.id, target.id)
    }

    fn pump_moved(&self, pump: &SimPump) -> u64 {
        pump.moved
    }

    fn pump_end(&mut self, _pump: SimPump) {}

    fn wait(&mut self, _timeout: Option<Duration>, _spin: Duration, news: &mut Vec<News>) -> io::Result<()> {
        self.net().take_news(self.program, news);
        Ok(())
    }
}

impl Drop for SimSockets {
    fn drop(&mut self) {
        self.net().remove_program(self.program);
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        let mut net = self.net.borrow_mut();
        net.close(self.id);
        net.unlisten(self.id);
        net.datagrams.remove(&self.id);
    }
}

/// No address yet.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
