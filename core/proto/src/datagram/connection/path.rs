//! The path to the peer: its address, round trips, congestion, length of packets, marks, and a move to another one.

use super::super::config::Config;
use super::super::control::Controller;
use super::super::mtu::Search;
use super::super::pacer::Pacer;
use super::super::rtt::Rtt;
use super::super::stats::PathReport;
use crate::time::Instant;
use alloc::boxed::Box;
use core::net::SocketAddr;
use core::time::Duration;

#[derive(Debug)]
pub(super) struct Path {
    pub peer: SocketAddr,
    pub rtt: Rtt,
    pub control: Box<dyn Controller>,
    pub pacer: Pacer,
    pub search: Search,
    /// Packets carry ECT(0).
    pub has_ecn: bool,
    /// Congestion marks that the peer has reported.
    pub marks: u64,
    packet_bytes_max: u32,
    /// Another address that the peer seems to have.
    candidate: Option<Box<Candidate>>,
    /// A challenge to be answered, and where.
    response: Option<Box<(SocketAddr, u64)>>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    address: SocketAddr,
    value: u64,
    due: Instant,
    tries: u8,
}

impl Path {
    pub fn new(now: Instant, config: &Config, peer: SocketAddr, peer_packet_bytes_max: usize) -> Path {
        let packet_bytes_max = config.packet_bytes_max.min(peer_packet_bytes_max);
        let is_known = config.is_path_known || peer.ip().is_loopback();
        let search = Search::new(now, packet_bytes_max, is_known);
        Path {
            peer,
            rtt: Rtt::new(config.rtt_initial),
            control: config.control.build(search.packet_bytes()),
            pacer: Pacer::new(now),
            search,
            has_ecn: config.has_ecn,
            marks: 0,
            packet_bytes_max: packet_bytes_max as u32,
            candidate: None,
            response: None,
        }
    }

    pub fn report(&self, in_flight: u64) -> PathReport {
        PathReport {
            rtt: self.rtt.smoothed(),
            rtt_min: self.rtt.min(),
            window: self.control.window(),
            in_flight,
            packet_bytes: self.search.packet_bytes(),
            has_ecn: self.has_ecn,
        }
    }

    /// Sets the pacing rate from window and round trip.
    pub fn pace(&mut self, now: Instant) {
        let rtt = if self.rtt.is_measured() { self.rtt.smoothed() } else { INITIAL_PACE };
        self.pacer.set_rate(now, self.control.window(), rtt, self.control.is_slow_start());
    }

    /// A valid, newest packet came from another address: it is asked whether the peer is there. `value` is not to be guessed.
    pub fn suspect(&mut self, now: Instant, address: SocketAddr, value: u64) {
        match &mut self.candidate {
            // Heard again: the last challenge is not the last.
            Some(candidate) if candidate.address == address => {
                candidate.tries = candidate.tries.min(CHALLENGES - 1);
            }
            _ => self.candidate = Some(Box::new(Candidate { address, value, due: now, tries: 0 })),
        }
    }

    pub fn has_challenge_due(&self) -> bool {
        self.candidate.as_ref().is_some_and(|candidate| candidate.tries == 0)
    }

    /// When to look at the candidate again.
    pub fn challenge_due(&self) -> Option<Instant> {
        self.candidate.as_ref().map(|candidate| candidate.due)
    }

    /// The challenge that should leave now, and where to.
    pub fn take_challenge(&mut self, now: Instant) -> Option<(SocketAddr, u64)> {
        let candidate = self.candidate.as_mut().filter(|candidate| candidate.due <= now)?;
        if candidate.tries >= CHALLENGES {
            self.candidate = None;
            return None;
        }
        // Nothing is known of the new path: the old one's round trip would be no measure.
        candidate.due = now + CHALLENGE_WAIT * (1 << candidate.tries);
        candidate.tries += 1;
        Some((candidate.address, candidate.value))
    }

    /// A response came: the new address, when it is the one that was asked for.
    pub fn on_response(&mut self, value: u64) -> Option<SocketAddr> {
        let candidate = self.candidate.take_if(|candidate| candidate.value == value)?;
        Some(candidate.address)
    }

    pub fn on_challenge(&mut self, from: SocketAddr, value: u64) {
        self.response = Some(Box::new((from, value)));
    }

    pub fn has_response_due(&self) -> bool {
        self.response.is_some()
    }

    pub fn take_response(&mut self) -> Option<(SocketAddr, u64)> {
        self.response.take().map(|response| *response)
    }

    /// The peer is there now: everything known about the old path is forgotten.
    pub fn move_to(&mut self, now: Instant, config: &Config, peer: SocketAddr) {
        let max = self.packet_bytes_max as usize;
        // The peer counts marks over all paths.
        let (response, marks) = (self.response.take(), self.marks);
        *self = Path { response, marks, ..Path::new(now, config, peer, max) };
    }
}

const CHALLENGES: u8 = 5;
/// Until the second challenge; doubled each time.
const CHALLENGE_WAIT: Duration = Duration::from_millis(100);
/// Stands in for the round trip when the first window is paced.
const INITIAL_PACE: Duration = Duration::from_millis(10);
