use super::*;
use clustercore_proto::datagram::{DropReason, PathReport};

const NAME: Connection = Connection { index: 3, generation: 1 };

fn at(us: u64) -> Instant {
    Instant::from_nanos(us * 1000)
}

fn status(window: u64) -> TraceEvent<'static> {
    let path = PathReport {
        rtt: Duration::from_micros(1500),
        rtt_min: Duration::from_millis(1),
        window,
        in_flight: 0,
        packet_bytes: 1200,
        has_ecn: true,
    };
    TraceEvent::Status(TraceStatus {
        state: "open",
        path,
        rtt_latest: Duration::from_millis(2),
        rtt_deviation: Duration::ZERO,
        is_slow_start: true,
        pacing_bytes_per_second: 1000,
    })
}

fn opened() -> TraceEvent<'static> {
    let peer = "127.0.0.1:9000".parse().unwrap();
    TraceEvent::Opened { own: WireId(0x1234), peer_id: WireId(0xffff_0000), peer, is_client: true }
}

/// The records of a trace of these events, without their separators.
fn traced(name: &str, events: &[(u64, TraceEvent<'_>)]) -> Vec<String> {
    let path = std::env::temp_dir().join(format!("clustercore-trace-{}-{name}", std::process::id()));
    let mut trace = TraceFile::create(&path, at(1000), Trouble::default()).unwrap();
    for (us, event) in events {
        trace.trace(at(*us), Some(NAME), *event);
    }
    drop(trace);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let records = text.split('\x1e').skip(1);
    records.map(|record| record.strip_suffix('\n').expect("each ends in a line feed").to_owned()).collect()
}

#[test]
fn a_trace_begins_with_what_it_is_and_counts_time_from_there() {
    let records = traced("begins", &[(1000, opened()), (2500, TraceEvent::ProbeTimeout { count: 2 })]);
    assert!(records[0].starts_with("{\"file_schema\":\"urn:ietf:params:qlog:file:sequential\","));
    assert_eq!(
        records[1],
        "{\"time\":0.000000,\"name\":\"datagram:connection_started\",\"group_id\":\"0000000000001234\",\"data\":\
         {\"role\":\"client\",\"local_cid\":\"0000000000001234\",\"remote_cid\":\"00000000ffff0000\",\
         \"remote\":\"127.0.0.1:9000\"}}"
    );
    assert_eq!(
        records[2],
        "{\"time\":1.500000,\"name\":\"datagram:probe_timeout\",\"group_id\":\"0000000000001234\",\
         \"data\":{\"count\":2}}"
    );
}

#[test]
fn of_a_status_only_what_is_new_is_written() {
    let events = [(1, opened()), (2, status(12_000)), (3, status(12_000)), (4, status(24_000))];
    let records = traced("status", &events);
    let names: Vec<&str> = records[2..].iter().map(|record| record.split('"').nth(5).unwrap()).collect();
    let expected = ["connection_state", "congestion_state", "mtu", "recovery_metrics", "recovery_metrics"];
    assert_eq!(names, expected.map(|name| format!("datagram:{name}_updated")));
    assert!(records[5].contains("\"smoothed_rtt\":1.500000,\"min_rtt\":1.000000,\"latest_rtt\":2.000000,"));
    assert!(records[6].ends_with("\"data\":{\"congestion_window\":24000}}"), "{}", records[6]);
}

#[test]
fn the_words_of_a_peer_are_quoted() {
    let reason = GoneReason::ClosedByPeer { code: 300, text: b"a \"b\" \\ \n\x01 \xff".to_vec() };
    let records = traced("words", &[(1, TraceEvent::Closed { reason: &reason })]);
    assert!(records[1].contains("\"group_id\":\"3.1\""), "it never had an id: {}", records[1]);
    let words = "\"reason\":\"a \\\"b\\\" \\\\ \\u000a\\u0001 \u{fffd}\"}}";
    assert!(records[1].ends_with(words), "{}", records[1]);
}

#[test]
fn a_trace_that_cannot_be_written_ends_and_says_so() {
    let trouble = Trouble::default();
    let mut trace = TraceFile::create(Path::new("/dev/full"), at(0), trouble.clone()).unwrap();
    let from = "127.0.0.1:1".parse().unwrap();
    let dropped = TraceEvent::Dropped { why: DropReason::Corrupt, from, bytes: 9 };
    trace.trace(at(0), None, dropped);
    assert_eq!(trouble.take(), None, "it waits to be written");
    trace.trace(at(2_000_000), None, dropped);
    assert!(trouble.take().unwrap().starts_with("the trace ends here: No space left"));
    trace.trace(at(9_000_000), None, dropped);
    assert_eq!(trouble.take(), None, "told once");
    let missing = TraceFile::create(Path::new("/nowhere/trace"), at(0), trouble);
    assert!(missing.err().unwrap().to_string().starts_with("make the trace /nowhere/trace: "));
}

#[test]
fn the_wall_clock_knows_leap_years() {
    for (seconds, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_400, "2000-02-29T00:00:00.000Z"),
        (951_868_799, "2000-02-29T23:59:59.000Z"),
        (1_767_225_599, "2025-12-31T23:59:59.000Z"),
        (4_107_542_400, "2100-03-01T00:00:00.000Z"),
    ] {
        assert_eq!(WallClock(Duration::from_secs(seconds)).to_string(), text);
    }
}
