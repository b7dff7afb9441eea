"""The small parts, without processes."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from clustercore_apps.address import Address
from clustercore_apps.console import metrics
from clustercore_apps.demo.load import rise_and_fall
from clustercore_apps.errors import AgentError, OperatorError
from clustercore_apps.service import process
from clustercore_apps.service.decisions import EventLog
from clustercore_apps.service.launcher import OUTPUT_BYTES_MAX, ProcessLauncher, Program
from clustercore_apps.service.lease import LeaseTable
from clustercore_apps.service.life import TRANSITIONS, Life
from clustercore_apps.service.state_file import read_state, write_state


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        ":80",
        "h:",
        "h:0",
        "h:65536",
        "h:-1",
        "h:+1",
        "h:1 ",
        "a b:1",
        "::1:80",
        "[::1:80",
        "h:²",
        "u@h:1",
    ],
)
def test_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"[a-z]"):
        Address.parse(text)


@pytest.mark.parametrize("text", ["127.0.0.1:80", "[::1]:8080", "name.example:1"])
def test_address_reads_what_it_writes(text: str) -> None:
    assert str(Address.parse(text)) == text


def test_loopback_is_told_by_the_address() -> None:
    assert all(Address(host, 1).is_loopback for host in ("127.0.0.4", "::1", "localhost"))
    assert not any(
        Address(host, 1).is_loopback for host in ("0.0.0.0", "::", "10.0.0.1", "localhost.example")
    )


def test_whole_life_of_a_back_end() -> None:
    table = {str(life): sorted(str(later) for later in TRANSITIONS[life]) for life in Life}
    assert table == {
        "idle": ["starting"],
        "starting": ["active", "failed", "stopping"],
        "active": ["draining", "ejected", "failed", "stopping"],
        "ejected": ["active", "draining", "failed", "stopping"],
        "draining": ["failed", "stopping"],
        "stopping": ["failed", "stopped"],
        "stopped": ["idle"],
        "failed": ["idle"],
    }


def test_lease_is_for_one_front_end_until_it_lapses() -> None:
    table = LeaseTable()
    table.give(0.0, "a", "web", 5, 10.0)
    with pytest.raises(AgentError, match="LEASE_HELD"):
        table.give(1.0, "b", "web", 6, 10.0)
    table.renew(8.0, 5, 10.0)
    assert table.lapsed(17.9) is None
    lapsed = table.lapsed(18.0)
    assert lapsed is not None
    assert lapsed.fence == 5
    with pytest.raises(AgentError, match="NO_LEASE"):
        table.renew(18.0, 5, 10.0)
    table.give(18.0, "b", "web", 6, 10.0)


def test_old_token_is_refused_also_after_a_restart() -> None:
    table = LeaseTable()
    table.give(0.0, "a", "web", 5, 10.0)
    table.give(1.0, "a", "web", 7, 10.0)
    again = LeaseTable.from_json(100.0, json.loads(json.dumps(table.to_json())))
    for fence in (5, 6):
        with pytest.raises(AgentError, match="STALE_TOKEN"):
            again.check(fence)
    with pytest.raises(AgentError, match="STALE_TOKEN"):
        again.give(101.0, "a", "web", 7, 10.0)
    assert again.check(7).expires == 110.0


def test_event_log_keeps_reason_and_figures_and_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "log" / "events.jsonl"
    events = EventLog(path, 2000, clock=lambda: 1.5)
    for number in range(100):
        events.add("add", 'said "so"\n', service="web", node="slave1", in_flight=number)
    events.close()
    assert path.stat().st_size <= 2000
    assert path.with_name("events.jsonl.1").stat().st_size <= 2000
    last = json.loads(path.read_text().splitlines()[-1])
    assert (last["number"], last["reason"], last["figures"]) == (100, 'said "so"\n', {"in_flight": 99})
    assert last["time"] == "1970-01-01T00:00:01.500Z"
    assert [one.number for one in events.latest(2)] == [99, 100]
    assert events.counts["web", "add"] == 100


def test_event_log_that_cannot_write_goes_on() -> None:
    events = EventLog(Path("/proc/none/events.jsonl"), 65536)
    events.add("add", "one")
    events.add("add", "two")
    assert len(events.latest(10)) == 2


def test_state_file_is_whole_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert read_state(path) is None
    write_state(path, {"a": 1})
    assert read_state(path) == {"a": 1}
    assert path.stat().st_mode & 0o077 == 0
    path.write_text('{"a": ')
    with pytest.raises(OperatorError, match="is damaged"):
        read_state(path)


def test_pid_with_another_start_time_is_another_process() -> None:
    with subprocess.Popen(["sleep", "30"]) as child:
        identity = process.identify(child.pid)
        assert identity is not None
        assert identity.is_alive()
        other = process.Identity(identity.pid, identity.start_ticks - 1, identity.boot_id)
        assert not other.is_alive()
        assert not process.signal_process(other, 9)
        assert process.session_members(other) == []
        assert child.poll() is None
        assert process.signal_process(identity, 9)
        child.wait()
        assert not identity.is_alive()


def test_process_of_another_boot_is_gone() -> None:
    me = process.identify(os.getpid())
    assert me is not None
    assert not process.Identity(me.pid, me.start_ticks, "another").is_alive()


def test_only_known_words_in_braces_are_filled_in(tmp_path: Path) -> None:
    program = Program.declared(
        ["run", "{port}", "{other}"], {"f": "server { listen {port}; }"}, {}, {"port": "81"}, tmp_path
    )
    assert program.arguments == ("run", "81", "{other}")
    assert program.files["f"] == "server { listen 81; }"


def test_output_of_a_service_is_bounded(tmp_path: Path) -> None:
    launcher = ProcessLauncher(output_bytes_max=1000)
    (tmp_path / "output.log").write_bytes(b"a" * 5000 + b"b" * 500)
    launcher.bound_output(tmp_path)
    assert (tmp_path / "output.log").stat().st_size == 0
    assert (tmp_path / "output.log.1").read_bytes() == b"b" * 500
    assert OUTPUT_BYTES_MAX > 1000


def test_load_rises_falls_and_rests() -> None:
    rate = rise_and_fall(2.0, 10.0, period=20.0, quiet=5.0)
    assert [rate(0.0), rate(10.0), rate(22.0)] == [2.0, 10.0, 2.0]
    assert rate(5.0) < rate(8.0)


def test_metrics_are_typed_explained_and_escaped() -> None:
    child = {
        "node": 'a"b\\c\nd',
        "state": "active",
        "level": "medium",
        "load": 1.5,
        "in_flight": 3,
        "cores": 2,
        "requests": 7,
        "failures": 0,
    }
    service = {
        "name": "web",
        "serving": "local",
        "rate": 1.5,
        "load_signal": "in_flight",
        "medium": 2,
        "high": 8,
        "stats": {"requests": 9},
        "latency": {"p50": 0.1},
        "children": [child],
    }
    snapshot = {
        "front": {"ready": True, "uptime_seconds": 1.0},
        "services": [service],
        "nodes": [{"name": "n", "connected": True, "service": "web", "cpu": 0.5}],
        "channel": {"name": "service", "fault": "", "published": 5, "discarded": 1, "waiting": 2},
    }
    text = metrics.render(snapshot, {"turns": 4}, {("web", "add"): 2, ("", "started"): 1}).decode()
    for line in text.splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) \w+ .+|\w+(\{(\w+="(\\.|[^"\\])*",?)+\})? [-+.e\d]+', line), line
    assert "# TYPE clustercore_forwarder_total counter" in text
    assert 'clustercore_threshold{level="high",service="web",signal="in_flight"} 8.0' in text
    assert 'clustercore_forwarder_total{counter="requests",service="web"} 9.0' in text
    assert 'clustercore_back_end_level{node="a\\"b\\\\c\\nd",service="web"} 1.0' in text
    assert 'clustercore_decisions_total{kind="add",service="web"} 2.0' in text
    assert 'clustercore_channel_linked{channel="service"} 1.0' in text
    assert 'clustercore_channel_discarded_total{channel="service"} 1.0' in text
    without = metrics.render({**snapshot, "channel": None}, {}, {}).decode()
    assert "clustercore_channel" not in without


def test_package_needs_no_native_module_to_be_imported() -> None:
    code = "import sys; sys.modules['clustercore'] = None; import clustercore_apps.command.main"
    assert subprocess.run([sys.executable, "-c", code], timeout=20).returncode == 0


def test_connections_are_counted_by_address_and_port() -> None:
    with socket.create_server(("127.0.0.2", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.2", port)), server.accept()[0]:
            assert process.count_connections("127.0.0.2", port) == 1
            assert process.count_connections("0.0.0.0", port) == 1
            assert process.count_connections("127.0.0.3", port) == 0
        assert process.count_connections("127.0.0.2", port) == 0
