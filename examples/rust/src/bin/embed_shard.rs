//! A program with a loop of its own embeds a shard: it waits for the shard's descriptor beside its own, and turns the shard when
//! there is something to do. Here the loop is `poll(2)`; two small services and one client live on threads beside it.

use clustercore::io::ListenOptions;
use clustercore::{BackendConfig, ForwarderConfig, Shard};
use rustix::event::{PollFd, PollFlags, poll};
use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let mut shard = Shard::builder().build()?;
    let mut config = ForwarderConfig { name: "example".into(), health: None, ..ForwarderConfig::default() };
    config.router.policy = clustercore::proto::policy::Policy::RoundRobin;
    let service = shard.add_forwarder(config)?;
    for name in ["one", "two"] {
        shard.add_backend(service, BackendConfig::new(serve(name)?))?;
    }
    let address = shard.listen(service, "127.0.0.1:0".parse()?, &ListenOptions::default())?;
    let client = std::thread::spawn(move || ask(address));

    let end = Instant::now() + Duration::from_secs(10);
    while !client.is_finished() && Instant::now() < end {
        // The program's own descriptors would stand beside this one.
        let mut waits = [PollFd::from_borrowed_fd(shard.borrow_fd()?, PollFlags::IN)];
        let timeout =
            shard.next_timeout().unwrap_or(Duration::from_millis(50)).min(Duration::from_millis(50));
        poll(&mut waits, Some(&timeout.try_into()?))?;
        shard.turn()?;
        for (_, event) in shard.events() {
            println!("{event}");
        }
    }
    let answers = client.join().map_err(|_| "the client panicked")??;
    println!("answers: {}", answers.join(" "));
    for backend in shard.backends(service)? {
        println!("back end {}: {} requests, {} failures", backend.key.0, backend.requests, backend.failures);
    }
    Ok(())
}

/// A service that answers each request with its name.
fn serve(name: &'static str) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream, name));
        }
    });
    Ok(address)
}

fn answer(mut stream: TcpStream, name: &str) -> std::io::Result<()> {
    let mut request = [0; 4096];
    while stream.read(&mut request)? > 0 {
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len())?;
    }
    Ok(())
}

/// Four requests on one connection.
fn ask(address: SocketAddr) -> std::io::Result<Vec<String>> {
    let mut stream = TcpStream::connect(address)?;
    let mut answers = Vec::new();
    for _ in 0..4 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: example\r\n\r\n")?;
        let mut received = [0; 4096];
        let count = stream.read(&mut received)?;
        let text = String::from_utf8_lossy(&received[..count]).into_owned();
        answers.push(text.rsplit("\r\n\r\n").next().unwrap_or_default().to_owned());
    }
    Ok(answers)
}
