use super::command::Signals;
use super::*;
use crate::io::{DriverChoice, DriverConfig};
use clustercore_queue::mpsc;
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

/// Until one comes, for ten seconds at most.
fn next_events(node: &Node) -> Vec<NodeEvent> {
    for _ in 0..100 {
        let batch = node.poll(Some(Duration::from_millis(100)), 64).unwrap();
        if !batch.events.is_empty() {
            return batch.events;
        }
    }
    Vec::new()
}

/// Runs it on a thread; it must end in twenty seconds.
fn ends<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, answer) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(what()));
    answer.recv_timeout(Duration::from_secs(20)).expect("it ends")
}

/// Keeps a shard from its commands until the sender goes, and fills its queue.
fn stall(node: &Node, index: usize) -> std::sync::mpsc::Sender<()> {
    let (gate, closed) = std::sync::mpsc::channel::<()>();
    let (reached, reach) = std::sync::mpsc::channel();
    let mut commands = lock(&node.shared.links[index].commands);
    let block = Box::new(move |_: &mut Shard| {
        reached.send(()).unwrap();
        let _ = closed.recv_timeout(Duration::from_secs(20));
    });
    assert!(commands.try_send(block).is_ok());
    node.shared.links[index].waker.wake();
    reach.recv_timeout(Duration::from_secs(20)).expect("the shard runs");
    while commands.try_send(Box::new(|_| ())).is_ok() {}
    gate
}

#[test]
fn nobody_waits_for_an_answer_that_cannot_come() {
    // The shard has looked for the last time when the command comes: it stays in the ring, which its asker keeps.
    let shard = Shard::builder().driver(DriverChoice::Epoll).build().unwrap();
    let (commands, mut inbox) = mpsc::ring(4);
    let signals = Arc::new(Signals::default());
    let (bell, waker) = (Arc::new(Bell::new()), shard.waker().unwrap());
    let commands = Mutex::new(commands);
    let link = ShardLink { index: 0, commands, signals, bell, waker, thread: Mutex::new(None) };
    let asker = std::thread::spawn(move || ends(move || link.ask(|_| ()).map_err(|error| error.code())));
    let came = (0..2000).any(|_| {
        std::thread::sleep(Duration::from_millis(1));
        !inbox.is_empty()
    });
    assert!(came);
    inbox.close();
    assert_eq!(asker.join().unwrap(), Err(Code::Closed));
}

#[test]
fn askers_return_when_the_node_closes() {
    for round in 0..20 {
        let node = Node::builder().shards(2).queue_depth(16).build().unwrap();
        let web = node.add_forwarder(ForwarderConfig::default()).unwrap();
        let askers: Vec<_> = (0..3)
            .map(|_| {
                let node = node.clone();
                std::thread::spawn(move || {
                    loop {
                        match node.counter(web, Counter::Requests).and_then(|_| node.latency(web, false)) {
                            Ok(_) => {}
                            Err(error) => return error.code(),
                        }
                    }
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(round % 5));
        node.close();
        for asker in askers {
            assert_eq!(ends(move || asker.join().unwrap()), Code::Closed);
        }
    }
}

#[test]
fn a_full_queue_loses_no_change_and_leaves_no_half_forwarder() {
    let node = Node::builder().shards(2).queue_depth(16).build().unwrap();
    let first = node.add_forwarder(ForwarderConfig::default()).unwrap();
    let gate = stall(&node, 1);
    let refused = node.add_forwarder(ForwarderConfig::default()).unwrap_err();
    assert_eq!(refused.code(), Code::QueueFull);
    let key = node.add_backend(first, BackendConfig::new("127.0.0.1:9".parse().unwrap())).unwrap();
    node.drain_backend(first, key, Duration::from_secs(60)).unwrap();
    let early = node.poll(Some(Duration::from_millis(50)), 64).unwrap();
    assert_eq!(early.events, [], "one shard does not know of the drain");
    drop(gate);
    // It learns of the drain without another word of ours.
    assert_eq!(next_events(&node), [(first, ForwardEvent::BackendDrained { backend: key, in_flight: 0 })]);
    // What is added now has one number on all shards, and works on each.
    let next = node.add_forwarder(ForwarderConfig::default()).unwrap();
    assert!(node.listen(next, "127.0.0.1:0".parse().unwrap()).is_ok());
    for index in 0..2 {
        let same = node.ask(index, move |shard| Ok(Arc::as_ptr(shard.forwarder(next)?.service()) as usize));
        assert_eq!(same.unwrap(), Arc::as_ptr(&node.entry(next).unwrap().service) as usize);
    }
    // A removal passes a full queue too; until then the place is not used again.
    let gate = stall(&node, 1);
    node.remove_forwarder(first).unwrap();
    assert_eq!(node.remove_forwarder(first).unwrap_err().code(), Code::NoSuchForwarder);
    let service = Service::new(ForwarderConfig::default(), 1);
    let again = node.shared.services.hold().unwrap();
    assert!(again != first && again != next);
    service.end_shard(0);
    node.shared.services.give_up(again, service);
    drop(gate);
    let gone = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        node.ask(1, move |shard| Ok(shard.forwarder(first).is_err())).unwrap_or(false)
    });
    assert!(gone);
    let again = node.add_forwarder(ForwarderConfig::default()).unwrap();
    assert_eq!((again.index(), again.generation()), (first.index(), 1), "the lowest place that is free");
    let late = node.add_backend(first, BackendConfig::new("127.0.0.1:9".parse().unwrap()));
    assert_eq!(late.unwrap_err().code(), Code::NoSuchForwarder, "the old id reaches nobody");
    assert!(node.backends(again).unwrap().is_empty());
    for index in 0..2 {
        let same = node.ask(index, move |shard| Ok(shard.forwarder(again)?.id()));
        assert_eq!(same.unwrap(), again, "one id on all shards");
    }
}

#[test]
fn a_shard_that_panics_is_told_of_and_holds_up_nobody() {
    let node = Node::builder().shards(2).build().unwrap();
    let web = node.add_forwarder(ForwarderConfig::default()).unwrap();
    let key = node.add_backend(web, BackendConfig::new("127.0.0.1:9".parse().unwrap())).unwrap();
    let service = node.entry(web).unwrap().service;
    // A request of the second shard's, which will not end well.
    node.ask(1, move |_| {
        service.find(key).map(|backend| backend.on_start(1)).ok_or(Error::from(Code::Internal))
    })
    .unwrap();
    node.drain_backend(web, key, Duration::from_secs(60)).unwrap();
    let panicking = node.clone();
    let asked = ends(move || panicking.ask(1, |_| -> Result<()> { panic!("a test's own panic") }));
    assert_eq!(asked.unwrap_err().code(), Code::Closed);
    assert_eq!(next_events(&node), [(web, ForwardEvent::BackendDrained { backend: key, in_flight: 0 })]);
    assert_eq!(node.backends(web).unwrap()[0].in_flight, 0);
    // The other one goes on, and the next drain waits for it alone.
    let next = node.add_backend(web, BackendConfig::new("127.0.0.1:9".parse().unwrap())).unwrap();
    node.drain_backend(web, next, Duration::from_secs(60)).unwrap();
    assert_eq!(next_events(&node), [(web, ForwardEvent::BackendDrained { backend: next, in_flight: 0 })]);
    // When the last one ends, pollers return: all of them.
    let polls: Vec<_> = (0..2)
        .map(|_| {
            let node = node.clone();
            std::thread::spawn(move || {
                ends(move || {
                    loop {
                        match node.poll(None, 64) {
                            Ok(_) => {}
                            Err(error) => return error.code(),
                        }
                    }
                })
            })
        })
        .collect();
    let asked = ends({
        let node = node.clone();
        move || node.ask(0, |_| -> Result<()> { panic!("a test's own panic") })
    });
    assert_eq!(asked.unwrap_err().code(), Code::Closed);
    for poll in polls {
        assert_eq!(poll.join().unwrap(), Code::Closed);
    }
    assert_eq!(node.set_local(web, None).unwrap_err().code(), Code::Closed);
}

#[test]
fn a_former_local_instance_answers_what_it_was_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let node = Node::builder().shards(2).build().unwrap();
    let web = node.add_forwarder(ForwarderConfig::default()).unwrap();
    let front = node.listen(web, "127.0.0.1:0".parse().unwrap()).unwrap();
    let old = node.set_local(web, Some(BackendConfig::new(address))).unwrap().unwrap();
    let client = std::thread::spawn(move || get(front));
    let (mut asked, _) = listener.accept().unwrap();
    asked.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert!(asked.read(&mut [0; 4096]).unwrap() > 0);
    node.set_local(web, Some(BackendConfig::new(service("new")))).unwrap();
    assert!(get(front).ends_with("\r\n\r\nnew"), "the old one gets nothing new");
    asked.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold").unwrap();
    assert!(client.join().unwrap().ends_with("\r\n\r\nold"));
    assert_eq!(next_events(&node), [(web, ForwardEvent::BackendDrained { backend: old, in_flight: 0 })]);
    assert_eq!(asked.read(&mut [0; 16]).unwrap(), 0, "its connection is not kept");
}
