"""Reliable messages between two shards, beside the bare loop that packs, trains and acknowledges."""

from __future__ import annotations

import json
import statistics
import subprocess

from . import results, tools
from .experiments import Effort

OURS, FLOOR = "clustercore-messages", "floor-messages"
# Figure of a report -> unit.
FIGURES = {
    "messages_per_second": "messages/s",
    "sender_cpu_ns": "ns CPU per message",
    "receiver_cpu_ns": "ns CPU per message",
}


class MessagesError(Exception):
    """A program failed, or lost a message: in its own words."""


def measure(case: str, size: int, form: str, effort: Effort) -> tuple[dict[str, float], list[results.Row]]:
    """Medians of our figures with their ratios to the floor's, from runs there and back; and a row of each.

    Raises MessagesError.
    """
    seconds = ["--seconds", str(min(effort.seconds, 1.0))]
    words = {
        OURS: ["--bytes", str(size), "--form", form, *seconds],
        FLOOR: ["--bytes", str(size), *seconds],
    }
    reports: dict[str, list[dict]] = {name: [] for name in words}
    for turn in range(effort.runs):
        for name in words if turn % 2 == 0 else reversed(words):
            reports[name].append(_run(name, words[name]))
    figures: dict[str, float] = {}
    rows = []
    for figure, unit in FIGURES.items():
        values = {name: [report[figure] for report in reports[name]] for name in words}
        medians = {name: statistics.median(values[name]) for name in words}
        for name in words:
            row = results.Row(
                "check",
                case,
                name,
                figure,
                unit,
                medians[name],
                min(values[name]),
                max(values[name]),
                effort.runs,
                medians[FLOOR],
                FLOOR,
            )
            if medians[FLOOR]:
                row.ratio[FLOOR] = round(medians[name] / medians[FLOOR], 4)
            rows.append(row)
        figures[figure] = medians[OURS]
        figures[f"{figure}_of_floor"] = medians[OURS] / medians[FLOOR] if medians[FLOOR] else 0.0
    figures["bytes_per_second"] = figures["messages_per_second"] * size
    return figures, rows


def _run(name: str, words: list[str]) -> dict:
    outcome = subprocess.run([tools.need(name), *words], capture_output=True, text=True, timeout=60)
    if outcome.returncode != 0:
        raise MessagesError(f"{name} {' '.join(words)}: {outcome.stderr.strip() or outcome.stdout.strip()}")
    return json.loads(outcome.stdout)
