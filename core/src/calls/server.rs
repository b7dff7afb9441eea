//! A server of calls on a shard: services, workers, health.

use super::health::{self, Health};
use super::lines::{self, Lines};
use super::service::{Action, Context, Interceptor, Methods, Place, Service, execute};
use super::workers::{Job, Workers};
use super::{CallId, Failure, Incoming, Metadata, Parts, Status};
use crate::error::{Error, Result};
use crate::io::Driver;
use crate::messages::EndpointId;
use crate::proto::datagram::{Connection, Event};
use crate::shard::Shard;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How a server executes calls.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Threads for handlers that are not run in the loop.
    pub workers: usize,
    /// Calls that may wait for a thread; more are refused as busy.
    pub queue_max: usize,
}

impl Default for ServerConfig {
    fn default() -> ServerConfig {
        ServerConfig { workers: std::thread::available_parallelism().map_or(2, usize::from), queue_max: 1024 }
    }
}

/// A call that its owner has taken to answer it later.
#[derive(Debug)]
pub struct Deferred {
    /// The endpoint that it came to.
    pub endpoint: EndpointId,
    /// Its name, for [`Server::reply`].
    pub call: CallId,
    /// `package.Service/Method`.
    pub method: Arc<str>,
    /// Nobody waits for its reply after this.
    pub deadline: Option<Instant>,
    /// Pairs that travelled with it.
    pub metadata: Metadata,
    /// The public key of the caller, in secure mode.
    pub caller: Option<[u8; 32]>,
    /// Its arguments.
    pub arguments: Vec<u8>,
    /// Its further arguments and its results, when it is streamed.
    pub parts: Option<Parts>,
    /// Becomes true when the caller wants it no more.
    pub is_cancelled: Arc<AtomicBool>,
}

/// Answers the calls of a shard's endpoints. Turn the shard, then call [`Server::handle`] with what the turn has brought.
pub struct Server {
    methods: Methods,
    /// Streamed calls. Before the workers: who waits for parts is let go before their threads are waited for.
    lines: Lines,
    workers: Option<Workers>,
    config: ServerConfig,
    health: Health,
    /// The public keys of those who are connected, in secure mode.
    callers: HashMap<(EndpointId, Connection), [u8; 32]>,
    /// Calls that are with workers, for their cancellation.
    flags: HashMap<(EndpointId, CallId), Arc<AtomicBool>>,
    /// Calls that the owner has not taken.
    deferred: VecDeque<Deferred>,
}

impl Server {
    /// A server without services but health. Threads start with the first call that wants one.
    pub fn new(config: ServerConfig) -> Server {
        let health = Health::default();
        let mut methods = Methods::default();
        // The first service of an empty list collides with none.
        let added = methods.add(health::service(&health));
        debug_assert!(added.is_ok());
        Server {
            methods,
            lines: Lines::default(),
            workers: None,
            config,
            health,
            callers: HashMap::new(),
            flags: HashMap::new(),
            deferred: VecDeque::new(),
        }
    }

    /// Adds a service, healthy from now on, or more methods to one that is there.
    ///
    /// Errors: `BadConfiguration`: one of its methods, or one of its name on the wire, is there.
    pub fn add(&mut self, service: Service) -> Result<()> {
        let name = service.name().to_string();
        self.methods.add(service)?;
        self.health.set(&name, true);
        Ok(())
    }

    /// Adds an interceptor: the first added is the first before and the last after a call.
    pub fn intercept(&mut self, interceptor: impl Interceptor + 'static) {
        self.methods.interceptors.push(Arc::new(interceptor));
    }

    /// What the health service says.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// The next call of a method that the owner answers ([`Service::deferred`]).
    pub fn deferred(&mut self) -> Option<Deferred> {
        self.deferred.pop_front()
    }

    /// Answers a deferred call. Errors: `NoSuchCall`: its caller has gone on without it.
    pub fn reply<D: Driver>(
        &mut self,
        shard: &mut Shard<D>,
        endpoint: EndpointId,
        call: CallId,
        outcome: std::result::Result<&[u8], &Failure>,
    ) -> Result<()> {
        let name = (endpoint, call);
        self.flags.remove(&name);
        let outcome = outcome.map(<[u8]>::to_vec).map_err(|failure| (failure.clone(), false));
        if self.lines.has(&name) {
            self.lines.finish(shard, name, outcome)
        } else {
            lines::reply(shard, name, &outcome)
        }
    }

    /// A deferred streamed call on which something came: parts, room for them, or its cancellation. Each once, until more comes.
    pub fn stirred(&mut self) -> Option<(EndpointId, CallId)> {
        self.lines.stirred()
    }

    /// Streamed calls that have not been replied to.
    pub fn streamed(&self) -> usize {
        self.lines.len()
    }

    /// Calls that wait for a worker.
    pub fn waiting(&self) -> usize {
        self.workers.as_ref().map_or(0, Workers::waiting)
    }

    /// Something happened to a connection: tell every event of [`Shard::connection_events`].
    pub fn on_connection_event(&mut self, endpoint: EndpointId, event: &Event) {
        match event {
            Event::Accepted { connection, identity: Some(key), .. } => {
                self.callers.insert((endpoint, *connection), *key);
            }
            Event::Gone { connection, .. } => {
                self.callers.remove(&(endpoint, *connection));
            }
            _ => {}
        }
    }

    /// Answers what the last turn has brought: calls whose handlers run in the loop at once, the others when their workers are done.
    ///
    /// Errors: `Io`: the workers could not be started; calls that want one are refused as unavailable.
    pub fn handle<D: Driver>(&mut self, shard: &mut Shard<D>) -> Result<()> {
        let mut problem = None;
        let Server { methods, lines, workers, config, callers, flags, deferred, .. } = self;
        if methods.has_streamed {
            lines.prepare(shard);
        }
        let (now, driver_now, waker) = (Instant::now(), shard.now(), shard.waker());
        shard.answer_calls(|endpoint, call, results| {
            let Some(entry) = methods.get(call.method) else {
                results.extend_from_slice(b"the server has no such method");
                return super::Answer::Refused(Status::Unimplemented);
            };
            if entry.is_streamed() != call.is_streamed {
                results.extend_from_slice(if call.is_streamed { NOT_STREAMED } else { STREAMED });
                return super::Answer::Refused(Status::InvalidArgument);
            }
            let deadline = call.deadline.map(|deadline| now + deadline.saturating_sub(driver_now));
            let caller = callers.get(&(endpoint, call.call.connection)).copied();
            if let (Place::Loop, Action::Whole(handler)) = (entry.place, &entry.action) {
                let context = Context {
                    method: &entry.name,
                    metadata: call.metadata,
                    deadline,
                    caller,
                    is_cancelled: None,
                };
                let executed =
                    execute(&context, &methods.interceptors, || handler(&context, call.arguments, results));
                return answer(executed, results);
            }
            let name = (endpoint, call.call);
            let is_owners = entry.place == Place::Owner;
            let mut open = || {
                if !call.is_streamed {
                    return None;
                }
                lines.open(name, deadline, call.has_parts, is_owners, waker.as_ref())
            };
            let is_cancelled = Arc::new(AtomicBool::new(false));
            if entry.place == Place::Owner {
                if deferred.len() >= config.queue_max {
                    results.extend_from_slice(BUSY);
                    return super::Answer::Refused(Status::ResourceExhausted);
                }
                flags.insert((endpoint, call.call), Arc::clone(&is_cancelled));
                deferred.push_back(Deferred {
                    endpoint,
                    call: call.call,
                    method: Arc::clone(&entry.name),
                    deadline,
                    metadata: call.metadata.to_owned(),
                    caller,
                    arguments: call.arguments.to_vec(),
                    parts: open(),
                    is_cancelled,
                });
                return super::Answer::Later;
            }
            if workers.is_none() {
                match Workers::start(config.workers.max(1), config.queue_max, waker.clone()) {
                    Ok(started) => *workers = Some(started),
                    Err(error) => {
                        problem = Some(Error::from_io("start workers", &error));
                        results.extend_from_slice(b"the server has no workers");
                        return super::Answer::Refused(Status::Unavailable);
                    }
                }
            }
            let job = Job {
                endpoint,
                call: call.call,
                name: Arc::clone(&entry.name),
                action: entry.action.clone(),
                parts: open(),
                interceptors: methods.interceptors.clone(),
                deadline,
                metadata: call.metadata.to_owned(),
                caller,
                arguments: call.arguments.to_vec(),
                is_cancelled: Arc::clone(&is_cancelled),
            };
            if workers.as_ref().is_some_and(|workers| workers.push(job)) {
                flags.insert((endpoint, call.call), is_cancelled);
                return super::Answer::Later;
            }
            lines.forget(&name);
            results.extend_from_slice(BUSY);
            super::Answer::Refused(Status::ResourceExhausted)
        });
        // After the calls: a cancel, or parts, may have come with their call.
        self.take_told(shard);
        self.reply_done(shard);
        self.lines.pump(shard);
        problem.map_or(Ok(()), Err)
    }

    /// Turns the shard once, waiting for at most `timeout`, and answers what came. For a shard that does nothing else.
    ///
    /// Errors: as [`Shard::turn`] and [`Server::handle`].
    pub fn turn<D: Driver>(&mut self, shard: &mut Shard<D>, timeout: Option<Duration>) -> Result<()> {
        shard.turn_for(timeout)?;
        let events: Vec<(EndpointId, Event)> = shard.connection_events().collect();
        for (endpoint, event) in &events {
            self.on_connection_event(*endpoint, event);
        }
        self.handle(shard)
    }

    fn take_told<D: Driver>(&mut self, shard: &Shard<D>) {
        for (endpoint, incoming) in shard.call_events() {
            self.lines.on_incoming(endpoint, &incoming);
            if let Incoming::Cancelled { call } = incoming
                && let Some(flag) = self.flags.get(&(endpoint, call))
            {
                // Relaxed: who reads it reads nothing else by it.
                flag.store(true, Ordering::Relaxed);
            }
        }
    }

    fn reply_done<D: Driver>(&mut self, shard: &mut Shard<D>) {
        let Some(workers) = &self.workers else { return };
        for done in workers.take_done() {
            let name = (done.endpoint, done.call);
            self.flags.remove(&name);
            // Its caller may have gone on without it.
            let _ = if self.lines.has(&name) {
                self.lines.finish(shard, name, done.outcome)
            } else {
                lines::reply(shard, name, &done.outcome)
            };
        }
    }
}

const STREAMED: &[u8] = b"the method is streamed: its calls are made as streams";
const NOT_STREAMED: &[u8] = b"the method is not streamed: its calls are made whole";
const BUSY: &[u8] = b"the server is busy: as many calls wait as may";

fn answer(outcome: std::result::Result<(), (Failure, bool)>, results: &mut Vec<u8>) -> super::Answer {
    let Err((failure, is_not_executed)) = outcome else { return super::Answer::Done };
    results.clear();
    results.extend_from_slice(failure.text.as_bytes());
    if is_not_executed {
        super::Answer::Refused(failure.status)
    } else {
        super::Answer::Failed(failure.status)
    }
}
