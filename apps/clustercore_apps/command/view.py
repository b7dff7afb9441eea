"""The state of a front end for a terminal: once (`status`) or live (`top`)."""

from __future__ import annotations

import time
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from clustercore_apps.command.client import ConsoleClient
from clustercore_apps.errors import OperatorError

COLORS = {
    "active": "green",
    "low": "green",
    "medium": "yellow",
    "high": "red",
    "starting": "blue",
    "draining": "yellow",
    "stopping": "yellow",
    "ejected": "red",
    "failed": "red",
    "idle": "dim",
}
BLOCKS = " ▁▂▃▄▅▆▇█"
SPARK_POINTS = 40


def show_status(client: ConsoleClient) -> None:
    """Prints the state once."""
    Console().print(render(client.state(), decisions=8))


def show_top(client: ConsoleClient, interval: float, rounds: int | None) -> None:
    """Redraws every `interval` seconds until Ctrl-C, or `rounds` times."""
    state = client.state()
    console = Console()
    left = rounds
    with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
        while True:
            live.update(render(state, decisions=15), refresh=True)
            if left is not None:
                left -= 1
                if left <= 0:
                    return
            time.sleep(interval)
            try:
                state = client.state()
            except OperatorError as error:
                live.update(Group(render(state, decisions=15), Text(str(error), style="red")), refresh=True)


def render(state: dict[str, Any], decisions: int) -> Group:
    """The whole picture."""
    front = state["front"]
    uptime = time.strftime("%H:%M:%S", time.gmtime(front["uptime_seconds"]))
    head = Text.assemble(
        (f"clustercore {front['version']}", "bold"), f"  {front['name']}  up {uptime}  {front['driver']}"
    )
    parts: list[Any] = [head, *_channel(state.get("channel"))]
    for service in state["services"]:
        parts += [_service_line(service), _children(service)]
    parts += [_nodes(state["nodes"]), _decisions(state["decisions"][-decisions:])]
    return Group(*parts)


def _channel(channel: dict[str, Any] | None) -> list[Text]:
    if channel is None:
        return []
    place = f"events in channel {channel['name']} on {channel['server']}"
    if channel["fault"]:
        return [Text(f"{place}: {channel['fault']}; {channel['waiting']} wait", style="red")]
    lost = f", {channel['discarded']} discarded" if channel["discarded"] else ""
    return [Text(f"{place}: {channel['published']} published{lost}", style="dim")]


def spark(values: list[float]) -> str:
    """The values as a line of blocks, scaled to the largest."""
    most = max(values, default=0) or 1
    return "".join(BLOCKS[min(8, round(value / most * 8))] for value in values[-SPARK_POINTS:])


def duration(seconds: float) -> str:
    """`850 us`, `12.3 ms`, `1.20 s`."""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} us"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _service_line(service: dict[str, Any]) -> Text:
    latency = service["latency"]
    percentiles = "  ".join(f"{name} {duration(latency.get(name, 0))}" for name in ("p50", "p99", "max"))
    serving = "front end serves alone" if service["serving"] == "local" else "back ends serve"
    return Text.assemble(
        (f"\n{service['name']}", "bold"),
        f"  {', '.join(service['listen'])}  {serving}  {service['rate']:.0f} requests/s  {percentiles}  ",
        (spark(service["history"]["rate"]), "cyan"),
        (f"\n  {_thresholds(service)}", "dim"),
    )


def _thresholds(service: dict[str, Any]) -> str:
    learnt = ", learnt" if service["thresholds"] == "auto" else ""
    levels = (
        f"Medium from {service['medium']:g}, High from {service['high']:g} {service['load_unit']}{learnt}"
    )
    return f"load by {service['load_signal'].replace('_', ' ')}: {levels}"


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=False)
    for column in columns:
        is_number = column in ("in flight", "load", "cores", "requests", "failures", "mean", "cpu")
        table.add_column(column, justify="right" if is_number else "left")
    return table


def _children(service: dict[str, Any]) -> Table:
    table = _table(
        "child list",
        "address",
        "state",
        "level",
        "load",
        "in flight",
        "cores",
        "requests",
        "failures",
        "mean",
    )
    local = service["local"]
    if local:
        figures = (str(local["in_flight"]), str(local["cores"]), "", "", "")
        level = _colored(local["level"] if service["serving"] == "local" else "")
        table.add_row(
            "(local)", local["address"], _colored(local["phase"]), level, f"{local['load']:.1f}", *figures
        )
    for child in service["children"]:
        table.add_row(
            child["node"],
            child["address"],
            _colored(child["state"]),
            _colored(child["level"]),
            f"{child['load']:.1f}",
            *(str(child[key]) for key in ("in_flight", "cores", "requests", "failures")),
            duration(child["latency_us_mean"] / 1e6),
        )
    return table


def _nodes(nodes: list[dict[str, Any]]) -> Table:
    table = _table("node", "agent", "state", "lent to", "cores", "cpu", "says")
    for node in nodes:
        state = _colored(node["phase"]) if node["connected"] else Text("not connected", style="red")
        says = node["detail"] if node["connected"] else node["fault"]
        if node["back_off_seconds"] > 0:
            says = f"tried again in {node['back_off_seconds']:g} s; {says}"
        lent = node["service"] or (f"({node['held_by']})" if node["held_by"] else "")
        table.add_row(
            node["name"], node["agent"], state, lent, str(node["cores"]), f"{node['cpu']:.0%}", says
        )
    return table


def _decisions(decisions: list[dict[str, Any]]) -> Table:
    table = _table("time", "decision", "service", "node", "reason")
    for one in reversed(decisions):
        clock = time.strftime("%H:%M:%S", time.localtime(one["time_unix"]))
        table.add_row(clock, _colored(one["kind"]), one["service"], one["node"], one["reason"])
    return table


def _colored(word: str) -> Text:
    return Text(word.replace("_", " "), style=COLORS.get(word, ""))
