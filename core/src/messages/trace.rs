//! The trace of an endpoint: a file in qlog's manner, for people who look for the reason of something.
//!
//! Source: draft-ietf-quic-qlog-main-schema (JSON text sequences, RFC 7464: a record is 0x1E, a JSON object, a line feed). The events are
//! our own; names and fields are those of draft-ietf-quic-qlog-quic-events where the meaning is the same. See
//! `docs/protocol/datagram.md`, "Trace". It is written by the thread that turns the shard, in pieces of 64 KiB and once a second, and
//! ends at 1 GiB.

use crate::error::{Error, Result};
use crate::io::Instant;
use crate::log::Trouble;
use clustercore_proto::datagram::{Connection, GoneReason, TraceEvent, TraceStatus, Tracer, WireId};
use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A trace that is being written.
pub(crate) struct TraceFile {
    out: BufWriter<File>,
    record: String,
    began: Instant,
    flushed: Instant,
    bytes: u64,
    is_over: bool,
    known: HashMap<Connection, Known>,
    trouble: Trouble,
}

/// What the file says of a connection so far.
struct Known {
    own: WireId,
    status: Option<TraceStatus>,
}

impl TraceFile {
    /// A new file, in the place of one that is there. `trouble` learns why it ends early.
    ///
    /// Errors: what making a file can fail with.
    pub fn create(path: &Path, now: Instant, trouble: Trouble) -> Result<TraceFile> {
        let file = File::create(path)
            .map_err(|error| Error::from_io(format_args!("make the trace {}", path.display()), &error))?;
        let mut trace = TraceFile {
            out: BufWriter::with_capacity(BUFFER_BYTES, file),
            record: String::new(),
            began: now,
            flushed: now,
            bytes: 0,
            is_over: false,
            known: HashMap::new(),
            trouble,
        };
        trace.header();
        Ok(trace)
    }

    fn header(&mut self) {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.record.clear();
        put(
            &mut self.record,
            format_args!(
                "\x1e{{\"file_schema\":\"urn:ietf:params:qlog:file:sequential\",\
                 \"serialization_format\":\"application/qlog+json-seq\",\"title\":\"clustercore datagrams\",\
                 \"trace\":{{\"vantage_point\":{{\"type\":\"unknown\"}},\"event_schemas\":[\"{EVENT_SCHEMA}\"],\
                 \"common_fields\":{{\"time_format\":\"relative_to_epoch\",\"reference_time\":\
                 {{\"clock_type\":\"monotonic\",\"epoch\":\"unknown\",\"wall_clock_time\":\"{}\"}}}}}}}}\n",
                WallClock(wall)
            ),
        );
        self.write_record();
    }

    /// Writes an event; `data` is the inside of its object.
    fn event(&mut self, now: Instant, group: Option<Group>, name: &str, data: fmt::Arguments<'_>) {
        let nanos = now.saturating_sub(self.began).as_nanos();
        self.record.clear();
        let record = &mut self.record;
        let (whole, rest) = (nanos / 1_000_000, nanos % 1_000_000);
        put(record, format_args!("\x1e{{\"time\":{whole}.{rest:06},\"name\":\"datagram:{name}\","));
        match group {
            Some(Group::Id(id)) => put(record, format_args!("\"group_id\":\"{:016x}\",", id.0)),
            Some(Group::Name(name)) => {
                put(record, format_args!("\"group_id\":\"{}.{}\",", name.index, name.generation))
            }
            None => {}
        }
        put(record, format_args!("\"data\":{{{data}}}}}\n"));
        self.write_record();
    }

    fn write_record(&mut self) {
        if self.is_over {
            return;
        }
        self.bytes += self.record.len() as u64;
        let outcome = self.out.write_all(self.record.as_bytes());
        if let Err(error) = outcome {
            self.end(format!("the trace ends here: {error}"));
        } else if self.bytes > BYTES_MAX {
            self.end(format!("the trace ends here: it has {} MiB, its limit", BYTES_MAX >> 20));
        }
    }

    fn end(&mut self, words: String) {
        self.is_over = true;
        self.trouble.tell(words);
    }

    fn flush(&mut self, now: Instant) {
        self.flushed = now;
        if !self.is_over
            && let Err(error) = self.out.flush()
        {
            self.end(format!("the trace ends here: {error}"));
        }
    }

    fn group(&self, connection: Option<Connection>) -> Option<Group> {
        let name = connection?;
        Some(self.known.get(&name).map_or(Group::Name(name), |known| Group::Id(known.own)))
    }

    /// What is new about a connection since the last time.
    fn status(&mut self, now: Instant, name: Connection, status: TraceStatus) {
        let group = self.group(Some(name));
        let Some(known) = self.known.get_mut(&name) else { return };
        let before = known.status.replace(status);
        if before == Some(status) {
            return;
        }
        let old = before.map_or("none", |before| before.state);
        if old != status.state {
            let data = format_args!("\"old\":\"{old}\",\"new\":\"{}\"", status.state);
            self.event(now, group, "connection_state_updated", data);
        }
        let phase = |status: &TraceStatus| {
            if status.is_slow_start { "slow_start" } else { "congestion_avoidance" }
        };
        if before.as_ref().map(phase) != Some(phase(&status)) {
            let old = before.as_ref().map_or("none", phase);
            let data = format_args!("\"old\":\"{old}\",\"new\":\"{}\"", phase(&status));
            self.event(now, group, "congestion_state_updated", data);
        }
        if before.map(|before| before.path.packet_bytes) != Some(status.path.packet_bytes) {
            let old = before.map_or(0, |before| before.path.packet_bytes);
            let data = format_args!("\"old\":{old},\"new\":{}", status.path.packet_bytes);
            self.event(now, group, "mtu_updated", data);
        }
        let metrics = Metrics { before, now: status }.to_string();
        if !metrics.is_empty() {
            self.event(now, group, "recovery_metrics_updated", format_args!("{metrics}"));
        }
    }
}

impl Tracer for TraceFile {
    fn trace(&mut self, now: Instant, connection: Option<Connection>, event: TraceEvent<'_>) {
        if self.is_over {
            return;
        }
        let group = self.group(connection);
        match event {
            TraceEvent::Opened { own, peer_id, peer, is_client } => {
                let Some(name) = connection else { return };
                self.known.insert(name, Known { own, status: None });
                let role = if is_client { "client" } else { "server" };
                let data = format_args!(
                    "\"role\":\"{role}\",\"local_cid\":\"{:016x}\",\"remote_cid\":\"{:016x}\",\"remote\":\"{peer}\"",
                    own.0, peer_id.0
                );
                self.event(now, Some(Group::Id(own)), "connection_started", data);
            }
            TraceEvent::Handshake { kind, address, bytes, is_sent } => {
                let name = if is_sent { "packet_sent" } else { "packet_received" };
                let data = format_args!(
                    "\"header\":{{\"packet_type\":\"{kind}\"}},\"raw\":{{\"length\":{bytes}}},\"remote\":\"{address}\""
                );
                self.event(now, group, name, data);
            }
            TraceEvent::Sent { number, bytes, is_eliciting, is_probe, train: (packets, index) } => {
                let data = format_args!(
                    "{},\"is_ack_eliciting\":{is_eliciting},\"is_mtu_probe_packet\":{is_probe},\
                     \"train\":{{\"packets\":{packets},\"index\":{index}}}",
                    Packet { number, bytes }
                );
                self.event(now, group, "packet_sent", data);
            }
            TraceEvent::Received { number, bytes, mark } => {
                let mark = ["Not-ECT", "ECT(1)", "ECT(0)", "CE"][usize::from(mark & 3)];
                let data = format_args!("{},\"ecn\":\"{mark}\"", Packet { number, bytes });
                self.event(now, group, "packet_received", data);
            }
            TraceEvent::Dropped { why, from, bytes } => {
                let why = why.name();
                let data = format_args!(
                    "\"trigger\":\"{why}\",\"raw\":{{\"length\":{bytes}}},\"remote\":\"{from}\""
                );
                self.event(now, group, "packet_dropped", data);
            }
            TraceEvent::Lost { number, bytes, is_probe } => {
                let data = format_args!("{},\"is_mtu_probe_packet\":{is_probe}", Packet { number, bytes });
                self.event(now, group, "packet_lost", data);
            }
            TraceEvent::ProbeTimeout { count } => {
                self.event(now, group, "probe_timeout", format_args!("\"count\":{count}"))
            }
            TraceEvent::KeyUpdated { is_own, number } => {
                let whose = if is_own { "own" } else { "peer" };
                let data = format_args!("\"whose\":\"{whose}\",\"packet_number\":{number}");
                self.event(now, group, "key_updated", data);
            }
            TraceEvent::PathSuspected { address } => {
                let data = format_args!("\"new\":\"probing_started\",\"remote\":\"{address}\"");
                self.event(now, group, "migration_state_updated", data);
            }
            TraceEvent::PathMoved { peer } => {
                let data = format_args!("\"new\":\"migration_complete\",\"remote\":\"{peer}\"");
                self.event(now, group, "migration_state_updated", data);
            }
            TraceEvent::Status(status) => {
                if let Some(name) = connection {
                    self.status(now, name, status);
                }
            }
            TraceEvent::Closed { reason } => {
                self.event(now, group, "connection_closed", format_args!("{}", Reason(reason)))
            }
            TraceEvent::Released => {
                if let Some(name) = connection {
                    self.known.remove(&name);
                }
                self.flush(now);
            }
        }
        if now.saturating_sub(self.flushed) >= FLUSH_AFTER {
            self.flush(now);
        }
    }
}

/// What events of one connection have in common.
#[derive(Clone, Copy)]
enum Group {
    Id(WireId),
    /// It has no id yet.
    Name(Connection),
}

struct Packet {
    number: u64,
    bytes: usize,
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Packet { number, bytes } = self;
        write!(
            f,
            "\"header\":{{\"packet_type\":\"data\",\"packet_number\":{number}}},\"raw\":{{\"length\":{bytes}}}"
        )
    }
}

/// The metrics that have changed. Times in milliseconds, the rate in bits per second.
struct Metrics {
    before: Option<TraceStatus>,
    now: TraceStatus,
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times: [(&str, Reading<Duration>); 4] = [
            ("smoothed_rtt", |status| status.path.rtt),
            ("min_rtt", |status| status.path.rtt_min),
            ("latest_rtt", |status| status.rtt_latest),
            ("rtt_variance", |status| status.rtt_deviation),
        ];
        let numbers: [(&str, Reading<u64>); 3] = [
            ("congestion_window", |status| status.path.window),
            ("bytes_in_flight", |status| status.path.in_flight),
            ("pacing_rate", |status| status.pacing_bytes_per_second.saturating_mul(8)),
        ];
        let mut comma = "";
        for (name, read) in times {
            let value = read(&self.now);
            if self.before.as_ref().map(read) != Some(value) {
                write!(f, "{comma}\"{name}\":{:.6}", value.as_secs_f64() * 1000.0)?;
                comma = ",";
            }
        }
        for (name, read) in numbers {
            let value = read(&self.now);
            if self.before.as_ref().map(read) != Some(value) {
                write!(f, "{comma}\"{name}\":{value}")?;
                comma = ",";
            }
        }
        Ok(())
    }
}

/// Takes a metric out.
type Reading<T> = fn(&TraceStatus) -> T;

struct Reason<'a>(&'a GoneReason);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            GoneReason::Closed => f.write_str("\"trigger\":\"closed\""),
            GoneReason::ClosedByPeer { code, text } => {
                let text = String::from_utf8_lossy(text);
                write!(f, "\"trigger\":\"closed_by_peer\",\"code\":{code},\"reason\":{}", Quoted(&text))
            }
            GoneReason::Unreachable => f.write_str("\"trigger\":\"unreachable\""),
            GoneReason::Refused(code) => write!(f, "\"trigger\":\"refused\",\"reason\":\"{code:?}\""),
            GoneReason::NoCommonVersion => f.write_str("\"trigger\":\"no_common_version\""),
            GoneReason::Silent => f.write_str("\"trigger\":\"silent\""),
            GoneReason::Restarted => f.write_str("\"trigger\":\"restarted\""),
            GoneReason::Violation(code) => write!(f, "\"trigger\":\"violation\",\"reason\":\"{code:?}\""),
        }
    }
}

/// Text as JSON has it (RFC 8259, 7).
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for character in self.0.chars() {
            match character {
                '"' | '\\' => write!(f, "\\{character}")?,
                '\0'..='\x1f' => write!(f, "\\u{:04x}", character as u32)?,
                _ => f.write_char(character)?,
            }
        }
        f.write_char('"')
    }
}

/// Time since 1970 as RFC 3339 has it, in UTC.
struct WallClock(Duration);

impl fmt::Display for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        // Years that begin in March, in eras of 400 of them: the day that leaps is the last one.
        let days = days + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = 400 * era + year_of_era + u64::from(month <= 2);
        let (hour, minute) = (second / 3600, second / 60 % 60);
        let (second, milli) = (second % 60, self.0.subsec_millis());
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

/// Text grows; that does not fail.
fn put(record: &mut String, text: fmt::Arguments<'_>) {
    let _ = record.write_fmt(text);
}

/// The events, as a URI (draft-ietf-quic-qlog-main-schema, 8).
const EVENT_SCHEMA: &str = "clustercore:qlog:events:datagram-1";
const BUFFER_BYTES: usize = 64 << 10;
const FLUSH_AFTER: Duration = Duration::from_secs(1);
const BYTES_MAX: u64 = 1 << 30;

#[cfg(test)]
mod tests;
