"""Thresholds learnt from the front end's observed latency against concurrency (`thresholds = "auto"`).

What a server completed between two looks gives both: the mean response time, and by Little's law the mean
number of requests in flight, which is the sum of their times divided by the time between the looks. The curve
and its knee are `clustercore.AutoThresholds`'s.

Source: J. Little, "A proof for the queuing formula L = λW", 1961.
"""

from __future__ import annotations

from dataclasses import dataclass

import clustercore

from clustercore_apps.service.load_signal import Served

PARTS_PER_CORE = 4
"""Concurrency is learnt in quarters of a request per core."""
LOOK_SECONDS = 0.1
"""Shorter looks see too few requests for a mean."""
DECIDE_SECONDS = 5.0
CHANGE_RATIO_MIN = 1.1
"""Thresholds that moved by less are left as they are."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """New thresholds in requests per core, and the least response time that they follow from, in seconds."""

    medium: float
    high: float
    latency_min: float


class ThresholdLearner:
    """Learns one service's thresholds over all its servers, which should be alike."""

    def __init__(self, medium: float, high: float) -> None:
        self.medium, self.high = medium, high
        self._auto = clustercore.AutoThresholds(
            cores=PARTS_PER_CORE, medium_per_core=medium, high_per_core=high
        )
        self._before: dict[int, tuple[float, Served]] = {}
        self._decide_due = 0.0

    def look(self, now: float, servers: dict[int, tuple[int, Served]]) -> Learnt | None:
        """`servers` has cores and what was done by key. Returns thresholds when they have changed."""
        self._before = {key: before for key, before in self._before.items() if key in servers}
        for key, (cores, served) in servers.items():
            before = self._before.get(key)
            if before is not None and now - before[0] < LOOK_SECONDS:
                continue
            self._before[key] = (now, served)
            if before is not None:
                self._observe(now, now - before[0], cores, before[1], served)
        if now < self._decide_due:
            return None
        self._decide_due = now + DECIDE_SECONDS
        return self._decide()

    def _observe(self, now: float, seconds: float, cores: int, before: Served, after: Served) -> None:
        done, busy = after.done - before.done, after.seconds_total - before.seconds_total
        if done > 0 and busy > 0:
            parts = round(PARTS_PER_CORE * busy / seconds / max(1, cores))
            self._auto.observe(now, max(1, parts), busy / done)

    def _decide(self) -> Learnt | None:
        medium, high = self._auto.thresholds()
        least = self._auto.latency_min()
        if least is None or not (_has_moved(self.medium, medium) or _has_moved(self.high, high)):
            return None
        self.medium, self.high = medium, high
        return Learnt(medium, high, least)


def _has_moved(before: float, after: float) -> bool:
    low, high = sorted((before, after))
    return high > low * CHANGE_RATIO_MIN
