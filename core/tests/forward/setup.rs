//! What an owner is told when the start goes wrong, and other ways to start.

use crate::backend::Backend;
use crate::front::{Front, child, config};
use crate::wire::Wire;
use clustercore::forward::{BackendConfig, ForwarderConfig};
use clustercore::io::{Driver, DriverChoice, ListenOptions};
use clustercore::proto::policy::{BackendKey, RouterConfig, Thresholds};
use clustercore::shard::ForwarderId;
use clustercore::{Code, Shard};
use std::net::TcpListener;
use std::time::Duration;

crate::on_both_drivers!(
    a_socket_made_by_others_serves,
    what_does_not_listen_is_refused,
    a_taken_port_is_named,
    an_address_of_others_is_named,
    another_thread_is_refused,
    settings_that_do_not_fit_are_named,
    what_is_not_there_is_named,
    two_services_share_a_shard,
    an_ended_forwarder_takes_its_connections_along,
);

fn shard(driver: DriverChoice) -> Shard {
    Shard::builder().driver(driver).build().expect("a driver")
}

fn any() -> std::net::SocketAddr {
    "127.0.0.1:0".parse().expect("an address")
}

fn a_socket_made_by_others_serves(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let front = Front::new(driver, config(), &[&backend]);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it has an address");
    let told = front.run(move |shard, web| shard.listen_fd(web, listener.into())).expect("it listens");
    assert_eq!(told, Some(address));
    for address in [address, front.address] {
        assert_eq!(Wire::connect(address).get("/").body, b"one");
    }
}

fn what_does_not_listen_is_refused(driver: DriverChoice) {
    let mut shard = shard(driver);
    let web = shard.add_forwarder(config()).expect("good settings");
    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let file = std::fs::File::open("/dev/null").expect("a file can be opened");
    for fd in [datagrams.into(), file.into()] {
        let error = shard.listen_fd(web, fd).expect_err("no listener");
        assert!(error.to_string().starts_with("listen on the given descriptor: "), "{error}");
    }
}

fn a_taken_port_is_named(driver: DriverChoice) {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it has an address");
    let mut shard = shard(driver);
    let web = shard.add_forwarder(config()).expect("good settings");
    let error = shard.listen(web, address, &ListenOptions::default()).expect_err("taken");
    assert_eq!(error.code(), Code::AddressInUse);
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

fn an_address_of_others_is_named(driver: DriverChoice) {
    let mut shard = shard(driver);
    let web = shard.add_forwarder(config()).expect("good settings");
    let address = "192.0.2.1:80".parse().expect("an address");
    let error = shard.listen(web, address, &ListenOptions::default()).expect_err("not ours");
    assert_eq!(error.code(), Code::AddressNotAvailable);
    assert!(error.to_string().contains("192.0.2.1:80"), "{error}");
}

fn another_thread_is_refused(driver: DriverChoice) {
    let mut shard = shard(driver);
    shard.turn().expect("the first turn binds it");
    let shard = std::thread::spawn(move || {
        let error = shard.turn().expect_err("another thread");
        assert_eq!(error.code(), Code::WrongThread);
        assert!(error.to_string().contains("thread of its first turn"), "{error}");
        shard
    });
    shard.join().expect("told, not crashed").turn().expect("the first thread goes on");
}

fn settings_that_do_not_fit_are_named(driver: DriverChoice) {
    let mut shard = shard(driver);
    let thresholds = Thresholds { medium: 500, high: 400 };
    let mut small_head = config();
    small_head.limits.head_bytes_max = 10;
    let cases = [
        ("500", ForwarderConfig { router: RouterConfig { thresholds, ..Default::default() }, ..config() }),
        ("head_bytes_max is 10", small_head),
        ("clients_max is 0", ForwarderConfig { clients_max: 0, ..config() }),
        ("window_bytes is 100", ForwarderConfig { window_bytes: 100, ..config() }),
        ("via is \"a b\"", ForwarderConfig { via: "a b".into(), ..config() }),
        ("probe_path is \"x\"", ForwarderConfig { probe_path: "x".into(), ..config() }),
        ("probe_path", ForwarderConfig { probe_path: "/\r\nX: y".into(), ..config() }),
    ];
    for (words, settings) in cases {
        let error = shard.add_forwarder(settings).expect_err(words);
        assert_eq!(error.code(), Code::BadConfiguration);
        assert!(error.to_string().contains(words), "{error}");
    }
}

fn what_is_not_there_is_named(driver: DriverChoice) {
    let mut shard = shard(driver);
    let nothing = ForwarderId::new(7, 0);
    let code = |result: clustercore::Result<()>| result.expect_err("not there").code();
    assert_eq!(code(shard.remove_forwarder(nothing)), Code::NoSuchForwarder);
    assert_eq!(
        code(shard.listen(nothing, any(), &ListenOptions::default()).map(drop)),
        Code::NoSuchForwarder
    );
    assert_eq!(code(shard.add_backend(nothing, BackendConfig::new(any())).map(drop)), Code::NoSuchForwarder);
    let web = shard.add_forwarder(config()).expect("good settings");
    assert_eq!(code(shard.remove_backend(web, BackendKey(9))), Code::NoSuchBackend);
    assert_eq!(code(shard.drain_backend(web, BackendKey(9), Duration::ZERO)), Code::NoSuchBackend);
    assert_eq!(code(shard.backend(web, BackendKey(9)).map(drop)), Code::NoSuchBackend);
}

fn two_services_share_a_shard(driver: DriverChoice) {
    let (one, two) = (Backend::plain("one"), Backend::plain("two"));
    let front = Front::new(driver, config(), &[&one]);
    let behind = child(&two);
    let (other, address) = front.run(move |shard, _| {
        let other = shard.add_forwarder(config()).expect("good settings");
        shard.add_backend(other, behind).expect("the forwarder is there");
        (other, shard.listen(other, any(), &ListenOptions::default()).expect("a free port"))
    });
    let (mut first, mut second) = (front.client(), Wire::connect(address));
    for _ in 0..3 {
        assert_eq!(first.get("/").body, b"one");
        assert_eq!(second.get("/").body, b"two");
    }
    front.run(move |shard, _| shard.remove_forwarder(other)).expect("it is there");
    assert_eq!(second.rest().0, b"");
    assert_eq!(first.get("/").body, b"one");
}

fn an_ended_forwarder_takes_its_connections_along(driver: DriverChoice) {
    let backend = Backend::new(|mut connection| {
        let _ = connection.wire.rest();
    });
    let mut shard = shard(driver);
    let web = shard.add_forwarder(config()).expect("good settings");
    shard.add_backend(web, child(&backend)).expect("the forwarder is there");
    let address = shard.listen(web, any(), &ListenOptions::default()).expect("a free port");
    let mut clients = (0..5).map(|_| Wire::connect(address)).collect::<Vec<_>>();
    for client in &mut clients {
        client.send(crate::wire::get("/"));
    }
    crate::front::until("all are on their way", || {
        shard.turn_for(Some(Duration::from_millis(10))).expect("the driver goes on");
        backend.connections() == 5
    });
    shard.remove_forwarder(web).expect("it is there");
    crate::front::until("nothing is left", || {
        shard.turn_for(Some(Duration::from_millis(10))).expect("the driver goes on");
        shard.driver().streams_open() == 0 && shard.driver().buffers().lent() == 0
    });
    // What the kernel still has under way for them ends in turns that follow.
    for _ in 0..10 {
        shard.turn_for(Some(Duration::from_millis(5))).expect("the driver goes on");
    }
    for client in &mut clients {
        assert_eq!(client.rest().0, b"", "no half answer");
    }
    assert!(std::net::TcpStream::connect(address).is_err(), "nobody listens");
}
