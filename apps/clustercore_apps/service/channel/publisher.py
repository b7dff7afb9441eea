"""Publishes notices from a thread of its own, so that the front end never waits for a channel.

What cannot be sent yet waits in two bounded queues, one for each channel; when one is full its oldest notice
is discarded and counted. What was sent is kept until the server has taken it, and sent again over the next
link; it has the same id then, by which the channel knows it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import clustercore

from clustercore_apps.channel.client import ChannelClient
from clustercore_apps.errors import OperatorError
from clustercore_apps.service.channel.notice import Notice
from clustercore_apps.service.channel.reach import Reach
from clustercore_apps.service.channel.worker import ChannelWorker
from clustercore_apps.service.config import ChannelConfig

log = logging.getLogger("clustercore.front")

WAITING_MAX = 4096
BATCH_MAX = 256
SENT_MAX = 1024
FAREWELL_SECONDS = 1.0
KEPT_BYTES_MAX = 64 << 20
REPEATS_WINDOW = 1024
"""An event that was sent again after a lost link is known among so many."""


@dataclass(slots=True)
class _Lane:
    """One channel, what waits for it, and what was sent but not taken yet.

    `refused` are those of `sent` that never will be.
    """

    channel: str
    config: dict[str, Any]
    waiting: deque[Notice] = field(default_factory=deque)
    sent: deque[clustercore.ChannelEvent] = field(default_factory=deque)
    handle: int = 0
    refused: int = 0


class Publisher(ChannelWorker):
    """Of one front end."""

    def __init__(self, reach: Reach, config: ChannelConfig, front: str) -> None:
        super().__init__(reach, f"front end {front}")
        repeats = {"repeats_window": REPEATS_WINDOW}
        kept = {"retention_events_max": config.kept, "retention_bytes_max": KEPT_BYTES_MAX}
        self._lanes = (_Lane(config.name, repeats | kept), _Lane(config.loads, repeats))
        self._lock = threading.Lock()
        self._number = 0
        self._taken = 0
        self._discarded = 0

    def publish(self, *notices: Notice, is_load: bool = False) -> None:
        """Any thread may call this; it never waits. `is_load`: of what is reported again and again."""
        waiting = self._lanes[is_load].waiting
        with self._lock:
            waiting.extend(notices)
            while len(waiting) > WAITING_MAX:
                waiting.popleft()
                self._discarded += 1
        self.ring()

    def counts(self) -> dict[str, int]:
        """For `/metrics` and the console."""
        with self._lock:
            waiting = sum(len(lane.waiting) + len(lane.sent) for lane in self._lanes)
            return {"published": self._taken, "discarded": self._discarded, "waiting": waiting}

    def begin(self, client: ChannelClient) -> None:
        for lane in self._lanes:
            lane.refused = 0
            _make(client, lane)
            lane.handle = client.participant.supply(lane.channel)
        client.settle()
        for lane in self._lanes:
            client.participant.emit(lane.handle, list(lane.sent))

    def work(self, client: ChannelClient, news: list[dict[str, Any]]) -> None:
        for lane in self._lanes:
            for one in news:
                if one["what"] == "refused" and one["handle"] == lane.handle:
                    log.error("an event for channel %s was refused: %s", lane.channel, one.get("message", ""))
                    lane.refused += 1
            self._settle(client, lane)
            # While the server is away the newest are kept here, not the oldest there.
            if client.participant.linked:
                self._send(client, lane)

    def finish(self, client: ChannelClient) -> None:
        deadline = time.monotonic() + FAREWELL_SECONDS
        self.work(client, [])
        for lane in self._lanes:
            with contextlib.suppress(clustercore.Timeout):
                client.participant.flush(lane.handle, max(0.0, deadline - time.monotonic()))
            self._settle(client, lane)
        with self._lock:
            for lane in self._lanes:
                self._discarded += len(lane.waiting) + len(lane.sent)
                lane.waiting.clear()
                lane.sent.clear()

    def _send(self, client: ChannelClient, lane: _Lane) -> None:
        while batch := self._next(lane):
            events = self._make_events(batch)
            with self._lock:
                lane.sent.extend(events)
            # It has room for more than is ever sent and not taken.
            client.participant.emit(lane.handle, events)
            client.participant.turn()
            self._settle(client, lane)

    def _next(self, lane: _Lane) -> list[Notice]:
        with self._lock:
            count = min(BATCH_MAX, SENT_MAX - len(lane.sent), len(lane.waiting))
            return [lane.waiting.popleft() for _ in range(count)]

    def _make_events(self, batch: list[Notice]) -> list[clustercore.ChannelEvent]:
        events = []
        for notice in batch:
            self._number += 1
            try:
                events.append(notice.to_event(self._number))
            except clustercore.InvalidArgument as error:
                log.error("%s of %s is not published: %s", notice.type, notice.name, error)
                with self._lock:
                    self._discarded += 1
        return events

    def _settle(self, client: ChannelClient, lane: _Lane) -> None:
        """Forgets what the server has taken."""
        untaken = client.participant.untaken(lane.handle)
        with self._lock:
            while len(lane.sent) > untaken:
                lane.sent.popleft()
                if lane.refused > 0:
                    lane.refused -= 1
                    self._discarded += 1
                else:
                    self._taken += 1


def _make(client: ChannelClient, lane: _Lane) -> None:
    """The channel, unless it is there. Who may not make channels may still supply to one."""
    there = client.ask("list")["channels"]
    if lane.channel in there:
        return
    try:
        client.ask("create", channel=lane.channel, config=lane.config)
    except OperatorError:
        # Made by somebody else in this moment?
        if lane.channel not in client.ask("list")["channels"]:
            raise
