//! How a connection begins: the client that asks, and the answers of a server that keeps nothing.

use super::config::Config;
use super::endpoint::Entered;
use super::id::WireId;
use super::packet::{Body, COOKIE_BYTES_MAX, Long};
use super::parameters::Parameters;
use super::security::{MacUse, Security};
use crate::time::Instant;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

/// A client that waits for Accept.
#[derive(Debug)]
pub(super) struct Connecting<T> {
    pub own: WireId,
    pub peer: SocketAddr,
    pub pending: T,
    /// Random number that steers both Inits to one shard.
    pub target: u64,
    pub version: u16,
    /// The first handshake message.
    message: Vec<u8>,
    cookie: Vec<u8>,
    /// When it gives up.
    pub until: Instant,
    pub due: Instant,
    wait: Duration,
    wait_initial: Duration,
    /// When the last Init left, for a first guess of the round trip.
    pub sent: Instant,
    cookies: u8,
    pub is_ready: bool,
    /// When the wheel will look at it.
    pub entered: Entered,
}

impl<T> Connecting<T> {
    pub fn new(
        now: Instant,
        config: &Config,
        own: WireId,
        peer: SocketAddr,
        target: u64,
        version: u16,
        (pending, message): (T, Vec<u8>),
    ) -> Connecting<T> {
        let wait_initial = config.rtt_initial.saturating_mul(2).clamp(WAIT_MIN, WAIT_MAX);
        Connecting {
            own,
            peer,
            pending,
            target,
            version,
            message,
            cookie: Vec::new(),
            until: now + config.handshake_timeout,
            due: now,
            wait: wait_initial,
            wait_initial,
            sent: now,
            cookies: 0,
            is_ready: false,
            entered: Entered::NONE,
        }
    }

    /// A cookie came: Init goes again at once. A server that sends many gets no answer to the later ones.
    pub fn on_cookie(&mut self, now: Instant, cookie: &[u8]) -> bool {
        if self.cookies >= COOKIES_MAX || self.cookie == cookie {
            return false;
        }
        self.cookies += 1;
        self.cookie = cookie.to_vec();
        self.wait = self.wait_initial;
        self.due = now;
        true
    }

    /// Appends the Init that is due.
    pub fn write(&mut self, now: Instant, config: &Config, check: impl Fn(&[u8]) -> u32, out: &mut Vec<u8>) {
        let packet = Long {
            source_shard: config.shard,
            version: self.version,
            target: self.target,
            source: self.own,
            body: Body::Init { epoch: config.epoch, cookie: &self.cookie, handshake: &self.message },
        };
        packet.write(check, out);
        self.sent = now;
        self.due = now + self.wait;
        self.wait = (self.wait * 2).min(WAIT_MAX);
    }
}

/// Our parameters for a connection of id `own`.
pub(super) fn parameters<S: Security>(config: &Config, security: &S, own: WireId) -> Vec<u8> {
    let parameters = Parameters {
        receive_window: config.receive_window as u64,
        stream_window: config.stream_window as u64,
        streams_max: config.streams_max as u32,
        message_bytes_max: config.message_bytes_max as u64,
        acknowledgement_delay: config.acknowledgement_delay,
        packet_bytes_max: config.packet_bytes_max as u32,
        idle_timeout: config.idle_timeout,
        reset_token: reset_token(security, own),
    };
    let mut bytes = Vec::with_capacity(80);
    parameters.write(&mut bytes);
    bytes
}

/// What a Reset for the id `own` carries.
pub(super) fn reset_token<S: Security>(security: &S, own: WireId) -> [u8; 16] {
    security.mac(MacUse::Reset, &own.0.to_le_bytes())
}

/// A cookie for a client: when it was made, and a MAC over that and all that names the client.
pub(super) fn make_cookie<S: Security>(
    now: Instant,
    security: &S,
    from: SocketAddr,
    packet: &Long<'_>,
    epoch: u64,
) -> [u8; COOKIE_BYTES] {
    let millis = (now.as_nanos() / 1_000_000).to_le_bytes();
    let mut cookie = [0; COOKIE_BYTES];
    cookie[..8].copy_from_slice(&millis);
    cookie[8..].copy_from_slice(&security.mac(MacUse::Cookie, &cookie_input(&millis, from, packet, epoch)));
    cookie
}

/// Whether a cookie is ours, this client's, and not too old.
pub(super) fn is_cookie_good<S: Security>(
    now: Instant,
    config: &Config,
    security: &S,
    from: SocketAddr,
    packet: &Long<'_>,
    epoch: u64,
    cookie: &[u8],
) -> bool {
    let Ok(cookie) = <&[u8; COOKIE_BYTES]>::try_from(cookie) else { return false };
    let (millis, mac) = cookie.split_at(8);
    let expected = security.mac(MacUse::Cookie, &cookie_input(millis, from, packet, epoch));
    // In constant time: all bytes are looked at.
    let is_same = expected.iter().zip(mac).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0;
    let made =
        millis.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte)).saturating_mul(1_000_000);
    // One from later than now was made by an earlier run with the same secret: the clock has begun anew.
    let made = Instant::from_nanos(made);
    is_same && made <= now && now.saturating_sub(made) <= config.cookie_lifetime
}

fn cookie_input(millis: &[u8], from: SocketAddr, packet: &Long<'_>, epoch: u64) -> Vec<u8> {
    let mut input = Vec::with_capacity(64);
    input.extend_from_slice(millis);
    match from {
        SocketAddr::V4(from) => input.extend_from_slice(&from.ip().octets()),
        SocketAddr::V6(from) => input.extend_from_slice(&from.ip().octets()),
    }
    input.extend_from_slice(&from.port().to_le_bytes());
    input.extend_from_slice(&packet.target.to_le_bytes());
    input.extend_from_slice(&packet.source.0.to_le_bytes());
    input.extend_from_slice(&epoch.to_le_bytes());
    input.extend_from_slice(&packet.version.to_le_bytes());
    input
}

const COOKIE_BYTES: usize = 24;
const _: () = assert!(COOKIE_BYTES <= COOKIE_BYTES_MAX);
/// Cookies that one attempt follows.
const COOKIES_MAX: u8 = 3;
/// Between two Inits, whatever is said of the round trip.
const WAIT_MIN: Duration = Duration::from_millis(10);
const WAIT_MAX: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
