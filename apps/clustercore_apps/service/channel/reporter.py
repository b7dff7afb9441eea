"""Looks at the front end and tells what has changed: node states, levels; and, again and again, loads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from clustercore_apps.service.channel.notice import (
    NODE_CHANGED,
    NODE_JOINED,
    NODE_LOAD,
    NODE_LOST,
    Notice,
    of_level,
    of_node,
)
from clustercore_apps.service.channel.publisher import Publisher
from clustercore_apps.service.manager import ServiceManager
from clustercore_apps.service.nodes import Nodes

LOOK_SECONDS = 0.25
REPORT_LOOKS = 4
"""In so many looks each node's load is reported, some in each, and levels are compared once."""


class NodeWatch:
    """Tells, from one look to the next, what a node has become."""

    def __init__(self, front: str) -> None:
        self._front = front
        self._before: dict[str, tuple[Any, ...]] = {}

    def look(self, time_unix: float, rows: list[dict[str, Any]]) -> list[Notice]:
        """Notices of what is not as it was; a node that was never connected is not lost."""
        notices = []
        for row in rows:
            state = (row["connected"], row["phase"], row["service"], row["held_by"], row["detail"])
            before = self._before.get(row["name"])
            self._before[row["name"]] = state
            if state == before or (before is None and not row["connected"]):
                continue
            was_connected = before is not None and before[0]
            kind = NODE_CHANGED
            if was_connected != row["connected"]:
                kind = NODE_JOINED if row["connected"] else NODE_LOST
            notices.append(of_node(self._front, kind, time_unix, row))
        return notices


class LevelWatch:
    """Tells, from one look to the next, whose level is another one."""

    def __init__(self, front: str) -> None:
        self._front = front
        self._before: dict[tuple[str, str], str] = {}

    def look(self, time_unix: float, children: dict[str, list[dict[str, Any]]]) -> list[Notice]:
        """`children` are the child lists by service."""
        now = {
            (service, child["node"]): (service, child)
            for service, rows in children.items()
            for child in rows
            if child["level"]
        }
        notices = [
            of_level(self._front, time_unix, service, self._before.get(key, ""), child)
            for key, (service, child) in now.items()
            if child["level"] != self._before.get(key, "")
        ]
        self._before = {key: child["level"] for key, (_, child) in now.items()}
        return notices


class Reporter:
    """Of one front end; `run` it in the front end's loop."""

    def __init__(
        self,
        front: str,
        nodes: Nodes,
        managers: dict[str, ServiceManager],
        publisher: Publisher,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._front = front
        self._nodes = nodes
        self._managers = managers
        self._publisher = publisher
        self._clock = clock
        self._node_watch = NodeWatch(front)
        self._level_watch = LevelWatch(front)

    async def run(self) -> None:
        """Until cancelled."""
        looks = 0
        while True:
            self._look(looks % REPORT_LOOKS)
            looks += 1
            await asyncio.sleep(LOOK_SECONDS)

    def _look(self, phase: int) -> None:
        now, time_unix = time.monotonic(), self._clock()
        rows = self._nodes.snapshot(now)
        states = self._node_watch.look(time_unix, rows)
        if phase == 0:
            children = {name: manager.child_snapshot(now) for name, manager in self._managers.items()}
            states += self._level_watch.look(time_unix, children)
        if states:
            self._publisher.publish(*states)
        loads = [of_node(self._front, NODE_LOAD, time_unix, row) for row in rows[phase::REPORT_LOOKS]]
        if loads:
            self._publisher.publish(*loads, is_load=True)
