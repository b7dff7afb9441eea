//! A server and its caller: results, a failure in words, and many calls at a time.
//!
//! Both are in one program here; between two programs or machines nothing is different but the address.

use clustercore::calls::{
    CallConfig, Channel, ChannelConfig, Failure, Names, Outcome, Place, Server, ServerConfig, Service, Status,
};
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
    server.add(Service::new("demo.Voice").method("Shout", Place::Worker, |_, arguments, results| {
        if arguments.is_empty() {
            return Err(Failure::new(Status::InvalidArgument, "there is nothing to shout"));
        }
        results.extend(arguments.to_ascii_uppercase());
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
    let reply = channel.call("demo.Voice/Shout", b"hello".to_vec(), within()).wait()?;
    println!("{}", String::from_utf8(reply.results)?);
    if let Err(failed) = channel.call("demo.Voice/Shout", Vec::new(), within()).wait() {
        let outcome = if failed.outcome == Outcome::Executed { "executed" } else { "not executed" };
        println!("{}, {outcome}: {}", failed.status, failed.text);
    }
    let calls: Vec<_> = (0..100)
        .map(|number| channel.call("demo.Voice/Shout", format!("call {number}").into_bytes(), within()))
        .collect();
    let mut ended = 0;
    for call in calls {
        channel.block_on(call)??;
        ended += 1;
    }
    println!("{ended} calls have ended");
    Ok(())
}
