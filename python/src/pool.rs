//! The pool: which service holds which node.

use crate::argument::{count, moment, seconds};
use crate::errors::Answer;
use clustercore::proto::policy::{
    self, NodeKey, PoolConfig, PoolError, RefuseReason, RenewError, ServiceKey, Share,
};
use clustercore::proto::time::Instant;
use clustercore::{Code, Error, Result};
use pyo3::prelude::*;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Leases nodes to services by minimum, maximum and weight. A pure machine: time comes in as seconds of a
/// clock that does not go back.
///
/// A lease lasts `lease` seconds unless renewed; `guard` seconds after its end the node may go to another.
/// The holder of a revoked lease may drain for `revoke_grace` seconds; what was given back for a service is
/// kept for it for `reserve` seconds. Tokens rise from `token` on: pass the last one of the life before.
/// Raises InvalidArgument.
#[pyclass(frozen, module = "clustercore")]
pub struct Pool(Mutex<Book>);

/// The machine, which knows numbers, and the names for them.
struct Book {
    pool: policy::Pool,
    nodes: Names,
    present: HashSet<u32>,
    services: Names,
    announced: HashSet<u32>,
    now: Instant,
}

/// Numbers for names; a name that comes back gets its number again.
#[derive(Default)]
struct Names {
    numbers: HashMap<String, u32>,
    names: Vec<String>,
}

/// The right of a service to use a node until `expires`, in seconds of the pool's clock.
#[pyclass(frozen, get_all, eq, module = "clustercore")]
#[derive(PartialEq)]
pub struct Lease {
    /// Name of the node.
    node: String,
    /// Name of the service.
    service: String,
    /// Larger than that of every lease before.
    token: u64,
    /// When it is over unless renewed, in seconds.
    expires: f64,
}

#[pymethods]
impl Lease {
    fn __repr__(&self) -> String {
        let Lease { node, service, token, expires } = self;
        format!("Lease(node='{node}', service='{service}', token={token}, expires={expires})")
    }
}

/// What a request brings, as tuples that begin with a word.
#[derive(IntoPyObject)]
enum Reply {
    Granted((&'static str, String, u64)),
    Revoke((&'static str, String, String)),
    Refused((&'static str, String)),
}

#[pymethods]
impl Pool {
    #[new]
    #[pyo3(signature = (*, lease=5.0, guard=1.0, revoke_grace=30.0, reserve=5.0, token=0))]
    fn new(lease: f64, guard: f64, revoke_grace: f64, reserve: f64, token: u64) -> Answer<Pool> {
        let config = PoolConfig {
            lease: seconds("lease", lease)?,
            guard: seconds("guard", guard)?,
            revoke_grace: seconds("revoke_grace", revoke_grace)?,
            reserve: seconds("reserve", reserve)?,
        };
        Ok(Pool(Mutex::new(Book {
            pool: policy::Pool::with_config(config, [], token),
            nodes: Names::default(),
            present: HashSet::new(),
            services: Names::default(),
            announced: HashSet::new(),
            now: Instant::ZERO,
        })))
    }

    /// Adds a node. Raises AlreadyExists.
    fn add_node(&self, name: &str) -> Answer<()> {
        let mut book = self.lock();
        let node = book.nodes.enter(name);
        if !book.present.insert(node) {
            return Err(
                Error::new(Code::AlreadyExists, format!("the pool has a node {name:?} already")).into()
            );
        }
        book.pool.add_node(NodeKey(node));
        Ok(())
    }

    /// Takes a node out, for good or because it died. Returns the lease that ends by this, if any. Raises
    /// NoSuchNode.
    fn remove_node(&self, name: &str) -> Answer<Option<Lease>> {
        let mut book = self.lock();
        let node = book.node(name)?;
        book.present.remove(&node.0);
        let ended = book.pool.remove_node(node);
        Ok(ended.map(|lease| book.lease(lease)))
    }

    /// Announces a service, or changes what it may have: `minimum` nodes are kept for it, it never has more
    /// than `maximum`, and when nodes are short it gets its part by `weight`.
    ///
    /// Raises InvalidArgument; BadConfiguration when the minima sum up to more than there are nodes.
    #[pyo3(signature = (name, minimum=0, maximum=1048576, weight=1))]
    fn add_service(&self, name: &str, minimum: i64, maximum: i64, weight: i64) -> Answer<()> {
        let share = Share {
            min: count("minimum", minimum, 0..=NODES_MAX)?,
            max: count("maximum", maximum, 0..=NODES_MAX)?,
            weight: count("weight", weight, 1..=NODES_MAX)?,
        };
        let mut book = self.lock();
        let service = book.services.enter(name);
        book.pool.set_service(ServiceKey(service), share).map_err(|error| {
            Error::new(
                Code::BadConfiguration,
                match error {
                    PoolError::MinAboveMax { min, max } => {
                        format!("service {name:?}: minimum is {min}; it must not be above maximum ({max})")
                    }
                    PoolError::MinimaExceedNodes { sum, nodes } => {
                        format!("service {name:?}: the minima sum up to {sum}; the pool has {nodes} nodes")
                    }
                },
            )
        })?;
        book.announced.insert(service);
        Ok(())
    }

    /// Forgets a service: it gets nothing more. Its leases end as others do. Raises NoSuchService.
    fn remove_service(&self, name: &str) -> Answer<()> {
        let mut book = self.lock();
        let service = book.service(name)?;
        book.announced.remove(&service.0);
        book.pool.remove_service(service);
        Ok(())
    }

    /// Asks for one more node. Returns ("granted", node, token), ("revoke", other service, node) when that
    /// one has to give the node back first, or ("refused", reason).
    ///
    /// Raises NoSuchService.
    fn request(&self, now: f64, service: &str) -> Answer<Reply> {
        let mut book = self.lock();
        let now = book.at(now)?;
        let key = book.service(service)?;
        Ok(match book.pool.request(now, key) {
            policy::Answer::Granted(lease) => {
                Reply::Granted(("granted", book.nodes.of(lease.node.0), lease.token))
            }
            policy::Answer::Revoke { from } => {
                Reply::Revoke(("revoke", book.services.of(from.service.0), book.nodes.of(from.node.0)))
            }
            policy::Answer::Refused { reason } => Reply::Refused(("refused", refusal(reason))),
        })
    }

    /// Renews a lease. Returns (end, give back by): the second is a time when the lease was revoked, else
    /// None.
    ///
    /// Raises StaleToken when the lease is over or another's, NoSuchNode; the holder must not use the node
    /// any more.
    fn renew(&self, now: f64, node: &str, token: u64) -> Answer<(f64, Option<f64>)> {
        let mut book = self.lock();
        let now = book.at(now)?;
        let key = book.node(node)?;
        let renewal = book.pool.renew(now, key, token).map_err(|error| stale(node, token, error))?;
        Ok((in_seconds(renewal.expires), renewal.give_back_by.map(in_seconds)))
    }

    /// Gives a node back; the service there must have been stopped. `now` is the latest time that was
    /// given, when None.
    ///
    /// Raises StaleToken, NoSuchNode; the node is not touched then.
    #[pyo3(signature = (node, token, *, now=None))]
    fn release(&self, node: &str, token: u64, now: Option<f64>) -> Answer<()> {
        let mut book = self.lock();
        let now = match now {
            Some(now) => book.at(now)?,
            None => book.now,
        };
        let key = book.node(node)?;
        Ok(book.pool.release(now, key, token).map_err(|error| stale(node, token, error))?)
    }

    /// Frees the nodes whose leases ended at least the guard time ago, and returns those leases.
    fn expire(&self, now: f64) -> Answer<Vec<Lease>> {
        let mut book = self.lock();
        let now = book.at(now)?;
        let mut ended = Vec::new();
        book.pool.expire(now, &mut |lease| ended.push(lease));
        Ok(ended.into_iter().map(|lease| book.lease(lease)).collect())
    }

    /// All leases, by node.
    fn leases(&self) -> Vec<Lease> {
        let book = self.lock();
        book.pool.leases().map(|lease| book.lease(lease)).collect()
    }

    /// Nodes that requests of a service would be granted now, one after the other. Raises NoSuchService.
    fn idle_for(&self, service: &str) -> Answer<u32> {
        let book = self.lock();
        Ok(book.pool.idle_for(book.service(service)?))
    }

    /// When `expire` is due next, in seconds of the pool's clock; None when nothing is leased.
    fn next_expiry(&self) -> Option<f64> {
        self.lock().pool.poll_timeout().map(in_seconds)
    }

    /// The last token given out.
    #[getter]
    fn token(&self) -> u64 {
        self.lock().pool.token()
    }

    fn __repr__(&self) -> String {
        let book = self.lock();
        format!(
            "<clustercore.Pool of {} nodes for {} services, {} leased>",
            book.present.len(),
            book.announced.len(),
            book.pool.leases().count()
        )
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn at(&mut self, now: f64) -> Result<Instant> {
        self.now = self.now.max(moment("now", now)?);
        Ok(self.now)
    }

    fn node(&self, name: &str) -> Result<NodeKey> {
        let number = self.nodes.numbers.get(name).filter(|number| self.present.contains(number));
        let missing = || Error::new(Code::NoSuchNode, format!("the pool has no node {name:?}"));
        number.map(|number| NodeKey(*number)).ok_or_else(missing)
    }

    fn service(&self, name: &str) -> Result<ServiceKey> {
        let number = self.services.numbers.get(name).filter(|number| self.announced.contains(number));
        let missing = || Error::new(Code::NoSuchService, format!("the pool has no service {name:?}"));
        number.map(|number| ServiceKey(*number)).ok_or_else(missing)
    }

    fn lease(&self, lease: policy::Lease) -> Lease {
        Lease {
            node: self.nodes.of(lease.node.0),
            service: self.services.of(lease.service.0),
            token: lease.token,
            expires: in_seconds(lease.expires),
        }
    }
}

impl Names {
    fn enter(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.names.len() as u32;
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }

    fn of(&self, number: u32) -> String {
        self.names.get(number as usize).cloned().unwrap_or_default()
    }
}

fn in_seconds(at: Instant) -> f64 {
    at.as_nanos() as f64 / 1e9
}

fn stale(node: &str, token: u64, error: RenewError) -> Error {
    let text = match error {
        RenewError::NotLeased => {
            format!("node {node:?} is not leased, token {token} is of a lease that is over")
        }
        RenewError::Fenced { token: present } => {
            format!("node {node:?} is leased under token {present}, not {token}")
        }
        RenewError::Expired { at } => format!("the lease of node {node:?} ended at {} s", in_seconds(at)),
    };
    Error::new(Code::StaleToken, text)
}

fn refusal(reason: RefuseReason) -> String {
    match reason {
        RefuseReason::UnknownService => "the service is not known".to_owned(),
        RefuseReason::AtMaximum { held, max } => format!("it holds {held} nodes, its maximum is {max}"),
        RefuseReason::KeptForMinima { idle } => {
            format!("the {idle} idle nodes are kept for minima of others")
        }
        RefuseReason::FairShare { held, nodes } => {
            format!("none of {nodes} nodes is idle, and nobody holds more than is fair beside its {held}")
        }
    }
}

/// More than any pool has.
const NODES_MAX: u32 = 1 << 20;
