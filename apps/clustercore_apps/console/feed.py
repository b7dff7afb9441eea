"""Decisions and node states as the console gets them: a consumer of the front end's channel.

Its queues at the server are bounded and discard the oldest; what it keeps here is bounded too. It begins with
what the channel remembers, so a console that comes late knows the recent decisions.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import OrderedDict
from typing import Any

import clustercore

from clustercore_apps.channel.client import ChannelClient
from clustercore_apps.errors import OperatorError
from clustercore_apps.service.channel.notice import DECISION, NODE_LOAD
from clustercore_apps.service.channel.reach import Reach
from clustercore_apps.service.channel.worker import ChannelWorker
from clustercore_apps.service.config import ChannelConfig

DECISIONS_MAX = 1000
QUEUE_MAX = 8192
NODES_MAX = 1024
BODY_BYTES_MAX = 64 << 10
NUMBER_MAX = 1 << 53
TAKE_MAX = 256
CLOSE_SECONDS = 1.0

TEXTS_OF_DECISION = ("time", "kind", "service", "node", "reason")
TEXTS_OF_NODE = ("name", "agent", "fault", "phase", "detail", "service", "held_by")
NUMBERS_OF_NODE = ("cores", "cpu", "cpu_service", "connections", "back_off_seconds")


class Feed(ChannelWorker):
    """Of one console. What it takes in is other people's bytes: what has not the right shape is counted."""

    def __init__(self, reach: Reach, config: ChannelConfig, front: str) -> None:
        super().__init__(reach, f"console of {front}")
        self.malformed = 0
        self._config = config
        self._front = front
        self._lock = threading.Lock()
        # By the id of the event, which comes again when a link was lost.
        self._decisions: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._nodes: dict[str, dict[str, Any]] = {}
        self._heard = 0.0
        self._handles: list[int] = []
        self._begun = 0

    def snapshot(self, decisions: int) -> dict[str, Any]:
        """The newest decisions, the nodes by name, and how this console knows."""
        with self._lock:
            newest = list(self._decisions.values())[-decisions:]
            return {
                "decisions": newest,
                "nodes": dict(self._nodes),
                "live": {
                    "channel": self._config.name,
                    "server": self.reach.server,
                    "fault": self.fault,
                    "heard_unix": round(self._heard, 3),
                    "malformed": self.malformed,
                },
            }

    def begin(self, client: ChannelClient) -> None:
        there = client.ask("list")["channels"]
        for channel in (self._config.name, self._config.loads):
            if channel not in there:
                raise OperatorError(f"channel {channel} is not there yet, or not for us")
        # A name of this link alone: who begins anew begins with what the channel remembers, and the server
        # may not have noticed yet that an earlier one is gone.
        self._begun += 1
        name = f"console-{self._front}-{os.getpid()}" + (f"-{self._begun}" if self._begun > 1 else "")
        quality = {"length_max": QUEUE_MAX, "discard": "oldest"}
        whose = f"front == {json.dumps(self._front)}"
        states = f'{whose} && (type.startsWith("{DECISION}") || type.startsWith("clustercore.node."))'
        decisions = client.participant.consume(
            self._config.name, name=name, spec={"filter": states, "qos": quality, "start": "earliest"}
        )
        loads = client.participant.consume(
            self._config.loads,
            name=name,
            spec={"filter": f'{whose} && type == "{NODE_LOAD}"', "qos": quality},
        )
        self._handles = [decisions, loads]
        client.settle()

    def work(self, client: ChannelClient, _news: list[dict[str, Any]]) -> None:
        while deliveries := client.participant.take(TAKE_MAX):
            with self._lock:
                for delivery in deliveries:
                    self._take(delivery.event)

    def finish(self, client: ChannelClient) -> None:
        # Or they would stay for a while, as those of a lost link.
        for handle in self._handles:
            client.participant.close_proxy(handle)
        client.settle()

    def _take(self, event: clustercore.ChannelEvent) -> None:
        body = _object(event.body)
        is_decision = event.type.startswith(DECISION)
        row = None if body is None else _decision(body) if is_decision else _node(body)
        if row is None:
            self.malformed += 1
            return
        self._heard = time.time()
        if is_decision:
            self._decisions[event.id] = row
            if len(self._decisions) > DECISIONS_MAX:
                self._decisions.popitem(last=False)
        elif row["name"] in self._nodes or len(self._nodes) < NODES_MAX:
            self._nodes[row["name"]] = row


def _object(body: bytes) -> dict[str, Any] | None:
    if len(body) > BODY_BYTES_MAX:
        return None
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _decision(body: dict[str, Any]) -> dict[str, Any] | None:
    number, time_unix = body.get("number"), body.get("time_unix")
    if not _is_number(number) or not _is_number(time_unix):
        return None
    return _texts(body, TEXTS_OF_DECISION, {"number": number, "time_unix": time_unix})


def _node(body: dict[str, Any]) -> dict[str, Any] | None:
    numbers = {name: body.get(name) for name in NUMBERS_OF_NODE}
    if not all(_is_number(number) for number in numbers.values()):
        return None
    return _texts(body, TEXTS_OF_NODE, {"connected": body.get("connected") is True, **numbers})


def _is_number(value: Any) -> bool:
    """Of those that the page can show: JSON of a browser knows neither infinity nor NaN."""
    return type(value) in (int, float) and -NUMBER_MAX <= value <= NUMBER_MAX


def _texts(body: dict[str, Any], names: tuple[str, ...], row: dict[str, Any]) -> dict[str, Any] | None:
    texts = {name: body.get(name) for name in names}
    return {**row, **texts} if all(isinstance(text, str) for text in texts.values()) else None
