//! Message mode: the same facts with a job handler in between.

use crate::backend::{Backend, serve};
use crate::front::{Front, config};
use crate::gate::Gate;
use crate::handler::{Station, by_messages};
use crate::wire::{Cut, answer, assert_same, chunked, content, get, post};
use clustercore::counters::Counter;
use clustercore::forward::{ForwardEvent, ForwarderConfig, PathTrouble};
use clustercore::io::DriverChoice;
use clustercore::proto::policy::{Policy, RouterConfig};
use std::time::Duration;

crate::on_both_drivers!(
    requests_of_many_clients_share_one_connection,
    bodies_of_every_kind_come_whole,
    uploads_come_whole,
    interim_responses_pass,
    a_client_waits_for_100_continue,
    a_head_in_pieces_is_put_together,
    an_old_client_gets_no_chunks,
    upgrades_go_by_tcp,
    a_slow_client_stops_nobody_else,
    a_client_that_leaves_frees_the_service,
    a_drain_waits_for_what_is_under_way,
    a_removed_back_end_fails_over,
    the_handler_keeps_connections_to_the_service,
);

fn requests_of_many_clients_share_one_connection(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let station = Station::new(driver, backend.address);
    let front = Front::new(driver, config(), &[]);
    front.add(by_messages(&backend, &station));
    let mut clients = (0..20).map(|_| front.client()).collect::<Vec<_>>();
    for round in 0..5 {
        for client in &mut clients {
            client.send(get(&format!("/hello/{round}")));
        }
        for client in &mut clients {
            assert_eq!(client.response().body, b"one");
        }
    }
    assert_eq!(front.counter(Counter::JobRequests), 100);
    assert_eq!(front.counter(Counter::JobFallbacks), 0);
    assert_eq!(front.counter(Counter::BackendConnects), 0, "none of its own");
    let stats = station.stats();
    assert_eq!((stats.requests, stats.responses, stats.failures), (100, 100, 0));
    assert_eq!(stats.connects as usize, backend.connections());
    assert!(backend.last().field("via").is_some(), "the front end's head arrives");
}

fn bodies_of_every_kind_come_whole(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let station = Station::new(driver, backend.address);
    let front = Front::new(driver, config(), &[]);
    front.add(by_messages(&backend, &station));
    let mut client = front.client();
    for len in [0, 1, 1000, 1400, 5000, 16_000, 100_000, 3_000_000] {
        let length = client.get(&format!("/length/{len}"));
        assert_same(&length.body, &content(len, len as usize));
        let chunks = client.get(&format!("/chunked/{len}"));
        assert_same(&chunks.body, &content(len, len as usize));
        assert_eq!(chunks.trailers.trim(), "X-Sum: 7");
        let until_close = front.client().get(&format!("/close/{len}"));
        assert_same(&until_close.body, &content(len, len as usize));
    }
    client.send("HEAD /length/5000 HTTP/1.1\r\nHost: test\r\n\r\n");
    let head = client.response_to("HEAD").expect("a whole response");
    assert_eq!((head.field("content-length"), head.body.len()), (Some("5000"), 0));
    for status in [204, 304, 404] {
        assert_eq!(client.get(&format!("/status/{status}")).status(), status);
    }
    assert_eq!(front.counter(Counter::JobFallbacks), 0);
    assert_eq!(front.counter(Counter::BackendConnects), 0);
}

fn uploads_come_whole(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let station = Station::new(driver, backend.address);
    let front = Front::new(driver, config(), &[]);
    front.add(by_messages(&backend, &station));
    let mut client = front.client();
    for len in [0, 1, 1400, 40_000, 60_000, 70_000, 2_000_000] {
        let body = content(len, len as usize);
        // Sent from a thread: what comes back is as long.
        let rest = body.clone();
        let mut sender = crate::wire::Wire::new(client.stream.try_clone().expect("a descriptor"));
        let thread = std::thread::spawn(move || sender.send(post("/echo", &rest)));
        assert_same(&client.response().body, &body);
        thread.join().expect("all was sent");
        let mut request =
            b"POST /echo-chunked HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        request.extend_from_slice(&chunked(&body, 9000, ""));
        let mut sender = crate::wire::Wire::new(client.stream.try_clone().expect("a descriptor"));
        let thread = std::thread::spawn(move || sender.send(request));
        assert_same(&client.response().body, &body);
        thread.join().expect("all was sent");
    }
    assert_eq!(front.counter(Counter::BackendConnects), 0);
}

fn interim_responses_pass(driver: DriverChoice) {
    let backend = Backend::new(|mut connection| {
        while connection.request().is_ok() {
            connection.wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
            std::thread::sleep(Duration::from_millis(5));
            connection.wire.send("HTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n");
            connection.wire.send(answer(b"final"));
        }
    });
    let station = Station::new(driver, backend.address);
    let front = Front::new(driver, config(), &[]);
    front.add(by_messages(&backend, &station));
    let mut client = front.client();
    for _ in 0..3 {
        client.send(get("/"));
        for link in ["</a>", "</b>"] {
            let hint = client.response_to("GET").expect("an interim response");
            assert_eq!((hint.status(), hint.field("link")), (103, Some(link)));
        }
        assert_eq!(client.response().body, b"final");
    }
    assert_eq!(station.stats().connects, 1, "the connection is kept");
}

fn a_client_waits_for_100_continue(driver: DriverChoice) {
    let backend = Backend::new(|mut connection| {
        let request = connection.wire.head().expect("a head");
        assert_eq!(request.field("expect"), Some("100-continue"));
        assert!(connection.wire.is_silent_for(Duration::from_millis(30)), "the body waits");
        connection.wire.send("HTTP/1.1 100 Continue\r\n\r\n");
        let body = connection.wire.bytes(5).expect("the body");
        connection.wire.send(answer(&body));
    });
    let station = Station::new(driver, backend.address);
    let front = Front::new(driver, config(), &[]);
    front.add(by_messages(&backend, &station));
    let mut client = front.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.response_to("POST").expect("an interim response").status(), 100);
    client.send("hello");
    assert_eq!(client.response().body, b"hello");
}

fn a_head_in_pieces_is_put_together(driver: DriverChoice) {
    let backend = Backend::new(|mut connection| {
        while connection.request().is_ok() {
            for byte in answer(b"slowly") {
                connection.wire.send([byte]);
                std::thread::sleep(Duration::from_micros(300));
            }
        }
    });
    let station = Station::new(driver, backend.address);
    let front = Front::new(driver, config(), &[]);
    front.add(by_messages(&backend, &station));
    let mut client = front.client();
    for _ in 0..3 {
        assert_eq!(client.get("/").body, b"slowly");
    }
}

fn an_old_client_gets_no_chunks(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let station = Station::new(driver, backend.address);
    let front = Front::new(driver, config(), &[]);
    front.add(by_messages(&backend, &station));
    let mut client = front.client();
    client.send("GET /chunked/50000 HTTP/1.0\r\n\r\n");
    let response = client.response();
    assert_eq!(response.field("transfer-encoding"), None);
    assert_same(&response.body, &content(50_000, 50_000));
}

fn upgrades_go_by_tcp(driver: DriverChoice) {
    let backend = Backend::new(|mut connection| {
        while let Ok(request) = connection.wire.head() {
            if request.field("upgrade").is_none() {
                connection.wire.send(answer(b"plain"));
                continue;
            }
            connection.wire.send("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
            let bytes = connection.wire.bytes(4).expect("bytes in the tunnel");
            connection.wire.send(bytes);
        }
    });
    let station = Station::new(driver, backend.address);
    let front = Front::new(driver, config(), &[]);
    front.add(by_messages(&backend, &station));
    assert_eq!(front.client().get("/").body, b"plain");
    let mut client = front.client();
    client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(client.head().expect("an answer").status(), 101);
    client.send("ping");
    assert_eq!(client.bytes(4).expect("an echo"), b"ping");
    drop(client);
    assert_eq!((front.counter(Counter::JobRequests), front.counter(Counter::Tunnels)), (1, 1));
    assert_eq!(front.counter(Counter::JobFallbacks), 0, "that is no fault of the path");
}

fn a_slow_client_stops_nobody_else(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let station = Station::new(driver, backend.address);
    let front = Front::new(driver, ForwarderConfig { window_bytes: 64 << 10, ..config() }, &[]);
    front.add(by_messages(&backend, &station));
    let mut slow = (0..3).map(|_| front.client()).collect::<Vec<_>>();
    for client in &mut slow {
        client.send(get("/length/30000000"));
    }
    let mut quick = front.client();
    for _ in 0..20 {
        assert_eq!(quick.get("/length/200000").body.len(), 200_000);
    }
    for client in &mut slow {
        assert_same(&client.response().body, &content(30_000_000, 30_000_000));
    }
    assert_eq!(front.counter(Counter::JobFallbacks), 0);
}

fn a_client_that_leaves_frees_the_service(driver: DriverChoice) {
    let gate = Gate::new("late");
    let station = Station::new(driver, gate.backend.address);
    let front = Front::new(driver, config(), &[]);
    front.add(by_messages(&gate.backend, &station));
    let mut client = front.client();
    client.send(get("/"));
    crate::front::until("it is asked", || gate.paths().len() == 1);
    client.reset();
    crate::front::until("the handler knows", || station.stats().aborts == 1);
    front.until_counter(Counter::RequestsActive, 0);
    assert_eq!(station.stats().active, 0);
}

fn a_drain_waits_for_what_is_under_way(driver: DriverChoice) {
    let gate = Gate::new("late");
    let station = Station::new(driver, gate.backend.address);
    let front = Front::new(driver, config(), &[]);
    let key = front.add(by_messages(&gate.backend, &station));
    let mut client = front.client();
    client.send(get("/"));
    crate::front::until("it is asked", || gate.paths().len() == 1);
    front.run(move |shard, web| shard.drain_backend(web, key, Duration::from_secs(60))).expect("it is there");
    assert!(!front.events().iter().any(|event| matches!(event, ForwardEvent::BackendDrained { .. })));
    gate.allow(1);
    assert_eq!(client.response().body, b"late");
    front.until_event("it is drained", |event| {
        matches!(event, ForwardEvent::BackendDrained { in_flight: 0, .. })
    });
    crate::front::until("the leg is gone", || station.peers() == 0);
}

fn a_removed_back_end_fails_over(driver: DriverChoice) {
    let gate = Gate::new("never");
    let station = Station::new(driver, gate.backend.address);
    let front = Front::new(driver, config(), &[]);
    let key = front.add(by_messages(&gate.backend, &station));
    let mut client = front.client();
    client.send(get("/"));
    crate::front::until("it is asked", || gate.paths().len() == 1);
    let good = Backend::plain("good");
    let other = Station::new(driver, good.address);
    front.add(by_messages(&good, &other));
    front.run(move |shard, web| shard.remove_backend(web, key)).expect("it is there");
    assert_eq!(client.response().body, b"good");
    assert_eq!(front.counter(Counter::Retries), 1);
}

fn the_handler_keeps_connections_to_the_service(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let station = Station::new(driver, backend.address);
    let front = Front::new(driver, config(), &[]);
    front.add(by_messages(&backend, &station));
    let mut client = front.client();
    for _ in 0..30 {
        assert_eq!(client.get("/hello").status(), 200);
    }
    assert_eq!(backend.connections(), 1);
}

mod faults {
    use super::*;

    crate::on_both_drivers!(
        nobody_at_the_handlers_address_means_tcp,
        a_handler_that_dies_is_fallen_back_from_and_returned_to,
        a_handler_that_goes_silent_is_noticed,
        a_post_on_a_lost_path_is_not_sent_twice,
        a_service_that_refuses_is_tried_elsewhere_body_and_all,
        a_service_that_dies_under_a_get_is_tried_elsewhere,
        a_post_under_which_the_service_dies_gets_502,
        a_response_that_is_cut_resets_the_client,
        nonsense_of_the_service_gets_502,
        a_kept_connection_that_died_costs_nobody_a_get,
        a_frozen_service_gets_504,
        a_handler_that_ends_is_busy_and_nothing_is_lost,
    );

    fn in_turn() -> ForwarderConfig {
        ForwarderConfig {
            router: RouterConfig { policy: Policy::RoundRobin, ..Default::default() },
            ..config()
        }
    }

    fn nobody_at_the_handlers_address_means_tcp(driver: DriverChoice) {
        let backend = Backend::plain("one");
        let nobody = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let settings = ForwarderConfig { connect_timeout: Duration::from_millis(400), ..config() };
        let front = Front::new(driver, settings, &[]);
        let mut child = crate::front::child(&backend);
        let address = nobody.local_addr().expect("it has an address");
        child.job = Some(clustercore::forward::JobAddress { address, key: None });
        front.add(child);
        assert_eq!(front.client().get("/hello").body, b"one", "the first waits for the outcome");
        assert_eq!(front.counter(Counter::JobFallbacks), 1);
        assert_eq!(front.counter(Counter::PathsBroken), 1);
        front.until_event("it says so", |event| {
            matches!(event, ForwardEvent::PathBroken { why: PathTrouble::Unreachable, .. })
        });
    }

    fn a_handler_that_dies_is_fallen_back_from_and_returned_to(driver: DriverChoice) {
        let backend = Backend::plain("one");
        let station = Station::new(driver, backend.address);
        let address = station.address;
        let front = Front::new(driver, config(), &[]);
        front.add(by_messages(&backend, &station));
        let mut client = front.client();
        assert_eq!(client.get("/hello").body, b"one");
        station.kill();
        for _ in 0..5 {
            assert_eq!(client.get("/hello").body, b"one");
        }
        front.until_event("it says so", |event| matches!(event, ForwardEvent::PathBroken { .. }));
        let again = Station::on(driver, address, backend.address);
        front.until_event("and when it works again", |event| {
            matches!(event, ForwardEvent::PathRestored { .. })
        });
        let before = front.counter(Counter::JobRequests);
        assert_eq!(client.get("/hello").body, b"one");
        assert_eq!(front.counter(Counter::JobRequests), before + 1);
        assert_eq!(again.stats().requests, 1);
        assert_eq!(front.counter(Counter::BackendFailures), 0, "nothing is counted against the service");
    }

    fn a_handler_that_goes_silent_is_noticed(driver: DriverChoice) {
        let backend = Backend::plain("one");
        let station = Station::new(driver, backend.address);
        let front = Front::new(driver, config(), &[]);
        front.add(by_messages(&backend, &station));
        let mut client = front.client();
        assert_eq!(client.get("/hello").body, b"one");
        let stopped = station.stop();
        assert_eq!(client.get("/hello").body, b"one", "by TCP, after the silence");
        assert!(
            front
                .events()
                .iter()
                .any(|event| { matches!(event, ForwardEvent::PathBroken { why: PathTrouble::Silent, .. }) })
        );
        drop(stopped);
    }

    fn a_post_on_a_lost_path_is_not_sent_twice(driver: DriverChoice) {
        let gate = Gate::new("late");
        let station = Station::new(driver, gate.backend.address);
        let front = Front::new(driver, config(), &[]);
        front.add(by_messages(&gate.backend, &station));
        let mut client = front.client();
        client.send(post("/", b"once"));
        crate::front::until("it is asked", || gate.paths().len() == 1);
        station.kill();
        assert_eq!(client.response().status(), 502);
        assert_eq!(gate.paths().len(), 1);
        assert_eq!(front.counter(Counter::Retries), 0);
    }

    fn a_service_that_refuses_is_tried_elsewhere_body_and_all(driver: DriverChoice) {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let nobody = nobody.expect("a free port");
        let (good, bad_station) = (Backend::plain("good"), Station::new(driver, nobody));
        let good_station = Station::new(driver, good.address);
        let front = Front::new(driver, in_turn(), &[]);
        let mut bad = by_messages(&good, &bad_station);
        bad.address = nobody;
        front.add(bad);
        front.add(by_messages(&good, &good_station));
        let mut client = front.client();
        for round in 0..6u8 {
            // Nothing was executed, so whatever the method.
            client.send(post("/echo", &[round; 3000]));
            assert_eq!(client.response().body, [round; 3000]);
        }
        assert!(bad_station.stats().failures >= 2, "it was asked");
        assert_eq!(front.counter(Counter::Retries), bad_station.stats().failures);
        assert_eq!(front.counter(Counter::BackendConnectsFailed), bad_station.stats().failures);
    }

    /// Reads a request, then ends.
    fn dying(says: &'static [u8]) -> Backend {
        Backend::new(move |mut connection| {
            if connection.request().is_ok() {
                connection.wire.try_send(says);
            }
        })
    }

    fn a_service_that_dies_under_a_get_is_tried_elsewhere(driver: DriverChoice) {
        let (bad, good) = (dying(b""), Backend::plain("good"));
        let stations = [&bad, &good].map(|backend| Station::new(driver, backend.address));
        let front = Front::new(driver, in_turn(), &[]);
        front.add(by_messages(&bad, &stations[0]));
        front.add(by_messages(&good, &stations[1]));
        let mut client = front.client();
        for _ in 0..6 {
            assert_eq!(client.get("/").body, b"good");
        }
        assert!(bad.connections() >= 2, "it was asked");
        assert_eq!(front.counter(Counter::Retries), bad.connections() as u64);
    }

    fn a_post_under_which_the_service_dies_gets_502(driver: DriverChoice) {
        let (bad, good) = (dying(b""), Backend::plain("good"));
        let station = Station::new(driver, bad.address);
        let front = Front::new(driver, config(), &[]);
        front.add(by_messages(&bad, &station));
        let mut client = front.client();
        client.send(post("/", b"once"));
        assert_eq!(client.response().status(), 502);
        assert_eq!((bad.requests().len(), good.requests().len()), (1, 0));
    }

    fn a_response_that_is_cut_resets_the_client(driver: DriverChoice) {
        let backend = dying(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
        let station = Station::new(driver, backend.address);
        let front = Front::new(driver, config(), &[]);
        front.add(by_messages(&backend, &station));
        let mut client = front.client();
        client.send(get("/"));
        assert_eq!(client.response_to("GET").err(), Some(Cut::Reset));
        front.until_counter(Counter::ResponsesCut, 1);
    }

    fn nonsense_of_the_service_gets_502(driver: DriverChoice) {
        let backend = dying(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx");
        let station = Station::new(driver, backend.address);
        let front = Front::new(driver, config(), &[]);
        front.add(by_messages(&backend, &station));
        assert_eq!(front.client().get("/").status(), 502);
        assert_eq!(front.counter(Counter::Retries), 0);
    }

    fn a_kept_connection_that_died_costs_nobody_a_get(driver: DriverChoice) {
        // Each connection serves one request and ends when the next one comes.
        let backend = Backend::new(|mut connection| {
            if connection.request().is_ok() {
                connection.wire.send(answer(b"one"));
                let _ = connection.wire.head();
            }
        });
        let station = Station::new(driver, backend.address);
        let front = Front::new(driver, config(), &[]);
        front.add(by_messages(&backend, &station));
        let mut client = front.client();
        for _ in 0..6 {
            assert_eq!(client.get("/").body, b"one");
        }
        assert_eq!(front.counter(Counter::BackendFailures), 0, "that is not the service's failure");
        assert!(front.counter(Counter::Retries) >= 3);
    }

    fn a_frozen_service_gets_504(driver: DriverChoice) {
        let gate = Gate::new("never");
        let station = Station::new(driver, gate.backend.address);
        let settings = ForwarderConfig { response_timeout: Duration::from_millis(150), ..config() };
        let front = Front::new(driver, ForwarderConfig { retries_max: 0, ..settings }, &[]);
        front.add(by_messages(&gate.backend, &station));
        assert_eq!(front.client().get("/").status(), 504);
        crate::front::until("the handler is told", || station.stats().aborts == 1);
    }

    fn a_handler_that_ends_is_busy_and_nothing_is_lost(driver: DriverChoice) {
        let backend = Backend::new(|connection| serve(connection, "one"));
        let station = Station::new(driver, backend.address);
        let front = Front::new(driver, config(), &[]);
        front.add(by_messages(&backend, &station));
        let mut client = front.client();
        assert_eq!(client.get("/hello").body, b"one");
        station.run(|handler| handler.end());
        client.send(post("/echo", b"whatever the method"));
        assert_eq!(client.response().body, b"whatever the method");
        assert_eq!((front.counter(Counter::JobFallbacks), front.counter(Counter::Retries)), (1, 1));
        assert_eq!(front.counter(Counter::BackendFailures), 0);
    }
}

mod linked {
    use super::*;
    use crate::front::until;
    use crate::wire::PATIENCE;
    use clustercore::forward::{BackendConfig, JobAddress};
    use clustercore::io::Waker;
    use clustercore::job::{LinkedService, Request};
    use clustercore::{EndpointConfig, Shard};
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::thread::JoinHandle;

    crate::on_both_drivers!(
        a_linked_service_has_no_tcp_port,
        answers_of_any_length_arrive,
        requests_in_parts_arrive_whole_up_to_the_limit,
        what_nobody_waits_for_is_told,
    );

    /// A linked service on a thread of its own.
    struct Linked {
        address: SocketAddr,
        waker: Waker,
        is_over: Arc<AtomicBool>,
        unwanted: Arc<AtomicUsize>,
        thread: Option<JoinHandle<()>>,
    }

    impl Linked {
        /// Answers with what `serve` makes of a request; `None` waits for as long as it says.
        fn new(driver: DriverChoice, serve: impl Fn(&Request) -> Option<Vec<u8>> + Send + 'static) -> Linked {
            let (ready, started) = std::sync::mpsc::channel();
            let is_over = Arc::new(AtomicBool::new(false));
            let unwanted = Arc::new(AtomicUsize::new(0));
            let (over, dropped) = (Arc::clone(&is_over), Arc::clone(&unwanted));
            let thread = std::thread::spawn(move || {
                let mut shard = Shard::builder().driver(driver).build().expect("a driver");
                let any = "127.0.0.1:0".parse().expect("an address");
                let endpoint = shard.open_endpoint(any, EndpointConfig::default()).expect("a free port");
                let address = shard.endpoint_address(endpoint).expect("it is open");
                ready.send((address, shard.waker().expect("a kernel driver"))).expect("the test waits");
                let mut service = LinkedService::new(endpoint, 200_000, 100);
                let mut waiting: Vec<Request> = Vec::new();
                while !over.load(Ordering::Acquire) {
                    shard.turn_for(Some(Duration::from_millis(10))).expect("the driver goes on");
                    shard.connection_events().for_each(drop);
                    service.collect(&mut shard);
                    waiting.extend(std::iter::from_fn(|| service.next_request()));
                    waiting.retain(|request| {
                        let Some(answer) = serve(request) else { return true };
                        if !service.answer(&mut shard, request.id, &answer) {
                            dropped.fetch_add(1, Ordering::AcqRel);
                        }
                        false
                    });
                }
            });
            let (address, waker) = started.recv_timeout(PATIENCE).expect("the service starts");
            Linked { address, waker, is_over, unwanted, thread: Some(thread) }
        }

        fn front(&self, driver: DriverChoice) -> Front {
            let front = Front::new(driver, config(), &[]);
            let nobody =
                std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
            let mut child = BackendConfig::new(nobody.expect("a free port"));
            (child.cores, child.job) = (1000, Some(JobAddress { address: self.address, key: None }));
            front.add(child);
            front
        }
    }

    impl Drop for Linked {
        fn drop(&mut self) {
            self.is_over.store(true, Ordering::Release);
            self.waker.wake();
            if let Some(thread) = self.thread.take() {
                let ended = thread.join();
                if !std::thread::panicking() {
                    ended.expect("the service's thread ends well");
                }
            }
        }
    }

    fn body(request: &Request) -> &[u8] {
        let end = request.bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        &request.bytes[end + 4..]
    }

    fn a_linked_service_has_no_tcp_port(driver: DriverChoice) {
        let linked = Linked::new(driver, |request| {
            let line = request.bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
            Some(answer(line))
        });
        let front = linked.front(driver);
        let mut clients = (0..5).map(|_| front.client()).collect::<Vec<_>>();
        for round in 0..10 {
            for client in &mut clients {
                client.send(get(&format!("/{round}")));
            }
            for client in &mut clients {
                assert_eq!(client.response().body, format!("GET /{round} HTTP/1.1").as_bytes());
            }
        }
        assert_eq!(front.counter(Counter::JobRequests), 50);
        assert_eq!(front.counter(Counter::BackendConnects), 0);
    }

    fn answers_of_any_length_arrive(driver: DriverChoice) {
        let linked = Linked::new(driver, |request| {
            let path = String::from_utf8_lossy(&request.bytes).split(' ').nth(1).unwrap_or("/0").to_owned();
            let len: usize = path[1..].parse().unwrap_or(0);
            let mut whole = answer(&content(len as u64, len));
            if request.is_head {
                whole.truncate(whole.len() - len);
            }
            Some(whole)
        });
        let front = linked.front(driver);
        let mut client = front.client();
        for len in [0, 1, 1400, 16_000, 20_000, 300_000, 3_000_000] {
            assert_same(&client.get(&format!("/{len}")).body, &content(len, len as usize));
        }
        client.send("HEAD /5000 HTTP/1.1\r\nHost: test\r\n\r\n");
        let head = client.response_to("HEAD").expect("a whole response");
        assert_eq!((head.field("content-length"), head.body.len()), (Some("5000"), 0));
    }

    fn requests_in_parts_arrive_whole_up_to_the_limit(driver: DriverChoice) {
        let linked = Linked::new(driver, |request| Some(answer(body(request))));
        let front = linked.front(driver);
        let mut client = front.client();
        for len in [0, 100, 50_000, 150_000] {
            client.send(post("/", &content(len, len as usize)));
            assert_same(&client.response().body, &content(len, len as usize));
        }
        client.try_send(post("/", &content(9, 300_000)));
        assert_eq!(client.response().status(), 502);
    }

    fn what_nobody_waits_for_is_told(driver: DriverChoice) {
        let is_open = Arc::new(AtomicBool::new(false));
        let (gate, asked) = (Arc::clone(&is_open), Arc::new(AtomicBool::new(false)));
        let seen = Arc::clone(&asked);
        let linked = Linked::new(driver, move |_| {
            seen.store(true, Ordering::Release);
            gate.load(Ordering::Acquire).then(|| answer(b"late"))
        });
        let front = linked.front(driver);
        let mut client = front.client();
        client.send(get("/"));
        until("it is asked", || asked.load(Ordering::Acquire));
        client.reset();
        front.until_counter(Counter::RequestsActive, 0);
        is_open.store(true, Ordering::Release);
        until("it is told", || linked.unwanted.load(Ordering::Acquire) == 1);
    }
}
