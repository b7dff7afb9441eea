"""A few minutes of figures for the console's charts, bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

POINTS_MAX = 180
REQUEST_COUNTER = "requests"


class History:
    """Rate, in-flight, latency and back ends, one point per call of `add`."""

    def __init__(self) -> None:
        self.rate = 0.0
        self._before: tuple[float, int] | None = None
        self._points: deque[tuple[float, int, float, float, int]] = deque(maxlen=POINTS_MAX)

    def add(
        self, now: float, stats: Mapping[str, int], latency: Mapping[str, float], in_flight: int, active: int
    ) -> None:
        """`now` is seconds of a steady clock; `latency` is in seconds by percentile name."""
        requests = int(stats.get(REQUEST_COUNTER, 0))
        if self._before is not None and now > self._before[0]:
            self.rate = max(0, requests - self._before[1]) / (now - self._before[0])
        self._before = (now, requests)
        self._points.append(
            (round(self.rate, 1), in_flight, latency.get("p50", 0.0), latency.get("p99", 0.0), active)
        )

    def to_json(self) -> dict[str, list[Any]]:
        """One list per line of the charts, oldest first."""
        names = ("rate", "in_flight", "p50", "p99", "back_ends")
        return {name: [point[index] for point in self._points] for index, name in enumerate(names)}
