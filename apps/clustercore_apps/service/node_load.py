"""How busy this node is: `/proc/stat` and the load average."""

from __future__ import annotations

import os
from pathlib import Path


class NodeLoad:
    """CPU use between two samples."""

    def __init__(self) -> None:
        self._before = _cpu_ticks()

    def sample(self) -> dict[str, float]:
        """`cpu_node` is the busy share of all cores since the last sample, 0..=1; `load_average` that of a
        minute.
        """
        now = _cpu_ticks()
        busy, total = now[0] - self._before[0], now[1] - self._before[1]
        self._before = now
        return {"cpu_node": round(busy / total, 4) if total > 0 else 0.0, "load_average": os.getloadavg()[0]}


def cores_usable() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) or 1


def _cpu_ticks() -> tuple[int, int]:
    """Busy and all ticks since boot, proc_stat(5): user nice system idle iowait irq softirq steal."""
    fields = [
        int(word) for word in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
    ]
    return sum(fields) - fields[3] - fields[4], sum(fields)
