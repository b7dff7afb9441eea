//! Servers of event channels.

use crate::argument::{address, choice, count, invalid, seconds};
use crate::errors::Answer;
use crate::exit::detached;
use crate::guard::Guarded;
use crate::key::{Key, mode};
use clustercore::channel::engine::access::Access;
use clustercore::channel::engine::hook::{HookConfig, HookTargets};
use clustercore::channel::engine::hub::{HubConfig, HubStats};
use clustercore::channel::engine::principal::{Grant, Principal, Right, Rights};
use clustercore::channel::{self, ChannelServerConfig, JournalConfig};
use clustercore::{Code, Error};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::Duration;

/// Serves event channels to participants over TCP, over reliable datagrams (`udp`) and in remote calls (`rpc`), and to everybody over HTTP
/// (CloudEvents). Turn it, from one thread.
///
/// `tokens` are secrets and whose they are: (name, rights), or (name, rights, channel), where rights are some of the words "emit consume
/// administer". `open`: who shows no secret may everything. What is not loopback must be asked for by `insecure`. A consumer with a name
/// keeps its queue for `linger` seconds without a connection. Events that were tried too often go to the channel `dead_letters`. Web
/// hooks may lead to the networks `hook_targets`: IP/BITS, "loopback", or "anywhere" alone; without it to loopback, and nowhere when it listens
/// outside loopback.
///
/// `journal`: the file where persistent events, channels and durable consumers are kept, so that they are there again in the next server; it
/// belongs to one at a time. Without it they last as long as the server, and persistent events are lost.
///
/// With `key` what goes by `udp` and `rpc` is encrypted, and participants give the public key of it; `allow` are the public keys of
/// those that are let in, all when it is left out. TCP and HTTP are always clear.
///
/// Raises InsecureAddress, BadAddress, AddressInUse, AddressNotAvailable, BadConfiguration, BadKey, InvalidArgument, InputOutput.
#[pyclass(frozen, module = "clustercore", weakref)]
pub struct ChannelServer {
    inner: Guarded<Mutex<Option<channel::ChannelServer>>>,
    addresses: [Option<SocketAddr>; 4],
}

#[pymethods]
impl ChannelServer {
    #[new]
    #[pyo3(signature = (*, tcp=None, udp=None, rpc=None, http=None, tokens=None, open=false, key=None, allow=None, insecure=false,
        driver="auto", spin_us=0, linger=30.0, dead_letters=None, journal=None, hook_targets=None))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        tcp: Option<&str>,
        udp: Option<&str>,
        rpc: Option<&str>,
        http: Option<&str>,
        tokens: Option<&Bound<'_, PyDict>>,
        open: bool,
        key: Option<Py<Key>>,
        allow: Option<&Bound<'_, PyAny>>,
        insecure: bool,
        driver: &str,
        spin_us: i64,
        linger: f64,
        dead_letters: Option<&str>,
        journal: Option<PathBuf>,
        hook_targets: Option<Vec<String>>,
    ) -> Answer<ChannelServer> {
        let access = if open { Access::open() } else { Access::new() };
        let mut hooks = HookConfig::default();
        if let Some(texts) = hook_targets {
            let targets = HookTargets::parse(texts.iter().map(|text| &**text));
            hooks.targets = targets.map_err(|error| invalid(format!("hook_targets: {error}")))?;
        }
        let hub = HubConfig {
            hooks,
            access: tokens.map_or(Ok(access.clone()), |tokens| read_tokens(access, tokens))?,
            linger: seconds("linger", linger)?,
            dead_letter_channel: dead_letters.map(Into::into),
            ..HubConfig::default()
        };
        let journal = journal.map(JournalConfig::new);
        let security = mode(key.as_ref().map(Py::get), allow)?;
        let config = ChannelServerConfig { hub, security, journal, insecure };
        let spin = Duration::from_micros(count("spin_us", spin_us, 0..=1_000_000)?);
        let mut server = channel::ChannelServer::open(driver.parse()?, spin, config)?;
        let addresses = [
            tcp.map(|text| server.listen_tcp(address(text)?)).transpose()?,
            udp.map(|text| server.listen_udp(address(text)?)).transpose()?,
            http.map(|text| server.listen_http(address(text)?)).transpose()?,
            rpc.map(|text| server.listen_rpc(address(text)?)).transpose()?,
        ];
        Ok(ChannelServer { inner: Guarded::new(Mutex::new(Some(server))), addresses })
    }

    /// Where participants connect over TCP.
    #[getter]
    fn tcp_address(&self) -> Option<String> {
        self.addresses[0].map(|it| it.to_string())
    }

    /// Where participants connect over reliable datagrams.
    #[getter]
    fn udp_address(&self) -> Option<String> {
        self.addresses[1].map(|it| it.to_string())
    }

    /// Where everybody connects over HTTP.
    #[getter]
    fn http_address(&self) -> Option<String> {
        self.addresses[2].map(|it| it.to_string())
    }

    /// Where participants connect in remote calls.
    #[getter]
    fn rpc_address(&self) -> Option<String> {
        self.addresses[3].map(|it| it.to_string())
    }

    /// Does all there is to do now; waits for at most `timeout` seconds when that is nothing. Raises WrongThread, InputOutput, Closed.
    #[pyo3(signature = (timeout=0.0))]
    fn turn(&self, py: Python<'_>, timeout: f64) -> Answer<()> {
        let timeout = seconds("timeout", timeout)?;
        let mut server = self.lock()?;
        let server = server.as_mut().ok_or_else(closed)?;
        let (turned, _busy) = detached(py, || server.turn_for(Some(timeout)));
        turned?;
        py.check_signals()?;
        Ok(())
    }

    /// Why it takes no persistent events any more: its journal has failed. None: it does, or has no journal. Raises WrongThread, Closed.
    #[getter]
    fn failure(&self) -> Answer<Option<String>> {
        let server = self.lock()?;
        Ok(server.as_ref().ok_or_else(closed)?.failure().map(str::to_owned))
    }

    /// What was counted since it was made. Raises WrongThread, Closed.
    fn stats<'py>(&self, py: Python<'py>) -> Answer<Bound<'py, PyDict>> {
        let mut server = self.lock()?;
        let server = server.as_mut().ok_or_else(closed)?;
        let HubStats {
            sessions,
            violations,
            taken,
            refused,
            delivered,
            batches,
            shared,
            dead_letters,
            written,
            not_written,
        } = server.stats();
        let all = [
            ("connected", server.hub().sessions() as u64),
            ("sessions", sessions),
            ("violations", violations),
            ("taken", taken),
            ("refused", refused),
            ("delivered", delivered),
            ("batches", batches),
            ("shared", shared),
            ("dead_letters", dead_letters),
            ("written", written),
            ("not_written", not_written),
        ];
        let stats = PyDict::new(py);
        for (name, value) in all {
            stats.set_item(name, value)?;
        }
        Ok(stats)
    }

    /// Ends it: all connections are closed.
    fn close(&self) -> Answer<()> {
        self.lock()?.take();
        Ok(())
    }
}

impl ChannelServer {
    fn lock(&self) -> Answer<MutexGuard<'_, Option<channel::ChannelServer>>> {
        lock(self.inner.get()?)
    }
}

/// The value, unless another thread has it.
pub fn lock<T>(mutex: &Mutex<T>) -> Answer<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Ok(guard),
        Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => {
            let words = "another thread uses it at this moment: it is for one thread at a time";
            Err(Error::new(Code::WrongThread, words).into())
        }
    }
}

pub fn closed() -> Error {
    Error::new(Code::Closed, "it was closed")
}

fn read_tokens(mut access: Access, tokens: &Bound<'_, PyDict>) -> Answer<Access> {
    for (secret, whose) in tokens {
        let secret: String = secret.extract()?;
        let whose = whose.cast_into::<PyTuple>().map_err(|error| invalid(error.to_string()))?;
        let (name, words, channel): (String, String, Option<String>) = match whose.len() {
            2 => {
                let (name, words) = whose.extract()?;
                (name, words, None)
            }
            _ => whose.extract()?,
        };
        let mut rights = Rights::NONE;
        for word in words.split_whitespace() {
            rights = rights.and(choice("rights", word, RIGHTS)?);
        }
        let grants = vec![Grant { channel: channel.map(Into::into), rights }];
        access = access.with_token(secret, Principal { name: name.into(), grants });
    }
    Ok(access)
}

const RIGHTS: &[(&str, Right)] =
    &[("emit", Right::Emit), ("consume", Right::Consume), ("administer", Right::Administer)];
