//! Clients that check every byte of every answer.

use crate::content::{Read, chunked, content, read};
use crate::service::Ledger;
use clustercore::io::sim::{Actor, SimDriver, SimNet};
use clustercore::io::{Chunk, Close, Driver, Event, Instant, StreamId, StreamOptions};
use clustercore::proto::random::Random;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

/// One client: one connection after the other, a few requests on each.
pub struct Client {
    net: SimNet,
    driver: SimDriver,
    random: Random,
    server: SocketAddr,
    ledger: Rc<RefCell<Ledger>>,
    next_id: u64,
    end_id: u64,
    connection: Option<Connection>,
    pub answers: Answers,
    inbox: Vec<Event>,
    /// Reads nothing until then.
    asleep_until: Option<Instant>,
    pub posts_only: bool,
}

/// How requests ended.
#[derive(Default, Debug)]
pub struct Answers {
    pub whole: u64,
    pub refused: u64,
    pub cut: u64,
}

struct Connection {
    stream: StreamId,
    /// Number, HEAD or not, length of the answer.
    asked: VecDeque<(u64, bool, usize)>,
    received: Vec<u8>,
    last: bool,
}

impl Client {
    pub fn new(
        net: &SimNet,
        ip: IpAddr,
        server: SocketAddr,
        ids: std::ops::Range<u64>,
        ledger: &Rc<RefCell<Ledger>>,
    ) -> Client {
        Client {
            net: net.clone(),
            driver: net.host(ip),
            random: Random::new(ids.start ^ 0x5eed),
            server,
            ledger: Rc::clone(ledger),
            next_id: ids.start,
            end_id: ids.end,
            connection: None,
            answers: Answers::default(),
            inbox: Vec::new(),
            asleep_until: None,
            posts_only: false,
        }
    }

    pub fn is_done(&self) -> bool {
        self.next_id >= self.end_id && self.connection.is_none()
    }

    /// Asks `count` more requests.
    pub fn ask_more(&mut self, count: u64) {
        self.end_id += count;
    }

    fn violation(&self, text: String) {
        self.ledger.borrow_mut().violations.push(text);
    }

    fn ask(&mut self) {
        if self.connection.is_none() && self.next_id < self.end_id {
            let stream = self.driver.connect(self.server, &StreamOptions::default()).expect("there is room");
            self.connection =
                Some(Connection { stream, asked: VecDeque::new(), received: Vec::new(), last: false });
        }
    }

    fn send_requests(&mut self) {
        let Some(connection) = self.connection.as_mut() else { return };
        if !connection.asked.is_empty() || connection.last {
            return;
        }
        // Pipelined now and then; not when every request must be served, since what was sent after one whose answer ends with
        // the connection is lost by right.
        let pipelined = self.ledger.borrow().faults && self.random.below(3) == 0;
        let count = 1 + self.random.below(3) * u64::from(pipelined);
        let mut out = Vec::new();
        for _ in 0..count {
            if self.next_id >= self.end_id {
                break;
            }
            let id = self.next_id;
            self.next_id += 1;
            let random = &mut self.random;
            let length = [0, 1, 500, 5_000, 70_000, 400_000][random.below(6) as usize];
            let method = ["GET", "GET", "HEAD", "PUT", "POST"]
                [if self.posts_only { 4 } else { random.below(5) as usize }];
            let upload = if matches!(method, "POST" | "PUT") {
                [0, 10, 3000, 90_000][random.below(4) as usize]
            } else {
                0
            };
            connection.last = random.below(5) == 0;
            let close = if connection.last { "Connection: close\r\n" } else { "" };
            out.extend_from_slice(
                format!("{method} /r/{id}/{length}/{upload} HTTP/1.1\r\nHost: x\r\n{close}").as_bytes(),
            );
            let body = content(id, upload);
            if upload > 0 && random.below(2) == 0 {
                out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                out.extend_from_slice(&chunked(&body, random));
            } else if upload > 0 {
                out.extend_from_slice(format!("Content-Length: {upload}\r\n\r\n").as_bytes());
                out.extend_from_slice(&body);
            } else {
                out.extend_from_slice(b"\r\n");
            }
            connection.asked.push_back((id, method == "HEAD", length));
            if connection.last {
                break;
            }
        }
        if out.is_empty() {
            connection.last = true;
            let stream = connection.stream;
            self.connection = None;
            self.driver.close(stream, Close::AfterSend);
            return;
        }
        let stream = connection.stream;
        self.driver.send(stream, Chunk::Owned(out));
    }

    fn on_bytes(&mut self, ended: bool) {
        loop {
            let Some(connection) = self.connection.as_mut() else { return };
            let Some((id, head, length)) = connection.asked.front().copied() else {
                if !connection.received.is_empty() {
                    let text = format!("{} bytes that nobody asked for", connection.received.len());
                    self.violation(text);
                }
                return;
            };
            let (first, body, used) = match read(&connection.received, head, false, ended) {
                Ok(Read::Incomplete) => return,
                Ok(Read::Whole(first, body, used)) => (first, body, used),
                Err(text) => return self.violation(format!("request {id}: a bad answer: {text}")),
            };
            connection.received.drain(..used);
            let status: u32 = first.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
            match status {
                100..200 => continue,
                200 => {
                    self.answers.whole += 1;
                    let wanted = if head { Vec::new() } else { content(id, length) };
                    if body != wanted {
                        let text = format!(
                            "request {id}: {} bytes taken for a whole answer of {}",
                            body.len(),
                            wanted.len()
                        );
                        self.violation(text);
                    }
                }
                502..=504 => self.answers.refused += 1,
                _ => self.violation(format!("request {id}: {first}")),
            }
            if let Some(connection) = self.connection.as_mut() {
                connection.asked.pop_front();
            }
            if !ended {
                self.send_requests();
            }
        }
    }

    /// The connection is over. What was asked and not answered is lost to this client, and it knows.
    fn drop_connection(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        self.answers.cut += connection.asked.len() as u64;
        self.driver.close(connection.stream, Close::Abort);
        self.ask();
    }
}

impl Actor for Client {
    fn turn(&mut self) {
        if let Some(until) = self.asleep_until {
            if self.net.now() < until {
                return;
            }
            self.asleep_until = None;
        }
        self.ask();
        let mut inbox = std::mem::take(&mut self.inbox);
        let _ = self.driver.turn(Some(Duration::ZERO), &mut inbox);
        for event in inbox.drain(..) {
            match event {
                Event::Connected { stream, result: Ok(()) } => {
                    self.driver.recv(stream);
                    self.send_requests();
                }
                Event::Data { stream, lease } => {
                    if let Some(connection) =
                        self.connection.as_mut().filter(|connection| connection.stream == stream)
                    {
                        connection.received.extend_from_slice(self.driver.bytes(&lease));
                    }
                    self.driver.release(lease);
                    self.on_bytes(false);
                    if self.random.below(200) == 0 {
                        // A slow reader.
                        self.asleep_until =
                            Some(self.net.now() + Duration::from_millis(self.random.below(300)));
                    }
                }
                Event::End { .. } => {
                    self.on_bytes(true);
                    self.drop_connection();
                }
                Event::Connected { result: Err(_), .. } | Event::Failed { .. } => self.drop_connection(),
                _ => {}
            }
        }
        self.inbox = inbox;
    }
    fn is_pending(&self) -> bool {
        self.asleep_until.is_none()
            && (self.driver.pending() || (self.connection.is_none() && self.next_id < self.end_id))
    }
    fn next_timeout(&self) -> Option<Instant> {
        self.asleep_until
    }
}
