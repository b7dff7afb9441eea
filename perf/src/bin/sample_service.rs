//! `clustercore-sample-service`: an HTTP/1.1 service whose answers cost what the measurement wants.
//!
//! One thread on tokio-uring. CPU time is really burnt, and holds up the other requests of the process as it would in
//! any single-threaded server; waiting does not. SIGTERM: no new connections, idle ones are closed, requests in flight are
//! answered (with "Connection: close"), at most for [`DRAIN_MAX`].

use clap::Parser;
use clustercore_perf::service::{self, Route};
use clustercore_perf::{cpu, socket};
use rustix::fd::OwnedFd;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt::Write;
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};
use tokio::signal::unix::{SignalKind, signal};
use tokio_uring::net::{TcpListener, TcpStream};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves files of any size, after a set time of computing or waiting: /file/<bytes>?cpu_ms=&wait_ms=
#[derive(Parser)]
struct Options {
    /// Address to serve on; repeatable.
    #[arg(long = "listen", required = true, value_delimiter = ',')]
    listen: Vec<SocketAddr>,
    /// CPU milliseconds that every file costs in addition to its cpu_ms.
    #[arg(long, default_value_t = 0.0)]
    cpu_ms: f64,
    /// Milliseconds that every file waits in addition to its wait_ms.
    #[arg(long, default_value_t = 0.0)]
    wait_ms: f64,
}

fn main() -> std::io::Result<()> {
    let options = Options::parse();
    socket::raise_descriptor_limit();
    let service = Rc::new(Service {
        content: service::content().leak(),
        cpu_us: (options.cpu_ms.max(0.0) * 1000.0) as u64,
        wait_us: (options.wait_ms.max(0.0) * 1000.0) as u64,
        requests: Cell::new(0),
        first_file_unix: Cell::new(0.0),
        connections_all: Cell::new(0),
        is_stopping: Cell::new(false),
        connections: RefCell::default(),
    });
    let listeners: Vec<OwnedFd> =
        options.listen.iter().map(|&address| socket::listen(address, 4096)).collect::<Result<_, _>>()?;
    tokio_uring::start(async move {
        let accepting: Vec<_> = listeners
            .into_iter()
            .map(|listener| {
                let listener = TcpListener::from_std(listener.into());
                tokio_uring::spawn(accept(listener, Rc::clone(&service)))
            })
            .collect();
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        std::future::poll_fn(|context| {
            if terminate.poll_recv(context).is_ready() || interrupt.poll_recv(context).is_ready() {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        })
        .await;
        for task in accepting {
            task.abort();
        }
        service.drain().await;
        Ok(())
    })
}

/// A client's connection; `is_idle` while no request of it is being answered.
struct Connection {
    stream: TcpStream,
    is_idle: Cell<bool>,
}

struct Service {
    content: &'static [u8],
    cpu_us: u64,
    wait_us: u64,
    requests: Cell<u64>,
    /// When the first file was asked for, seconds since 1970; 0 before.
    first_file_unix: Cell<f64>,
    connections_all: Cell<u64>,
    is_stopping: Cell<bool>,
    connections: RefCell<HashMap<u64, Rc<Connection>>>,
}

impl Service {
    /// Closes what is idle and waits for the rest.
    async fn drain(&self) {
        self.is_stopping.set(true);
        for connection in self.connections.borrow().values().filter(|connection| connection.is_idle.get()) {
            // Its task reads the end and leaves.
            let _ = connection.stream.shutdown(Shutdown::Both);
        }
        let deadline = Instant::now() + DRAIN_MAX;
        while !self.connections.borrow().is_empty() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn stats(&self) -> String {
        let (requests, cpu_ns) = (self.requests.get(), cpu::own_ns());
        let per_request = cpu_ns as f64 / 1e3 / requests.max(1) as f64;
        format!(
            "{{\"requests\":{requests},\"first_file_unix\":{:.4},\"cpu_us\":{:.3},\"cpu_us_per_request\":{per_request:.3},\"connections\":{},\"connections_all\":{}}}\n",
            self.first_file_unix.get(),
            cpu_ns as f64 / 1e3,
            self.connections.borrow().len(),
            self.connections_all.get(),
        )
    }
}

async fn accept(listener: TcpListener, service: Rc<Service>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely: a moment later there may be some.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let id = service.connections_all.get();
        service.connections_all.set(id + 1);
        let connection = Rc::new(Connection { stream, is_idle: Cell::new(true) });
        service.connections.borrow_mut().insert(id, Rc::clone(&connection));
        let service = Rc::clone(&service);
        tokio_uring::spawn(async move {
            serve(&connection, &service).await;
            service.connections.borrow_mut().remove(&id);
        });
    }
}

/// Answers the requests of one connection, one after the other, until either side ends it.
async fn serve(connection: &Connection, service: &Service) {
    let mut pending: Vec<u8> = Vec::new();
    let mut buffer = Vec::with_capacity(HEAD_BYTES_MAX);
    loop {
        match parse(&pending) {
            Parsed::Request { len, route, is_head, is_kept } => {
                connection.is_idle.set(false);
                pending.drain(..len);
                let is_kept = answer(connection, service, route, is_head, is_kept).await;
                if !is_kept {
                    break;
                }
                connection.is_idle.set(true);
            }
            Parsed::Partial if pending.len() < HEAD_BYTES_MAX && !service.is_stopping.get() => {
                let (outcome, filled) = connection.stream.read(buffer).await;
                buffer = filled;
                match outcome {
                    Ok(0) | Err(_) => break,
                    Ok(len) => pending.extend_from_slice(&buffer[..len]),
                }
                buffer.clear();
            }
            Parsed::Partial | Parsed::Bad => {
                let bytes = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                if !pending.is_empty() {
                    // The connection ends either way.
                    let _ = connection.stream.write_all(&bytes[..]).await;
                }
                break;
            }
        }
    }
    // The client may have closed already.
    let _ = connection.stream.shutdown(Shutdown::Write);
}

/// Sends one answer and says whether the connection goes on.
async fn answer(
    connection: &Connection,
    service: &Service,
    route: Route,
    is_head: bool,
    is_kept: bool,
) -> bool {
    service.requests.set(service.requests.get() + 1);
    let mut text = String::new();
    let (status, body_bytes) = match route {
        Route::File { bytes, cpu_us, wait_us } => {
            if service.first_file_unix.get() == 0.0 {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                service.first_file_unix.set(now.map_or(0.0, |since| since.as_secs_f64()));
            }
            burn(cpu_us + service.cpu_us);
            let wait_us = wait_us + service.wait_us;
            if wait_us > 0 {
                tokio::time::sleep(Duration::from_micros(wait_us)).await;
            }
            ("200 OK", bytes)
        }
        Route::Health => {
            text.push_str("ok\n");
            (if service.is_stopping.get() { "503 Service Unavailable" } else { "200 OK" }, 3)
        }
        Route::Stats => {
            text = service.stats();
            ("200 OK", text.len() as u64)
        }
        Route::NotFound => ("404 Not Found", 0),
    };
    let is_kept = is_kept && !service.is_stopping.get();
    let mut head = String::with_capacity(256);
    let _ = write!(head, "HTTP/1.1 {status}\r\nServer: sample\r\nContent-Length: {body_bytes}\r\n"); // to a string
    head.push_str(if is_kept { "\r\n" } else { "Connection: close\r\n\r\n" });
    let mut first = head.into_bytes();
    let mut sent = 0;
    if !is_head {
        // Head and first part leave together, as one packet when small.
        let block: &[u8] = if text.is_empty() { service.content } else { text.as_bytes() };
        sent = body_bytes.min(FIRST_BYTES_MAX).min(block.len() as u64);
        first.extend_from_slice(&block[..sent as usize]);
    }
    if connection.stream.write_all(first).await.0.is_err() {
        return false;
    }
    while !is_head && sent < body_bytes {
        let start = (sent % service.content.len() as u64) as usize;
        let len =
            (service.content.len() - start).min(usize::try_from(body_bytes - sent).unwrap_or(usize::MAX));
        let part: &'static [u8] = &service.content[start..start + len];
        if connection.stream.write_all(part).await.0.is_err() {
            return false;
        }
        sent += len as u64;
    }
    is_kept
}

/// Computes for `us` microseconds of this thread's CPU time: being preempted does not count.
fn burn(us: u64) {
    let until = cpu::thread_ns() + us * 1000;
    while us > 0 && cpu::thread_ns() < until {
        for _ in 0..64 {
            std::hint::spin_loop();
        }
    }
}

enum Parsed {
    Request { len: usize, route: Route, is_head: bool, is_kept: bool },
    Partial,
    Bad,
}

/// Reads a request head at the start of `bytes`. Only GET and HEAD are understood, and no bodies.
fn parse(bytes: &[u8]) -> Parsed {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut fields);
    let len = match request.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Parsed::Partial,
        Err(_) => return Parsed::Bad,
    };
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Parsed::Bad;
    };
    let value = |name: &str| {
        request.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    };
    let has_body =
        value("transfer-encoding").is_some() || value("content-length").is_some_and(|length| length != b"0");
    if !matches!(method, "GET" | "HEAD") || has_body {
        return Parsed::Bad;
    }
    let is_kept = match value("connection") {
        Some(connection) if connection.eq_ignore_ascii_case(b"close") => false,
        Some(connection) if connection.eq_ignore_ascii_case(b"keep-alive") => true,
        _ => version == 1,
    };
    Parsed::Request { len, route: service::route(target), is_head: method == "HEAD", is_kept }
}

const HEAD_BYTES_MAX: usize = 16 * 1024;
const FIRST_BYTES_MAX: u64 = 32 * 1024;
/// How long requests in flight may take after SIGTERM.
const DRAIN_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keep_alive_follows_version_and_field() {
        let is_kept = |text: &str| match parse(text.as_bytes()) {
            Parsed::Request { is_kept, .. } => is_kept,
            _ => panic!("not read: {text}"),
        };
        assert!(is_kept("GET /1k HTTP/1.1\r\n\r\n"));
        assert!(!is_kept("GET /1k HTTP/1.0\r\n\r\n"));
        assert!(is_kept("GET /1k HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
        assert!(!is_kept("HEAD /1k HTTP/1.1\r\nconnection: Close\r\n\r\n"));
    }

    #[test]
    fn bodies_and_other_methods_are_refused() {
        for text in
            ["POST / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody", "nonsense\r\n\r\n"]
        {
            assert!(matches!(parse(text.as_bytes()), Parsed::Bad), "{text}");
        }
        assert!(matches!(parse(b"GET / HTTP/1.1\r\nHo"), Parsed::Partial));
        assert!(matches!(
            parse(b"GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
            Parsed::Request { len: 37, .. }
        ));
    }

    #[test]
    fn burnt_time_is_cpu_time() {
        let before = cpu::thread_ns();
        burn(3000);
        assert!(cpu::thread_ns() - before >= 3_000_000);
    }
}
