"""Figures of repeated runs, their medians and ratios, and the JSON lines they are kept in."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from . import tools

NOT_MEASURED = "not measured"


@dataclass
class Row:
    """One figure: the median of `runs` runs, beside the floor's and the best peer's in the same interleaved
    runs.

    `floor` and `peer` are medians in the same unit, or "not measured". `ratio` has the quotients that exist.
    """

    bench: str
    case: str
    subject: str
    metric: str
    unit: str
    median: float
    min: float
    max: float
    runs: int
    floor: float | str = NOT_MEASURED
    floor_name: str | None = None
    peer: float | str = NOT_MEASURED
    peer_name: str | None = None
    ratio: dict[str, float] = field(default_factory=dict)


# Figures of a generator report: name -> (unit, where it stands).
METRICS = {
    "cpu_us": ("us CPU per request", ("watched_cpu_us_per_request",)),
    "rate": ("requests/s", ("rate",)),
    "first_p50_us": ("us", ("first_byte_us", "p50")),
    "last_p50_us": ("us", ("last_byte_us", "p50")),
    "last_mean_us": ("us", ("last_byte_us", "mean")),
    "last_p99_us": ("us", ("last_byte_us", "p99")),
    "failed": ("requests", ("failed",)),
}


def metric(report: dict, name: str) -> float | None:
    """Figure `name` of a generator report, or None when the report has none."""
    value: object = report
    for key in METRICS[name][1]:
        value = value.get(key) if isinstance(value, dict) else None
    return float(value) if isinstance(value, (int, float)) else None


def rows_of(bench: str, case: str, reports: dict[str, list[dict]], kinds: dict[str, str]) -> list[Row]:
    """A row per subject and metric from the `reports` of interleaved runs.

    The peer of a row is the one with the best median of the metric, the floor the cheapest floor; `kinds`
    says which subject is which. Subjects without reports make no row.
    """
    rows = []
    for name, (unit, _) in METRICS.items():
        medians: dict[str, float] = {}
        for subject, runs in reports.items():
            values = [value for value in (metric(report, name) for report in runs) if value is not None]
            if values:
                medians[subject] = statistics.median(values)
                rows.append(
                    Row(
                        bench,
                        case,
                        subject,
                        name,
                        unit,
                        medians[subject],
                        min(values),
                        max(values),
                        len(values),
                    )
                )
        pick = max if name == "rate" else min
        for row in (row for row in rows if row.metric == name):
            for kind, figure in (("floor", "floor"), ("peer", "peer")):
                candidates = [subject for subject in medians if kinds.get(subject) == kind]
                if not candidates:
                    continue
                best = pick(candidates, key=medians.__getitem__)
                setattr(row, figure, medians[best])
                setattr(row, f"{figure}_name", best)
                if medians[best] > 0 and name != "failed":
                    row.ratio[best] = round(row.median / medians[best], 4)
    return rows


def save(rows: list[Row], name: str, has_record: bool) -> None:
    """Appends the rows to perf/out/<name>.jsonl and, when asked to, to perf/results/<name>.jsonl."""
    context = surroundings()
    directories = [tools.OUT, tools.RESULTS] if has_record else [tools.OUT]
    for directory in directories:
        directory.mkdir(parents=True, exist_ok=True)
        with open(directory / f"{name}.jsonl", "a") as output:
            for row in rows:
                output.write(json.dumps(asdict(row) | context) + "\n")


def surroundings() -> dict[str, object]:
    """What a figure means nothing without: command, commit, kernel, machine, time."""
    return {
        "command": shown_command(),
        "commit": _commit(),
        "kernel": platform.release(),
        "cores": os.cpu_count(),
        "cpu": _cpu_model(),
        "guest_halt_poll_ns": _read("/sys/module/haltpoll/parameters/guest_halt_poll_ns"),
        "load_average": round(os.getloadavg()[0], 2),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def shown_command() -> str:
    """The command of this run as a person types it."""
    return " ".join(["perf/bench.sh", *sys.argv[1:]])


def read_rows(path: Path) -> list[dict]:
    """The rows of one JSON lines file; none when it does not exist."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def _commit() -> str:
    outcome = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=tools.ROOT, capture_output=True, text=True
    )
    if outcome.returncode != 0:
        return "unknown"
    dirty = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=no"],
        cwd=tools.ROOT,
        capture_output=True,
        text=True,
    ).stdout.strip()
    return outcome.stdout.strip() + ("+" if dirty else "")


def _cpu_model() -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return "absent"
