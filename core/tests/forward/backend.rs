//! Back ends made of one closure per connection.

use crate::wire::{Cut, Message, Wire, answer, chunked, content};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A service on a port of its own; every connection is served by the closure on a thread of its own.
pub struct Backend {
    pub address: SocketAddr,
    seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
}

/// What a back end has seen so far.
#[derive(Default)]
struct Seen {
    ended: AtomicBool,
    connections: AtomicUsize,
    requests: Mutex<Vec<Message>>,
    streams: Mutex<Vec<(usize, TcpStream)>>,
}

/// One connection of a back end.
pub struct Connection {
    pub wire: Wire,
    /// Counts the connections of this back end from 0.
    pub number: usize,
    seen: Arc<Seen>,
}

impl Connection {
    /// The next request, which is noted, or how the connection ended.
    pub fn request(&mut self) -> Result<Message, Cut> {
        let request = self.wire.request()?;
        self.seen.requests.lock().expect("nobody panicked").push(request.clone());
        Ok(request)
    }
}

impl Backend {
    /// Serves each connection with `serve`; the connection ends when that returns.
    pub fn new(serve: impl Fn(Connection) + Send + Sync + 'static) -> Backend {
        Backend::on("127.0.0.1:0".parse().expect("an address"), serve)
    }

    /// The same on an address that is known already.
    pub fn on(address: SocketAddr, serve: impl Fn(Connection) + Send + Sync + 'static) -> Backend {
        let listener = TcpListener::bind(address).expect("a free port");
        let address = listener.local_addr().expect("it has an address");
        let seen = Arc::new(Seen::default());
        let (shared, serve) = (Arc::clone(&seen), Arc::new(serve));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                if shared.ended.load(Ordering::Acquire) {
                    break;
                }
                let number = shared.connections.fetch_add(1, Ordering::AcqRel);
                let kept = (number, stream.try_clone().expect("a descriptor"));
                shared.streams.lock().expect("nobody panicked").push(kept);
                let connection = Connection { wire: Wire::new(stream), number, seen: Arc::clone(&shared) };
                let (serve, seen) = (Arc::clone(&serve), Arc::clone(&shared));
                std::thread::spawn(move || {
                    serve(connection);
                    // The last descriptor of the connection: now it ends.
                    seen.streams.lock().expect("nobody panicked").retain(|(other, _)| *other != number);
                });
            }
        });
        Backend { address, seen, thread: Some(thread) }
    }

    /// A service that does what the path says: see [`serve`].
    pub fn plain(name: &'static str) -> Backend {
        Backend::new(move |connection| serve(connection, name))
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::Acquire)
    }

    /// The requests that were read whole, in order.
    pub fn requests(&self) -> Vec<Message> {
        self.seen.requests.lock().expect("nobody panicked").clone()
    }

    /// The last request that was read whole.
    #[track_caller]
    pub fn last(&self) -> Message {
        self.requests().pop().expect("a request has come")
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.seen.ended.store(true, Ordering::Release);
        // Wakes the accept.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        for (_, stream) in self.seen.streams.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// `/length/N` and `/chunked/N` answer with N bytes of `content(N)`, `/close/N` ends them with the connection, `/status/N` answers with that
/// status, `/echo` and `/echo-chunked` with the request's own body; `/hello` and everything else with the back end's name.
pub fn serve(mut connection: Connection, name: &str) {
    while let Ok(request) = connection.request() {
        let mut words = request.first().split(' ');
        let method = words.next().unwrap_or_default().to_string();
        let path = words.next().unwrap_or_default().to_string();
        let mut parts = path.split('/').skip(1);
        let what = parts.next().unwrap_or_default();
        let number: usize = parts.next().and_then(|digits| digits.parse().ok()).unwrap_or(0);
        let chunks = |body: &[u8]| {
            let mut out = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n".to_vec();
            out.extend_from_slice(&chunked(body, 7000, "X-Sum: 7\r\n"));
            out
        };
        let out = match what {
            "length" => answer(&content(number as u64, number)),
            "chunked" => chunks(&content(number as u64, number)),
            "close" => {
                let mut out = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
                out.extend_from_slice(&content(number as u64, number));
                connection.wire.try_send(out);
                return;
            }
            "status" => format!("HTTP/1.1 {number} Whatever\r\nContent-Length: 0\r\n\r\n").into_bytes(),
            "echo" => answer(&request.body),
            "echo-chunked" => chunks(&request.body),
            _ => answer(name.as_bytes()),
        };
        let head_len = out.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
        let out = if method == "HEAD" { &out[..head_len] } else { &out[..] };
        if !connection.wire.try_send(out) {
            return;
        }
    }
}
