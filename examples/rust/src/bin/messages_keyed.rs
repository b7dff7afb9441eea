//! Messages in secure mode: both ends are proven by their keys, and a stranger is not let in.
//!
//! A key is made once, with `clustercore keygen --out FILE`, and loaded with `PrivateKey::load`; here all are made anew.

use clustercore::proto::datagram::{Connection, Event, GoneReason, StreamId};
use clustercore::security::{Access, Mode, PrivateKey, PublicKey};
use clustercore::{EndpointConfig, EndpointId, Result, Shard};
use std::time::Duration;

fn main() -> Result<()> {
    let (server_key, client_key) = (PrivateKey::generate()?, PrivateKey::generate()?);
    let (server_public, client_public) = (server_key.public(), client_key.public());
    let mut shard = Shard::builder().build()?;
    let server = open(&mut shard, server_key, Access::Only([client_public].into()))?;
    let client = open(&mut shard, client_key, Access::Any)?;
    let stranger = open(&mut shard, PrivateKey::generate()?, Access::Any)?;
    connect(&mut shard, client, server, &server_public)?;
    let mut gone = 0;
    while gone < 3 {
        shard.turn_within(Some(Duration::from_millis(100)))?;
        let events: Vec<_> = shard.connection_events().collect();
        for (endpoint, event) in events {
            match event {
                Event::Connected { identity, .. } => {
                    println!("client: the server is proven: {}", identity == Some(*server_public.as_bytes()));
                }
                Event::Accepted { connection, identity, .. } => {
                    println!("server: the client is proven: {}", identity == Some(*client_public.as_bytes()));
                    shard.send(server, connection, StreamId::DEFAULT, b"a secret")?;
                }
                Event::Gone { reason: GoneReason::Refused(_), .. } => {
                    println!("stranger: refused: the handshake was not right");
                    gone += 1;
                }
                Event::Gone { .. } => {
                    gone += 1;
                    if endpoint == client {
                        connect(&mut shard, stranger, server, &server_public)?;
                    }
                }
                _ => {}
            }
        }
        // Messages are lent until the next turn; whose connection is over is noted meanwhile.
        let mut ended = Vec::new();
        for run in shard.messages() {
            for (sequence, payload) in (run.first..).zip(run.iter()) {
                println!("client: message {sequence} is \"{}\"", String::from_utf8_lossy(payload));
                ended.push(run.connection);
            }
        }
        for connection in ended {
            shard.close_connection(client, connection, 256, "that is all", true)?;
        }
    }
    Ok(())
}

fn open(shard: &mut Shard, key: PrivateKey, access: Access) -> Result<EndpointId> {
    let loopback = "127.0.0.1:0".parse().expect("an address");
    let security = Some(Mode::Secure { key, access });
    shard.open_endpoint(loopback, EndpointConfig { security, ..EndpointConfig::default() })
}

/// Whoever connects says whom he expects.
fn connect(shard: &mut Shard, from: EndpointId, to: EndpointId, key: &PublicKey) -> Result<Connection> {
    let peer = shard.endpoint_address(to)?;
    shard.connect(from, peer, Some(*key.as_bytes()))
}
