//! A back end that answers when it is told to.

use crate::backend::Backend;
use crate::wire::{Message, answer};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

/// Holds every response until as many are let through.
pub struct Gate {
    pub backend: Backend,
    allowed: Arc<(Mutex<usize>, Condvar)>,
}

impl Gate {
    /// Shut. Its answers have `name` as their body.
    pub fn new(name: &'static str) -> Gate {
        let allowed = Arc::new((Mutex::new(0), Condvar::new()));
        let shared = Arc::clone(&allowed);
        let backend = Backend::new(move |mut connection| {
            while connection.request().is_ok() {
                let (count, changed) = &*shared;
                let mut left = count.lock().expect("nobody panicked");
                while *left == 0 {
                    left = changed.wait(left).expect("nobody panicked");
                }
                *left -= 1;
                drop(left);
                if !connection.wire.try_send(answer(name.as_bytes())) {
                    return;
                }
            }
        });
        Gate { backend, allowed }
    }

    /// Lets so many more through.
    pub fn allow(&self, count: usize) {
        *self.allowed.0.lock().expect("nobody panicked") += count;
        self.allowed.1.notify_all();
    }

    /// The paths that were asked for, in order.
    pub fn paths(&self) -> Vec<String> {
        let path = |request: &Message| request.first().split(' ').nth(1).unwrap_or_default().to_string();
        self.backend.requests().iter().map(path).collect()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.allow(1 << 20);
    }
}

/// A back end that can be told to answer 500.
pub struct Moody {
    pub backend: Backend,
    pub sick: Arc<AtomicBool>,
}

impl Moody {
    /// Well, or not.
    pub fn new(sick: bool) -> Moody {
        let sick = Arc::new(AtomicBool::new(sick));
        let shared = Arc::clone(&sick);
        let backend = Backend::new(move |mut connection| {
            while connection.request().is_ok() {
                let sick = shared.load(Ordering::Acquire);
                let status = if sick { "500 Sick" } else { "200 OK" };
                if !connection.wire.try_send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")) {
                    return;
                }
            }
        });
        Moody { backend, sick }
    }
}
