//! What is short: clients' places, descriptors, buffers, pipes, memory. Others keep being served, and it is told.

use crate::backend::Backend;
use crate::front::{Front, child, config, until};
use crate::wire::{Wire, assert_same, content, get, post};
use clustercore::counters::Counter;
use clustercore::forward::{ForwardEvent, ForwarderConfig};
use clustercore::io::{BuffersConfig, Driver, DriverChoice, DriverConfig};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::process::Command;
use std::time::Duration;

crate::on_both_drivers!(
    no_more_clients_than_may_be,
    tiny_buffers_serve_everybody,
    without_pipes_everything_passes,
    half_open_clients_hold_nothing,
    descriptors_used_up,
    an_idle_client_takes_less_than_two_kib,
);

fn no_more_clients_than_may_be(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let front = Front::new(driver, ForwarderConfig { clients_max: 3, ..config() }, &[&backend]);
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = front.client();
        assert_eq!(client.get("/").status(), 200);
        clients.push(client);
    }
    front.until_event("accepting pauses", |event| *event == ForwardEvent::AcceptPaused { errno: 0 });
    let mut late = (0..3).map(|_| front.client()).collect::<Vec<_>>();
    for client in &mut late {
        client.send(get("/"));
    }
    for client in &mut clients {
        assert_eq!(client.get("/").status(), 200, "those who are in are served");
    }
    // An accept that was under way may bring one more; the others wait in the backlog.
    assert!(front.counter(Counter::ClientsOpen) <= 4);
    let served =
        late.iter_mut().filter_map(|client| (!client.is_silent_for(Duration::from_millis(20))).then_some(()));
    assert!(served.count() <= 1);
    drop(clients);
    for client in &mut late {
        assert_eq!(client.response().status(), 200, "they come in when others leave");
    }
}

fn tiny_buffers_serve_everybody(driver: DriverChoice) {
    let backend = Backend::plain("one");
    for (shared_count, shared_size, block_bytes_max) in [(2, 1024, 0), (4, 4096, 8192), (64, 1024, 1 << 20)] {
        let buffers = BuffersConfig { shared_count, shared_size, block_bytes_max };
        let io = DriverConfig { buffers, ..DriverConfig::default() };
        let settings = ForwarderConfig { window_bytes: 16 << 10, splice_bytes_min: u64::MAX, ..config() };
        let front = Front::with(driver, io, settings, vec![child(&backend)]);
        let load = |id: u64, mut client: Wire| {
            std::thread::spawn(move || {
                for size in [0usize, 10, 3000, 40_000, 300_000, 7] {
                    let size = size + id as usize;
                    assert_same(&client.get(&format!("/length/{size}")).body, &content(size as u64, size));
                    client.send(post("/echo", &content(id, size)));
                    assert_same(&client.response().body, &content(id, size));
                    assert_same(&client.get(&format!("/chunked/{size}")).body, &content(size as u64, size));
                }
            })
        };
        let clients = (0..8).map(|id| load(id, front.client())).collect::<Vec<_>>();
        for client in clients {
            client.join().expect("everybody is served");
        }
    }
}

fn without_pipes_everything_passes(driver: DriverChoice) {
    let backend = Backend::plain("one");
    for pipes_max in [0, 1] {
        let io = DriverConfig { pipes_max, ..DriverConfig::default() };
        let front = Front::with(driver, io, config(), vec![child(&backend)]);
        let load = |mut client: Wire| {
            std::thread::spawn(move || {
                let len = 3_000_000;
                assert_same(&client.get(&format!("/length/{len}")).body, &content(len as u64, len));
                client.send(post("/echo", &content(1, len)));
                assert_same(&client.response().body, &content(1, len));
            })
        };
        let clients = (0..4).map(|_| load(front.client())).collect::<Vec<_>>();
        for client in clients {
            client.join().expect("everybody is served");
        }
    }
}

fn half_open_clients_hold_nothing(driver: DriverChoice) {
    let backend = Backend::plain("one");
    let settings = ForwarderConfig { head_timeout: Duration::from_millis(300), ..config() };
    let front = Front::new(driver, settings, &[&backend]);
    // Each has sent a part of a head and says no more: no shared buffer is held for them.
    let mut half = Vec::new();
    for index in 0..600u64 {
        let mut client = front.client();
        client.send("GET / HTTP/1.1\r\nHost: ");
        half.push(client);
        if index % 100 == 99 {
            front.until("they are in", |front| front.counter(Counter::ClientsAccepted) == index + 1);
        }
    }
    front.until("no buffer is lent", |front| front.run(|shard, _| shard.driver().buffers().lent()) == 0);
    assert_eq!(front.client().get("/").status(), 200);
    front.until("they are sent away", |front| front.counter(Counter::Answered408) == 600);
}

fn descriptors_used_up(driver: DriverChoice) {
    in_child(driver, "descriptors_used_up", move || {
        let backend = Backend::plain("one");
        let front = Front::new(driver, config(), &[&backend]);
        let mut client = front.client();
        assert_eq!(client.get("/").status(), 200);
        let before = getrlimit(Resource::Nofile);
        let next = u64::try_from(std::os::fd::AsRawFd::as_raw_fd(
            &std::fs::File::open("/dev/null").expect("a file can be opened"),
        ));
        // An odd number: connecting and accepting take one each, so in the end one connection finds nobody to accept it.
        let lower = |room: u64| {
            let limit = Rlimit { current: Some(next.expect("not negative") + room), ..before };
            setrlimit(Resource::Nofile, limit).expect("a limit can be lowered");
        };
        // An accept that is under way in io_uring keeps the limit it was started with, so it is started again.
        let listeners = |front: &Front, pause: bool| {
            front.run(move |shard, web| {
                let listeners = shard.forwarder(web).expect("it is there").listeners().to_vec();
                for listener in listeners {
                    if pause {
                        shard.driver_mut().accept_pause(listener)
                    } else {
                        shard.driver_mut().accept_resume(listener)
                    }
                }
            });
            std::thread::sleep(Duration::from_millis(20));
        };
        listeners(&front, true);
        lower(7);
        listeners(&front, false);
        let mut crowd = Vec::new();
        for _ in 0..12 {
            match std::net::TcpStream::connect(front.address) {
                Ok(stream) => crowd.push(stream),
                Err(_) => break,
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        front.until_event(
            "it is told",
            |event| matches!(event, ForwardEvent::AcceptPaused { errno } if *errno == libc::EMFILE),
        );
        for _ in 0..20 {
            assert_eq!(client.get("/").status(), 200, "those who are in are served");
        }
        assert!(front.counter(Counter::AcceptFailures) >= 1);
        setrlimit(Resource::Nofile, before).expect("a limit can be raised again");
        for stream in crowd {
            assert_eq!(Wire::new(stream).get("/").status(), 200, "the others come in by and by");
        }
        assert_eq!(front.client().get("/").status(), 200);
    });
}

fn an_idle_client_takes_less_than_two_kib(driver: DriverChoice) {
    in_child(driver, "an_idle_client_takes_less_than_two_kib", move || {
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("up to the hard one");
        let backend = Backend::plain("one");
        let front = Front::new(driver, config(), &[&backend]);
        let mut clients = Vec::with_capacity(COUNT);
        let mut crowd = |count: usize| {
            for _ in 0..count {
                let mut stream = std::net::TcpStream::connect(front.address).expect("a place in the backlog");
                // Each has been served once, in a way that leaves nothing unread.
                std::io::Write::write_all(&mut stream, b"HEAD / HTTP/1.1\r\nHost: test\r\n\r\n")
                    .expect("sent");
                let mut piece = [0; 512];
                assert!(std::io::Read::read(&mut stream, &mut piece).expect("an answer") > 0);
                clients.push(stream);
            }
        };
        // The first ones pay for what is made once.
        crowd(COUNT / 4);
        let before = resident_bytes();
        crowd(COUNT * 3 / 4);
        let after = resident_bytes();
        let each = after.saturating_sub(before) / (COUNT * 3 / 4);
        assert!(each <= 2048, "{each} bytes for each idle client");
        assert_eq!(front.counter(Counter::ClientsOpen), COUNT as u64);
        drop(clients);
        until("they are gone", || front.counter(Counter::ClientsOpen) == 0);
    });
}

/// Memory of this process that is really there.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs is there");
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it tells the resident set");
    let kib = line.trim().trim_end_matches(" kB").parse::<usize>();
    kib.expect("a number") * 1024
}

/// Runs this test again in a process of its own, and the body there: limits and memory belong to a process.
fn in_child(driver: DriverChoice, case: &str, body: impl FnOnce()) {
    if std::env::var_os(IN_CHILD).is_some() {
        return body();
    }
    let module = if driver == DriverChoice::Epoll { "epoll" } else { "uring" };
    let test = format!("resources::{module}::{case}");
    let program = std::env::current_exe().expect("a test knows its program");
    let output = Command::new(program).args([&test, "--exact", "--nocapture"]).env(IN_CHILD, "1").output();
    let output = output.expect("the test program runs again");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

const COUNT: usize = 2000;
const IN_CHILD: &str = "CLUSTERCORE_TEST_IN_CHILD";
