"""The whole measurement and its quick smoke run: experiments, overhead, rise and fall, policies, report."""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections.abc import Callable

from . import compare, events, experiments, place, platform, report, results, special, tools, transfer
from .experiments import Effort, Table
from .generator import Load, LoadError
from .place import Place, PlaceError
from .processes import StartError
from .programs import NotHere

PROXIES = ["direct", "floor-uring", "floor-uring-own", "floor-splice", "haproxy", "nginx", "pingora"]

FILE_MEBIBYTES = 1024

# Columns of the paper's tables in which our own program stands.
OUR_COLUMNS = ("local", "1 slave", "2 slaves", "3 slaves")


class Suite:
    """Collects what is measured, and what went wrong or is missing."""

    def __init__(self, effort: Effort, has_record: bool, hosts: list[str] | None) -> None:
        self.effort, self.has_record, self.hosts = effort, has_record, hosts
        self.tables: list[Table] = []
        self.comparisons: list[compare.Comparison] = []
        self.outcomes: list[platform.Outcome] = []
        self.hover: platform.Hovering | None = None
        self.notes: list[str] = []
        self.problems: list[str] = []

    def save(self, rows: list[results.Row], name: str) -> None:
        """Keeps rows; those of a quick run apart, and never among the results."""
        is_quick = self.effort.is_quick
        results.save(rows, f"quick-{name}" if is_quick else name, self.has_record and not is_quick)

    def slaves(self) -> Place:
        """Three slaves: the named hosts, or namespaces of this machine."""
        return place.remote(self.hosts) if self.hosts else place.slaves()

    def step(self, name: str, action: Callable[[], None]) -> None:
        """Runs one part.

        One that fails, or that lacks a program of ours, is a problem; a lacking peer is not.
        """
        started = time.monotonic()
        try:
            action()
        except NotHere as error:
            self.problems.append(f"{name}: {results.NOT_MEASURED}: {error}")
            print(self.problems[-1])
        except (StartError, LoadError, PlaceError, transfer.TransferError) as error:
            self.problems.append(f"{name}: {error}")
            print(self.problems[-1])
        print(f"[{name}: {time.monotonic() - started:.0f} s]", flush=True)

    def experiment(self, measure: Callable[[Place, Effort], Table]) -> None:
        """One of the paper's tables."""
        with self.slaves() as where:
            table = measure(where, self.effort)
        self.tables.append(table)
        experiments.print_table(table)
        self.save(table.rows(), table.name)
        self.count_failed(table.name, table.rows())
        self.note_absent(table.name, table.absent)

    def compare(self, size: str, rate: float | None = None, new_connections: bool = False) -> None:
        """Proxies side by side under one load."""
        effort = self.effort
        load = Load(
            uri=f"/{size}",
            rate=rate,
            num_calls=1 if new_connections else 0,
            seconds=effort.seconds,
            expect_bytes=1024 * int(size.removesuffix("k")),
            warmup_seconds=effort.warmup_seconds,
        )
        names = [effort.ours, *PROXIES, *(["floor-accept"] if new_connections else [])]
        with place.loopback() as where:
            comparison = compare.compare(
                "compare", load.describe(), list(dict.fromkeys(names)), load, effort.runs, where
            )
        self.comparisons.append(comparison)
        compare.print_comparison(comparison)
        self.save(comparison.rows(), "compare")
        self.count_failed("compare", comparison.rows())
        self.note_absent(comparison.case, comparison.absent)

    def slow_reader(self) -> None:
        """A slow reader among others."""
        with place.loopback() as where:
            figures = special.slow_reader(where, self.effort.runs, self.effort.seconds, self.effort.ours)
        self.figures("slow reader", figures)

    def second_opinion(self) -> None:
        """wrk and httperf beside our generator."""
        with place.loopback() as where:
            figures = special.second_opinion(where, self.effort.seconds, self.effort.ours)
        self.figures("wrk and httperf beside our generator", figures)

    def idle(self) -> None:
        """Idle clients."""
        with place.loopback() as where:
            figures = special.idle_clients(where, 500 if self.effort.is_quick else 10_000, self.effort.ours)
        self.figures("idle clients", figures)

    def figures(self, name: str, figures: dict[str, float]) -> None:
        """Single figures of a measurement of its own."""
        print(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in figures.items()))
        self.notes.append(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in figures.items()))
        rows = [
            results.Row("special", name, self.effort.ours, key, key, value, value, value, 1)
            for key, value in figures.items()
        ]
        self.save(rows, "special")
        if figures.get("failed"):
            self.problems.append(f"{name}: {figures['failed']:g} requests failed")

    def file(self) -> None:
        """A file, verified end to end."""
        figures, _ = transfer.measure("a file", FILE_MEBIBYTES, self.effort)
        self.figures("a file", figures)

    def fan_out(self, batch: int, rate: float | None = None) -> None:
        """Events from one to fifty, through every server that is here."""
        shape = events.Shape(batch=batch, rate=rate)
        with place.loopback() as where:
            (outcome,) = events.fan_out(f"fan-out, batches of {batch}", [shape], self.effort, where)
        events.print_fan_out(outcome)
        self.save(outcome.rows(), "event")
        for name in outcome.absent.keys() - {"clustercore", *events.PEERS}:
            self.problems.append(f"{outcome.case}: {name}: {results.NOT_MEASURED}: {outcome.absent[name]}")

    def rise_and_fall(self) -> None:
        """The platform under load that rises and falls, by every policy of the study."""
        effort = self.effort
        settings = [platform.Setting()] if effort.is_quick else platform.settings_of_study()
        shape = platform.QUICK_SHAPE if effort.is_quick else platform.RISE_AND_FALL
        rows = []
        for setting in settings:
            with place.loopback() as where:
                outcome = platform.run(where, setting, shape)
            self.outcomes.append(outcome)
            print(
                f"{setting.describe()}: {outcome.requests} requests, {outcome.errors} errors, "
                f"{outcome.adds} adds, {outcome.removes} removes, "
                f"add {outcome.add_ms_without_start} ms without start"
            )
            if outcome.errors:
                self.problems.append(f"rise and fall, {setting.describe()}: {outcome.errors} requests failed")
            figures = {
                "errors": outcome.errors,
                "adds": outcome.adds,
                "removes": outcome.removes,
                "add_ms_without_start": outcome.add_ms_without_start,
            }
            rows += [
                results.Row(
                    "rise-and-fall", setting.describe(), "clustercore", key, key, value, value, value, 1
                )
                for key, value in figures.items()
                if value is not None
            ]
        self.save(rows, "rise-and-fall")

    def hovering(self) -> None:
        """Two thresholds against one, under load that hovers around each."""
        self.hover = platform.study_hovering(place.loopback, self.effort.is_quick)
        print("\n".join(self.hover.lines()))
        rows = []
        for name, cells in self.hover.rows.items():
            for column, outcome in cells.items():
                count, case = outcome.reconfigurations, f"{name}, load {column}"
                rows.append(
                    results.Row(
                        "hover",
                        case,
                        "clustercore",
                        "reconfigurations",
                        "adds and removes",
                        count,
                        count,
                        count,
                        1,
                    )
                )
                if outcome.errors:
                    self.problems.append(f"hover, {case}: {outcome.errors} requests failed")
        self.save(rows, "hover")

    def note_absent(self, name: str, absent: dict[str, str]) -> None:
        """Our own program may not be missing; peers may."""
        ours = [reason for column, reason in absent.items() if column in (self.effort.ours, *OUR_COLUMNS)]
        if ours:
            self.problems.append(f"{name}: {results.NOT_MEASURED}: {ours[0]}")

    def count_failed(self, name: str, rows: list[results.Row]) -> None:
        """Failed requests of ours are a problem, except where the load is more than the back ends carry."""
        for row in rows:
            is_ours = row.subject in (self.effort.ours, *OUR_COLUMNS)
            if row.metric == "failed" and row.max > 0 and is_ours and name != "experiment3":
                self.problems.append(f"{name}, {row.case}, {row.subject}: up to {row.max:g} requests failed")


def run(effort: Effort, has_record: bool, hosts: list[str] | None) -> int:
    """Measures everything and writes the report. 1 when a part failed, or requests did."""
    suite = Suite(effort, has_record, hosts)
    if effort.is_quick:
        suite.notes.append("A quick run: it shows that everything works, and its figures mean nothing.")
    for name in ("haproxy", "nginx", "wrk", "httperf", "redis-server", "nats-server", "mosquitto"):
        suite.notes.append(f"{name}: {tools.version(name) or results.NOT_MEASURED}")
    suite.step("experiment 1", lambda: suite.experiment(experiments.experiment_1))
    suite.step("experiment 2", lambda: suite.experiment(experiments.experiment_2))
    suite.step("experiment 3", lambda: suite.experiment(experiments.experiment_3))
    suite.step("overhead", lambda: suite.experiment(experiments.overhead))
    for size in ("1k", "500k") if effort.is_quick else ("1k", "10k", "100k", "500k"):
        suite.step(f"compare {size}", lambda size=size: suite.compare(size))
    suite.step("compare 1k at 2000/s", lambda: suite.compare("1k", rate=2000))
    suite.step("compare new connections", lambda: suite.compare("1k", new_connections=True))
    suite.step("second opinion", suite.second_opinion)
    suite.step("slow reader", suite.slow_reader)
    suite.step("idle clients", suite.idle)
    suite.step("a file", suite.file)
    suite.step("events at a pace", lambda: suite.fan_out(1, rate=500))
    suite.step("events in batches", lambda: suite.fan_out(64))
    suite.step("rise and fall", suite.rise_and_fall)
    suite.step("hover", suite.hovering)
    notes = suite.notes + suite.problems
    page = report.write(suite.tables, suite.comparisons, suite.outcomes, notes, hovering=suite.hover)
    print(f"report: {page}")
    for problem in suite.problems:
        print(f"PROBLEM {problem}")
    return 1 if suite.problems else 0


def run_udp(effort: Effort, has_record: bool) -> int:
    """The floors of UDP: every way to send, small and large messages."""
    program, rows = tools.need("floor-udp"), []
    print(f"{'way':<10}{'bytes':>6}{'messages/s':>14}{'sender ns':>11}{'receiver ns':>13}")
    for mode in ("sendto", "sendmmsg", "gso"):
        for size in (64, 1024):
            command = [
                program,
                "--mode",
                mode,
                "--bytes",
                str(size),
                "--seconds",
                f"{min(effort.seconds, 1.0):g}",
            ]
            runs = [
                json.loads(
                    subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
                )
                for _ in range(effort.runs)
            ]
            medians = []
            for metric in ("messages_per_second", "sender_cpu_ns", "receiver_cpu_ns"):
                values = [one[metric] for one in runs]
                medians.append(statistics.median(values))
                rows.append(
                    results.Row(
                        "udp",
                        f"{mode} {size} B",
                        "floor-udp",
                        metric,
                        metric,
                        medians[-1],
                        min(values),
                        max(values),
                        len(values),
                    )
                )
            print(f"{mode:<10}{size:>6}{medians[0]:>14.0f}{medians[1]:>11.0f}{medians[2]:>13.0f}")
    results.save(rows, "udp", has_record)
    return 0
