//! Services: methods with their handlers, as stubs make them.

use super::{MetadataRef, Method, Parts, Status};
use crate::error::{Code, Error, Result};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What went wrong with a call, in the words of its handler. An `Ok` status makes no sense here and is sent as `Unknown`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Code of the status.
    pub status: Status,
    /// Words for people.
    pub text: String,
}

impl Failure {
    /// A failure of a kind, in words.
    pub fn new(status: Status, text: impl Into<String>) -> Failure {
        let status = if status == Status::Ok { Status::Unknown } else { status };
        Failure { status, text: text.into() }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.status, self.text)
    }
}

impl std::error::Error for Failure {}

/// What a handler knows of the call besides its arguments.
#[derive(Debug)]
pub struct Context<'a> {
    /// `package.Service/Method`.
    pub method: &'a str,
    /// Pairs that travelled with the call.
    pub metadata: MetadataRef<'a>,
    /// Nobody waits for its reply after this.
    pub deadline: Option<Instant>,
    /// The public key of the caller, in secure mode.
    pub caller: Option<[u8; 32]>,
    pub(super) is_cancelled: Option<&'a AtomicBool>,
}

impl Context<'_> {
    /// Whether the caller wants it no more: who can stop may.
    pub fn is_cancelled(&self) -> bool {
        // Relaxed: a hint, nothing is read on the strength of it.
        self.is_cancelled.is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    /// Time until its deadline; `None` without one.
    pub fn left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }
}

/// Executes a method: arguments in, results written behind what is in the buffer.
pub type Handler =
    Arc<dyn Fn(&Context<'_>, &[u8], &mut Vec<u8>) -> std::result::Result<(), Failure> + Send + Sync>;

/// Executes a streamed method: as [`Handler`], with the parts of arguments and results besides. What it writes as results goes behind the parts.
pub type StreamedHandler =
    Arc<dyn Fn(&Context<'_>, &[u8], &Parts, &mut Vec<u8>) -> std::result::Result<(), Failure> + Send + Sync>;

/// What executes a method.
#[derive(Clone)]
pub(super) enum Action {
    Whole(Handler),
    Streamed(StreamedHandler),
}

/// Where a handler runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Place {
    /// On a thread of the pool: it may wait and compute.
    #[default]
    Worker,
    /// In the loop of the shard: fastest, for what takes microseconds.
    Loop,
    /// Nowhere: the owner of the server takes the call by [`super::Server::deferred`] and replies when it likes.
    Owner,
}

/// A service: its name and its methods.
#[derive(Default)]
pub struct Service {
    name: String,
    methods: Vec<(String, Place, Action)>,
}

impl Service {
    /// An empty service of a name such as `package.Service`.
    pub fn new(name: impl Into<String>) -> Service {
        Service { name: name.into(), methods: Vec::new() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds a method by its name within the service.
    pub fn method(
        mut self,
        name: &str,
        place: Place,
        handler: impl Fn(&Context<'_>, &[u8], &mut Vec<u8>) -> std::result::Result<(), Failure>
        + Send
        + Sync
        + 'static,
    ) -> Service {
        let action = Action::Whole(Arc::new(handler));
        self.methods.push((format!("{}/{name}", self.name), place, action));
        self
    }

    /// Adds a method whose arguments, results or both come in parts. Its handler runs on a thread of the pool, which it has until it returns: it may wait
    /// for parts and for room.
    pub fn streamed(
        mut self,
        name: &str,
        handler: impl Fn(&Context<'_>, &[u8], &Parts, &mut Vec<u8>) -> std::result::Result<(), Failure>
        + Send
        + Sync
        + 'static,
    ) -> Service {
        let action = Action::Streamed(Arc::new(handler));
        self.methods.push((format!("{}/{name}", self.name), Place::Worker, action));
        self
    }

    /// Adds a method whose calls the owner takes by [`super::Server::deferred`].
    pub fn deferred(self, name: &str) -> Service {
        self.method(name, Place::Owner, |_, _, _| Err(Failure::new(Status::Internal, "the owner answers it")))
    }

    /// Adds a streamed method whose calls the owner takes by [`super::Server::deferred`], with their parts.
    pub fn deferred_streamed(mut self, name: &str) -> Service {
        let answered = |_: &Context<'_>, _: &[u8], _: &Parts, _: &mut Vec<u8>| {
            Err(Failure::new(Status::Internal, "the owner answers it"))
        };
        let action = Action::Streamed(Arc::new(answered));
        self.methods.push((format!("{}/{name}", self.name), Place::Owner, action));
        self
    }

    /// All its methods run in the loop, but the streamed ones, which may wait.
    pub fn in_loop(mut self) -> Service {
        let whole = self.methods.iter_mut().filter(|(_, _, action)| matches!(action, Action::Whole(_)));
        whole.for_each(|(_, place, _)| *place = Place::Loop);
        self
    }
}

/// Looks before and after every call.
pub trait Interceptor: Send + Sync {
    /// Before the handler; a failure takes its place, and says that the call was not executed.
    fn before(&self, _context: &Context<'_>) -> std::result::Result<(), Failure> {
        Ok(())
    }

    /// After the handler: how it went.
    fn after(&self, _context: &Context<'_>, _result: std::result::Result<(), &Failure>) {}
}

/// The methods of all services of a server, by their names on the wire.
#[derive(Default)]
pub(super) struct Methods {
    by_wire: HashMap<Method, Entry>,
    pub interceptors: Vec<Arc<dyn Interceptor>>,
    pub services: Vec<String>,
    pub has_streamed: bool,
}

pub(super) struct Entry {
    pub name: Arc<str>,
    pub place: Place,
    pub action: Action,
}

impl Entry {
    pub fn is_streamed(&self) -> bool {
        matches!(self.action, Action::Streamed(_))
    }
}

impl Methods {
    /// Adds a service, or more methods to one that is there. Errors: `BadConfiguration`: a method of that name (or of that hash) is there; none was added.
    pub fn add(&mut self, service: Service) -> Result<()> {
        for (name, ..) in &service.methods {
            let wire = Method::new(name);
            let Some(other) = self.by_wire.get(&wire) else { continue };
            let text = if *other.name == **name {
                let method = name.rsplit('/').next().unwrap_or_default();
                format!("method {method} of {} is registered already", service.name)
            } else {
                format!("method {name} has the name {wire:?} on the wire, as {} has", other.name)
            };
            return Err(Error::new(Code::BadConfiguration, text));
        }
        for (name, place, action) in service.methods {
            self.has_streamed |= matches!(action, Action::Streamed(_));
            self.by_wire.insert(Method::new(&name), Entry { name: name.into(), place, action });
        }
        if !self.services.contains(&service.name) {
            self.services.push(service.name);
        }
        Ok(())
    }

    pub fn get(&self, method: Method) -> Option<&Entry> {
        self.by_wire.get(&method)
    }
}

/// Runs a handler with its interceptors. The flag of the answer: it was not executed.
pub(super) fn execute(
    context: &Context<'_>,
    interceptors: &[Arc<dyn Interceptor>],
    handler: impl FnOnce() -> std::result::Result<(), Failure>,
) -> std::result::Result<(), (Failure, bool)> {
    for interceptor in interceptors {
        interceptor.before(context).map_err(|failure| (failure, true))?;
    }
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(handler))
        .unwrap_or_else(|_| Err(Failure::new(Status::Internal, "the handler panicked")));
    for interceptor in interceptors.iter().rev() {
        interceptor.after(context, outcome.as_ref().copied());
    }
    outcome.map_err(|failure| (failure, false))
}
