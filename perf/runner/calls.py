"""Remote procedure calls, beside ONC RPC over UDP and, in Python, beside grpcio."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from . import results, tools
from .experiments import Effort

OURS = "clustercore-calls"
ONC, GRPC = "onc-rpc", "grpcio"
PERF = tools.ROOT / "perf"
# Figure of a report -> unit.
FIGURES = {
    "calls_per_second": "calls/s",
    "server_cpu_ns": "ns CPU per call",
    "client_cpu_ns": "ns CPU per call",
    "p50_us": "us",
    "p99_us": "us",
}


class CallsError(Exception):
    """A program failed: in its own words."""


def measure(
    case: str, outstanding: int, spin_us: int, peer: str | None, effort: Effort
) -> tuple[dict[str, float], list[results.Row], dict[str, str]]:
    """Medians of our figures with their ratios to the peer's, a row of each, and what is missing.

    From runs there and back.

    Raises CallsError.
    """
    seconds = str(min(effort.seconds, 1.0))
    words = ["--outstanding", str(outstanding), "--spin-us", str(spin_us), "--seconds", seconds]
    subjects: dict[str, Callable[[], dict]] = {OURS: lambda: _run([tools.need(OURS), *words])}
    absent = {}
    if peer == ONC:
        program = tools.target_directory() / "peer-onc-echo"
        if program.exists():
            subjects[ONC] = lambda: _run([str(program), seconds])
        else:
            absent[ONC] = "not built: perf/bench.sh --install-peers"
    return _compare(case, subjects, absent, effort)


def measure_python(
    case: str, outstanding: int, effort: Effort
) -> tuple[dict[str, float], list[results.Row], dict[str, str]]:
    """The same in Python, beside grpcio. Raises CallsError."""
    seconds = str(min(effort.seconds, 1.0))
    ours = tools.ROOT / ".venv" / "bin" / "python"
    python = str(ours) if ours.exists() else sys.executable
    subjects = {"clustercore-python": lambda: _pair(python, PERF / "python_calls.py", outstanding, seconds)}
    absent = {}
    grpc = tools.peers_python()
    if grpc is None:
        absent[GRPC] = "not installed: perf/bench.sh --install-peers"
    else:
        subjects[GRPC] = lambda: _pair(grpc, tools.PEERS / "grpc_echo.py", outstanding, seconds)
    return _compare(case, subjects, absent, effort)


def _compare(
    case: str, subjects: dict[str, Callable[[], dict]], absent: dict[str, str], effort: Effort
) -> tuple[dict[str, float], list[results.Row], dict[str, str]]:
    reports: dict[str, list[dict]] = {name: [] for name in subjects}
    for turn in range(effort.runs):
        for name in subjects if turn % 2 == 0 else reversed(list(subjects)):
            reports[name].append(subjects[name]())
    ours, *peers = subjects
    figures: dict[str, float] = {}
    rows = []
    for figure, unit in FIGURES.items():
        values = {name: [one[figure] for one in reports[name] if figure in one] for name in subjects}
        medians = {name: statistics.median(of) for name, of in values.items() if of}
        peer = peers[0] if peers and peers[0] in medians else None
        for name, median in medians.items():
            row = results.Row(
                "check",
                case,
                name,
                figure,
                unit,
                median,
                min(values[name]),
                max(values[name]),
                effort.runs,
                peer=medians[peer] if peer else results.NOT_MEASURED,
                peer_name=peer,
            )
            if peer and medians[peer]:
                row.ratio[peer] = round(median / medians[peer], 4)
            rows.append(row)
        if ours in medians:
            figures[figure] = medians[ours]
            if peer and medians[peer]:
                figures[f"{figure}_of_{peer}"] = medians[ours] / medians[peer]
    return figures, rows, absent


def _pair(python: str, program: Path, outstanding: int, seconds: str) -> dict:
    serving = subprocess.Popen(
        [python, str(program), "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert serving.stdout is not None and serving.stdin is not None
        address = serving.stdout.readline().strip()
        report = _run([python, str(program), "call", address, str(outstanding), seconds])
        serving.stdin.close()
        serving.wait(20)
        return report
    except subprocess.TimeoutExpired as error:
        raise CallsError(f"{program.name} serve did not end: {error}") from error
    finally:
        serving.kill()
        serving.wait()


def _run(words: list[str]) -> dict:
    outcome = subprocess.run(words, capture_output=True, text=True, timeout=60)
    if outcome.returncode != 0:
        raise CallsError(f"{' '.join(words)}: {outcome.stderr.strip() or outcome.stdout.strip()}")
    return json.loads(outcome.stdout)
