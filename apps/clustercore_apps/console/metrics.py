"""`/metrics`: the state of the front end in Prometheus' text format, through its own client library."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST
NOW_COUNTERS = ("clients_open", "local_in_flight", "queue_length", "requests_active")
"""Those of the forwarder's counters that also go down."""
LEVELS = {"low": 0, "medium": 1, "high": 2}


def render(
    snapshot: dict[str, Any], counters: dict[str, int], decisions: dict[tuple[str, str], int]
) -> bytes:
    """The text for one scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_State(snapshot, counters, decisions))
    return generate_latest(registry)


class _State(Collector):
    """Turns one snapshot into metric families."""

    def __init__(
        self, snapshot: dict[str, Any], counters: dict[str, int], decisions: dict[tuple[str, str], int]
    ) -> None:
        self._snapshot = snapshot
        self._counters = counters
        self._decisions = decisions

    def collect(self) -> Iterable[Metric]:
        yield from self._front()
        yield from self._services()
        yield from self._back_ends()
        yield from self._nodes()

    def _front(self) -> Iterable[Metric]:
        front = self._snapshot["front"]
        yield _gauge("clustercore_ready", "1 when the front end serves.", [], [([], int(front["ready"]))])
        yield _gauge(
            "clustercore_uptime_seconds",
            "Seconds since the front end started.",
            [],
            [([], front["uptime_seconds"])],
        )
        rows = [([service or "-", kind], count) for (service, kind), count in sorted(self._decisions.items())]
        yield _counter(
            "clustercore_decisions", "Entries of the event log by kind.", ["service", "kind"], rows
        )
        yield from self._channel()
        core = [([name], value) for name, value in sorted(self._counters.items())]
        yield _counter("clustercore_core", "Counters of the core by name.", ["counter"], core)

    def _channel(self) -> Iterable[Metric]:
        channel = self._snapshot["channel"]
        if channel is None:
            return
        linked = [([channel["name"]], int(channel["fault"] == ""))]
        label = ["channel"]
        yield _gauge("clustercore_channel_linked", "1 while its server is there.", label, linked)
        for key, text in (
            ("published", "Events that the channel server has taken."),
            ("discarded", "Events that were not sent: no room, or lost with their link."),
        ):
            yield _counter(f"clustercore_channel_{key}", text, label, [([channel["name"]], channel[key])])
        waiting = [([channel["name"]], channel["waiting"])]
        yield _gauge("clustercore_channel_waiting", "Events that are still to be sent.", label, waiting)

    def _services(self) -> Iterable[Metric]:
        services = self._snapshot["services"]
        label = ["service"]
        local = [([one["name"]], int(one["serving"] == "local")) for one in services]
        yield _gauge("clustercore_serving_local", "1 while the child list is empty.", label, local)
        rates = [([one["name"]], one["rate"]) for one in services]
        yield _gauge("clustercore_requests_per_second", "Rate over the last half second.", label, rates)
        thresholds = [
            ([one["name"], one["load_signal"], level], one[level])
            for one in services
            for level in ("medium", "high")
        ]
        yield _gauge(
            "clustercore_threshold",
            "Where a level begins, in the unit of the load signal.",
            ["service", "signal", "level"],
            thresholds,
        )
        stats = [
            ([one["name"], key], value) for one in services for key, value in sorted(one["stats"].items())
        ]
        label = ["service", "counter"]
        counted = [row for row in stats if row[0][1] not in NOW_COUNTERS]
        yield _counter("clustercore_forwarder", "Counters of the forwarder by name.", label, counted)
        now = [row for row in stats if row[0][1] in NOW_COUNTERS]
        yield _gauge("clustercore_forwarder_now", "What the forwarder has at this moment.", label, now)
        latency = [
            ([one["name"], key], value) for one in services for key, value in sorted(one["latency"].items())
        ]
        yield _gauge(
            "clustercore_latency_seconds", "Response time by percentile.", ["service", "percentile"], latency
        )

    def _back_ends(self) -> Iterable[Metric]:
        rows = [(one["name"], child) for one in self._snapshot["services"] for child in one["children"]]
        label = ["service", "node"]
        state = [([name, child["node"], child["state"]], 1) for name, child in rows]
        yield _gauge("clustercore_back_end_state", "1 for the state it is in.", [*label, "state"], state)
        for key, text in (
            ("in_flight", "Requests in flight."),
            ("cores", "Cores of its node."),
            ("load", "Load in the unit of the service's load signal."),
        ):
            values = [([name, child["node"]], child[key]) for name, child in rows]
            yield _gauge(f"clustercore_back_end_{key}", text, label, values)
        levels = [
            ([name, child["node"]], LEVELS[child["level"]])
            for name, child in rows
            if child["level"] in LEVELS
        ]
        yield _gauge("clustercore_back_end_level", "0 low, 1 medium, 2 high.", label, levels)
        for key, text in (("requests", "Requests sent to it."), ("failures", "Requests that failed there.")):
            values = [([name, child["node"]], child[key]) for name, child in rows]
            yield _counter(f"clustercore_back_end_{key}", text, label, values)

    def _nodes(self) -> Iterable[Metric]:
        nodes = self._snapshot["nodes"]
        connected = [([one["name"]], int(one["connected"])) for one in nodes]
        yield _gauge("clustercore_node_connected", "1 while its agent is connected.", ["node"], connected)
        lent = [([one["name"], one["service"]], 1) for one in nodes if one["service"]]
        yield _gauge(
            "clustercore_node_lent", "1 for the service that has borrowed it.", ["node", "service"], lent
        )
        cpu = [([one["name"]], one["cpu"]) for one in nodes]
        yield _gauge("clustercore_node_cpu_ratio", "Busy share of the node's CPU, 0 to 1.", ["node"], cpu)


def _gauge(name: str, text: str, labels: list[str], rows: Any) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _counter(name: str, text: str, labels: list[str], rows: Any) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family
