"""The samples of a service's load signal, in its unit: of the local instance and of each back end."""

from __future__ import annotations

from collections.abc import Container, Mapping

import clustercore

from clustercore_apps.service.load_signal import LatencyReading, LoadSignal, Served
from clustercore_apps.service.supervisor import Supervisor

LOCAL_CPU_SECONDS = 0.25
"""How often the CPU time of the local instance is read, which goes through its processes."""
PERCENT = 100.0


class Readings:
    """Of CPU use, what agents report every half second and the local supervisor reads; of latency, what the
    forwarder has counted.
    """

    def __init__(self, signal: LoadSignal) -> None:
        self._is_cpu = signal.name == "cpu"
        self._latency: dict[int, LatencyReading] = {}
        self._local_key: int | None = None
        self._local_cpu = 0.0
        self._local_cpu_due = 0.0

    def of_local(self, now: float, supervisor: Supervisor, row: clustercore.Backend | None) -> float:
        """Load of the local instance; 0 without one."""
        self._local_key = row.key if row is not None else None
        if row is None:
            return 0.0
        if not self._is_cpu:
            return self._latency_of(now, row)
        if now >= self._local_cpu_due:
            self._local_cpu_due = now + LOCAL_CPU_SECONDS
            self._local_cpu = PERCENT * float(supervisor.load()["cpu_service"]) / max(1, row.cores)
        return self._local_cpu

    def of_back_end(
        self, now: float, row: clustercore.Backend, reported: Mapping[str, float], cores: int
    ) -> float:
        """Load of a back end; `reported` is what the agent of its node said last."""
        if self._is_cpu:
            return PERCENT * reported.get("cpu_service", 0.0) / max(1, cores)
        return self._latency_of(now, row)

    def forget_all_but(self, keys: Container[int]) -> None:
        """Forgets back ends that are gone, and former local instances."""
        self._latency = {
            key: one for key, one in self._latency.items() if key in keys or key == self._local_key
        }

    def _latency_of(self, now: float, row: clustercore.Backend) -> float:
        return self._latency.setdefault(row.key, LatencyReading()).look(now, served(row))


def served(row: clustercore.Backend) -> Served:
    """What a back end has done so far."""
    done = max(0, row.requests - row.failures - row.in_flight)
    return Served(done, row.latency_us_total / 1e6, row.in_flight)
