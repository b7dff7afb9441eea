"""The paper's experiments 1, 2, 3 and its overhead breakdown, repeated open-loop on this machine."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import generator, paper, programs, results
from .compare import Standing, interleave
from .generator import Load
from .place import Place
from .processes import ProcessSet, StartError, user_and_system_ticks
from .programs import PROXIES, NotHere

PEERS = ("haproxy", "nginx", "pingora")


@dataclass
class Table:
    """One table in the paper's form: rows by rate or size, a column per system, cells are rows of results."""

    name: str
    title: str
    axis: str
    columns: list[str] = field(default_factory=list)
    # axis value -> column -> metric -> Row
    cells: dict[float, dict[str, dict[str, results.Row]]] = field(default_factory=dict)
    paper: dict[float, tuple[float, ...]] = field(default_factory=dict)
    paper_columns: tuple[str, ...] = ()
    absent: dict[str, str] = field(default_factory=dict)

    def rows(self) -> list[results.Row]:
        """All figures of the table."""
        return [
            row for columns in self.cells.values() for metrics in columns.values() for row in metrics.values()
        ]

    def median(self, axis: float, column: str, metric: str) -> float | None:
        """One figure, or None when it was not measured."""
        row = self.cells.get(axis, {}).get(column, {}).get(metric)
        return row.median if row else None


@dataclass(frozen=True)
class Effort:
    """How much to measure, of which program: `quick` runs are a smoke test whose figures mean nothing."""

    runs: int = 5
    seconds: float = 2.0
    warmup_seconds: float = 0.3
    is_quick: bool = False
    ours: str = "clustercore"
    # Experiment 2: requests of a cell over all runs, at the paper's one a second.
    slow_requests: int = 15

    def some(self, values: dict[int, tuple[float, ...]], keep: int = 2) -> dict[int, tuple[float, ...]]:
        """All of the paper's rows, or the first `keep` in a quick run."""
        return dict(list(values.items())[:keep]) if self.is_quick else values


def start_systems(
    place: Place, processes: ProcessSet, kind: str, columns: tuple[str, ...], ours: str = "clustercore"
) -> tuple[list[Standing], dict[str, str]]:
    """The systems of the columns: a plain server, ours over it, ours over 1 to 3 slaves; the peers."""
    plain = programs.start_backends(place, processes, 1, kind, netns_of="front")
    slaves = programs.start_backends(place, processes, 3, kind)
    behind = {"local": plain, "1 slave": slaves[:1], "2 slaves": slaves[:2], "3 slaves": slaves}
    standing: list[Standing] = []
    absent: dict[str, str] = {}
    wanted = [(column, ours, behind.get(column, plain)) for column in columns]
    wanted += [(f"{name}, 3 slaves", name, slaves) for name in PEERS]
    for column, name, backends in wanted:
        if column == "only":
            standing.append(Standing(column, None, plain[0]))
            continue
        try:
            process, address = programs.start_proxy(name, place, processes, backends)
            standing.append(Standing(column, process, address))
        except (NotHere, StartError) as error:
            absent[column] = str(error)
    return standing, absent


def fill(
    table: Table, standing: list[Standing], loads: dict[float, Load], effort: Effort, place: Place
) -> None:
    """Measures every row of the table, all systems interleaved within a row."""
    kinds = {"only": "floor"} | {f"{name}, 3 slaves": "peer" for name in PROXIES}
    table.columns = [proxy.name for proxy in standing]
    for axis, load in loads.items():
        reports = interleave(
            standing,
            effort.runs,
            lambda proxy, load=load: generator.run(load, proxy.address, place, proxy.pids()),
        )
        cells = table.cells.setdefault(axis, {})
        for row in results.rows_of(table.name, f"{table.axis} {axis:g}", reports, kinds):
            cells.setdefault(row.subject, {})[row.metric] = row


def experiment_1(place: Place, effort: Effort) -> Table:
    """1 KiB by rate, one connection per request as httperf makes them."""
    figures = effort.some(paper.EXPERIMENT_1)
    table = Table(
        "experiment1", "Experiment 1: 1 KiB file", "requests/s", paper=figures, paper_columns=paper.COLUMNS
    )
    loads = {
        rate: Load(
            rate=rate,
            num_calls=1,
            seconds=effort.seconds,
            warmup_seconds=effort.warmup_seconds,
            expect_bytes=1024,
        )
        for rate in figures
    }
    return _run(table, loads, effort, place, programs.best_backend_kind(), paper.COLUMNS)


def experiment_2(place: Place, effort: Effort) -> Table:
    """Files of 10 to 500 KiB at the paper's one request a second, one cell after the other.

    Each cell gets `slow_requests` of them in sum, spread over the runs; a quick run asks 20 a second.
    """
    figures = effort.some(paper.EXPERIMENT_2)
    title = "Experiment 2: file sizes at one request a second"
    table = Table("experiment2", title, "KiB", paper=figures, paper_columns=paper.COLUMNS)
    runs, each = runs_of_slow(effort)
    loads = {
        size: Load(
            uri=f"/{size}k",
            rate=20.0 if effort.is_quick else 1.0,
            num_calls=1,
            seconds=effort.seconds if effort.is_quick else float(each),
            warmup_seconds=effort.warmup_seconds if effort.is_quick else 0.0,
            requests=None if effort.is_quick else each,
            expect_bytes=size * 1024,
        )
        for size in figures
    }
    return _run(table, loads, replace(effort, runs=runs), place, programs.best_backend_kind(), paper.COLUMNS)


def runs_of_slow(effort: Effort) -> tuple[int, int]:
    """Runs of a cell of experiment 2, and requests of each: all of them, in as many equal runs as may be."""
    if effort.is_quick:
        return effort.runs, 0
    runs = max(one for one in range(1, effort.runs + 1) if effort.slow_requests % one == 0)
    return runs, effort.slow_requests // runs


def experiment_3(place: Place, effort: Effort) -> Table:
    """1 KiB and 10 ms of CPU per request, by rate: where slaves begin to pay."""
    figures = effort.some(paper.EXPERIMENT_3)
    columns = ("local", "3 slaves")
    title = "Experiment 3: 1 KiB and 10 ms of CPU per request"
    table = Table("experiment3", title, "requests/s", paper=figures, paper_columns=columns)
    seconds = effort.seconds if effort.is_quick else max(effort.seconds, 3.0)
    loads = {
        rate: Load(
            uri="/1k?cpu_ms=10",
            rate=rate,
            connections=512,
            num_calls=1,
            seconds=seconds,
            warmup_seconds=0.0 if rate == 1 else effort.warmup_seconds,
            timeout=10,
            expect_bytes=1024,
        )
        for rate in figures
    }
    return _run(table, loads, effort, place, "sample", columns)


def judge_experiment_3(table: Table) -> dict[str, float]:
    """What the target asks of experiment 3.

    `carried`: what three slaves carried at the highest rate, their sum. `steady_ratio`: the worst p50 among
    rates up to nine tenths of it, as a multiple of the p50 at the lowest rate. `crossover_rate`: the lowest
    rate at which three slaves answer sooner than the local instance; infinite when there is none.
    """
    rates = sorted(table.cells)
    medians = {rate: table.median(rate, "3 slaves", "last_p50_us") for rate in rates}
    local = {rate: table.median(rate, "local", "last_p50_us") for rate in rates}
    carried = max(table.median(rate, "3 slaves", "rate") or 0.0 for rate in rates)
    steady = [medians[rate] for rate in rates if rate <= 0.9 * carried and medians[rate]]
    lowest = medians[rates[0]]
    wins = [rate for rate in rates if medians[rate] and local[rate] and medians[rate] < local[rate]]
    return {
        "carried": carried,
        "steady_ratio": max(steady) / lowest if steady and lowest else float("inf"),
        "crossover_rate": float(min(wins)) if wins else float("inf"),
    }


def overhead(place: Place, effort: Effort) -> Table:
    """Where the time of one request goes: one client, one request at a time, 1 KiB, kept connection."""
    table = Table("overhead", "Overhead of one request: 1 KiB, one connection", "connections")
    with tempfile.TemporaryDirectory(prefix="clustercore-perf-") as directory:
        Path(directory).chmod(0o755)
        with ProcessSet(Path(directory)) as processes:
            backends = programs.start_backends(place, processes, 3, programs.best_backend_kind())
            standing = [Standing("plain server", None, backends[0])]
            for name in ("floor-uring", effort.ours, *PEERS):
                try:
                    process, address = programs.start_proxy(name, place, processes, backends)
                    standing.append(Standing(name, process, address))
                except (NotHere, StartError) as error:
                    table.absent[name] = str(error)
            load = Load(connections=1, seconds=effort.seconds, warmup_seconds=effort.warmup_seconds)
            fill(table, standing, {1: load}, effort, place)
            _add_shares(table, standing)
    return table


def _add_shares(table: Table, standing: list[Standing]) -> None:
    """Splits the CPU time into the program's own and the kernel's, by the ticks of the whole run."""
    for proxy in standing:
        cpu = table.cells[1].get(proxy.name, {}).get("cpu_us")
        if not proxy.process or not cpu:
            continue
        ticks = [user_and_system_ticks(pid) for pid in proxy.pids()]
        user, system = (sum(values) for values in zip(*ticks, strict=True))
        share = user / (user + system) if user + system else 0.0
        for metric, part in (("cpu_user_us", share), ("cpu_system_us", 1 - share)):
            value = cpu.median * part
            row = results.Row(
                table.name, cpu.case, proxy.name, metric, "us CPU per request", value, value, value, cpu.runs
            )
            table.cells[1][proxy.name][metric] = row


def _run(
    table: Table, loads: dict, effort: Effort, place: Place, kind: str, columns: tuple[str, ...]
) -> Table:
    with tempfile.TemporaryDirectory(prefix="clustercore-perf-") as directory:
        Path(directory).chmod(0o755)
        with ProcessSet(Path(directory)) as processes:
            standing, table.absent = start_systems(place, processes, kind, columns, effort.ours)
            fill(table, standing, loads, effort, place)
    return table


def print_table(table: Table) -> None:
    """The table in the paper's form: ms, first byte / last byte medians, the paper's figure in brackets."""
    print(f"\n{table.title}: ms to the first / last byte, medians [paper]")
    width = max([18, *(len(column) for column in table.columns)]) + 2
    print(f"{table.axis:>12}" + "".join(f"{column:>{width}}" for column in table.columns))
    for axis in sorted(table.cells):
        line = f"{axis:>12g}"
        for column in table.columns:
            line += f"{cell_text(table, axis, column):>{width}}"
        print(line)
    for column, reason in table.absent.items():
        print(f"{column}: {results.NOT_MEASURED}: {reason}")
    failed = sum(row.median for row in table.rows() if row.metric == "failed")
    if failed:
        print(f"failed requests (sum of medians): {failed:g}")


def cell_text(table: Table, axis: float, column: str) -> str:
    """One cell: first / last byte in ms, and the paper's figure where it has one."""
    first, last = (table.median(axis, column, metric) for metric in ("first_p50_us", "last_p50_us"))
    if first is None or last is None:
        return results.NOT_MEASURED
    text = f"{first / 1e3:.2f}/{last / 1e3:.2f}"
    if column in table.paper_columns and axis in table.paper:
        text += f" [{table.paper[axis][table.paper_columns.index(column)]:g}]"
    return text
