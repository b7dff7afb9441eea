//! A peer that means harm: after a handshake as it should be, packets whose check is right and whose frames are the input's.

use super::super::security::TestSecurity;
use super::Input;
use clustercore_proto::datagram::{
    Body, Config, Connection, DataHeader, Endpoint, Event, Frame, Frames, HEADER_BYTES, Long, Run, StreamId,
    StreamKind, Train, Transmit, WireId,
};
use clustercore_proto::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
const OURS: usize = 0;

/// Plays the input's packets, times and wishes to an endpoint. True when the connection lives at the end.
///
/// What must hold: no panic, the invariants, each message once and (on ordered streams) in turn, bounded memory and timers, and
/// time-outs that change something.
pub fn check(input: &[u8]) -> bool {
    let mut victim = Victim::connected();
    let mut input = Input(input);
    for _ in 0..STEPS_MAX {
        let Some(step) = input.byte() else { break };
        victim.step(step, &mut input);
        victim.turn();
    }
    victim.name.is_some()
}

struct Victim {
    endpoint: Endpoint<TestSecurity>,
    now: Instant,
    name: Option<Connection>,
    id: WireId,
    number: u64,
    /// Highest number that it has sent.
    sent: Option<u64>,
    challenge: Option<u64>,
    unconsumed: Vec<(StreamId, u64)>,
    next: BTreeMap<StreamId, u64>,
    seen: BTreeSet<(StreamId, u64)>,
}

impl Victim {
    /// After a handshake.
    fn connected() -> Victim {
        let now = Instant::from_nanos(1_000_000_000);
        let config = Config {
            connections_max: 4,
            receive_window: 70_000,
            stream_window: 60_000,
            message_bytes_max: 20_000,
            send_buffer_bytes: 100_000,
            streams_max: 8,
            reassembly_timeout: Duration::from_secs(20),
            ..Config::default()
        };
        let mut client =
            Endpoint::new(now, config.clone(), TestSecurity::new(1, 1, false)).expect("good bounds");
        let mut endpoint = Endpoint::new(now, config, TestSecurity::new(2, 2, false)).expect("good bounds");
        client.connect(now, address(1), None).expect("there is room");
        let mut id = None;
        for _ in 0..2 {
            let there = sent_by(&mut client, now);
            pass(&mut endpoint, now, address(OURS), there);
            for mut packet in sent_by(&mut endpoint, now) {
                let long = Long::read(&packet, |bytes| CRC.checksum(bytes)).expect("an answer");
                if let Body::Accept { .. } = long.body {
                    id = Some(long.source);
                }
                let train = Train { from: address(1), segment: packet.len(), bytes: &mut packet, mark: 0 };
                client.handle(now, train, &mut |_: Run<'_>| {});
            }
        }
        let mut victim = Victim {
            endpoint,
            now,
            name: None,
            id: id.expect("the handshake has ended"),
            number: 0,
            sent: None,
            challenge: None,
            unconsumed: Vec::new(),
            next: BTreeMap::new(),
            seen: BTreeSet::new(),
        };
        victim.packet(0, OURS, &[1]);
        victim.turn();
        assert!(victim.name.is_some(), "a ping makes the connection known");
        victim
    }

    fn step(&mut self, step: u8, input: &mut Input<'_>) {
        match step % 8 {
            0..=2 => {
                let len = usize::from(input.short() % 1400);
                let frames = input.bytes(len);
                self.number += 1 + u64::from(step >> 6);
                self.packet(self.number, OURS, frames);
            }
            3 => {
                // An old number, or another address.
                let (back, len) = (step >> 4, usize::from(input.short() % 1400));
                let frames = input.bytes(len);
                let number = self.number.saturating_sub(u64::from(back)) + u64::from(back == 0);
                self.number = self.number.max(number);
                self.packet(number, usize::from(step >> 3 & 1) * 2, frames);
            }
            4 => self.now += Duration::from_micros(1 << (input.byte().unwrap_or(0) % 26)),
            5 => {
                let stream = StreamId::from_wire(u32::from(step >> 3));
                let len = usize::from(input.short() % 5000);
                if let Some(name) = self.name {
                    let _ = self.endpoint.send(name, stream, &vec![step; len]);
                }
            }
            6 => self.consume(),
            _ => self.answer(step >> 3),
        }
    }

    /// What an honest peer would say.
    fn answer(&mut self, which: u8) {
        self.number += 1;
        match which {
            0..=15 => {
                let Some(sent) = self.sent else { return };
                let largest = sent.saturating_sub(u64::from(which));
                let mut frame = vec![2];
                for value in [largest, 0, 0, largest] {
                    put(&mut frame, value);
                }
                self.packet(self.number, OURS, &frame);
            }
            16..=23 => {
                let Some(challenge) = self.challenge else { return };
                let frame = [&[0x0b], &challenge.to_le_bytes()[..]].concat();
                self.packet(self.number, 2, &frame);
            }
            24..=27 => self.packet(self.number, 2, &[1]),
            code => {
                if let Some(name) = self.name {
                    self.endpoint.close(self.now, name, 300, b"enough", code & 1 == 0);
                }
            }
        }
    }

    fn consume(&mut self) {
        let Some(name) = self.name else { return };
        for (stream, cost) in self.unconsumed.drain(..) {
            self.endpoint.consume(name, stream, cost);
        }
    }

    fn packet(&mut self, number: u64, from: usize, frames: &[u8]) {
        let header = DataHeader { phase: false, source_shard: 0, number, target: self.id };
        let mut packet = vec![0; HEADER_BYTES];
        header.write(&mut packet);
        packet.extend_from_slice(frames);
        let check = CRC.checksum(&packet);
        packet.extend_from_slice(&check.to_le_bytes());
        let train = Train { from: address(from), segment: packet.len(), bytes: &mut packet, mark: 2 };
        let Victim { endpoint, unconsumed, next, seen, .. } = self;
        endpoint.handle(self.now, train, &mut |run: Run<'_>| {
            let mut count = 0;
            run.for_each(|_| count += 1);
            assert_eq!(count, run.count);
            unconsumed.push((run.stream, run.cost));
            let next = next.entry(run.stream).or_default();
            let end = run.first + u64::from(run.count);
            match run.stream.kind() {
                StreamKind::Ordered => assert_eq!(run.first, *next, "out of turn"),
                StreamKind::Latest => assert!(run.first >= *next, "an older value"),
                StreamKind::Unordered => (run.first..end)
                    .for_each(|sequence| assert!(seen.insert((run.stream, sequence)), "came twice")),
                StreamKind::Unreliable => return,
            }
            *next = end;
        });
        self.endpoint.check_invariants();
    }

    /// Lets time-outs and trains happen until nothing is due any more.
    fn turn(&mut self) {
        for round in 0.. {
            assert!(round < 200, "time-outs change nothing");
            self.endpoint.handle_timeout(self.now);
            for packet in sent_by(&mut self.endpoint, self.now) {
                self.note(&packet);
            }
            while let Some(event) = self.endpoint.poll_event() {
                match event {
                    Event::Accepted { connection, .. } => self.name = Some(connection),
                    Event::Gone { .. } => self.name = None,
                    _ => {}
                }
            }
            self.endpoint.check_invariants();
            if self.endpoint.next_timeout().is_none_or(|at| at > self.now) && !self.endpoint.wants_to_send() {
                break;
            }
        }
        let stats = self.endpoint.stats();
        assert!(stats.ecn_marks <= stats.packets_sent && stats.packets_lost <= stats.packets_sent);
        assert!(self.endpoint.timers() < 40, "{}", self.endpoint.timers());
        assert!(self.name.is_none_or(|name| self.endpoint.buffered(name) < 300_000));
        let window: u64 = self.unconsumed.iter().map(|(_, cost)| cost).sum();
        assert!(window <= 70_000, "more than the window waits for its reader");
    }

    fn note(&mut self, packet: &[u8]) {
        let Some(header) = DataHeader::read(packet) else { return };
        self.sent = self.sent.max(Some(header.number));
        let mut frames = Frames::new(&packet[HEADER_BYTES..packet.len() - 4]);
        while let Some(frame) = frames.next_frame().expect("what we send can be read") {
            if let Frame::Challenge(value) = frame {
                self.challenge = Some(value);
            }
        }
    }
}

fn address(of: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1 + of as u8], 4000))
}

fn sent_by(endpoint: &mut Endpoint<TestSecurity>, now: Instant) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    endpoint.transmit(now, 1000, &mut |train: Transmit| {
        let bytes = &train.bytes[train.range];
        assert!(bytes.len() <= 65_507, "a train that no datagram carries");
        packets.extend(bytes.chunks(train.segment as usize).map(<[u8]>::to_vec));
    });
    packets
}

fn pass(endpoint: &mut Endpoint<TestSecurity>, now: Instant, from: SocketAddr, packets: Vec<Vec<u8>>) {
    for mut packet in packets {
        let train = Train { from, segment: packet.len(), bytes: &mut packet, mark: 0 };
        endpoint.handle(now, train, &mut |_: Run<'_>| {});
    }
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

const STEPS_MAX: usize = 2000;
