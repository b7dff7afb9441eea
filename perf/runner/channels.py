"""The channel engine in one process: events through filters, records on disk before they are acknowledged."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from . import brokers, events, results, tools
from .compare import Standing
from .experiments import Effort
from .generator import LoadError
from .place import Place
from .processes import ProcessSet, StartError
from .programs import NotHere

RECORD_BYTES = 256
IN_FLIGHT = 256
BENCH_SECONDS_MAX = 1800
_CASE = re.compile(r"1_to_3_three_filters_batch_(\d+)")


class ChannelError(Exception):
    """A bench failed, or printed something else: in its own words."""


def in_process(case: str, effort: Effort) -> tuple[dict[str, float], list[results.Row]]:
    """Events per second of processor time, one supplier, three consumers with a filter of three terms each.

    A row of each size of batch; the figure is the best one. Raises ChannelError.
    """
    rates: dict[int, list[float]] = {}
    for _ in range(effort.runs):
        for batch, rate in parse_channel(_bench("channel", effort)).items():
            rates.setdefault(batch, []).append(rate)
    rows = [
        _row(f"{case}, batches of {batch}", "clustercore-channel", "events_per_second", "events/s", values)
        for batch, values in rates.items()
    ]
    return {"events_per_second": max(row.median for row in rows)}, rows


def parse_channel(text: str) -> dict[int, float]:
    """Events per second by size of batch, from what the bench prints. Raises ChannelError."""
    found = {}
    for line in text.splitlines():
        report = json.loads(line) if line.startswith("{") else {}
        match = _CASE.fullmatch(report.get("case", ""))
        if match:
            found[int(match.group(1))] = float(report["events_per_second"])
    if not found:
        raise ChannelError(f"the bench channel prints no line of three filters: {text.strip()[-300:]}")
    return found


def persistent(
    case: str, effort: Effort, place: Place
) -> tuple[dict[str, float], list[results.Row], dict[str, str]]:
    """Records per second, acknowledged when on disk, 256 in flight; beside bare writes to the same disk, and
    a peer that promises the same. Figures, rows, what lacks.

    The bare writes are one record and a sync at a time, whose median is the latency of a sync, and 256
    records in one write and a sync. Raises ChannelError.
    """
    absent: dict[str, str] = {}
    peer: list[float] = []
    tools.OUT.mkdir(parents=True, exist_ok=True)
    singles: list[float] = []
    bare: dict[str, list[float]] = {"bare-append-1": [], f"bare-append-{IN_FLIGHT}": []}

    def look_at_disk() -> None:
        with tempfile.TemporaryDirectory(dir=tools.OUT, prefix="append-") as folder:
            for turn in range(effort.runs):
                for name, records in (("bare-append-1", 1), (f"bare-append-{IN_FLIGHT}", IN_FLIGHT)):
                    times = append(Path(folder) / f"{name}-{turn}", records, 20 if effort.is_quick else 200)
                    bare[name].append(records * len(times) / sum(times))
                    if records == 1:
                        singles.append(statistics.median(times) * 1e6)

    look_at_disk()
    peer += _durable_peer((effort.runs + 1) // 2, effort, place, absent)
    report = parse_journal(_bench("journal", effort, "--features", "journal"))
    peer += _durable_peer(effort.runs // 2, effort, place, absent)
    look_at_disk()
    ours = results.Row(
        "check",
        case,
        "clustercore-journal",
        "records_per_second",
        "records/s",
        report["median"],
        report["min"],
        report["max"],
        report["runs"],
    )
    rows = [
        ours,
        *(_row(case, name, "records_per_second", "records/s", values) for name, values in bare.items()),
    ]
    floor = rows[-1]
    if peer:
        rows.append(_row(case, brokers.DURABLE.name, "records_per_second", "records/s", peer))
    for row in rows:
        row.floor, row.floor_name = floor.median, floor.subject
        row.ratio[floor.subject] = round(row.median / floor.median, 4)
        if peer:
            row.peer, row.peer_name = rows[-1].median, rows[-1].subject
            row.ratio[rows[-1].subject] = round(row.median / rows[-1].median, 4)
    rows.append(_row(case, "bare-append-1", "sync_p50_us", "us", singles))
    figures = {
        "records_per_second": ours.median,
        "records_per_second_of_floor": ours.median / floor.median,
        "sync_p50_us": rows[-1].median,
    }
    for row in rows:
        print(f"{case}: {row.subject:<20}{row.metric:<20}{row.median:>12.0f} {row.unit}")
    for name, reason in absent.items():
        print(f"{case}: {name:<20}{results.NOT_MEASURED}: {reason}")
    return figures, rows, absent


def _durable_peer(runs: int, effort: Effort, place: Place, absent: dict[str, str]) -> list[float]:
    """Records per second of some runs of the peer, on the disk that perf/out is on; or why there are none."""
    rates: list[float] = []
    with (
        tempfile.TemporaryDirectory(dir=tools.OUT, prefix="durable-") as directory,
        ProcessSet(Path(directory)) as processes,
    ):
        try:
            process, address = brokers.start(brokers.DURABLE, place, processes)
            server = Standing(brokers.DURABLE.name, process, address)
            words = ["--in-flight", str(IN_FLIGHT), "--bytes", str(RECORD_BYTES)]
            for _ in range(runs):
                rates.append(events.run_load(server, words, effort, place)["records_per_second"])
        except (NotHere, StartError, LoadError) as error:
            absent[brokers.DURABLE.name] = str(error)
    return rates


def parse_journal(text: str) -> dict:
    """The report among what the bench prints. Raises ChannelError."""
    for line in text.splitlines():
        if line.startswith("{"):
            report = json.loads(line)
            if {"median", "min", "max", "runs"} <= set(report):
                return report
    raise ChannelError(f"the bench journal prints no report: {text.strip()[-300:]}")


def append(path: Path, records: int, rounds: int) -> list[float]:
    """Seconds that each of `rounds` writes of so many records to the end of a file took, with its sync."""
    block = bytes(RECORD_BYTES * records)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    times = []
    try:
        for _ in range(rounds):
            started = time.perf_counter()
            os.write(file, block)
            os.fdatasync(file)
            times.append(time.perf_counter() - started)
    finally:
        os.close(file)
    return times


def _bench(name: str, effort: Effort, *options: str) -> str:
    words = ["cargo", "bench", "-q", "-p", "clustercore-channel", *options, "--bench", name]
    if effort.is_quick:
        words += ["--", "--quick"]
    # Not on a file system in memory, which would sync nothing.
    environment = dict(os.environ, JOURNAL_FOLDER=str(tools.OUT))
    try:
        outcome = subprocess.run(
            words, cwd=tools.ROOT, env=environment, capture_output=True, text=True, timeout=BENCH_SECONDS_MAX
        )
    except subprocess.TimeoutExpired as error:
        raise ChannelError(f"{' '.join(words)} did not end: {error}") from error
    if outcome.returncode != 0:
        raise ChannelError(f"{' '.join(words)}: {outcome.stderr.strip()[-600:]}")
    return outcome.stdout


def _row(case: str, subject: str, metric: str, unit: str, values: list[float]) -> results.Row:
    median = statistics.median(values)
    return results.Row("check", case, subject, metric, unit, median, min(values), max(values), len(values))
