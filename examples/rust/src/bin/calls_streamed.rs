//! A streamed call: words go one way while counts come the other, then what the handler says at the end.
//!
//! The handler waits for parts and for room on a thread of the pool; whoever does not take parts makes the other side wait.

use clustercore::calls::{CallConfig, Channel, ChannelConfig, Names, Server, ServerConfig, Service};
use clustercore::proto::rpc;
use clustercore::{EndpointConfig, Error, Shard};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let is_over = AtomicBool::new(false);
    let (tell, address) = mpsc::channel();
    std::thread::scope(|scope| {
        let server = scope.spawn(|| serve(&tell, &is_over));
        let called = call(&address.recv()?);
        is_over.store(true, Ordering::Relaxed);
        server.join().map_err(|_| "the server panicked")??;
        called
    })
}

fn serve(tell: &mpsc::Sender<String>, is_over: &AtomicBool) -> Result<(), Error> {
    let mut shard = Shard::builder().build()?;
    let config = EndpointConfig { calls: Some(rpc::Config::default()), ..EndpointConfig::default() };
    let endpoint = shard.open_endpoint(([127, 0, 0, 1], 0).into(), config)?;
    let mut server = Server::new(ServerConfig::default());
    server.add(Service::new("demo.Reader").streamed("Read", |_, _, parts, results| {
        let mut letters = 0;
        while let Some(word) = parts.next()? {
            letters += word.len();
            parts.send(format!("{letters} letters so far").as_bytes())?;
        }
        results.extend(b"read to the end");
        Ok(())
    }))?;
    // The other end waits for it, or has ended.
    let _ = tell.send(shard.endpoint_address(endpoint)?.to_string());
    while !is_over.load(Ordering::Relaxed) {
        server.turn(&mut shard, Some(Duration::from_millis(20)))?;
    }
    Ok(())
}

fn call(address: &str) -> Result<(), Box<dyn std::error::Error>> {
    let channel = Channel::open(address, &Names::new(), ChannelConfig::default())?;
    let within = || CallConfig { timeout: Some(Duration::from_secs(5)), ..CallConfig::default() };
    let stream = channel.stream("demo.Reader/Read", Vec::new(), within());
    for word in ["many", "a", "mickle"] {
        stream.send(word.as_bytes())?;
        let count = stream.take()?.ok_or("the call has ended")?;
        println!("{word}: {}", String::from_utf8(count)?);
    }
    stream.end();
    println!("{}", String::from_utf8(stream.status()?.results)?);

    // Who wants no more says so; the handler, which waits for the next word, is let go.
    let stream = channel.stream("demo.Reader/Read", Vec::new(), within());
    stream.send(b"unfinished")?;
    stream.take()?;
    stream.cancel();
    if let Err(failed) = stream.status() {
        println!("{}", failed.status);
    }
    Ok(())
}
