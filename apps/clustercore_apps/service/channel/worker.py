"""A thread with a link to a channel server: begins anew, after a pause, whenever the link's work fails."""

from __future__ import annotations

import os
import select
import threading
from abc import ABC, abstractmethod
from typing import Any

import clustercore

from clustercore_apps.channel.client import ChannelClient
from clustercore_apps.errors import OperatorError
from clustercore_apps.service.channel.reach import Reach

AGAIN_SECONDS = 0.5
WAIT_SECONDS = 0.5


class ChannelWorker(ABC):
    """One participant, which no other thread touches. `fault` says why it does not work now, else empty."""

    def __init__(self, reach: Reach, name: str) -> None:
        self.reach = reach
        self.fault = "connecting"
        self._name = name
        self._is_over = threading.Event()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begins to work."""
        self._thread.start()

    def close(self, seconds: float) -> None:
        """Ends the work; waits for at most `seconds`."""
        self._is_over.set()
        self.ring()
        if self._thread.ident is not None:
            self._thread.join(seconds)
        if not self._thread.is_alive():
            os.close(self._bell)

    def ring(self) -> None:
        """Wakes the thread. Any thread may call this, and it never waits."""
        os.eventfd_write(self._bell, 1)

    @abstractmethod
    def begin(self, client: ChannelClient) -> None:
        """With a link that is there. Raises `OperatorError`."""

    @abstractmethod
    def work(self, client: ChannelClient, news: list[dict[str, Any]]) -> None:
        """After each turn, with what it brought. Raises `OperatorError`."""

    @abstractmethod
    def finish(self, client: ChannelClient) -> None:
        """Before the link is closed for good. Raises `OperatorError`."""

    def _run(self) -> None:
        while not self._is_over.is_set():
            try:
                with self.reach.open(self._name) as client:
                    self._serve(client)
            except (OperatorError, clustercore.ClusterError) as error:
                self.fault = str(error)
                self._is_over.wait(AGAIN_SECONDS)

    def _serve(self, client: ChannelClient) -> None:
        client.settle()
        self.begin(client)
        while not self._is_over.is_set():
            is_linked = client.participant.linked
            self.fault = "" if is_linked else f"the link to {client.server} is lost; another is tried"
            self._wait(client)
            client.participant.turn()
            news = client.check()
            if any(one["what"] == "welcome" for one in news):
                # A server that began anew does not know our proxies: it says so before it answers this.
                client.settle()
            self.work(client, news)
        self.finish(client)

    def _wait(self, client: ChannelClient) -> None:
        """Until the link or the bell has something."""
        participant = client.participant
        due = participant.next_timeout()
        # Not select(2): in a busy front end descriptors have numbers that it cannot take.
        poll = select.poll()
        poll.register(participant.fileno(), select.POLLIN)
        poll.register(self._bell, select.POLLIN)
        ready = poll.poll(1e3 * (WAIT_SECONDS if due is None else min(due, WAIT_SECONDS)))
        if any(descriptor == self._bell for descriptor, _ in ready):
            os.eventfd_read(self._bell)
