"""Judges measurements by perf/targets.toml: what was promised, what was measured, whether it holds."""

from __future__ import annotations

import statistics
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from . import (
    bottleneck,
    calls,
    channels,
    compare,
    events,
    experiments,
    jobs,
    messages,
    place,
    platform,
    results,
    special,
    tools,
    transfer,
)
from .brokers import BROKERS
from .generator import Load, LoadError
from .place import PlaceError
from .processes import StartError
from .programs import PROXIES, NotHere

HOLDS, FALLS_SHORT, NOT_MEASURED = "holds", "falls short", results.NOT_MEASURED


@dataclass
class Measured:
    """What a case gave: medians by proxy and metric, or figures; or why there is nothing."""

    medians: dict[str, dict[str, float]] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    rows: list[results.Row] = field(default_factory=list)
    problem: str | None = None


@dataclass
class Verdict:
    """One limit of one target, judged."""

    target: str
    limit: str
    figure: str
    outcome: str


def load_targets(path: Path | None = None) -> dict:
    """Reads and checks the file. Raises ValueError that names the target and what is wrong with it."""
    with open(path or tools.ROOT / "perf" / "targets.toml", "rb") as source:
        document = tomllib.load(source)
    for target in document["target"]:
        if target["case"] not in document["case"]:
            raise ValueError(f"target {target['id']}: no case is called {target['case']}")
        for limit in target["limits"]:
            if ("at_most" in limit) == ("at_least" in limit):
                raise ValueError(f"target {target['id']}: a limit has one of at_most and at_least")
            if ("metric" in limit) == ("figure" in limit):
                raise ValueError(f"target {target['id']}: a limit has one of metric and figure")
            unknown = [name for name in limit.get("of", []) if name not in PROXIES and name not in BROKERS]
            metrics = (*results.METRICS, *events.METRICS)
            if unknown or ("metric" in limit and limit["metric"] not in metrics):
                raise ValueError(f"target {target['id']}: unknown {unknown or limit['metric']}")
    return document


def judge(target: dict, measured: Measured, ours: str = "clustercore") -> list[Verdict]:
    """A verdict per limit.

    What was not measured does not hold, and neither does a run in which requests failed.
    """
    verdicts = []
    failed = measured.medians.get(ours, {}).get("failed", 0.0) + measured.figures.get("failed", 0.0)
    if failed:
        verdicts.append(Verdict(target["id"], "no request fails", f"{failed:g} failed", FALLS_SHORT))
    for limit in target["limits"]:
        value, text = _value(limit, measured, ours)
        if value is None:
            verdicts.append(Verdict(target["id"], _describe(limit), text, NOT_MEASURED))
            continue
        is_held = value <= limit["at_most"] if "at_most" in limit else value >= limit["at_least"]
        verdicts.append(Verdict(target["id"], _describe(limit), text, HOLDS if is_held else FALLS_SHORT))
    return verdicts


def _value(limit: dict, measured: Measured, ours: str) -> tuple[float | None, str]:
    if measured.problem:
        return None, measured.problem
    if "figure" in limit:
        value = measured.figures.get(limit["figure"])
        if value is None:
            return None, "; ".join([f"no {limit['figure']}", *measured.absent.values()])
        return value, f"{limit['figure']} {value:.4g}"
    metric = limit["metric"]
    own = measured.medians.get(ours, {}).get(metric)
    if own is None:
        return None, measured.absent.get(ours, f"no {metric} of {ours}")
    others = {
        name: measured.medians[name][metric]
        for name in limit["of"]
        if metric in measured.medians.get(name, {})
    }
    if not others:
        return None, "; ".join(measured.absent.get(name, f"no {metric} of {name}") for name in limit["of"])
    best = min(others, key=others.__getitem__)
    text = f"{own:.2f} / {others[best]:.2f} ({best}) = {own / others[best]:.3f}"
    missing = [name for name in limit["of"] if name not in others]
    return own / others[best], text + (f" ({', '.join(missing)} not measured)" if missing else "")


def _describe(limit: dict) -> str:
    bound = f"<= {limit['at_most']:g}" if "at_most" in limit else f">= {limit['at_least']:g}"
    if "figure" in limit:
        return f"{limit['figure']} {bound}"
    return f"{limit['metric']} {bound} of {' or '.join(limit['of'])}"


def measure(case_name: str, case: dict, effort: experiments.Effort) -> Measured:
    """Runs what a case needs. What cannot be run is said in the verdict and ends nothing else."""
    try:
        return KINDS[case["kind"]](case_name, case, effort)
    except (
        NotHere,
        StartError,
        LoadError,
        PlaceError,
        messages.MessagesError,
        calls.CallsError,
        transfer.TransferError,
        channels.ChannelError,
    ) as error:
        return Measured(problem=str(error))


def _compare(case_name: str, case: dict, effort: experiments.Effort) -> Measured:
    load = Load(
        uri=f"/{case['size']}",
        rate=case.get("rate"),
        num_calls=1 if case.get("new_connections") else 0,
        expect_bytes=1024 * int(case["size"].removesuffix("k")),
        seconds=effort.seconds if effort.is_quick else case.get("seconds", effort.seconds),
        warmup_seconds=effort.warmup_seconds,
    )
    names = [effort.ours if name == "clustercore" else name for name in case["proxies"]]
    with place.loopback() as where:
        comparison = compare.compare("check", case_name, names, load, effort.runs, where)
    compare.print_comparison(comparison)
    measured = Measured(absent=comparison.absent, rows=comparison.rows())
    for row in measured.rows:
        measured.medians.setdefault(row.subject, {})[row.metric] = row.median
    return measured


def _slow_reader(_name: str, _case: dict, effort: experiments.Effort) -> Measured:
    with place.loopback() as where:
        return Measured(figures=special.slow_reader(where, effort.runs, effort.seconds, effort.ours))


def _idle(_name: str, _case: dict, effort: experiments.Effort) -> Measured:
    with place.loopback() as where:
        return Measured(figures=special.idle_clients(where, 500 if effort.is_quick else 10_000, effort.ours))


def _experiment_3(_name: str, _case: dict, effort: experiments.Effort) -> Measured:
    # Three runs of each rate: seven rates of up to five systems within the time of a check.
    fewer = experiments.Effort(
        min(3, effort.runs), effort.seconds, effort.warmup_seconds, effort.is_quick, effort.ours
    )
    with place.slaves() as where:
        table = experiments.experiment_3(where, fewer)
    experiments.print_table(table)
    if "3 slaves" not in table.columns:
        return Measured(problem=table.absent.get("3 slaves", NOT_MEASURED))
    return Measured(figures=experiments.judge_experiment_3(table), rows=table.rows())


def _rise_and_fall(_name: str, _case: dict, effort: experiments.Effort) -> Measured:
    runs = []
    with place.loopback() as where:
        for _ in range(min(3, effort.runs)):
            runs.append(platform.rise_and_fall(where))
    figures = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    figures["errors"] = sum(run["errors"] for run in runs)
    return Measured(figures=figures)


def _messages(name: str, case: dict, effort: experiments.Effort) -> Measured:
    figures, rows, absent = messages.measure(name, case["bytes"], case["form"], effort)
    return Measured(figures=figures, rows=rows, absent=absent)


def _beside_floor(measure) -> Callable[[str, dict, experiments.Effort], Measured]:
    """Programs of messages that take turns with their floor."""

    def measured(name: str, case: dict, effort: experiments.Effort) -> Measured:
        figures, rows = measure(name, case["bytes"], effort)
        return Measured(figures=figures, rows=rows)

    return measured


def _fairness(_name: str, case: dict, effort: experiments.Effort) -> Measured:
    return Measured(figures=bottleneck.fairness(case["megabits"], case["queue_ms"], effort))


def _loss(_name: str, case: dict, effort: experiments.Effort) -> Measured:
    figures = bottleneck.loss(case["megabits"], case["queue_ms"], case["loss_per_mille"], effort)
    return Measured(figures=figures)


def _idle_peers(_name: str, case: dict, effort: experiments.Effort) -> Measured:
    count = 500 if effort.is_quick else 10_000
    with place.loopback() as where:
        return Measured(figures=special.idle_peers(where, count, case["secure"]))


def _calls(name: str, case: dict, effort: experiments.Effort) -> Measured:
    figures, rows, absent = calls.measure(
        name, case["outstanding"], case.get("spin_us", 0), case.get("peer"), effort
    )
    return Measured(figures=figures, rows=rows, absent=absent)


def _python_calls(name: str, case: dict, effort: experiments.Effort) -> Measured:
    figures, rows, absent = calls.measure_python(name, case["outstanding"], effort)
    return Measured(figures=figures, rows=rows, absent=absent)


def _transfer(name: str, case: dict, effort: experiments.Effort) -> Measured:
    figures, rows = transfer.measure(name, case["mebibytes"], effort)
    return Measured(figures=figures, rows=rows)


def _jobs(name: str, case: dict, effort: experiments.Effort) -> Measured:
    with place.loopback() as where:
        figures, rows, absent = jobs.measure(name, case["size"], effort, where)
    return Measured(figures=figures, rows=rows, absent=absent)


def _fan_out(name: str, case: dict, effort: experiments.Effort) -> Measured:
    shape = events.Shape(case["subscribers"], case["batch"], case["bytes"], case.get("rate"))
    with place.loopback() as where:
        (outcome,) = events.fan_out(name, [shape], effort, where)
    events.print_fan_out(outcome)
    return Measured(medians=outcome.medians(), absent=outcome.absent, rows=outcome.rows())


def _fan_out_wider(name: str, case: dict, effort: experiments.Effort) -> Measured:
    shapes = [
        events.Shape(subscribers, case["batch"], case["bytes"])
        for subscribers in (case["beside"], case["subscribers"])
    ]
    with place.loopback() as where:
        outcomes, multiples = events.wider(name, shapes, effort, where)
    measured = Measured(absent=outcomes[0].absent)
    for outcome in outcomes:
        events.print_fan_out(outcome)
        measured.rows += outcome.rows()
    for subject, multiple in multiples.items():
        unit = f"CPU per delivery of that at {case['beside']}"
        row = (subject, "cpu_of_fewer", unit, multiple, multiple, multiple, effort.runs)
        measured.rows.append(results.Row("check", name, *row))
        print(f"{name}: {subject:<21}{multiple:>6.3f} of its CPU per delivery at {case['beside']}")
    if effort.ours in multiples:
        measured.figures["cpu_of_fewer"] = multiples[effort.ours]
    return measured


def _overload(name: str, case: dict, effort: experiments.Effort) -> Measured:
    shape = events.Shape(case["subscribers"], case["batch"], case["bytes"], case.get("rate"))
    with place.loopback() as where:
        outcomes, multiples = events.overload(name, shape, case["stalled"], effort, where)
    measured = Measured(absent=outcomes[0].absent)
    for outcome in outcomes:
        events.print_fan_out(outcome)
        measured.rows += outcome.rows()
    for subject, multiple in multiples.items():
        row = (subject, "p99_of_unstalled", "p99 without stalled subscribers", *3 * (multiple,), effort.runs)
        measured.rows.append(results.Row("check", name, *row))
        print(f"{name}: {subject:<21}{multiple:>6.3f} of its p99 without {case['stalled']} stalled")
    if effort.ours in multiples:
        measured.figures["p99_of_unstalled"] = multiples[effort.ours]
    return measured


def _idle_consumers(name: str, case: dict, effort: experiments.Effort) -> Measured:
    count = 500 if effort.is_quick else case["count"]
    with place.loopback() as where:
        per_consumer, rows, absent = events.idle_consumers(name, count, where)
    measured = Measured(rows=rows, absent=absent)
    if effort.ours in per_consumer:
        measured.figures["bytes_per_consumer"] = per_consumer[effort.ours]
    return measured


def _in_process(name: str, _case: dict, effort: experiments.Effort) -> Measured:
    figures, rows = channels.in_process(name, effort)
    return Measured(figures=figures, rows=rows)


def _persistent(name: str, _case: dict, effort: experiments.Effort) -> Measured:
    with place.loopback() as where:
        figures, rows, absent = channels.persistent(name, effort, where)
    return Measured(figures=figures, rows=rows, absent=absent)


KINDS = {
    "compare": _compare,
    "slow-reader": _slow_reader,
    "idle": _idle,
    "experiment3": _experiment_3,
    "rise-and-fall": _rise_and_fall,
    "messages": _messages,
    "calls": _calls,
    "python-calls": _python_calls,
    "transfer": _transfer,
    "ping": _beside_floor(messages.ping),
    "secure": _beside_floor(messages.secure),
    "trains": _beside_floor(messages.trains),
    "fairness": _fairness,
    "loss": _loss,
    "idle-peers": _idle_peers,
    "jobs": _jobs,
    "fan-out": _fan_out,
    "fan-out-wider": _fan_out_wider,
    "overload": _overload,
    "idle-consumers": _idle_consumers,
    "in-process": _in_process,
    "persistent": _persistent,
}


def run(area: str, effort: experiments.Effort, has_record: bool, only: list[str] | None = None) -> int:
    """Measures and judges the targets of `area`; 0 when all hold. `only` limits it to some target ids."""
    document = load_targets()
    targets = [target for target in document["target"] if target["area"] == area]
    targets = [target for target in targets if not only or target["id"] in only]
    if not targets:
        print(f"no targets: area {area}, ids {only or 'any'}")
        return 2
    started, cases, verdicts = time.monotonic(), {}, []
    for target in targets:
        name = target["case"]
        if name not in cases:
            cases[name] = measure(name, document["case"][name], effort)
            rows = cases[name].rows + [
                results.Row("check", name, effort.ours, figure, figure, value, value, value, 1)
                for figure, value in cases[name].figures.items()
            ]
            results.save(rows, area, has_record)
            if cases[name].figures:
                print(
                    f"{name}: "
                    + ", ".join(f"{key} {value:.4g}" for key, value in cases[name].figures.items())
                )
        verdicts += [(target, verdict) for verdict in judge(target, cases[name], effort.ours)]
    print_verdicts(verdicts)
    print(f"{time.monotonic() - started:.0f} s")
    return 0 if all(verdict.outcome == HOLDS for _, verdict in verdicts) else 1


def print_verdicts(verdicts: list[tuple[dict, Verdict]]) -> None:
    """Every target with its limits and figures, lost ones too."""
    previous = None
    for target, verdict in verdicts:
        if target["id"] != previous:
            print(f"\n{target['id']}: {target['text']}")
            previous = target["id"]
        print(f"  {verdict.outcome:<13} {verdict.limit:<55} {verdict.figure}")
    count = {
        outcome: sum(verdict.outcome == outcome for _, verdict in verdicts)
        for outcome in (HOLDS, FALLS_SHORT, NOT_MEASURED)
    }
    print("\n" + ", ".join(f"{count[outcome]} {outcome}" for outcome in count))
