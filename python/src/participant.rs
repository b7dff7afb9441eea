//! Participants of event channels: suppliers, consumers, administrators.

use crate::argument::{count, invalid, seconds};
use crate::channel_event::{ChannelEvent, Delivery, delivery};
use crate::channel_server::{closed, lock};
use crate::errors::Answer;
use crate::exit::detached;
use crate::guard::Guarded;
use crate::key::{Key, mode, public_bytes};
use clustercore::channel::engine::participant::{News, ParticipantConfig, SupplyConfig};
use clustercore::channel::{self, Link};
use clustercore::security::Mode;
use clustercore::{Code, Error};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Speaks to one channel server, at "tcp://IP:PORT", "udp://IP:PORT" (reliable datagrams) or "rpc://IP:PORT" (a remote call): supplies,
/// consumes, administers. When its link is lost it makes another by itself, opens its proxies again, and sends again what was not taken. For
/// one thread at a time.
///
/// `token` shows the server who we are, `name` is for people. With `inbox_max` events that nobody took, the link is not read.
/// `server_key`, text or 32 bytes, is the public key that the server must have, over `udp` and `rpc`; `key` is our own, for a server that
/// lets in only those that it knows, otherwise one is made for each link. With `key` each link over datagrams needs the server's.
///
/// Raises InsecureAddress, InvalidArgument, BadKey, BadConfiguration (a key, and TCP), NoKey (a key of ours and none of the server's), and
/// what opening a driver can.
#[pyclass(frozen, module = "clustercore", weakref)]
pub struct Participant {
    inner: Guarded<Mutex<Option<channel::Participant>>>,
    /// Our own key.
    security: Option<Mode>,
}

#[pymethods]
impl Participant {
    #[new]
    #[pyo3(signature = (server, *, token="", name="", server_key=None, key=None, insecure=false, driver="auto",
        spin_us=0, inbox_max=16384))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        server: &str,
        token: &str,
        name: &str,
        server_key: Option<Bound<'_, PyAny>>,
        key: Option<Py<Key>>,
        insecure: bool,
        driver: &str,
        spin_us: i64,
        inbox_max: i64,
    ) -> Answer<Participant> {
        let config = ParticipantConfig {
            token: token.into(),
            name: name.into(),
            inbox_max: count("inbox_max", inbox_max, 1..=1 << 24)?,
            ..ParticipantConfig::default()
        };
        let spin = Duration::from_micros(count("spin_us", spin_us, 0..=1_000_000)?);
        let link = link(server, server_key.as_ref())?;
        let security = mode(key.as_ref().map(Py::get), None)?;
        let own = security.clone();
        let participant = channel::Participant::open(driver.parse()?, spin, link, own, insecure, config)?;
        Ok(Participant { inner: Guarded::new(Mutex::new(Some(participant))), security })
    }

    /// Becomes a supplier of a channel (None: the default one). Without `spec` it shares the default push proxy; else `spec` says "mode",
    /// "qos", "filter", "mappings". A `patient` supplier sends again what the server refuses for now; else it is told by `news` and
    /// dropped. When the server refuses the proxy itself, `news` says "gone".
    #[pyo3(signature = (channel=None, *, spec=None, patient=true))]
    fn supply(
        &self,
        py: Python<'_>,
        channel: Option<&str>,
        spec: Option<&Bound<'_, PyDict>>,
        patient: bool,
    ) -> Answer<u64> {
        let members = members(py, channel, "", spec)?;
        let config = SupplyConfig { is_patient: patient, ..SupplyConfig::default() };
        Ok(self.lock()?.as_mut().ok_or_else(closed)?.supply(&members, config))
    }

    /// Becomes a consumer of a channel. `spec` says "mode", "qos", "types", "filter", "mappings", "consumer_group", "start", "is_durable".
    /// One with a name keeps its queue for a while when the link is lost.
    #[pyo3(signature = (channel=None, *, name="", spec=None))]
    fn consume(
        &self,
        py: Python<'_>,
        channel: Option<&str>,
        name: &str,
        spec: Option<&Bound<'_, PyDict>>,
    ) -> Answer<u64> {
        let members = members(py, channel, name, spec)?;
        Ok(self.lock()?.as_mut().ok_or_else(closed)?.consume(&members))
    }

    /// Gives a proxy up.
    fn close_proxy(&self, handle: u64) -> Answer<()> {
        self.lock()?.as_mut().ok_or_else(closed)?.close(handle);
        Ok(())
    }

    /// Emits events; how many were taken up: fewer when 8192 wait for the server. They leave with the next turn.
    ///
    /// Raises InvalidArgument: no such proxy.
    fn emit(&self, handle: u64, events: Vec<PyRef<'_, ChannelEvent>>) -> Answer<usize> {
        let events: Vec<_> = events.iter().map(|event| event.0.clone()).collect();
        let mut inner = self.lock()?;
        match inner.as_mut().ok_or_else(closed)?.emit(handle, &events) {
            Err(error) if error.code() == Code::WouldBlock => Ok(0),
            other => Ok(other?),
        }
    }

    /// Events that have come, `max` at most; waits for at most `timeout` seconds for the first.
    #[pyo3(signature = (max=256, timeout=0.0))]
    fn take<'py>(&self, py: Python<'py>, max: usize, timeout: f64) -> Answer<Bound<'py, PyList>> {
        let until = Instant::now() + seconds("timeout", timeout)?;
        let mut inner = self.lock()?;
        let participant = inner.as_mut().ok_or_else(closed)?;
        let mut is_first = true;
        while participant.machine().waiting() == 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() && !std::mem::take(&mut is_first) {
                break;
            }
            turn(py, participant, left)?;
        }
        let taken = PyList::empty(py);
        while taken.len() < max {
            let Some((handle, delivered)) = participant.take() else { break };
            taken.append(Delivery::new(py, handle, delivered)?)?;
        }
        Ok(taken)
    }

    /// Done with these events, by `Delivery.delivery`.
    fn acknowledge(&self, handle: u64, deliveries: Vec<u64>) -> Answer<()> {
        let names: Vec<_> = deliveries.into_iter().map(delivery).collect();
        self.lock()?.as_mut().ok_or_else(closed)?.machine().acknowledge(handle, &names);
        Ok(())
    }

    /// Could not deal with these events. `for_good`: nobody is to try again.
    #[pyo3(signature = (handle, deliveries, *, for_good=false))]
    fn reject(&self, handle: u64, deliveries: Vec<u64>, for_good: bool) -> Answer<()> {
        let names: Vec<_> = deliveries.into_iter().map(delivery).collect();
        self.lock()?.as_mut().ok_or_else(closed)?.machine().reject(handle, &names, for_good);
        Ok(())
    }

    /// Asks for events in pull mode.
    #[pyo3(signature = (handle, max=64))]
    fn pull(&self, handle: u64, max: u32) -> Answer<()> {
        self.lock()?.as_mut().ok_or_else(closed)?.machine().pull(handle, max);
        Ok(())
    }

    /// Asks the server something, a dictionary with "op", and waits for the answer: docs/protocol/channel.md lists what can be asked.
    ///
    /// Raises CallFailed with the server's words, Timeout.
    #[pyo3(signature = (question, timeout=5.0))]
    fn ask<'py>(
        &self,
        py: Python<'py>,
        question: &Bound<'py, PyDict>,
        timeout: f64,
    ) -> Answer<Bound<'py, PyAny>> {
        let json = py.import("json")?;
        let text: String = json.call_method1("dumps", (question,))?.extract()?;
        let timeout = seconds("timeout", timeout)?;
        let mut inner = self.lock()?;
        let participant = inner.as_mut().ok_or_else(closed)?;
        let (answer, _busy) = detached(py, || participant.ask(&text, timeout));
        Ok(json.call_method1("loads", (answer?,))?)
    }

    /// Events that the server has not taken yet. Raises InvalidArgument: no such proxy.
    fn untaken(&self, handle: u64) -> Answer<usize> {
        Ok(self.lock()?.as_mut().ok_or_else(closed)?.untaken(handle)?)
    }

    /// Waits until the server has taken everything that was emitted through a proxy. Raises Timeout, InvalidArgument: no such proxy.
    #[pyo3(signature = (handle, timeout=5.0))]
    fn flush(&self, py: Python<'_>, handle: u64, timeout: f64) -> Answer<()> {
        let until = Instant::now() + seconds("timeout", timeout)?;
        let mut inner = self.lock()?;
        let participant = inner.as_mut().ok_or_else(closed)?;
        loop {
            let untaken = participant.untaken(handle)?;
            if untaken == 0 {
                return Ok(());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let words = format!("{untaken} events were not taken by the server within {timeout} s");
                return Err(Error::new(Code::Timeout, words).into());
            }
            turn(py, participant, left)?;
        }
    }

    /// Does all there is to do now; waits for at most `timeout` seconds when that is nothing. Raises WrongThread, InputOutput, Closed.
    #[pyo3(signature = (timeout=0.0))]
    fn turn(&self, py: Python<'_>, timeout: f64) -> Answer<()> {
        let timeout = seconds("timeout", timeout)?;
        turn(py, self.lock()?.as_mut().ok_or_else(closed)?, timeout)
    }

    /// A descriptor that is readable when `turn` has something to do.
    fn fileno(&self) -> Answer<i32> {
        let inner = self.lock()?;
        let fd = inner.as_ref().ok_or_else(closed)?.fd();
        Ok(fd.ok_or_else(|| Error::from(Code::NotSupported))?)
    }

    /// Seconds for which the descriptor may be waited for before a turn is due all the same; None: for ever.
    fn next_timeout(&self) -> Answer<Option<f64>> {
        let inner = self.lock()?;
        Ok(inner.as_ref().ok_or_else(closed)?.next_timeout().map(|timeout| timeout.as_secs_f64()))
    }

    /// Exchanges the link for another while events flow, to a server with the public key `server_key`, or to a clear one. Raises as making a
    /// participant does; the link is then the one before.
    #[pyo3(signature = (server, *, server_key=None))]
    fn relink(&self, server: &str, server_key: Option<Bound<'_, PyAny>>) -> Answer<()> {
        let link = link(server, server_key.as_ref())?;
        self.lock()?.as_mut().ok_or_else(closed)?.relink(link, self.security.clone())?;
        Ok(())
    }

    /// What happened: dictionaries with "what" (welcome, answer, refused, confirmed, lost, readable, wanted, gone, bye) and what belongs to
    /// it: "handle", "number", "count", "message", "max", "request".
    fn news<'py>(&self, py: Python<'py>) -> Answer<Bound<'py, PyList>> {
        let mut inner = self.lock()?;
        let participant = inner.as_mut().ok_or_else(closed)?;
        let all = PyList::empty(py);
        while let Some(news) = participant.poll_news() {
            all.append(dictionary(py, news)?)?;
        }
        Ok(all)
    }

    /// Whether the link is there.
    #[getter]
    fn linked(&self) -> Answer<bool> {
        Ok(self.lock()?.as_ref().ok_or_else(closed)?.is_linked())
    }

    /// Why there is no link, while none could be made.
    #[getter]
    fn trouble(&self) -> Answer<Option<String>> {
        Ok(self.lock()?.as_ref().ok_or_else(closed)?.trouble().map(str::to_owned))
    }

    /// Ends it.
    fn close(&self) -> Answer<()> {
        self.lock()?.take();
        Ok(())
    }
}

impl Participant {
    fn lock(&self) -> Answer<MutexGuard<'_, Option<channel::Participant>>> {
        lock(self.inner.get()?)
    }
}

fn link(server: &str, server_key: Option<&Bound<'_, PyAny>>) -> Answer<Link> {
    let key = server_key.map(|key| public_bytes("server_key", key)).transpose()?;
    Ok(Link::parse(server)?.with_server_key(key)?)
}

/// Turns it without the interpreter; signals are looked at now and then.
fn turn(py: Python<'_>, participant: &mut channel::Participant, timeout: Duration) -> Answer<()> {
    if timeout.is_zero() {
        participant.turn_for(Some(timeout))?;
    } else {
        let piece = timeout.min(SIGNALS_EVERY);
        let (turned, _busy) = detached(py, || participant.turn_for(Some(piece)));
        turned?;
    }
    py.check_signals()?;
    Ok(())
}

/// The members of a question that makes a proxy.
fn members(
    py: Python<'_>,
    channel: Option<&str>,
    name: &str,
    spec: Option<&Bound<'_, PyDict>>,
) -> Answer<String> {
    let all = PyDict::new(py);
    if let Some(channel) = channel {
        all.set_item("channel", channel)?;
    }
    if !name.is_empty() {
        all.set_item("name", name)?;
    }
    if let Some(spec) = spec {
        all.set_item("spec", spec)?;
    }
    let text: String = py.import("json")?.call_method1("dumps", (all,))?.extract()?;
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    Ok(inner.ok_or_else(|| invalid(format!("no object: {text}")))?.to_owned())
}

fn dictionary(py: Python<'_>, news: News) -> PyResult<Bound<'_, PyDict>> {
    let all = PyDict::new(py);
    macro_rules! say {
        ($what:literal $(, $name:ident)*) => {{
            all.set_item("what", $what)?;
            $(all.set_item(stringify!($name), $name)?;)*
        }};
    }
    match news {
        News::Welcome { principal } => say!("welcome", principal),
        News::Answer { request, result } => {
            let message = result.unwrap_or_else(|refused| refused.json);
            say!("answer", request, message);
        }
        News::Refused { handle, number, code, message } => {
            let code = format!("{code:?}");
            say!("refused", handle, number, code, message);
        }
        News::Confirmed { handle, first, count } => say!("confirmed", handle, first, count),
        News::Lost { handle, number, code } => {
            let code = format!("{code:?}");
            say!("lost", handle, number, code);
        }
        News::Readable { handle } => say!("readable", handle),
        News::Wanted { handle, max } => say!("wanted", handle, max),
        News::Gone { handle, message } => say!("gone", handle, message),
        News::Bye { message } => say!("bye", message),
    }
    Ok(all)
}

/// How long a piece of a wait is.
const SIGNALS_EVERY: Duration = Duration::from_millis(100);
