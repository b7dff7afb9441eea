"""Messages and datagrams between two threads on loopback, beside bare loops and user-space peers."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from . import results, tools
from .compare import interleave
from .experiments import Effort

OURS, FLOOR = "clustercore-messages", "floor-messages"
PEERS = ("peer-enet", "peer-zeromq", "peer-quinn")
# Figure of a report -> unit.
FIGURES = {
    "messages_per_second": "messages/s",
    "sender_cpu_ns": "ns CPU per message",
    "receiver_cpu_ns": "ns CPU per message",
}
PING_FIGURES = {
    "round_trip_p50_us": "us",
    "round_trip_p99_us": "us",
    "sender_cpu_ns": "ns CPU per round trip",
}
# Longer than a round trip, so that neither end ever sleeps.
SPIN_US = 1000
SECONDS_MAX = 1.0


class MessagesError(Exception):
    """A program failed, or lost a message: in its own words."""


@dataclass(frozen=True)
class Contender:
    """A program that takes turns with others, and the words that it is called with."""

    name: str
    program: str
    words: tuple[str, ...]


Figures = dict[str, float]
Reports = dict[str, list[dict]]


def measure(
    case: str, size: int, form: str, effort: Effort
) -> tuple[Figures, list[results.Row], dict[str, str]]:
    """Medians of our figures with their ratios to the floor's and to the best peer's, a row of each, and
    which peers are absent.

    Raises MessagesError.
    """
    contenders = [_contender(OURS, effort, "--bytes", str(size), "--form", form)]
    contenders.append(_contender(FLOOR, effort, "--bytes", str(size)))
    absent = {}
    for name in PEERS:
        if tools.program(name) is None:
            absent[name] = f"{name} is not built (perf/bench.sh --install-peers)"
        else:
            contenders.append(_contender(name, effort, "--bytes", str(size)))
    reports = _take_turns(contenders, effort)
    figures, rows = _figures(case, reports, FIGURES, OURS, FLOOR)
    figures["bytes_per_second"] = figures["messages_per_second"] * size
    peers = {name: _median(reports[name], "messages_per_second") for name in PEERS if name in reports}
    if peers:
        figures["rate_of_best_peer"] = figures["messages_per_second"] / max(peers.values())
    return figures, rows, absent


def ping(case: str, size: int, effort: Effort) -> tuple[Figures, list[results.Row]]:
    """Round trips of a message while both ends spin, beside two bare rings that do. Raises MessagesError."""
    words = ("--bytes", str(size))
    ours = _contender(OURS, effort, "--work", "ping", "--spin-us", str(SPIN_US), *words)
    reports = _take_turns([ours, _contender("floor-ping", effort, *words)], effort)
    return _figures(case, reports, PING_FIGURES, OURS, "floor-ping")


def secure(case: str, size: int, effort: Effort) -> tuple[Figures, list[results.Row]]:
    """What keys cost: CPU of both sides per secure message less that of a clear one, beside the bare cipher
    over packets of the same length, its cost shared by as many messages. Raises MessagesError.
    """
    words = ("--bytes", str(size))
    contenders = [
        Contender("clear", OURS, _contender(OURS, effort, *words).words),
        Contender("secure", OURS, _contender(OURS, effort, *words, "--secure").words),
        _contender("floor-seal", effort),
    ]
    reports = _take_turns(contenders, effort)
    cpu = {name: _rounds(reports[name], _both_sides) for name in ("clear", "secure")}
    per_packet = statistics.median(report["received"] / report["packets"] for report in reports["secure"])
    bare = _median(reports["floor-seal"], "seal_open_ns") / per_packet
    # Neighbouring runs are compared, since the machine drifts.
    extra = statistics.median(one - other for one, other in zip(cpu["secure"], cpu["clear"], strict=True))
    figures = {
        "clear_cpu_ns": statistics.median(cpu["clear"]),
        "secure_cpu_ns": statistics.median(cpu["secure"]),
        "extra_cpu_ns": extra,
        "seal_open_ns": bare,
        "messages_per_packet": per_packet,
        "extra_of_floor": extra / bare,
        "messages_per_second": _median(reports["secure"], "messages_per_second"),
    }
    rows = [
        _row(case, name, "both_sides_cpu_ns", "ns CPU per message", values, bare, "floor-seal")
        for name, values in cpu.items()
    ]
    return figures, rows


def trains(case: str, size: int, effort: Effort) -> tuple[Figures, list[results.Row]]:
    """Plain datagrams through our drivers, beside bare segmented sends and coalesced receives. Raises
    MessagesError.
    """
    words = ("--bytes", str(size))
    contenders = [
        _contender("clustercore-trains", effort, *words),
        _contender("floor-udp", effort, "--mode", "gso", *words),
    ]
    reports = _take_turns(contenders, effort)
    figures, rows = _figures(case, reports, FIGURES, "clustercore-trains", "floor-udp")
    both = {name: _rounds(reports[name], _both_sides) for name in reports}
    pairs = zip(both["clustercore-trains"], both["floor-udp"], strict=True)
    figures["cpu_of_floor"] = statistics.median(one / other for one, other in pairs)
    return figures, rows


def _contender(program: str, effort: Effort, *words: str) -> Contender:
    return Contender(program, program, (*words, "--seconds", str(min(effort.seconds, SECONDS_MAX))))


def _take_turns(contenders: list[Contender], effort: Effort) -> Reports:
    return interleave(contenders, effort.runs, lambda one: run(one.program, list(one.words)))


def _figures(
    case: str, reports: Reports, units: dict[str, str], ours: str, floor: str
) -> tuple[Figures, list[results.Row]]:
    """Medians of `ours`, their ratios to the floor's, and a row of each figure and program."""
    figures: Figures = {}
    rows = []
    for figure, unit in units.items():
        medians = {name: _median(reports[name], figure) for name in reports}
        for name in reports:
            values = [report[figure] for report in reports[name]]
            rows.append(_row(case, name, figure, unit, values, medians[floor], floor))
        figures[figure] = medians[ours]
        figures[f"{figure}_of_floor"] = medians[ours] / medians[floor] if medians[floor] else 0.0
    return figures, rows


def _row(
    case: str, name: str, figure: str, unit: str, values: list[float], floor: float, floor_name: str
) -> results.Row:
    median = statistics.median(values)
    row = results.Row(
        *("check", case, name, figure, unit, median, min(values), max(values), len(values), floor, floor_name)
    )
    if floor:
        row.ratio[floor_name] = round(median / floor, 4)
    return row


def _median(reports: list[dict], figure: str) -> float:
    return statistics.median(report[figure] for report in reports)


def _rounds(reports: list[dict], figure: Callable[[dict], float]) -> list[float]:
    return [figure(report) for report in reports]


def _both_sides(report: dict) -> float:
    return report["sender_cpu_ns"] + report["receiver_cpu_ns"]


def run(name: str, words: list[str]) -> dict:
    """The report of one run of a program of ours. Raises MessagesError."""
    outcome = subprocess.run([tools.need(name), *words], capture_output=True, text=True, timeout=60)
    if outcome.returncode != 0:
        raise MessagesError(f"{name} {' '.join(words)}: {outcome.stderr.strip() or outcome.stdout.strip()}")
    return json.loads(outcome.stdout)
