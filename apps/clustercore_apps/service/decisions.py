"""The event log: every decision with its reason and numbers, in memory for the console and on disk for later.

One JSON object per line. When the file reaches `bytes_max` it becomes `<name>.1` (which replaces the older
one), so the disk holds at most twice the bound.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

log = logging.getLogger("clustercore.front")

EVENTS_IN_MEMORY_MAX = 1000


@dataclass(frozen=True, slots=True)
class Decision:
    """What happened to what, and why.

    `time_unix` is wall-clock seconds; `number` counts from 1 in this process.
    """

    number: int
    time_unix: float
    kind: str
    service: str
    node: str
    reason: str
    figures: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """As it stands in the log and on the console."""
        return {
            "number": self.number,
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self.time_unix))
            + f".{int(self.time_unix % 1 * 1000):03d}Z",
            "time_unix": round(self.time_unix, 3),
            "kind": self.kind,
            "service": self.service,
            "node": self.node,
            "reason": self.reason,
            **({"figures": self.figures} if self.figures else {}),
        }


class EventLog:
    """Takes decisions. A file that cannot be written is said once and does not stop the front end."""

    def __init__(self, path: Path | None, bytes_max: int, clock: Callable[[], float] = time.time) -> None:
        self.counts: dict[tuple[str, str], int] = {}
        self.on_decision: Callable[[Decision], None] = lambda _decision: None
        self._ring: deque[Decision] = deque(maxlen=EVENTS_IN_MEMORY_MAX)
        self._path = path
        self._bytes_max = bytes_max
        self._clock = clock
        self._number = 0
        self._descriptor: int | None = None
        self._size = 0
        self._has_failed = False

    def add(self, kind: str, reason: str, *, service: str = "", node: str = "", **figures: Any) -> Decision:
        """Records one decision; `figures` are the numbers that it was made from."""
        self._number += 1
        decision = Decision(self._number, self._clock(), kind, service, node, reason, figures)
        self._ring.append(decision)
        self.counts[service, kind] = self.counts.get((service, kind), 0) + 1
        self._write(decision)
        self.on_decision(decision)
        log.info("%s %s %s: %s", kind, service, node, reason)
        return decision

    def latest(self, count: int, after: int = 0) -> list[Decision]:
        """The newest `count` decisions whose number is above `after`, oldest first."""
        newest = [decision for decision in self._ring if decision.number > after]
        return newest[-count:] if count > 0 else []

    def close(self) -> None:
        """Closes the file; later decisions open it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _write(self, decision: Decision) -> None:
        if self._path is None:
            return
        line = json.dumps(decision.to_json(), separators=(",", ":"), default=str).encode() + b"\n"
        try:
            if self._descriptor is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
                self._descriptor = os.open(self._path, flags, 0o640)
                self._size = os.fstat(self._descriptor).st_size
            if self._size + len(line) > self._bytes_max and self._size > 0:
                self.close()
                os.replace(self._path, self._path.with_name(self._path.name + ".1"))
                self._write(decision)
                return
            self._size += os.write(self._descriptor, line)
            self._has_failed = False
        except OSError as error:
            if not self._has_failed:
                log.error("event log %s cannot be written: %s", self._path, error.strerror)
            self._has_failed = True
