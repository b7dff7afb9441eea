"""What the page is shown twice a second: the front end's own figures, and decisions and node states as the
channel tells them.
"""

from __future__ import annotations

from typing import Any

from clustercore_apps.console.feed import CLOSE_SECONDS, Feed
from clustercore_apps.service.front import DECISIONS_SHOWN, Front

NOT_HEARD = "nothing was heard of it yet"


class LiveView:
    """Of one console. Without a channel the front end's own lists are shown, and `live` is `None`."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._feed: Feed | None = None

    def open(self) -> None:
        """Begins to consume."""
        config, publisher = self._front.config.channel, self._front.publisher
        if config is not None and publisher is not None:
            self._feed = Feed(publisher.reach, config, self._front.config.name)
            self._feed.start()

    def close(self) -> None:
        """Ends it; waits a little."""
        if self._feed is not None:
            self._feed.close(CLOSE_SECONDS)
            self._feed = None

    def snapshot(self) -> dict[str, Any]:
        """Ready for JSON."""
        state = self._front.snapshot(DECISIONS_SHOWN)
        if self._feed is None:
            return {**state, "live": None}
        heard = self._feed.snapshot(DECISIONS_SHOWN)
        nodes = [heard["nodes"].get(node["name"], _unheard(node)) for node in state["nodes"]]
        return {**state, **heard, "nodes": nodes}


def _unheard(node: dict[str, Any]) -> dict[str, Any]:
    """Of the row only what the configuration says."""
    unknown = {"connected": False, "fault": NOT_HEARD, "phase": "unknown", "detail": "", "service": ""}
    zeros = {"cores": 0, "cpu": 0.0, "cpu_service": 0.0, "connections": 0, "back_off_seconds": 0.0}
    return {"name": node["name"], "agent": node["agent"], "held_by": "", **unknown, **zeros}
