"""Measurements that are no comparison under one load: a slow reader, idle clients."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from . import generator, programs, tools
from .compare import Standing, interleave
from .generator import Load
from .place import Place
from .processes import Process, ProcessSet, memory_bytes

# Peers that are there before memory is measured.
FIRST_PEERS = 100


@contextmanager
def one_proxy(name: str, place: Place, options: list[str] | None = None):
    """Proxy `name` in front of three back ends: yields (process set, its standing).

    Raises NotHere, StartError.
    """
    with tempfile.TemporaryDirectory(prefix="clustercore-perf-") as directory:
        Path(directory).chmod(0o755)
        with ProcessSet(Path(directory)) as processes:
            backends = programs.start_backends(place, processes, 3, programs.best_backend_kind())
            process, address = programs.start_proxy(name, place, processes, backends, options)
            yield processes, Standing(name, process, address)


def slow_reader(place: Place, runs: int, seconds: float, name: str = "clustercore") -> dict[str, float]:
    """Rate of 63 clients at 500 KiB with a slow reader as the 64th, as a part of their rate without it.

    The ratio is the median over neighbouring runs, three times as many of half the length: what this machine
    gives drifts by more than the bound from one second to the next.
    """
    runs = 3 * runs
    load = Load(uri="/500k", connections=63, seconds=seconds / 2, expect_bytes=512_000)
    slow = load.with_(extra=("--slow-readers", "1", "--slow-bytes-per-second", "20000"))
    with one_proxy(name, place) as (_, proxy):
        pair = [
            Standing("without", proxy.process, proxy.address),
            Standing("with", proxy.process, proxy.address),
        ]
        loads = {"without": load, "with": slow}
        reports = interleave(
            pair, runs, lambda one: generator.run(loads[one.name], one.address, place, one.pids())
        )
    rates = {one: statistics.median(report["rate"] for report in reports[one]) for one in loads}
    pairs = zip(reports["with"], reports["without"], strict=True)
    ratios = [one["rate"] / other["rate"] for one, other in pairs if other["rate"]]
    return {
        "others_rate_ratio": statistics.median(ratios) if ratios else 0.0,
        "rate_without": rates["without"],
        "rate_with": rates["with"],
        "failed": sum(report["failed"] for one in loads for report in reports[one]),
        "slow_failures": sum(report["slow"]["failures"] for report in reports["with"]),
    }


def idle_clients(place: Place, count: int, name: str = "clustercore") -> dict[str, float]:
    """User memory that each of `count` idle clients costs the proxy, and how many of them it dropped."""
    with one_proxy(name, place) as (processes, proxy):
        # First some traffic: what the proxy sets up once is not the idle clients' cost.
        generator.run(Load(seconds=0.5), proxy.address, place)
        before = memory_bytes(proxy.pids())
        seconds = 2.0 + count / 5000
        load = Load(connections=1, rate=20, seconds=seconds, extra=("--idle", str(count)))
        log_path = processes.directory / "idle-clients.log"
        words = generator.command(load, proxy.address, [])
        crowd = processes.start("idle-clients", words, place.client_netns)
        peak, deadline = 0, time.monotonic() + 60
        while crowd.is_running() and time.monotonic() < deadline:
            if _descriptors(proxy.pids()) >= count:
                peak = max(peak, memory_bytes(proxy.pids()))
            time.sleep(0.05)
        report = _last_json(log_path, crowd.last_words())
    if peak == 0:
        raise generator.LoadError(f"{name} never held {count} clients")
    return {
        "bytes_per_client": max(0, peak - before) / count,
        "lost": report["idle"]["lost"],
        "failed": report["failed"],
        "clients": count,
    }


def idle_peers(place: Place, count: int, is_secure: bool) -> dict[str, float]:
    """Memory that each of `count` idle peers of an endpoint costs its program: resident, and allocated by its
    own count. What a hundred peers before them have left behind does not count.

    Raises LoadError, StartError.
    """
    with tempfile.TemporaryDirectory(prefix="clustercore-perf-") as directory:
        folder = Path(directory)
        with ProcessSet(folder) as processes:
            at = f"127.0.0.1:{place.port()}"
            program = tools.need("clustercore-idle-peers")
            key = ["--key", str(folder / "key")] if is_secure else []
            listener = processes.start("listener", [program, "--listen", at, *key], place.front_netns)
            _wait_for_peers(listener, 0)

            reports, resident = [], []
            for peers in (FIRST_PEERS, count):
                words = [program, "--to", at, "--count", str(peers), *key]
                processes.start(f"caller-{peers}", words, place.client_netns)
                there = peers if not reports else FIRST_PEERS + count
                reports.append(_wait_for_peers(listener, there))
                resident.append(memory_bytes(listener.pids()))
            first, last = reports
    return {
        "resident_bytes_per_peer": (resident[1] - resident[0]) / count,
        "allocated_bytes_per_peer": (last["live_bytes"] - first["live_bytes"]) / count,
        "peers": count,
    }


def _wait_for_peers(listener: Process, count: int) -> dict:
    """What the listener tells when it has so many peers."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        told = [json.loads(line) for line in listener.log.read_text().splitlines() if line.startswith("{")]
        if told and told[-1]["peers"] == count:
            return told[-1]
        if not listener.is_running():
            break
        time.sleep(0.1)
    raise generator.LoadError(f"the listener never had {count} peers: {listener.last_words()}")


def second_opinion(place: Place, seconds: float, name: str = "clustercore") -> dict[str, float]:
    """The same proxy by wrk and httperf beside our generator; those that are absent give no figures."""
    closed = Load(seconds=max(1.0, seconds))
    steady = Load(rate=300, num_calls=1, seconds=max(1.0, seconds))
    figures: dict[str, float] = {}
    with one_proxy(name, place) as (_, proxy):
        ours = generator.run(closed, proxy.address, place, proxy.pids())
        figures |= {
            "rate": ours["rate"],
            "cpu_us": ours["watched_cpu_us_per_request"],
            "failed": ours["failed"],
        }
        if tools.system("wrk"):
            wrk = generator.run_wrk(closed, proxy.address, place, proxy.pids())
            figures |= {"rate_by_wrk": wrk["rate"], "cpu_us_by_wrk": wrk["watched_cpu_us_per_request"]}
            figures["failed"] += wrk["failed"]
        ours = generator.run(steady, proxy.address, place)
        figures["mean_us_at_300"] = ours["last_byte_us"]["mean"]
        figures["failed"] += ours["failed"]
        if tools.system("httperf"):
            httperf = generator.run_httperf(steady, proxy.address, place)
            figures["mean_us_at_300_by_httperf"] = httperf["last_byte_us"]["mean"]
            figures["failed"] += httperf["failed"]
    return figures


def _descriptors(pids: list[int]) -> int:
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)


def _last_json(path: Path, words: str) -> dict:
    for line in reversed(path.read_text().splitlines()):
        if line.startswith("{"):
            return json.loads(line)
    raise generator.LoadError(words or "the generator printed nothing")
