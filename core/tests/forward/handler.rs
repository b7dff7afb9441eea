//! A job handler on a thread of its own.

use crate::backend::Backend;
use crate::front::child;
use crate::wire::PATIENCE;
use clustercore::forward::{BackendConfig, JobAddress};
use clustercore::io::{DriverChoice, Waker};
use clustercore::job::{Handler, HandlerConfig, HandlerStats};
use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

type Order = Box<dyn FnOnce(&mut Handler) -> bool + Send>;

/// A handler that turns.
pub struct Station {
    pub address: SocketAddr,
    orders: Option<Sender<Order>>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

/// Lets a stopped handler go on when it goes.
pub struct Stopped {
    _go_on: Sender<()>,
}

impl Station {
    /// A handler before a service.
    pub fn new(driver: DriverChoice, service: SocketAddr) -> Station {
        Station::on(driver, "127.0.0.1:0".parse().expect("an address"), service)
    }

    /// The same at an address that is known already.
    pub fn on(driver: DriverChoice, listen: SocketAddr, service: SocketAddr) -> Station {
        let (orders, todo) = channel::<Order>();
        let (ready, started) = channel();
        let thread = std::thread::spawn(move || {
            let config = HandlerConfig::new(service);
            let mut handler = Handler::open(driver, Duration::ZERO, listen, config).expect("a driver");
            ready
                .send((handler.address(), handler.waker().expect("a kernel driver")))
                .expect("the test waits");
            loop {
                handler.turn_for(Some(Duration::from_secs(1))).expect("the driver goes on");
                loop {
                    match todo.try_recv() {
                        Ok(order) => {
                            if !order(&mut handler) {
                                return;
                            }
                        }
                        Err(std::sync::mpsc::TryRecvError::Empty) => break,
                        Err(std::sync::mpsc::TryRecvError::Disconnected) => {
                            handler.close();
                            return;
                        }
                    }
                }
            }
        });
        let (address, waker) = started.recv().expect("the handler starts");
        Station { address, orders: Some(orders), waker, thread: Some(thread) }
    }

    fn order(&self, order: Order) {
        self.orders.as_ref().expect("not ended").send(order).expect("the handler's thread goes on");
        self.waker.wake();
    }

    /// Does something on the handler's thread.
    #[track_caller]
    pub fn run<T: Send + 'static>(&self, act: impl FnOnce(&mut Handler) -> T + Send + 'static) -> T {
        let (done, result) = channel();
        self.order(Box::new(move |handler| done.send(act(handler)).is_ok()));
        result.recv_timeout(PATIENCE).expect("the handler's thread goes on")
    }

    /// What it has counted.
    #[track_caller]
    pub fn stats(&self) -> HandlerStats {
        self.run(|handler| handler.stats())
    }

    /// Front ends' connections.
    pub fn peers(&self) -> usize {
        self.run(|handler| handler.peers())
    }

    /// Ends it without a word to anybody, as a crash does.
    pub fn kill(mut self) {
        self.order(Box::new(|_| false));
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the handler's thread ends well");
        }
    }

    /// Lets it do nothing until what is returned goes.
    pub fn stop(&self) -> Stopped {
        let (go_on, wait) = channel::<()>();
        self.order(Box::new(move |_| {
            let _ = wait.recv_timeout(PATIENCE);
            true
        }));
        Stopped { _go_on: go_on }
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        self.orders = None;
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.expect("the handler's thread ends well");
            }
        }
    }
}

/// A back end that is reached through a handler.
pub fn by_messages(backend: &Backend, station: &Station) -> BackendConfig {
    BackendConfig { job: Some(JobAddress { address: station.address, key: None }), ..child(backend) }
}
