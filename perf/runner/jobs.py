"""Message mode beside TCP mode: CPU of the front end, and the sum over front end, job handler and service."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from . import generator, programs, results
from .compare import Standing, interleave, stand_up
from .experiments import Effort
from .generator import Load
from .place import Place
from .processes import Process, ProcessSet, cpu_ns

TCP, MESSAGES, LINKED, PEER = (
    "clustercore",
    "clustercore-messages-mode",
    "clustercore-linked",
    "haproxy",
)
METRICS = {
    "front_us": "us CPU of the front end per request",
    "sum_us": "us CPU of front end, job handler and service per request",
}


def measure(
    case: str, size: str, effort: Effort, place: Place
) -> tuple[dict[str, float], list[results.Row], dict[str, str]]:
    """Medians of both metrics by program with their ratios; a row of each; what could not be measured.

    Raises NotHere, StartError, LoadError.
    """
    load = Load(
        uri=f"/{size}",
        expect_bytes=1024 * int(size.removesuffix("k")),
        seconds=effort.seconds,
        warmup_seconds=effort.warmup_seconds,
    )
    absent: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="clustercore-perf-") as directory:
        Path(directory).chmod(0o755)
        with ProcessSet(Path(directory)) as processes:
            backends = programs.start_backends(place, processes, 3, programs.best_backend_kind())
            services = list(processes.running)
            standing = stand_up([TCP, MESSAGES, LINKED, PEER], place, processes, backends, absent)
            behind = {one.name: _behind(one.name, processes, services) for one in standing}
            reports = interleave(standing, effort.runs, lambda one: _run(load, one, behind[one.name], place))
    return (*_summary(case, reports, effort.runs), absent)


def _behind(name: str, processes: ProcessSet, services: list[Process]) -> list[Process]:
    """The processes that a request passes behind the front end."""
    jobs = [process for process in processes.running if process.name.startswith(f"job-{name}-")]
    # A linked service is the job handler and the service in one.
    return jobs if name == LINKED else jobs + services


def _run(load: Load, one: Standing, behind: list[Process], place: Place) -> dict:
    front, rest = one.pids(), [pid for process in behind for pid in process.pids()]
    before = cpu_ns(front), cpu_ns(rest)
    report = generator.run(load, one.address, place, front)
    used_front, used_rest = cpu_ns(front) - before[0], cpu_ns(rest) - before[1]
    report["front_us"] = report["watched_cpu_us_per_request"]
    # The generator has watched the front end within its window; the others' share is that of the whole run.
    report["sum_us"] = report["front_us"] * (1 + used_rest / used_front) if used_front else 0.0
    return report


def _summary(
    case: str, reports: dict[str, list[dict]], runs: int
) -> tuple[dict[str, float], list[results.Row]]:
    medians: dict[str, dict[str, float]] = {}
    rows = []
    for name, own in reports.items():
        for metric, unit in METRICS.items():
            values = [report[metric] for report in own]
            medians.setdefault(name, {})[metric] = statistics.median(values)
            row = results.Row(
                "check", case, name, metric, unit, statistics.median(values), min(values), max(values), runs
            )
            rows.append(row)
    ours = [report for name, own in reports.items() if name != PEER for report in own]
    figures: dict[str, float] = {"failed": sum(report["failed"] for report in ours)}
    for name, short in ((TCP, "tcp_mode"), (MESSAGES, "messages"), (LINKED, "linked"), (PEER, "haproxy")):
        for metric in METRICS:
            if name in medians:
                figures[f"{short}_{metric}"] = medians[name][metric]
    _add_ratio(figures, "front_of_tcp_mode", "messages_front_us", "tcp_mode_front_us")
    _add_ratio(figures, "front_of_haproxy", "messages_front_us", "haproxy_front_us")
    _add_ratio(figures, "sum_of_tcp_mode", "messages_sum_us", "tcp_mode_sum_us")
    _add_ratio(figures, "linked_sum_of_tcp_mode", "linked_sum_us", "tcp_mode_sum_us")
    for row in rows:
        base = medians.get(TCP, {}).get(row.metric)
        if base:
            row.ratio[TCP] = round(row.median / base, 4)
    return figures, rows


def _add_ratio(figures: dict[str, float], name: str, upper: str, lower: str) -> None:
    if upper in figures and figures.get(lower):
        figures[name] = figures[upper] / figures[lower]
