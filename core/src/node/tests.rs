use super::*;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// A service that answers every connection's first request with its name, and ends with the test.
fn service(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                while let Ok(count) = stream.read(&mut request) {
                    if count == 0 {
                        return;
                    }
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn get(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn serves(choice: DriverChoice, shards: usize) {
    let node = Node::builder().driver(choice).shards(shards).build().unwrap();
    let web =
        node.add_forwarder(ForwarderConfig { name: "web".into(), ..ForwarderConfig::default() }).unwrap();
    let address = node.listen(web, "127.0.0.1:0".parse().unwrap()).unwrap();
    assert!(get(address).starts_with("HTTP/1.1 503 "), "nobody serves yet");
    node.set_local(web, Some(BackendConfig::new(service("local")))).unwrap();
    assert!(get(address).ends_with("\r\n\r\nlocal"));
    let key = node.add_backend(web, BackendConfig::new(service("slave"))).unwrap();
    for _ in 0..8 {
        assert!(get(address).ends_with("\r\n\r\nslave"), "the child list serves alone");
    }
    node.drain_backend(web, key, Duration::from_secs(5)).unwrap();
    let mut drained = false;
    for _ in 0..50 {
        let batch = node.poll(Some(Duration::from_millis(100)), 64).unwrap();
        drained |= batch.events.contains(&(web, ForwardEvent::BackendDrained { backend: key, in_flight: 0 }));
        if drained {
            break;
        }
    }
    assert!(drained);
    node.remove_backend(web, key).unwrap();
    assert!(get(address).ends_with("\r\n\r\nlocal"));
    assert_eq!(node.counter(web, Counter::Requests).unwrap(), 11);
    assert_eq!(node.counter(web, Counter::Responses2xx).unwrap(), 10);
    assert!(node.latency(web, true).unwrap().last_byte.len() >= 10);
    assert_eq!(node.remove_backend(web, key).unwrap_err().code(), Code::NoSuchBackend);
    node.close();
    assert_eq!(node.listen(web, address).unwrap_err().code(), Code::Closed);
}

#[test]
fn a_node_serves_over_io_uring() {
    if crate::io::open(DriverChoice::Uring, DriverConfig::default()).is_ok() {
        serves(DriverChoice::Uring, 1);
    }
}

#[test]
fn two_shards_are_one_service() {
    serves(DriverChoice::Auto, 2);
}

#[test]
fn a_node_serves_over_epoll() {
    serves(DriverChoice::Epoll, 1);
}

#[test]
fn the_descriptor_tells_of_events() {
    let node = Node::builder().build().unwrap();
    let web = node.add_forwarder(ForwarderConfig::default()).unwrap();
    let key = node.add_backend(web, BackendConfig::new("127.0.0.1:9".parse().unwrap())).unwrap();
    node.drain_backend(web, key, Duration::from_secs(1)).unwrap();
    // Nothing else wakes the shard: the drain itself must tell.
    let started = Instant::now();
    wait_readable(&node.shared.outlet.fd, Some(Duration::from_secs(20))).unwrap();
    assert!(started.elapsed() < Duration::from_secs(20), "the descriptor never became readable");
    let mut events = Vec::new();
    for _ in 0..100 {
        events.extend(node.poll(Some(Duration::from_millis(50)), 64).unwrap().events);
        if !events.is_empty() {
            break;
        }
    }
    assert_eq!(events, [(web, ForwardEvent::BackendDrained { backend: key, in_flight: 0 })]);
}
