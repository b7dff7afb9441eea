//! A participant on a socket: supplier, consumer, administrator.

use super::config::{Link, check_clear};
use super::engine::Event as ChannelEvent;
use super::engine::participant::{
    Handle, News, Participant as Machine, ParticipantConfig, ParticipantError, SupplyConfig,
};
use super::engine::wire::Delivered;
use super::link::{Keys, OpenLink, Told};
use super::server::time;
use crate::error::{Code, Error, Result};
use crate::io::{AnyDriver, Driver, DriverChoice, DriverConfig, Instant, Waker};
use crate::security::Mode;
use std::os::fd::RawFd;
use std::time::Duration;

/// Speaks to one channel server. When its link is lost it makes another by itself and goes on: proxies are opened again, and what was
/// not taken is sent again. Turn it, or call what waits.
pub struct Participant<D: Driver = AnyDriver> {
    driver: D,
    machine: Machine,
    link: Link,
    security: Option<Mode>,
    open: Option<OpenLink>,
    is_made: bool,
    made_at: Instant,
    /// Clear links outside loopback are allowed.
    insecure: bool,
    /// When the next link is tried.
    retry_at: Option<Instant>,
    retry_wait: Duration,
    inbox: Vec<crate::io::Event>,
    links_made: u64,
    /// Why the last link was lost, or not made, while there is none.
    trouble: Option<String>,
}

impl Participant {
    /// Opens a driver and begins to connect. `security` is our key, where the link says the server's; without one, a key is made for this time.
    ///
    /// Errors: `InsecureAddress`: a clear link to an address that is not loopback, and nobody said `insecure`; `NoKey`: a key of ours and none
    /// of the server's; those of opening a driver.
    pub fn open(
        choice: DriverChoice,
        spin: Duration,
        link: Link,
        security: Option<Mode>,
        insecure: bool,
        config: ParticipantConfig,
    ) -> Result<Participant> {
        let io = DriverConfig { spin_ns: spin.as_nanos() as u64, ..Default::default() };
        check_link(&link, insecure)?;
        let (driver, _) = crate::io::open(choice, io)?;
        Participant::start(driver, link, security, insecure, config)
    }
}

impl<D: Driver> Participant<D> {
    /// One over a driver that is open already; clear links may go anywhere.
    ///
    /// Errors: no descriptor, `NoKey`.
    pub fn with_driver(
        driver: D,
        link: Link,
        security: Option<Mode>,
        config: ParticipantConfig,
    ) -> Result<Participant<D>> {
        Participant::start(driver, link, security, true, config)
    }

    fn start(
        driver: D,
        link: Link,
        security: Option<Mode>,
        insecure: bool,
        config: ParticipantConfig,
    ) -> Result<Participant<D>> {
        let mut participant = Participant {
            driver,
            machine: Machine::new(config),
            link,
            security,
            open: None,
            is_made: false,
            made_at: Instant::ZERO,
            insecure,
            retry_at: None,
            retry_wait: RETRY_MIN,
            inbox: Vec::new(),
            links_made: 0,
            trouble: None,
        };
        participant.connect()?;
        Ok(participant)
    }

    /// Exchanges the link for another, of another kind perhaps, while events flow. `security` is our key, as for [`Participant::open`].
    ///
    /// Errors: `InsecureAddress` as [`Participant::open`]; no descriptor; keys that cannot be. The link is then the one before.
    pub fn relink(&mut self, link: Link, security: Option<Mode>) -> Result<()> {
        check_link(&link, self.insecure)?;
        let keys = Keys { security: security.clone(), insecure: self.insecure };
        let open = OpenLink::open(&mut self.driver, &link, keys)?;
        self.lose("it is exchanged");
        (self.link, self.security) = (link, security);
        (self.open, self.retry_at, self.trouble) = (Some(open), None, None);
        Ok(())
    }

    /// Readable when [`Participant::turn_for`] has something to do; `None` in the simulator.
    pub fn fd(&self) -> Option<RawFd> {
        self.driver.fd()
    }

    /// Rings it out of a wait, from any thread; `None` in the simulator.
    pub fn waker(&self) -> Option<Waker> {
        self.driver.waker()
    }

    /// Whether the link is there.
    pub fn is_linked(&self) -> bool {
        self.is_made
    }

    /// Links made so far.
    pub fn links_made(&self) -> u64 {
        self.links_made
    }

    /// Why there is no link, while none could be made.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// The driver, for tests.
    pub fn driver(&self) -> &D {
        &self.driver
    }

    /// Becomes a supplier. `spec`: members of a JSON object, see docs/protocol/channel.md; `"channel":"load"` for example, or nothing.
    pub fn supply(&mut self, spec: &str, config: SupplyConfig) -> Handle {
        self.machine.supply(spec, config)
    }

    /// Becomes a consumer; `spec` as for [`Participant::supply`].
    pub fn consume(&mut self, spec: &str) -> Handle {
        self.machine.consume(spec)
    }

    /// Gives a proxy up.
    pub fn close(&mut self, handle: Handle) {
        self.machine.close(handle);
    }

    /// Emits events; how many were taken up. They leave with the next turn.
    ///
    /// Errors: `WouldBlock`: none, as many wait as may; `InvalidArgument`: no such proxy.
    pub fn emit(&mut self, handle: Handle, events: &[ChannelEvent]) -> Result<usize> {
        self.machine.emit(handle, events).map(|emitted| emitted.count).map_err(error)
    }

    /// Events that the server has not taken yet.
    ///
    /// Errors: `InvalidArgument`: no such proxy.
    pub fn untaken(&self, handle: Handle) -> Result<usize> {
        self.machine.untaken(handle).map_err(error)
    }

    /// The next event, and whose it is.
    pub fn take(&mut self) -> Option<(Handle, Delivered)> {
        self.machine.take()
    }

    /// What happened.
    pub fn poll_news(&mut self) -> Option<News> {
        self.machine.poll_news()
    }

    /// The machine: acknowledge, reject, pull, ask.
    pub fn machine(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// How long the descriptor may be waited for; `None`: no limit. Zero: turn now.
    pub fn next_timeout(&self) -> Option<Duration> {
        let has_to_send = self.machine.has_to_send()
            && self.is_made
            && self.open.as_ref().is_some_and(|open| open.has_room(&self.driver));
        if self.driver.pending() || has_to_send {
            return Some(Duration::ZERO);
        }
        let link = self.open.as_ref().and_then(OpenLink::next_timeout);
        let due = [link, self.machine.next_timeout(), self.retry_at].into_iter().flatten().min();
        due.map(|at| at.saturating_sub(time(&self.driver)))
    }

    /// Does what there is to do, and waits for at most `timeout` (`None`: until something happens) when there is nothing.
    ///
    /// Errors: `Io` when the driver can go no further.
    pub fn turn_for(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.send();
        let timeout = match (timeout, self.next_timeout()) {
            (Some(timeout), Some(due)) => Some(timeout.min(due)),
            (timeout, due) => timeout.or(due),
        };
        let mut inbox = std::mem::take(&mut self.inbox);
        let result = self.driver.turn(timeout, &mut inbox);
        for event in inbox.drain(..) {
            self.on_event(event);
        }
        self.inbox = inbox;
        let now = time(&self.driver);
        self.machine.handle_timeout(now);
        if self.retry_at.is_some_and(|at| at <= now)
            && let Err(error) = self.connect()
        {
            self.lose(&error.to_string());
        }
        self.send();
        if self.driver.pending() {
            let mut inbox = std::mem::take(&mut self.inbox);
            let again = self.driver.turn(Some(Duration::ZERO), &mut inbox);
            for event in inbox.drain(..) {
                self.on_event(event);
            }
            self.inbox = inbox;
            again.map_err(|error| Error::from_io("turn the driver", &error))?;
        }
        result.map_err(|error| Error::from_io("turn the driver", &error))
    }

    /// Asks something and waits for the answer, a JSON object.
    ///
    /// Errors: `Timeout`; `CallFailed`, with the server's words.
    pub fn ask(&mut self, json: &str, timeout: Duration) -> Result<String> {
        let until = std::time::Instant::now() + timeout;
        while !self.is_made {
            self.turn_until(until, "connect to the channel server")?;
        }
        let request = self.machine.ask(json);
        let mut others = Vec::new();
        let answer = loop {
            match self.machine.poll_news() {
                Some(News::Answer { request: it, result }) if it == request => break Ok(result),
                Some(news) => others.push(news),
                None => match self.turn_until(until, "wait for the answer of the channel server") {
                    Ok(()) => {}
                    Err(error) => break Err(error),
                },
            }
        };
        self.machine.put_back(others);
        answer?.map_err(|refused| {
            let words = if refused.json.is_empty() { "the link was lost".into() } else { refused.json };
            Error::new(Code::CallFailed, words)
        })
    }

    fn turn_until(&mut self, until: std::time::Instant, what: &str) -> Result<()> {
        let left = until.saturating_duration_since(std::time::Instant::now());
        if left.is_zero() {
            let address = self.link.address();
            let why = self.trouble.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            return Err(Error::new(Code::Timeout, format!("{what}: {address}{why}")));
        }
        self.turn_for(Some(left))
    }

    fn connect(&mut self) -> Result<()> {
        self.retry_at = None;
        let keys = Keys { security: self.security.clone(), insecure: self.insecure };
        self.open = Some(OpenLink::open(&mut self.driver, &self.link, keys)?);
        Ok(())
    }

    fn send(&mut self) {
        let (machine, driver) = (&mut self.machine, &mut self.driver);
        let mut told: Vec<Option<String>> = Vec::new();
        if let Some(open) = &mut self.open {
            if self.is_made
                && open.has_room(driver)
                && let Some(bytes) = machine.poll_send()
            {
                open.send(driver, bytes);
            }
            open.set_reading(driver, machine.is_reading());
            open.drive(driver, &mut |it| match it {
                Told::Made => told.push(None),
                Told::Lost(why) => told.push(Some(why.to_owned())),
                Told::Bytes(_) => debug_assert!(false, "bytes come with events"),
            });
        }
        for lost in told {
            match lost {
                None => self.made(),
                Some(why) => self.lose(&why),
            }
        }
    }

    fn on_event(&mut self, event: crate::io::Event) {
        let Some(open) = &mut self.open else {
            if let crate::io::Event::Data { lease, .. } | crate::io::Event::Datagrams { lease, .. } = event {
                self.driver.release(lease);
            }
            return;
        };
        let now = time(&self.driver);
        let (machine, is_made, links_made) = (&mut self.machine, &mut self.is_made, &mut self.links_made);
        let (made_at, trouble) = (&mut self.made_at, &mut self.trouble);
        let mut lost = None;
        open.on_event(&mut self.driver, event, &mut |told| match told {
            Told::Made => {
                (*is_made, *made_at, *trouble) = (true, now, None);
                *links_made += 1;
                machine.link_made();
            }
            Told::Bytes(bytes) => {
                if machine.receive(now, bytes).is_err() {
                    lost.get_or_insert_with(|| "the server broke the protocol".to_owned());
                }
            }
            Told::Lost(why) => {
                lost.get_or_insert_with(|| why.to_owned());
            }
        });
        if let Some(why) = lost {
            self.lose(&why);
        }
    }

    fn made(&mut self) {
        (self.is_made, self.made_at, self.trouble) = (true, time(&self.driver), None);
        self.links_made += 1;
        self.machine.link_made();
    }

    /// The link is gone: another is tried soon.
    fn lose(&mut self, why: &str) {
        self.trouble = Some(why.to_owned());
        if let Some(open) = self.open.take() {
            open.close(&mut self.driver);
        }
        let now = time(&self.driver);
        if std::mem::take(&mut self.is_made) {
            self.machine.link_lost();
            // One that held was no mistake.
            if now.saturating_sub(self.made_at) > RETRY_MAX {
                self.retry_wait = RETRY_MIN;
            }
        }
        self.retry_at = Some(now + self.retry_wait);
        self.retry_wait = (self.retry_wait * 2).min(RETRY_MAX);
    }
}

fn check_link(link: &Link, insecure: bool) -> Result<()> {
    match link {
        Link::Udp(_, Some(_)) | Link::Rpc(_, Some(_)) => Ok(()),
        _ => check_clear("connect to", link.address(), insecure),
    }
}

fn error(error: ParticipantError) -> Error {
    let code = match error {
        ParticipantError::WouldBlock { .. } => Code::WouldBlock,
        _ => Code::InvalidArgument,
    };
    Error::new(code, error.to_string())
}

const RETRY_MIN: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(2);
