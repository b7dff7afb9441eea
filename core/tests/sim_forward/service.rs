//! A back end that serves, and misbehaves as the seed says while it is told to.

use crate::content::{Read, chunked, content, read};
use clustercore::io::sim::{Actor, SimDriver, SimNet};
use clustercore::io::{Chunk, Close, Driver, Event, Instant, ListenOptions, StreamId};
use clustercore::proto::random::Random;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// What all services count together.
#[derive(Default)]
pub struct Ledger {
    /// How often each request was executed.
    pub executed: HashMap<u64, u32>,
    /// What must never happen.
    pub violations: Vec<String>,
    /// Whether services misbehave.
    pub faults: bool,
}

pub struct Service {
    net: SimNet,
    driver: SimDriver,
    random: Random,
    ledger: Rc<RefCell<Ledger>>,
    streams: HashMap<StreamId, Vec<u8>>,
    /// Responses that are sent later: when, where, bytes, and what follows.
    later: Vec<(Instant, StreamId, Vec<u8>, After)>,
    inbox: Vec<Event>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum After {
    Keep,
    Close,
    Reset,
}

impl Service {
    pub fn new(net: &SimNet, address: SocketAddr, ledger: &Rc<RefCell<Ledger>>, seed: u64) -> Service {
        let mut driver = net.host(address.ip());
        driver.listen(address, &ListenOptions::default()).expect("a fresh host");
        Service {
            net: net.clone(),
            driver,
            random: Random::new(seed),
            ledger: Rc::clone(ledger),
            streams: HashMap::new(),
            later: Vec::new(),
            inbox: Vec::new(),
        }
    }

    fn on_bytes(&mut self, stream: StreamId) {
        loop {
            let Some(received) = self.streams.get_mut(&stream) else { return };
            let (first, body, used) = match read(received, false, true, false) {
                Ok(Read::Whole(first, body, used)) => (first, body, used),
                Ok(Read::Incomplete) => return,
                Err(text) => return self.violation(format!("a service got a bad request: {text}")),
            };
            received.drain(..used);
            self.serve(stream, &first, &body);
        }
    }

    fn violation(&self, text: String) {
        self.ledger.borrow_mut().violations.push(text);
    }

    /// `METHOD /r/ID/RESPONSE_LENGTH/REQUEST_LENGTH HTTP/1.1`
    fn serve(&mut self, stream: StreamId, first: &str, body: &[u8]) {
        let mut words = first.split(' ');
        let method = words.next().unwrap_or_default();
        let numbers: Vec<u64> =
            words.next().unwrap_or_default().split('/').filter_map(|word| word.parse().ok()).collect();
        let [id, length, upload] = numbers[..] else {
            return self.violation(format!("request line {first:?}"));
        };
        if body != content(id, upload as usize) {
            self.violation(format!("request {id}: {} body bytes, wrong ones, wanted {upload}", body.len()));
        }
        *self.ledger.borrow_mut().executed.entry(id).or_default() += 1;
        let random = &mut self.random;
        let answer = content(id, length as usize);
        let head = method == "HEAD";
        let mut out = Vec::new();
        if random.below(8) == 0 {
            out.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
        }
        let mut after = if random.below(6) == 0 { After::Close } else { After::Keep };
        // The end of the connection is the end of the message where no length is given: then only a reset tells of a cut.
        let mut framed = true;
        let connection = if after == After::Close { "Connection: close\r\n" } else { "" };
        match random.below(3) {
            0 => {
                out.extend_from_slice(
                    format!("HTTP/1.1 200 OK\r\n{connection}Transfer-Encoding: chunked\r\n\r\n").as_bytes(),
                );
                if !head {
                    out.extend_from_slice(&chunked(&answer, random));
                }
            }
            1 if random.below(3) == 0 && !head => {
                after = After::Close;
                framed = false;
                out.extend_from_slice(b"HTTP/1.1 200 OK\r\n\r\n");
                out.extend_from_slice(&answer);
            }
            _ => {
                out.extend_from_slice(
                    format!("HTTP/1.1 200 OK\r\n{connection}Content-Length: {length}\r\n\r\n").as_bytes(),
                );
                if !head {
                    out.extend_from_slice(&answer);
                }
            }
        }
        let mut delay = Duration::from_micros(random.below(3000));
        if self.ledger.borrow().faults && random.below(4) == 0 {
            match random.below(7) {
                // Dies before a byte, within the head, within the body: wherever the cut falls.
                0 => {
                    let cut = random.below(out.len() as u64) as usize;
                    out.truncate(cut);
                    after = After::Reset;
                }
                1 => {
                    out.truncate(random.below(out.len() as u64) as usize);
                    after = if framed { After::Close } else { After::Reset };
                }
                2 => delay = Duration::from_secs(3600),
                3 => {
                    out = b"\x16\x03\x01 not http at all\r\n\r\n".to_vec();
                    after = After::Close;
                }
                4 => out
                    .splice(
                        0..0,
                        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
                            .iter()
                            .copied(),
                    )
                    .for_each(drop),
                5 => {
                    // Stalls in the middle.
                    let tail = out.split_off(random.below(out.len() as u64) as usize);
                    let at = self.net.now() + Duration::from_secs(3600);
                    self.later.push((at, stream, tail, after));
                    after = After::Keep;
                }
                _ => delay = Duration::from_millis(random.below(900)),
            }
        }
        self.later.push((self.net.now() + delay, stream, out, after));
    }

    fn send_due(&mut self) {
        let now = self.net.now();
        let mut at = 0;
        while at < self.later.len() {
            if self.later[at].0 > now {
                at += 1;
                continue;
            }
            let (_, stream, bytes, after) = self.later.remove(at);
            self.driver.send(stream, Chunk::Owned(bytes));
            match after {
                After::Keep => {}
                After::Close => self.end(stream, Close::AfterSend),
                After::Reset => self.end(stream, Close::Abort),
            }
        }
    }

    fn end(&mut self, stream: StreamId, how: Close) {
        self.streams.remove(&stream);
        self.driver.close(stream, how);
        self.later.retain(|(_, other, ..)| *other != stream);
    }
}

impl Actor for Service {
    fn turn(&mut self) {
        let mut inbox = std::mem::take(&mut self.inbox);
        let _ = self.driver.turn(Some(Duration::ZERO), &mut inbox);
        for event in inbox.drain(..) {
            match event {
                Event::Accepted { stream, .. } => {
                    self.streams.insert(stream, Vec::new());
                    self.driver.recv(stream);
                }
                Event::Data { stream, lease } => {
                    if let Some(received) = self.streams.get_mut(&stream) {
                        received.extend_from_slice(self.driver.bytes(&lease));
                    }
                    self.driver.release(lease);
                    self.on_bytes(stream);
                }
                Event::End { stream } | Event::Failed { stream, .. } => self.end(stream, Close::Abort),
                _ => {}
            }
        }
        self.inbox = inbox;
        self.send_due();
    }
    fn is_pending(&self) -> bool {
        self.driver.pending()
    }
    fn next_timeout(&self) -> Option<Instant> {
        self.later.iter().map(|(at, ..)| *at).min()
    }
}
