//! Two endpoints exchange messages over loopback, each exactly once and in order, and finish.
//!
//! Both belong to one shard here; between two programs or machines nothing is different but the address.

use clustercore::proto::datagram::{Connection, Event, GoneReason, StreamId};
use clustercore::{EndpointConfig, EndpointId, Result, Shard};
use std::time::Duration;

fn main() -> Result<()> {
    let mut shard = Shard::builder().build()?;
    let loopback = "127.0.0.1:0".parse().expect("an address");
    let server = shard.open_endpoint(loopback, EndpointConfig::default())?;
    let client = shard.open_endpoint(loopback, EndpointConfig::default())?;
    let peer = shard.endpoint_address(server)?;
    let connection = shard.connect(client, peer, None)?;
    let mut answers_taken = 0;
    let mut gone = 0;
    while gone < 2 {
        shard.turn_within(Some(Duration::from_millis(100)))?;
        let events: Vec<_> = shard.connection_events().collect();
        for (endpoint, event) in events {
            let who = if endpoint == client { "client" } else { "server" };
            match event {
                Event::Connected { .. } => {
                    println!("{who}: connected");
                    send_questions(&mut shard, client, connection)?;
                }
                Event::Gone { reason, .. } => {
                    if let GoneReason::ClosedByPeer { text, .. } = reason {
                        println!("{who}: closed by the peer: {}", String::from_utf8_lossy(&text));
                    }
                    gone += 1;
                }
                _ => {}
            }
        }
        // Messages are lent until the next turn; what is to be sent meanwhile is noted.
        let mut answers = Vec::new();
        for run in shard.messages() {
            for (sequence, payload) in (run.first..).zip(run.iter()) {
                let text = String::from_utf8_lossy(payload);
                if run.endpoint == server {
                    println!("server: message {sequence} is \"{text}\"");
                    answers.push((run.connection, run.stream, format!("answer to {text}")));
                } else {
                    println!("client: message {sequence} is \"{text}\"");
                    answers_taken += 1;
                }
            }
        }
        for (connection, stream, text) in answers {
            shard.send(server, connection, stream, text.as_bytes())?;
        }
        // After the last answer: end the connection as soon as everything has arrived.
        if answers_taken == QUESTIONS {
            answers_taken = 0;
            shard.close_connection(client, connection, 256, "that is all", true)?;
        }
    }
    Ok(())
}

fn send_questions(shard: &mut Shard, client: EndpointId, connection: Connection) -> Result<()> {
    for number in 1..=QUESTIONS {
        shard.send(client, connection, StreamId::DEFAULT, format!("question {number}").as_bytes())?;
    }
    Ok(())
}

const QUESTIONS: u32 = 3;
