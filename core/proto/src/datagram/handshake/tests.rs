//! Cookies: whose they are, and for how long.

use super::*;
use crate::datagram::security::{Established, Protector};

/// A secret, and nothing that protects.
struct Secret(u64);

struct Nothing;

impl Protector for Nothing {
    fn trailer_bytes(&self) -> usize {
        4
    }
    fn seal(&mut self, _number: u64, _packet: &mut [u8]) {}
    fn open(&mut self, _number: u64, _phase: bool, _packet: &mut [u8]) -> bool {
        true
    }
    fn reopen(&mut self, _number: u64, _phase: bool, _packet: &mut [u8]) -> bool {
        true
    }
}

impl Security for Secret {
    type Protector = Nothing;
    type Pending = ();

    fn check(&self, _bytes: &[u8]) -> u32 {
        0
    }

    fn mac(&self, purpose: MacUse, bytes: &[u8]) -> [u8; 16] {
        let mut state = self.0 ^ purpose as u64;
        for &byte in bytes {
            state = (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3).rotate_left(23);
        }
        let mut mac = [0; 16];
        mac[..8].copy_from_slice(&state.to_le_bytes());
        mac
    }

    fn random(&mut self) -> u64 {
        self.0
    }

    fn initiate(&mut self, _peer: Option<[u8; 32]>, parameters: &[u8]) -> Option<((), Vec<u8>)> {
        Some(((), parameters.to_vec()))
    }

    fn respond(&mut self, _message: &[u8], _parameters: &[u8]) -> Option<(Established<Nothing>, Vec<u8>)> {
        None
    }

    fn finish(&mut self, _pending: &mut (), _message: &[u8]) -> Option<Established<Nothing>> {
        None
    }
}

const EPOCH: u64 = 5;

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

fn from() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 4000))
}

fn init() -> Long<'static> {
    let body = Body::Init { epoch: EPOCH, cookie: &[], handshake: &[] };
    Long { source_shard: 0, version: 1, target: 77, source: WireId(88), body }
}

fn is_good(
    now: Instant,
    secret: u64,
    from: SocketAddr,
    packet: &Long<'_>,
    epoch: u64,
    cookie: &[u8],
) -> bool {
    is_cookie_good(now, &Config::default(), &Secret(secret), from, packet, epoch, cookie)
}

#[test]
fn a_cookie_is_good_for_its_client_and_its_time() {
    let cookie = make_cookie(at(20_000), &Secret(1), from(), &init(), EPOCH);
    assert!(is_good(at(20_000), 1, from(), &init(), EPOCH, &cookie));
    assert!(is_good(at(30_000), 1, from(), &init(), EPOCH, &cookie), "also when it comes again");
    assert!(!is_good(at(30_001), 1, from(), &init(), EPOCH, &cookie), "too old");
    assert!(!is_good(at(10), 1, from(), &init(), EPOCH, &cookie), "made before the clock began anew");
    assert!(!is_good(at(20_000), 2, from(), &init(), EPOCH, &cookie), "another secret");
    assert!(!is_good(at(20_000), 1, from(), &init(), EPOCH + 1, &cookie), "another epoch");
}

#[test]
fn a_cookie_is_no_good_for_another_client() {
    let cookie = make_cookie(at(0), &Secret(1), from(), &init(), EPOCH);
    for other in ["10.0.0.1:4001", "10.0.0.2:4000", "[::ffff:10.0.0.1]:4000"] {
        assert!(!is_good(at(0), 1, other.parse().unwrap(), &init(), EPOCH, &cookie), "{other}");
    }
    for other in
        [Long { target: 78, ..init() }, Long { source: WireId(89), ..init() }, Long { version: 2, ..init() }]
    {
        assert!(!is_good(at(0), 1, from(), &other, EPOCH, &cookie), "{other:?}");
    }
}

#[test]
fn no_byte_of_a_cookie_can_be_changed_or_left_out() {
    let cookie = make_cookie(at(1000), &Secret(1), from(), &init(), EPOCH);
    for place in 0..16 {
        let mut other = cookie;
        other[place] ^= 1;
        assert!(!is_good(at(1000), 1, from(), &init(), EPOCH, &other), "{place}");
    }
    assert!(!is_good(at(1000), 1, from(), &init(), EPOCH, &cookie[..23]));
    assert!(!is_good(at(1000), 1, from(), &init(), EPOCH, &[]));
}

#[test]
fn an_attempt_follows_a_few_cookies_and_waits_longer_each_time() {
    let config = Config { rtt_initial: Duration::ZERO, ..Config::default() };
    let mut connecting = Connecting::new(at(0), &config, WireId(1), from(), 2, 1, ((), Vec::new()));
    let mut now = at(0);
    let mut inits = 0;
    while now < at(10_000) {
        let mut bytes = Vec::new();
        connecting.write(now, &config, |_| 0, &mut bytes);
        assert!(connecting.due > now);
        now = connecting.due;
        inits += 1;
    }
    assert!(inits < 20, "{inits}");
    assert!(connecting.on_cookie(now, b"a") && connecting.due == now);
    assert!(!connecting.on_cookie(now, b"a"), "the same again");
    assert!(connecting.on_cookie(now, b"b") && connecting.on_cookie(now, b"c"));
    assert!(!connecting.on_cookie(now, b"d"), "a server that sends many is not followed");
}
