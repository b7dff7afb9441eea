"""Distribution of events: one publisher, many subscribers; our server, floors and peers, all fed alike."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import brokers, results, tools
from .brokers import BROKERS, DURABLE
from .compare import Standing
from .experiments import Effort
from .generator import LoadError
from .place import Place
from .processes import Process, ProcessSet, StartError, memory_bytes
from .programs import NotHere

LOAD = "clustercore-event-load"
PEERS = tuple(name for name, broker in BROKERS.items() if broker.kind == "peer")
# Figure of a report -> unit, and whether more is better.
METRICS = {
    "server_cpu_ns": ("ns CPU per delivery", False),
    "deliveries_per_second": ("deliveries/s", True),
    "latency_p50_us": ("us", False),
    "latency_p99_us": ("us", False),
    "load_cpu_ns": ("ns CPU per delivery", False),
}
# Subscribers that are there before memory is measured.
FIRST_SUBSCRIBERS = 100
HOLD_SECONDS = 120


@dataclass(frozen=True)
class Shape:
    """How events are fed. Without a rate the next batch leaves when every subscriber has the one before."""

    subscribers: int = 50
    batch: int = 1
    size: int = 64
    rate: float | None = None
    stalled: int = 0

    def name(self) -> str:
        """What tells it from other shapes of its case."""
        return f"{self.subscribers} and {self.stalled} stalled" if self.stalled else str(self.subscribers)

    def words(self) -> list[str]:
        """For the load driver."""
        words = [
            "--subscribers",
            str(self.subscribers),
            "--batch",
            str(self.batch),
            "--bytes",
            str(self.size),
        ]
        words += ["--stalled", str(self.stalled)] if self.stalled else []
        return words + (["--rate", f"{self.rate:g}"] if self.rate else [])


@dataclass
class FanOut:
    """Reports of interleaved runs by server, and what could not be measured and why."""

    case: str
    shape: Shape
    reports: dict[str, list[dict]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def medians(self) -> dict[str, dict[str, float]]:
        """By server and metric."""
        return {
            name: {metric: statistics.median(one[metric] for one in runs) for metric in METRICS}
            for name, runs in self.reports.items()
        }

    def rows(self) -> list[results.Row]:
        """A row of each server and metric, beside the best floor and the best peer."""
        medians, rows = self.medians(), []
        for metric, (unit, is_more_better) in METRICS.items():
            best = {
                kind: _best(
                    {name: medians[name][metric] for name in medians if BROKERS[name].kind == kind},
                    is_more_better,
                )
                for kind in ("floor", "peer")
            }
            for name, runs in self.reports.items():
                values = [one[metric] for one in runs]
                median = medians[name][metric]
                row = results.Row(
                    *("check", self.case, name, metric, unit, median, min(values), max(values), len(values))
                )
                row.floor, row.floor_name = best["floor"]
                row.peer, row.peer_name = best["peer"]
                for figure, other in best.values():
                    if not isinstance(figure, str) and other and figure > 0:
                        row.ratio[other] = round(median / figure, 4)
                rows.append(row)
        return rows


def fan_out(case: str, shapes: list[Shape], effort: Effort, place: Place) -> list[FanOut]:
    """All servers stand ready, and the load visits them in turn, there and back, in every shape.

    A server that is not here, or that loses an event, is told in `absent` and makes no row.
    """
    outcomes = [FanOut(case if len(shapes) == 1 else f"{case}, {one.name()}", one) for one in shapes]
    raise_descriptor_limit()
    with tempfile.TemporaryDirectory(prefix="clustercore-perf-") as directory:
        Path(directory).chmod(0o755)
        with ProcessSet(Path(directory)) as processes:
            absent: dict[str, str] = {}
            standing = stand_up(place, processes, absent)
            for turn in range(effort.runs):
                for server in standing if turn % 2 == 0 else reversed(standing):
                    for outcome in outcomes:
                        if server.name in absent:
                            continue
                        try:
                            report = drive(server, outcome.shape, effort, place)
                        except LoadError as error:
                            absent[server.name] = str(error)
                            continue
                        outcome.reports.setdefault(server.name, []).append(report)
    for outcome in outcomes:
        outcome.absent = absent
        for name in absent:
            outcome.reports.pop(name, None)
    return outcomes


def stand_up(place: Place, processes: ProcessSet, absent: dict[str, str]) -> list[Standing]:
    """Starts every server; one that is not here, or does not start, goes to `absent` with the reason."""
    standing = []
    for name, broker in BROKERS.items():
        try:
            process, address = brokers.start(broker, place, processes)
        except (NotHere, StartError) as error:
            absent[name] = str(error)
            continue
        standing.append(Standing(name, process, address))
    return standing


def drive(server: Standing, shape: Shape, effort: Effort, place: Place) -> dict:
    """The report of one run. Raises LoadError."""
    return run_load(server, shape.words(), effort, place)


def run_load(server: Standing, words: list[str], effort: Effort, place: Place) -> dict:
    """The report of the load driver with these words. Raises LoadError."""
    pids = ",".join(str(pid) for pid in server.pids())
    words = [*load_command(server), *words, "--watch-pid", pids]
    words += ["--seconds", f"{effort.seconds:g}", "--warmup-seconds", f"{effort.warmup_seconds:g}"]
    inside = ["ip", "netns", "exec", place.client_netns] if place.client_netns else []
    try:
        outcome = subprocess.run(
            [*inside, *words], capture_output=True, text=True, timeout=effort.seconds + 60
        )
    except subprocess.TimeoutExpired as error:
        raise LoadError(f"{server.name}: the load driver did not end: {error}") from error
    if outcome.returncode != 0:
        raise LoadError(f"{server.name}: {outcome.stderr.strip() or outcome.stdout.strip()}")
    return json.loads(outcome.stdout)


def load_command(server: Standing) -> list[str]:
    """The load driver on a server, without what it is to do."""
    protocol = (BROKERS | {DURABLE.name: DURABLE})[server.name].protocol
    return [tools.need(LOAD), "--protocol", protocol, "--to", "{}:{}".format(*server.address)]


def print_fan_out(outcome: FanOut) -> None:
    """A table for people: medians, spread, and the ratio of CPU to floor and best peer; what lacks too."""
    rows = {(row.subject, row.metric): row for row in outcome.rows()}
    shape = outcome.shape
    pace = f"{shape.rate:g} batches/s" if shape.rate else "one batch after the other"
    print(f"{outcome.case}: 1 to {shape.subscribers}, {shape.size} bytes, batches of {shape.batch}, {pace}")
    head = f"{'CPU ns/delivery':>16}{'min-max':>17}{'deliveries/s':>14}{'p50 us':>9}{'p99 us':>9}"
    print(f"{'server':<21}{head}  ratio of CPU")
    for name in outcome.reports:
        cpu, rate, p50, p99 = (
            rows[name, metric]
            for metric in ("server_cpu_ns", "deliveries_per_second", "latency_p50_us", "latency_p99_us")
        )
        ratios = " ".join(f"{ratio:.2f} of {other}" for other, ratio in cpu.ratio.items() if other != name)
        spread = f"{cpu.min:.1f}-{cpu.max:.1f}"
        times = f"{rate.median:>14.0f}{p50.median:>9.0f}{p99.median:>9.0f}"
        print(f"{name:<21}{cpu.median:>16.1f}{spread:>17}{times}  {ratios}")
    for name, reason in outcome.absent.items():
        print(f"{name:<21}{results.NOT_MEASURED}: {reason}")
    for name in out_of_pace(outcome):
        print(f"{name:<21}out of pace: events waited for one another, and shared sends; is the machine busy?")


def out_of_pace(outcome: FanOut) -> list[str]:
    """Servers whose events took longer, as a rule, than the time to the next one: no more one at a time."""
    rate = outcome.shape.rate
    if rate is None:
        return []
    return [name for name, median in outcome.medians().items() if median["latency_p50_us"] > 1e6 / rate]


def wider(
    case: str, shapes: list[Shape], effort: Effort, place: Place
) -> tuple[list[FanOut], dict[str, float]]:
    """More subscribers beside fewer: what a delivery costs then, as a multiple, by server."""
    few, many = fan_out(case, shapes, effort, place)
    low, high = few.medians(), many.medians()
    return [few, many], {
        name: high[name]["server_cpu_ns"] / low[name]["server_cpu_ns"]
        for name in high
        if low.get(name, {}).get("server_cpu_ns")
    }


def overload(
    case: str, shape: Shape, stalled: int, effort: Effort, place: Place
) -> tuple[list[FanOut], dict[str, float]]:
    """One load without and with subscribers that never read: by how much the others' p99 changes."""
    shapes = [shape, replace(shape, stalled=stalled)]
    without, beside = fan_out(case, shapes, effort, place)
    low, high = without.medians(), beside.medians()
    return [without, beside], {
        name: high[name]["latency_p99_us"] / low[name]["latency_p99_us"] for name in high if name in low
    }


def idle_consumers(
    case: str, count: int, place: Place
) -> tuple[dict[str, float], list[results.Row], dict[str, str]]:
    """User memory that each of `count` idle subscribers costs a server: by server, rows, what lacks.

    What a hundred before them have left behind does not count.
    """
    raise_descriptor_limit()
    per_consumer: dict[str, float] = {}
    absent: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="clustercore-perf-") as directory:
        Path(directory).chmod(0o755)
        for name, broker in BROKERS.items():
            if broker.kind == "floor":
                continue
            with ProcessSet(Path(directory)) as processes:
                try:
                    process, address = brokers.start(broker, place, processes)
                    server = Standing(name, process, address)
                    before = _memory_with(server, FIRST_SUBSCRIBERS, processes, place)
                    after = _memory_with(server, count, processes, place)
                except (NotHere, StartError, LoadError) as error:
                    absent[name] = str(error)
                    continue
                per_consumer[name] = max(0, after - before) / count
    peers = {name: value for name, value in per_consumer.items() if BROKERS[name].kind == "peer"}
    best, best_name = _best(peers, False)
    rows = []
    for name, value in per_consumer.items():
        row = results.Row("check", case, name, "bytes_per_consumer", "bytes", value, value, value, 1)
        row.peer, row.peer_name = best, best_name
        rows.append(row)
        print(f"{case}: {name:<12}{value:>8.0f} bytes for each of {count} idle consumers")
    for name, reason in absent.items():
        print(f"{case}: {name:<12}{results.NOT_MEASURED}: {reason}")
    return per_consumer, rows, absent


def _memory_with(server: Standing, count: int, processes: ProcessSet, place: Place) -> int:
    """What the server holds with so many more subscribers, which stay. Raises LoadError."""
    words = [*load_command(server), "--hold", "--seconds", str(HOLD_SECONDS), "--subscribers", str(count)]
    crowd = processes.start(f"crowd-{server.name}-{count}", words, place.client_netns)
    _wait_for_crowd(crowd)
    return memory_bytes(server.pids())


def _wait_for_crowd(crowd: Process) -> None:
    deadline = time.monotonic() + HOLD_SECONDS / 2
    while '"held"' not in crowd.last_words():
        if not crowd.is_running() or time.monotonic() >= deadline:
            raise LoadError(f"{crowd.name} is not there: {crowd.last_words()}")
        time.sleep(0.05)


def raise_descriptor_limit() -> None:
    """Lets servers, which inherit it, hold as many connections as this user may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _best(values: dict[str, float], is_more_better: bool) -> tuple[float | str, str | None]:
    """The best figure and whose it is."""
    if not values:
        return results.NOT_MEASURED, None
    pick: Iterable[str] = values
    name = max(pick, key=values.__getitem__) if is_more_better else min(pick, key=values.__getitem__)
    return values[name], name
