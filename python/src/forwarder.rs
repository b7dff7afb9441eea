//! A forwarder's handle: the same class for one of a node and one of a shard.

use crate::argument::{address, count, invalid, per_core, reading, seconds};
use crate::backend::Backend;
use crate::descriptor::listener;
use crate::errors::Answer;
use crate::key::Key;
use crate::node::Node;
use crate::options::Options;
use crate::shard::Shard;
use clustercore::forward::{BackendConfig, JobAddress, Latency};
use clustercore::io::ListenOptions;
use clustercore::proto::policy::{BackendKey, Thresholds};
use clustercore::security::PublicKey;
use clustercore::{BackendStatus, Code, Error, ForwarderId, Result};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::atomic::{AtomicBool, Ordering};

/// Forwards clients of one service to its back ends. Made by `Node.forwarder` and `Shard.forwarder`, whose
/// options are here.
///
/// `mode` is "http" or "tcp"; `policy` "levels", "round_robin", "least_requests" or "power_of_two".
/// `medium_per_core` and `high_per_core` are the load from which on a back end is at Medium and at High.
/// `signal` says what load is: "in_flight", requests in flight per core; "cpu", the busy share of its cores,
/// 0 to 1; "latency", response time in milliseconds, for which both thresholds must be given. The last two
/// are told by `set_backend`. None means the default, see `default_thresholds`.
///
/// At most `queue_max` requests wait, for at most `queue_timeout`; then clients get 503
/// with `retry_after` seconds. Times are in seconds, sizes in bytes. `health` is a HealthConfig, None for
/// its defaults, or "off". `job_key` is our Key towards job handlers that have one; `job_insecure` allows
/// clear messages to those outside loopback, in so many words.
///
/// Raises InvalidArgument, BadConfiguration, AlreadyExists (the name), Closed.
#[pyclass(frozen, module = "clustercore")]
pub struct Forwarder {
    owner: Owner,
    id: ForwarderId,
    name: String,
    closed: AtomicBool,
}

enum Owner {
    Node(Py<Node>),
    Shard(Py<Shard>),
}

#[pymethods]
impl Forwarder {
    #[new]
    #[pyo3(signature = (owner, name, *, mode="http", policy="levels", signal="in_flight", medium_per_core=None,
        high_per_core=None, queue_max=1024, queue_timeout=5.0, retry_after=1, retries_max=2, head_timeout=10.0, idle_timeout=60.0,
        response_timeout=60.0, connect_timeout=2.0, body_timeout=30.0, proxy_in="off", proxy_out="off",
        trust_forwarded=false, head_bytes_max=32768, headers_max=100, clients_max=16384, health=None,
        job_key=None, job_insecure=false))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        owner: &Bound<'_, PyAny>,
        name: String,
        mode: &str,
        policy: &str,
        signal: &str,
        medium_per_core: Option<f64>,
        high_per_core: Option<f64>,
        queue_max: i64,
        queue_timeout: f64,
        retry_after: i64,
        retries_max: i64,
        head_timeout: f64,
        idle_timeout: f64,
        response_timeout: f64,
        connect_timeout: f64,
        body_timeout: f64,
        proxy_in: &str,
        proxy_out: &str,
        trust_forwarded: bool,
        head_bytes_max: i64,
        headers_max: i64,
        clients_max: i64,
        health: Option<&Bound<'_, PyAny>>,
        job_key: Option<&Bound<'_, Key>>,
        job_insecure: bool,
    ) -> Answer<Forwarder> {
        let options = Options {
            mode,
            policy,
            signal,
            medium_per_core,
            high_per_core,
            queue_max,
            queue_timeout,
            retry_after,
            retries_max,
            head_timeout,
            idle_timeout,
            response_timeout,
            connect_timeout,
            body_timeout,
            proxy_in,
            proxy_out,
            trust_forwarded,
            head_bytes_max,
            headers_max,
            clients_max,
            health,
            job_key: job_key.map(Bound::get),
            job_insecure,
        };
        let config = options.to_config(&name)?;
        let (owner, id) = if let Ok(node) = owner.cast::<Node>() {
            (Owner::Node(node.clone().unbind()), node.get().add_forwarder(py, &name, config)?)
        } else {
            let shard = owner.cast::<Shard>().map_err(PyErr::from)?;
            (Owner::Shard(shard.clone().unbind()), shard.get().add_forwarder(py, &name, config)?)
        };
        Ok(Forwarder { owner, id, name, closed: AtomicBool::new(false) })
    }

    /// Name of the service.
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// Accepts clients on "ip:port"; port 0 lets the system choose. Returns the address.
    ///
    /// Raises BadAddress, AddressInUse, AddressNotAvailable, PermissionDenied.
    #[pyo3(signature = (address))]
    fn listen(&self, py: Python<'_>, address: &str) -> Answer<String> {
        let wanted = self::address(address)?;
        let found = self.command(
            py,
            |node, id| node.listen(id, wanted),
            |shard, id| shard.listen(id, wanted, &ListenOptions::default()),
        )?;
        Ok(found.to_string())
    }

    /// Accepts clients on a socket that is bound and listens already: its number, or an object with
    /// `fileno()`.
    ///
    /// The descriptor is duplicated; the caller keeps and closes its own. Returns the address, None when it
    /// has no IP address. Raises NotAListener, DescriptorsExhausted, OSError (not open).
    fn listen_fd(&self, py: Python<'_>, fd: &Bound<'_, PyAny>) -> Answer<Option<String>> {
        let ours = listener(fd)?;
        // One of the two is called; both cannot own it.
        let twin = std::sync::Mutex::new(Some(ours));
        let take = || {
            let taken = twin.lock().ok().and_then(|mut twin| twin.take());
            taken.ok_or_else(|| Error::from(Code::Internal))
        };
        let found = self.command(
            py,
            |node, id| node.listen_fd(id, take()?),
            |shard, id| shard.listen_fd(id, take()?),
        )?;
        Ok(found.map(|address| address.to_string()))
    }

    /// Sets the local instance, which serves while the child list is empty; None takes it away. Returns its
    /// key. `in_flight_max` bounds its requests in flight, None leaves that to the levels.
    #[pyo3(signature = (address, *, cores=1, name=None, in_flight_max=None))]
    fn set_local(
        &self,
        py: Python<'_>,
        address: Option<&str>,
        cores: i64,
        name: Option<&str>,
        in_flight_max: Option<i64>,
    ) -> Answer<Option<u32>> {
        let config = match address {
            Some(address) => Some(backend(address, name.or(Some("local")), 1, cores, in_flight_max)?),
            None => None,
        };
        let key = self.command(
            py,
            |node, id| node.set_local(id, config.clone()),
            |shard, id| shard.set_local(id, config.clone()),
        )?;
        Ok(key.map(|key| key.0))
    }

    /// Appends a back end at "ip:port" to the child list and returns its key.
    ///
    /// `in_flight_max` bounds its requests in flight, None leaves that to the levels. `job` is the "ip:port" of
    /// its job handler, `job_key` the handler's public key: requests go there in messages, and by TCP to
    /// `address` while those do not get through (PathBroken, PathRestored). Raises BadAddress, BadKey,
    /// InvalidArgument.
    #[pyo3(signature = (address, *, name=None, weight=1, cores=1, in_flight_max=None, job=None, job_key=None))]
    #[allow(clippy::too_many_arguments)]
    fn add_backend(
        &self,
        py: Python<'_>,
        address: &str,
        name: Option<&str>,
        weight: i64,
        cores: i64,
        in_flight_max: Option<i64>,
        job: Option<&str>,
        job_key: Option<&str>,
    ) -> Answer<u32> {
        let mut config = backend(address, name, weight, cores, in_flight_max)?;
        config.job = self::job(job, job_key)?;
        let key = self.command(
            py,
            |node, id| node.add_backend(id, config.clone()),
            |shard, id| shard.add_backend(id, config.clone()),
        )?;
        Ok(key.0)
    }

    /// Gives a back end no new request; BackendDrained tells when nothing is in flight, or that `deadline`
    /// seconds have passed.
    ///
    /// It stays on the list until `remove_backend`. Raises NoSuchBackend, WrongState (it is draining
    /// already).
    #[pyo3(signature = (key, *, deadline=10.0))]
    fn drain_backend(&self, py: Python<'_>, key: u32, deadline: f64) -> Answer<()> {
        let (key, deadline) = (BackendKey(key), seconds("deadline", deadline)?);
        self.command(
            py,
            |node, id| node.drain_backend(id, key, deadline),
            |shard, id| shard.drain_backend(id, key, deadline),
        )
    }

    /// Takes a back end off the list at once. What is in flight there is tried elsewhere where that is
    /// allowed, else cut.
    ///
    /// Raises NoSuchBackend.
    fn remove_backend(&self, py: Python<'_>, key: u32) -> Answer<()> {
        let key = BackendKey(key);
        self.command(py, |node, id| node.remove_backend(id, key), |shard, id| shard.remove_backend(id, key))
    }

    /// Changes a back end's share relative to others, and tells a sample of the signal: the busy share of its
    /// cores, or milliseconds. The local instance has a key too.
    ///
    /// Raises NoSuchBackend, InvalidArgument.
    #[pyo3(signature = (key, *, weight=None, reading=None))]
    fn set_backend(&self, py: Python<'_>, key: u32, weight: Option<i64>, reading: Option<f64>) -> Answer<()> {
        let key = BackendKey(key);
        let weight = weight.map(|weight| count("weight", weight, 1..=WEIGHT_MAX)).transpose()?;
        if let Some(value) = reading {
            let per_mille = self::reading("reading", value)?;
            self.command(
                py,
                |node, id| node.set_reading(id, key, per_mille),
                |shard, id| shard.set_reading(id, key, per_mille),
            )?;
        }
        let Some(weight) = weight else { return Ok(()) };
        self.with(
            py,
            |node, id| node.set_weight(id, key, weight),
            |shard, id| {
                shard.backend(id, key)?.set_weight(weight);
                Ok(())
            },
        )
    }

    /// Changes where Medium and High begin, from the next request on. Raises BadConfiguration (Medium above
    /// High), InvalidArgument.
    #[pyo3(signature = (*, medium_per_core, high_per_core))]
    fn set_thresholds(&self, py: Python<'_>, medium_per_core: f64, high_per_core: f64) -> Answer<()> {
        let thresholds = Thresholds {
            medium: per_core("medium_per_core", medium_per_core)?,
            high: per_core("high_per_core", high_per_core)?,
        };
        self.command(
            py,
            |node, id| node.set_thresholds(id, thresholds),
            |shard, id| shard.set_thresholds(id, thresholds),
        )
    }

    /// The child list in its order.
    fn backends(&self, py: Python<'_>) -> Answer<Vec<Backend>> {
        Ok(self.status(py)?.into_iter().filter(|status| !status.local).map(Backend::from).collect())
    }

    /// The local instance, if there is one.
    fn local(&self, py: Python<'_>) -> Answer<Option<Backend>> {
        Ok(self.status(py)?.into_iter().find(|status| status.local).map(Backend::from))
    }

    /// Counters by label, see `clustercore.counters()`; besides them `local_in_flight`, requests at the
    /// local instance now.
    fn stats<'py>(&self, py: Python<'py>) -> Answer<Bound<'py, PyDict>> {
        let local =
            self.status(py)?.into_iter().find(|status| status.local).map_or(0, |status| status.in_flight);
        let counters = self.with(
            py,
            |node, id| node.counters(id),
            |shard, id| {
                let block = shard.counters(id)?;
                let table = clustercore::counters::COUNTERS.iter();
                Ok(table.map(|(counter, label, _, _)| (*label, block.get(*counter))).collect())
            },
        )?;
        let stats = PyDict::new(py);
        for (label, value) in counters {
            stats.set_item(label, value)?;
        }
        stats.set_item("local_in_flight", local)?;
        Ok(stats)
    }

    /// Response times in seconds since the last reset: "p50", "p90", "p99", "p999" and "max" to the end of
    /// the response, the same after "first_byte_" to its head. All are 0 before the first request. `reset`
    /// begins anew.
    #[pyo3(signature = (*, reset=false))]
    fn latency<'py>(&self, py: Python<'py>, reset: bool) -> Answer<Bound<'py, PyDict>> {
        let latency = self.with(
            py,
            |node, id| node.latency(id, reset),
            |shard, id| -> Result<Latency> {
                let latency = shard.latency(id)?.clone();
                if reset {
                    shard.forwarder_mut(id)?.reset_latency();
                }
                Ok(latency)
            },
        )?;
        let answer = PyDict::new(py);
        for (prefix, histogram) in [("", &latency.last_byte), ("first_byte_", &latency.first_byte)] {
            let in_seconds = |nanoseconds: u64| nanoseconds as f64 / 1e9;
            for (label, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)] {
                answer.set_item(
                    format!("{prefix}{label}"),
                    in_seconds(histogram.value_at_quantile(quantile)),
                )?;
            }
            answer.set_item(format!("{prefix}max"), in_seconds(histogram.max()))?;
        }
        Ok(answer)
    }

    /// Ends the forwarder with all its connections. Does nothing when called again.
    fn close(&self, py: Python<'_>) -> Answer<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let closed = match &self.owner {
            Owner::Node(node) => node.get().remove_forwarder(py, self.id),
            Owner::Shard(shard) => shard.get().remove_forwarder(py, self.id),
        };
        match closed {
            // With its owner, it has ended already.
            Err(crate::errors::Failure::Core(error)) if error.code() == Code::Closed => Ok(()),
            closed => closed,
        }
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, pyo3::types::PyTuple>) -> Answer<()> {
        self.close(py)
    }

    fn __repr__(&self) -> String {
        let owner = match self.owner {
            Owner::Node(_) => "node",
            Owner::Shard(_) => "shard",
        };
        format!("<clustercore.Forwarder '{}' of a {owner}>", self.name)
    }
}

impl Forwarder {
    /// Looks at something, without the interpreter: a node's shards answer from their threads.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        on_node: impl FnOnce(&clustercore::Node, ForwarderId) -> Result<T> + Send,
        on_shard: impl FnOnce(&mut clustercore::Shard, ForwarderId) -> Result<T> + Send,
    ) -> Answer<T> {
        let id = self.open()?;
        match &self.owner {
            Owner::Node(node) => node.get().with(py, |node| on_node(node, id)),
            Owner::Shard(shard) => shard.get().with(py, |shard| on_shard(shard, id)),
        }
    }

    /// As `with`, for what changes something.
    fn command<T: Send>(
        &self,
        py: Python<'_>,
        on_node: impl FnOnce(&clustercore::Node, ForwarderId) -> Result<T> + Send,
        on_shard: impl FnOnce(&mut clustercore::Shard, ForwarderId) -> Result<T> + Send,
    ) -> Answer<T> {
        let id = self.open()?;
        match &self.owner {
            Owner::Node(node) => node.get().with(py, |node| on_node(node, id)),
            Owner::Shard(shard) => shard.get().command(py, |shard| on_shard(shard, id)),
        }
    }

    fn open(&self) -> Result<ForwarderId> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(Code::Closed, format!("forwarder {:?} is closed", self.name)));
        }
        Ok(self.id)
    }

    fn status(&self, py: Python<'_>) -> Answer<Vec<BackendStatus>> {
        self.with(py, |node, id| node.backends(id), |shard, id| shard.backends(id))
    }
}

fn backend(
    address: &str,
    name: Option<&str>,
    weight: i64,
    cores: i64,
    in_flight_max: Option<i64>,
) -> Result<BackendConfig> {
    let mut config = BackendConfig::new(self::address(address)?);
    if let Some(name) = name {
        config.name = name.to_owned();
    }
    config.weight = count("weight", weight, 1..=WEIGHT_MAX)?;
    config.cores = count("cores", cores, 1..=CORES_MAX)?;
    if let Some(limit) = in_flight_max {
        config.in_flight_max = count("in_flight_max", limit, 1..=u32::MAX)?;
    }
    Ok(config)
}

fn job(address: Option<&str>, key: Option<&str>) -> Result<Option<JobAddress>> {
    let key = key.map(|text| PublicKey::parse(text).map(|key| *key.as_bytes())).transpose()?;
    match address {
        Some(address) => Ok(Some(JobAddress { address: self::address(address)?, key })),
        None if key.is_some() => Err(invalid("job_key is given and job is not")),
        None => Ok(None),
    }
}

const WEIGHT_MAX: u32 = 1_000_000;
const CORES_MAX: u32 = 65_536;
