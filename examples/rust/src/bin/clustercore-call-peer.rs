//! One end of calls between two programs, in Rust: the test of tests/calls runs it against the same in C and Python.
//!
//! clustercore-call-peer serve                 prints its address, serves until its stdin ends
//! clustercore-call-peer call 127.0.0.1:9000   calls, and prints what came

use clustercore::calls::{
    CallConfig, Channel, ChannelConfig, Context, Failure, Names, Outcome, Server, ServerConfig, Status,
};
use clustercore::proto::rpc;
use clustercore::{EndpointConfig, Shard};
use clustercore_examples::demo::{
    AddReply, AddRequest, Calculator, CalculatorClient, CalculatorEachParts, CalculatorRunningParts,
    CalculatorTotalParts, Measures, Tree, calculator_service, tree::Leaf,
};
use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

type Problem = Box<dyn std::error::Error>;

fn main() -> Result<(), Problem> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => serve(),
        ["call", address] => call(address),
        _ => Err("usage: clustercore-call-peer serve | call IP:PORT".into()),
    }
}

struct InRust;

impl Calculator for InRust {
    fn add(&self, _context: &Context<'_>, request: AddRequest) -> Result<AddReply, Failure> {
        Ok(AddReply { sum: request.numbers.iter().sum(), by: "rust".into() })
    }

    fn measure(&self, _context: &Context<'_>, request: Tree) -> Result<Measures, Failure> {
        let mut measures = Measures::default();
        measure(&request, &mut measures);
        Ok(measures)
    }

    fn fail(&self, context: &Context<'_>, _request: AddRequest) -> Result<AddReply, Failure> {
        let who = context.metadata.get("who").unwrap_or(b"nobody");
        Err(Failure::new(Status::NotFound, format!("nothing for {}", String::from_utf8_lossy(who))))
    }

    fn running(&self, _context: &Context<'_>, parts: &CalculatorRunningParts<'_>) -> Result<(), Failure> {
        let mut sum = 0;
        while let Some(request) = parts.next()? {
            sum += request.numbers.iter().sum::<i64>();
            parts.send(&AddReply { sum, by: "rust".into() })?;
        }
        Ok(())
    }

    fn total(&self, _context: &Context<'_>, parts: &CalculatorTotalParts<'_>) -> Result<AddReply, Failure> {
        let mut sum = 0;
        while let Some(request) = parts.next()? {
            sum += request.numbers.iter().sum::<i64>();
        }
        Ok(AddReply { sum, by: "rust".into() })
    }

    fn each(
        &self,
        _context: &Context<'_>,
        request: AddRequest,
        parts: &CalculatorEachParts<'_>,
    ) -> Result<(), Failure> {
        request.numbers.iter().try_for_each(|sum| parts.send(&AddReply { sum: *sum, by: String::new() }))
    }
}

fn measure(tree: &Tree, measures: &mut Measures) {
    for leaf in &tree.leaves {
        measures.leaves += 1;
        measures.bytes += leaf.content.len() as u64;
        measures.names.push(leaf.name.clone());
        measures.contents.extend(&leaf.content);
    }
    tree.branches.iter().for_each(|branch| measure(branch, measures));
}

fn serve() -> Result<(), Problem> {
    let mut shard = Shard::builder().build()?;
    let config = EndpointConfig { calls: Some(rpc::Config::default()), ..EndpointConfig::default() };
    let endpoint = shard.open_endpoint("127.0.0.1:0".parse()?, config)?;
    let mut server = Server::new(ServerConfig::default());
    server.add(calculator_service(InRust))?;
    println!("{}", shard.endpoint_address(endpoint)?);
    let is_over = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_over);
    std::thread::spawn(move || {
        // Ends with the program that has started us.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        flag.store(true, Ordering::Relaxed);
    });
    while !is_over.load(Ordering::Relaxed) {
        server.turn(&mut shard, Some(Duration::from_millis(20)))?;
    }
    Ok(())
}

fn call(address: &str) -> Result<(), Problem> {
    let channel = Channel::open(address, &Names::new(), ChannelConfig::default())?;
    let client = CalculatorClient::new(channel.clone());
    let within = || CallConfig { timeout: Some(Duration::from_secs(20)), ..CallConfig::default() };

    let sum = channel.block_on(client.add(&AddRequest { numbers: (1..=100).collect() }, within()))??;
    println!("sum {}", sum.sum);
    eprintln!("added by {}", sum.by);

    let leaf = |name: &str, len: usize| Leaf { name: name.into(), content: vec![name.as_bytes()[0]; len] };
    let tree = Tree {
        leaves: vec![leaf("a", 3), leaf("b", 0)],
        branches: vec![Tree { leaves: vec![leaf("c", 100_000)], branches: Vec::new() }, Tree::default()],
    };
    let measures = channel.block_on(client.measure(&tree, within()))??;
    let begins = String::from_utf8_lossy(&measures.contents[..4]).into_owned();
    println!("{} leaves, {} bytes: {}, {begins}", measures.leaves, measures.bytes, measures.names.join(" "));

    let mut with_name = within();
    with_name.metadata.push("who", b"you");
    let failed = channel.block_on(client.fail(&AddRequest::default(), with_name))?.expect_err("it fails");
    println!("{} {:?}: {}", failed.status, failed.outcome == Outcome::Executed, failed.text);

    // Many at a time, in whatever order.
    let calls: Vec<_> =
        (0..200).map(|number| client.add(&AddRequest { numbers: vec![number; 2] }, within())).collect();
    let mut sum = 0;
    for call in calls {
        sum += channel.block_on(call)??.sum;
    }
    println!("many {sum}");
    stream(&client)
}

fn stream(client: &CalculatorClient) -> Result<(), Problem> {
    let within = || CallConfig { timeout: Some(Duration::from_secs(20)), ..CallConfig::default() };
    let running = client.running(within());
    let mut sums = Vec::new();
    for number in 1..=5 {
        running.send(&AddRequest { numbers: vec![number] })?;
        sums.push(running.take()?.ok_or("a reply is missing")?.sum.to_string());
    }
    running.end();
    running.status()?;
    println!("running {}: ok", sums.join(" "));

    // More than may be under way at a time, both ways.
    let total = client.total(within());
    for _ in 0..20_000 {
        total.send(&AddRequest { numbers: vec![1] })?;
    }
    total.end();
    println!("total {}", total.status()?.sum);

    let each = client.each(&AddRequest { numbers: vec![1; 20_000] }, within());
    let (mut sum, mut count) = (0, 0);
    while let Some(reply) = each.take()? {
        sum += reply.sum;
        count += 1;
    }
    each.status()?;
    println!("each {sum} in {count}: ok");
    Ok(())
}
