//! The forwarder under test, on a thread of its own.

use crate::backend::Backend;
use crate::wire::{PATIENCE, Wire};
use clustercore::Shard;
use clustercore::counters::Counter;
use clustercore::forward::{BackendConfig, ForwardEvent, ForwarderConfig};
use clustercore::io::{Driver, DriverChoice, DriverConfig, ListenOptions, Waker};
use clustercore::proto::policy::BackendKey;
use clustercore::shard::ForwarderId;
use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

type Job = Box<dyn FnOnce(&mut Shard, ForwarderId) + Send>;

/// A shard with one forwarder that listens.
pub struct Front {
    pub address: SocketAddr,
    jobs: Option<Sender<Job>>,
    waker: Waker,
    events: Arc<Mutex<Vec<ForwardEvent>>>,
    thread: Option<JoinHandle<()>>,
}

/// Settings that let nothing time out by accident, and distrust nobody.
pub fn config() -> ForwarderConfig {
    ForwarderConfig {
        health: None,
        head_timeout: LONG,
        idle_timeout: LONG,
        response_timeout: LONG,
        connect_timeout: LONG,
        body_timeout: LONG,
        queue_timeout: LONG,
        ..ForwarderConfig::default()
    }
}

/// A back end with so many cores that it is always Low.
pub fn child(backend: &Backend) -> BackendConfig {
    BackendConfig { cores: 100_000, ..BackendConfig::new(backend.address) }
}

impl Front {
    /// A front before these back ends.
    pub fn new(driver: DriverChoice, config: ForwarderConfig, backends: &[&Backend]) -> Front {
        let children = backends.iter().map(|backend| child(backend)).collect();
        Front::with(driver, DriverConfig::default(), config, children)
    }

    /// A front with everything said.
    pub fn with(
        driver: DriverChoice,
        io: DriverConfig,
        config: ForwarderConfig,
        children: Vec<BackendConfig>,
    ) -> Front {
        let (jobs, todo) = channel::<Job>();
        let (ready, started) = channel();
        let events = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&events);
        let thread = std::thread::spawn(move || {
            let mut shard = Shard::builder().driver(driver).config(io).seed(1).build().expect("a driver");
            let web = shard.add_forwarder(config).expect("good settings");
            for child in children {
                shard.add_backend(web, child).expect("the forwarder is there");
            }
            let any = "127.0.0.1:0".parse().expect("an address");
            let address = shard.listen(web, any, &ListenOptions::default()).expect("a free port");
            ready.send((address, shard.waker().expect("a kernel driver"))).expect("the test waits");
            loop {
                shard.turn_for(Some(Duration::from_secs(1))).expect("the driver goes on");
                told.lock().expect("nobody panicked").extend(shard.events().map(|(_, event)| event));
                loop {
                    match todo.try_recv() {
                        Ok(job) => job(&mut shard, web),
                        Err(std::sync::mpsc::TryRecvError::Empty) => break,
                        Err(std::sync::mpsc::TryRecvError::Disconnected) => return,
                    }
                }
            }
        });
        let (address, waker) = started.recv().expect("the shard starts");
        Front { address, jobs: Some(jobs), waker, events, thread: Some(thread) }
    }

    /// Does something on the shard's thread.
    #[track_caller]
    pub fn run<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Shard, ForwarderId) -> T + Send + 'static,
    ) -> T {
        let (done, result) = channel();
        let job: Job = Box::new(move |shard, web| {
            let _ = done.send(act(shard, web));
        });
        self.jobs.as_ref().expect("not ended").send(job).expect("the shard's thread goes on");
        self.waker.wake();
        result.recv_timeout(PATIENCE).expect("the shard's thread goes on")
    }

    /// A new client.
    #[track_caller]
    pub fn client(&self) -> Wire {
        Wire::connect(self.address)
    }

    /// Listens on all addresses, too. Returns the port.
    #[track_caller]
    pub fn listen_on_all(&self) -> u16 {
        let all = "0.0.0.0:0".parse().expect("an address");
        let address = self.run(move |shard, web| shard.listen(web, all, &ListenOptions::default()));
        address.expect("a free port").port()
    }

    /// One counter.
    #[track_caller]
    pub fn counter(&self, counter: Counter) -> u64 {
        self.run(move |shard, web| shard.counter(web, counter).expect("the forwarder is there"))
    }

    /// Appends a back end.
    #[track_caller]
    pub fn add(&self, config: BackendConfig) -> BackendKey {
        self.run(move |shard, web| shard.add_backend(web, config).expect("the forwarder is there"))
    }

    /// The keys of the child list.
    pub fn keys(&self) -> Vec<BackendKey> {
        let backends = self.run(|shard, web| shard.backends(web).expect("the forwarder is there"));
        backends.iter().filter(|backend| !backend.local).map(|backend| backend.key).collect()
    }

    /// Requests begun on each back end of the child list.
    pub fn requests(&self) -> Vec<u64> {
        let backends = self.run(|shard, web| shard.backends(web).expect("the forwarder is there"));
        backends.iter().map(|backend| backend.requests).collect()
    }

    /// All events so far.
    pub fn events(&self) -> Vec<ForwardEvent> {
        self.events.lock().expect("nobody panicked").clone()
    }

    /// Waits until the condition holds.
    #[track_caller]
    pub fn until(&self, what: &str, condition: impl Fn(&Front) -> bool) {
        until_or(what, || condition(self), || self.state());
    }

    /// Waits until an event of this kind has come.
    #[track_caller]
    pub fn until_event(&self, what: &str, wanted: impl Fn(&ForwardEvent) -> bool) {
        self.until(what, |front| front.events().iter().any(&wanted));
    }

    /// Waits for a counter.
    #[track_caller]
    pub fn until_counter(&self, counter: Counter, value: u64) {
        self.until(&format!("{counter:?} {value}"), |front| front.counter(counter) == value);
    }

    /// Counters that are not 0, for messages.
    pub fn state(&self) -> String {
        let counters = self.run(|shard, web| {
            let all = clustercore::counters::COUNTERS.iter();
            let counted = all.map(|(counter, label, ..)| (*label, shard.counter(web, *counter).unwrap_or(0)));
            let mut list = counted.filter(|(_, value)| *value > 0).collect::<Vec<_>>();
            list.push(("lent", shard.driver().buffers().lent() as u64));
            list.push(("streams", shard.driver().streams_open() as u64));
            list
        });
        format!("{counters:?} {:?}", self.events())
    }

    fn finish(&self) {
        self.until("no client is left", |front| {
            front.counter(Counter::ClientsOpen) == 0
                && front.counter(Counter::RequestsActive) == 0
                && front.counter(Counter::QueueLength) == 0
        });
        self.until("no buffer is lent", |front| front.run(|shard, _| shard.driver().buffers().lent()) == 0);
        let backends = self.run(|shard, web| shard.backends(web).expect("the forwarder is there"));
        for backend in backends {
            assert_eq!(backend.in_flight, 0, "{backend:?}");
        }
        self.run(|shard, web| shard.remove_forwarder(web).expect("the forwarder is there"));
        until("no stream is left", || self.run(|shard, _| shard.driver().streams_open()) == 0);
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.finish();
        }
        self.jobs = None;
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.expect("the shard's thread ends well");
            }
        }
    }
}

/// Waits until the condition holds.
#[track_caller]
pub fn until(what: &str, condition: impl FnMut() -> bool) {
    until_or(what, condition, String::new);
}

#[track_caller]
fn until_or(what: &str, mut condition: impl FnMut() -> bool, state: impl Fn() -> String) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}: {}", state());
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Longer than any test: what would time out after this never does.
const LONG: Duration = Duration::from_secs(300);
