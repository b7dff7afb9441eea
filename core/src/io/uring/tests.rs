use super::*;
use crate::io::BuffersConfig;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::time::Instant;

const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const PATIENCE: Duration = Duration::from_secs(10);

fn driver() -> Option<UringDriver> {
    let buffers = BuffersConfig { shared_count: 16, shared_size: 4096, block_bytes_max: 1 << 20 };
    match UringDriver::new(DriverConfig {
        streams_max: 64,
        submissions: 64,
        buffers,
        ..DriverConfig::default()
    }) {
        Ok(driver) => Some(driver),
        Err(error) => {
            eprintln!("skipped: io_uring is not available ({error})");
            None
        }
    }
}

/// Turns until the condition holds; `false` when it does not in time.
fn until(driver: &mut UringDriver, mut condition: impl FnMut(&mut UringDriver, &[Event]) -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    let mut events = Vec::new();
    while Instant::now() < deadline {
        events.clear();
        driver.turn(Some(Duration::from_millis(5)), &mut events).unwrap();
        if condition(driver, &events) {
            return true;
        }
    }
    false
}

/// Whether the address can be bound again; the kernel ends a ring's operations in its own time.
fn becomes_free(address: SocketAddr) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if TcpListener::bind(address).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

#[test]
fn a_closed_stream_leaves_no_connect_behind() {
    let Some(mut driver) = driver() else { return };
    // One that nobody accepts from and whose backlog is full answers no further SYN.
    let full = socket::listen(HERE, &ListenOptions { backlog: 0, ..ListenOptions::default() }).unwrap();
    let address = socket::local_address(&full).unwrap();
    let options = StreamOptions::default();
    let streams: Vec<_> = (0..8).map(|_| driver.connect(address, &options).unwrap()).collect();
    let mut connected = 0;
    until(&mut driver, |_, events| {
        connected += events.iter().filter(|event| matches!(event, Event::Connected { .. })).count();
        connected >= 1
    });
    assert!(connected < streams.len(), "some are not answered");
    for stream in streams {
        driver.close(stream, Close::Abort);
    }
    assert_eq!(driver.streams_open(), 0);
    // The waker's poll stays.
    assert!(until(&mut driver, |driver, _| driver.ring.in_flight() <= 1), "{} left", driver.ring.in_flight());
}

#[test]
fn a_driver_dropped_on_another_thread_leaves_no_socket_open() {
    let Some(mut driver) = driver() else { return };
    let closed = driver.listen(HERE, &ListenOptions::default()).unwrap();
    let open = driver.listen(HERE, &ListenOptions::default()).unwrap();
    let addresses = [closed, open].map(|listener| driver.listener_address(listener).unwrap());
    driver.turn(Some(Duration::ZERO), &mut Vec::new()).unwrap();
    // The close is queued, and the other thread cannot submit it.
    driver.unlisten(closed);
    std::thread::spawn(move || drop(driver)).join().unwrap();
    for address in addresses {
        assert!(becomes_free(address), "{address} is still bound");
    }
}

#[test]
fn a_connection_accepted_but_never_seen_ends_with_the_driver() {
    let Some(mut driver) = driver() else { return };
    let listener = driver.listen(HERE, &ListenOptions::default()).unwrap();
    let address = driver.listener_address(listener).unwrap();
    driver.turn(Some(Duration::ZERO), &mut Vec::new()).unwrap();
    let mut clients: Vec<_> = (0..4).map(|_| TcpStream::connect(address).unwrap()).collect();
    drop(driver);
    for client in &mut clients {
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        match client.read(&mut [0; 1]) {
            Ok(0) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            other => panic!("the connection is still open: {other:?}"),
        }
    }
}

#[test]
fn what_is_queued_at_the_end_meets_its_own_socket() {
    let Some(mut driver) = driver() else { return };
    let (near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
    driver.turn(Some(Duration::ZERO), &mut Vec::new()).unwrap();
    let stream = driver.stream_insert(near.into()).unwrap();
    driver.send(stream, Chunk::Owned(b"last".to_vec()));
    driver.flush_sends();
    drop(driver);
    let mut got = Vec::new();
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    far.read_to_end(&mut got).unwrap();
    assert_eq!(got, b"last");
}

#[test]
fn closed_listeners_and_datagram_sockets_leave_nothing_behind() {
    let Some(mut driver) = driver() else { return };
    for _ in 0..200 {
        let listener = driver.listen(HERE, &ListenOptions::default()).unwrap();
        let datagram = driver.bind_datagram(HERE, &DatagramOptions::default()).unwrap();
        driver.turn(Some(Duration::ZERO), &mut Vec::new()).unwrap();
        driver.unlisten(listener);
        driver.close_datagram(datagram);
        assert!(driver.listener_address(listener).is_none() && driver.datagram_address(datagram).is_none());
    }
    assert!(driver.listeners.is_empty() && driver.datagrams.sockets.is_empty());
    assert!(until(&mut driver, |driver, _| driver.ring.in_flight() <= 1), "{} left", driver.ring.in_flight());
}

/// A stream over a pair of sockets, and the other end.
fn paired(driver: &mut UringDriver) -> (StreamId, std::os::unix::net::UnixStream) {
    let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    far.set_nonblocking(true).unwrap();
    (driver.stream_insert(near.into()).unwrap(), far)
}

/// Fills the stream's socket, then lets a flight come back with this errno and nothing taken. Returns how many bytes go before the flight's.
fn refuse_flight(
    driver: &mut UringDriver,
    stream: StreamId,
    errno: i32,
    bytes: &[u8],
    events: &mut Vec<Event>,
) -> usize {
    let mut before = 0;
    while let Ok(count) = rustix::net::send(
        &driver.streams.get(stream).unwrap().fd,
        &[b'-'; 4096],
        rustix::net::SendFlags::empty(),
    ) {
        before += count;
    }
    let mut flight = SendFlight::new();
    flight.chunks.push(Chunk::Owned(bytes.to_vec()));
    flight.len = bytes.len();
    let done = Done {
        kind: Kind::Send(stream),
        held: Held::Send(flight),
        result: Err(Errno(errno)),
        buffer: None,
        more: false,
    };
    driver.on_done(done, events);
    before
}

/// Turns and reads until the other side ends or has been read for `len` bytes.
fn read_all(driver: &mut UringDriver, far: &mut std::os::unix::net::UnixStream, len: usize) -> Vec<u8> {
    let mut got = Vec::new();
    until(driver, |_, events| {
        assert!(!events.iter().any(|event| matches!(event, Event::Failed { .. })), "{events:?}");
        let mut piece = [0; 64 << 10];
        while let Ok(count) = far.read(&mut piece) {
            got.extend_from_slice(&piece[..count]);
            if count == 0 {
                return true;
            }
        }
        got.len() >= len
    });
    got
}

#[test]
fn a_send_that_comes_back_with_nothing_taken_goes_on_when_there_is_room() {
    let Some(mut driver) = driver() else { return };
    for errno in [libc::EAGAIN, libc::EINTR] {
        let (stream, mut far) = paired(&mut driver);
        let mut events = Vec::new();
        let before = refuse_flight(&mut driver, stream, errno, b"first ", &mut events);
        assert!(before > 0 && events.is_empty(), "{events:?}");
        driver.send(stream, Chunk::Owned(b"second".to_vec()));
        // Nobody reads: it waits, and costs no turn.
        for _ in 0..3 {
            driver.turn(Some(Duration::from_millis(1)), &mut events).unwrap();
        }
        assert!(events.is_empty(), "{events:?}");
        driver.close(stream, Close::AfterSend);
        let got = read_all(&mut driver, &mut far, usize::MAX);
        assert_eq!(&got[before..], b"first second");
        assert_eq!(driver.streams_open(), 0);
    }
}

#[test]
fn a_stream_closed_while_its_send_waits_for_room_leaves_nothing_behind() {
    let Some(mut driver) = driver() else { return };
    let (stream, _far) = paired(&mut driver);
    refuse_flight(&mut driver, stream, libc::EAGAIN, b"never", &mut Vec::new());
    driver.turn(Some(Duration::ZERO), &mut Vec::new()).unwrap();
    driver.close(stream, Close::Abort);
    assert!(until(&mut driver, |driver, _| driver.ring.in_flight() <= 1), "{} left", driver.ring.in_flight());
    assert_eq!((driver.streams_open(), driver.ring.buffers().lent()), (0, 0));
}

#[test]
fn a_receive_that_comes_back_with_nothing_goes_on() {
    let Some(mut driver) = driver() else { return };
    for errno in [libc::EAGAIN, libc::EINTR] {
        for block in [false, true] {
            let (stream, far) = paired(&mut driver);
            let mut events = Vec::new();
            if block {
                driver.recv_block(stream, 4096)
            } else {
                driver.recv(stream)
            }
            // In the place of its own completion, which is cancelled and comes to nobody.
            let op = driver.streams.get_mut(stream).unwrap().recv_op.take().unwrap();
            driver.ring.cancel(op);
            driver.turn(Some(Duration::ZERO), &mut Vec::new()).unwrap();
            let held = if block {
                Held::Block(driver.ring.buffers_mut().take_block(4096).unwrap())
            } else {
                Held::Nothing
            };
            let kind = if block { Kind::RecvBlock(stream) } else { Kind::Recv(stream) };
            let state = driver.streams.get_mut(stream).unwrap();
            state.recv = if block { stream::Recv::Block } else { stream::Recv::Shared };
            driver.on_done(
                Done { kind, held, result: Err(Errno(errno)), buffer: None, more: false },
                &mut events,
            );
            assert!(events.is_empty(), "{events:?}");
            rustix::net::send(&far, b"bytes", rustix::net::SendFlags::empty()).unwrap();
            let came = until(&mut driver, |_, events| {
                events.iter().any(|event| matches!(event, Event::Data { lease, .. } if lease.len() == 5))
            });
            assert!(came, "errno {errno}, block {block}");
            driver.close(stream, Close::Abort);
        }
    }
}

#[test]
fn bytes_lost_on_the_way_are_a_reset_and_no_end() {
    let Some(mut driver) = driver() else { return };
    let listener = TcpListener::bind(HERE).unwrap();
    // Closed or half-closed by the owner before the kernel has no memory for the last bytes; the connection itself is well.
    for is_half in [false, true] {
        let mut far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        far.set_read_timeout(Some(PATIENCE)).unwrap();
        let (near, _) = listener.accept().unwrap();
        near.set_nonblocking(true).unwrap();
        let stream = driver.stream_insert(near.into()).unwrap();
        driver.send(stream, Chunk::Owned(b"part of an answer".to_vec()));
        if !is_half {
            driver.close(stream, Close::AfterSend);
        }
        let mut events = Vec::new();
        driver.fail_into(stream, Errno(libc::ENOBUFS), &mut events);
        if is_half {
            assert!(matches!(events[..], [Event::Failed { errno: Errno(libc::ENOBUFS), .. }]), "{events:?}");
            driver.shutdown(stream);
            driver.close(stream, Close::AfterSend);
        }
        driver.turn(Some(Duration::ZERO), &mut Vec::new()).unwrap();
        assert_eq!((events.len(), driver.streams_open()), (usize::from(is_half), 0));
        assert_eq!(far.read(&mut [0; 64]).unwrap_err().kind(), io::ErrorKind::ConnectionReset, "{is_half}");
    }
}
