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
