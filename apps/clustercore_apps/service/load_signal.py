"""What load is measured by: the unit of each signal, and the samples of those that are sampled.

Requests in flight are counted by the core at each moment. CPU use and latency are samples, told to the core a
few times a second; between two of them a burst goes unseen, so that such back ends have a limit as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

LATENCY_SMOOTHING_SECONDS = 0.25
"""A sample of latency counts for so long: after it, the next ones have outweighed it."""


@dataclass(frozen=True, slots=True)
class LoadSignal:
    """One signal. The core's number is the file's times `scale`."""

    name: str
    medium_key: str
    high_key: str
    unit: str
    scale: float
    least: float
    most: float

    @property
    def is_sampled(self) -> bool:
        """True when the core must be told."""
        return self.name != "in_flight"

    def level(self, load: float, medium: float, high: float) -> str:
        """The level of a load, all in this signal's unit."""
        return "high" if load >= high else "medium" if load >= medium else "low"


SIGNALS = {
    signal.name: signal
    for signal in (
        LoadSignal("in_flight", "medium_per_core", "high_per_core", "requests per core", 1, 0.01, 100_000),
        LoadSignal("cpu", "medium_percent", "high_percent", "% of its CPU", 0.01, 1, 100),
        LoadSignal("latency", "medium_ms", "high_ms", "ms", 1, 0.01, 600_000),
    )
}


@dataclass(frozen=True, slots=True)
class Served:
    """What a server has done so far, as the forwarder counts it; times are in seconds."""

    done: int
    seconds_total: float
    in_flight: int


class LatencyReading:
    """The recent response time of one server, from two looks at what it has done."""

    def __init__(self) -> None:
        self.milliseconds = 0.0
        self._before: tuple[float, Served] | None = None
        self._progress = 0.0

    def look(self, now: float, served: Served) -> float:
        """`now` is seconds of a steady clock. Returns milliseconds; 0 for one that has nothing to do.

        A server that holds requests and answers none of them has at least the time since it last did.
        """
        before, self._before = self._before, (now, served)
        if before is None:
            self._progress = now
            return self.milliseconds
        done = served.done - before[1].done
        if done > 0:
            self._progress = now
            self._blend(now - before[0], 1e3 * (served.seconds_total - before[1].seconds_total) / done)
        elif served.in_flight == 0:
            self._progress = now
            self._blend(now - before[0], 0.0)
        else:
            self.milliseconds = max(self.milliseconds, 1e3 * (now - self._progress))
        return self.milliseconds

    def _blend(self, seconds: float, milliseconds: float) -> None:
        part = 1 - math.exp(-max(0.0, seconds) / LATENCY_SMOOTHING_SECONDS)
        self.milliseconds += part * (milliseconds - self.milliseconds)


def to_be_told(loads: list[float], high: float) -> list[float]:
    """The samples as the core gets them, in its unit.

    When all servers are High by a sample, none of them would get a request until the next one, however much
    room it has by then: they count as just below High, and their limits bound them.
    """
    if not loads or min(loads) < high:
        return loads
    return [min(load, high * JUST_BELOW) for load in loads]


JUST_BELOW = 0.98
