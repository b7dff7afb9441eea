"""A-B-A comparison of proxies: all stand ready at once, and the load visits them in turn."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from . import generator, programs, results
from .generator import Load
from .place import Place
from .processes import Process, ProcessSet, StartError
from .programs import PROXIES, Address, NotHere


@dataclass
class Comparison:
    """The reports of interleaved runs by proxy, and what could not be measured and why."""

    bench: str
    case: str
    reports: dict[str, list[dict]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def rows(self) -> list[results.Row]:
        """Rows with medians and ratios."""
        kinds = {name: proxy.kind for name, proxy in PROXIES.items()}
        return results.rows_of(self.bench, self.case, self.reports, kinds)


@dataclass
class Standing:
    """A proxy that stands ready."""

    name: str
    process: Process | None
    address: Address
    is_fresh_backend: bool = False

    def pids(self) -> list[int]:
        """What its CPU time is read from."""
        return self.process.pids() if self.process else []


def stand_up(
    names: list[str],
    place: Place,
    processes: ProcessSet,
    backends: list[Address],
    absent: dict[str, str],
    options: dict[str, list[str]] | None = None,
) -> list[Standing]:
    """Starts the proxies; one that is not here, or does not start, goes to `absent` with the reason."""
    standing = []
    for name in names:
        if name == "direct":
            standing.append(Standing(name, None, backends[0]))
            continue
        try:
            process, address = programs.start_proxy(
                name, place, processes, backends, (options or {}).get(name)
            )
        except (NotHere, StartError) as error:
            absent[name] = str(error)
            continue
        standing.append(Standing(name, process, address))
    return standing


def interleave(
    standing: list[Standing], runs: int, measure: Callable[[Standing], dict]
) -> dict[str, list[dict]]:
    """Visits every proxy `runs` times, there and back: a drift of the machine meets all alike."""
    reports: dict[str, list[dict]] = {proxy.name: [] for proxy in standing}
    for turn in range(runs):
        for proxy in standing if turn % 2 == 0 else reversed(standing):
            reports[proxy.name].append(measure(proxy))
    return reports


def compare(
    bench: str,
    case: str,
    names: list[str],
    load: Load,
    runs: int,
    place: Place,
    options: dict[str, list[str]] | None = None,
    backend_kind: str | None = None,
    generator_name: str = "load",
) -> Comparison:
    """Measures the proxies `names` under `load`, `runs` times each, interleaved, with three back ends."""
    comparison = Comparison(bench, case)
    drive = generator.run_wrk if generator_name == "wrk" else generator.run
    with tempfile.TemporaryDirectory(prefix="clustercore-perf-") as directory:
        Path(directory).chmod(0o755)
        with ProcessSet(Path(directory)) as processes:
            kind = backend_kind or programs.best_backend_kind()
            backends = programs.start_backends(place, processes, 3, kind)
            adapted = adapt_floors(names, load, backends, place, options)
            standing = stand_up(names, place, processes, backends, comparison.absent, adapted)
            comparison.reports = interleave(
                standing, runs, lambda proxy: drive(load, proxy.address, place, proxy.pids())
            )
    return comparison


def adapt_floors(
    names: list[str], load: Load, backends: list[Address], place: Place, options: dict[str, list[str]] | None
) -> dict[str, list[str]]:
    """Options per proxy: the accept floor parses nothing, so it is told how long an answer is."""
    adapted = {name: list(words) for name, words in (options or {}).items()}
    if "floor-accept" in names:
        length = programs.answer_bytes(backends[0], load.uri, place)
        adapted["floor-accept"] = ["--response-bytes", str(length)]
    return adapted


def print_comparison(comparison: Comparison, output=sys.stdout) -> None:
    """A table for people: medians, spread, and ratios to floor and best peer."""
    rows = comparison.rows()
    print(f"{comparison.bench}: {comparison.case}", file=output)
    figures = f"{'CPU us/req':>11}{'min-max':>16}{'req/s':>10}{'p50 us':>9}{'p99 us':>9}{'failed':>8}"
    header = f"{'proxy':<18}{figures}  ratio of CPU"
    print(header, file=output)
    for name in comparison.reports:
        own = {row.metric: row for row in rows if row.subject == name}
        cpu = own.get("cpu_us")
        spread = f"{cpu.min:.2f}-{cpu.max:.2f}" if cpu else ""
        ratios = " ".join(
            f"{ratio:.2f} of {other}" for other, ratio in (cpu.ratio if cpu else {}).items() if other != name
        )
        print(
            f"{name:<18}{_figure(cpu, 2):>11}{spread:>16}{_figure(own.get('rate'), 0):>10}"
            f"{_figure(own.get('last_p50_us'), 0):>9}{_figure(own.get('last_p99_us'), 0):>9}"
            f"{_figure(own.get('failed'), 0):>8}  {ratios}",
            file=output,
        )
    for name, reason in comparison.absent.items():
        print(f"{name:<18}not measured: {reason}", file=output)


def _figure(row: results.Row | None, digits: int) -> str:
    return f"{row.median:.{digits}f}" if row else "-"
