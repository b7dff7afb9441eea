"""The channels of the server that the front end publishes to, asked for each second while somebody looks."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import clustercore

from clustercore_apps.channel.client import ChannelClient
from clustercore_apps.console.tally import ChannelTally
from clustercore_apps.errors import OperatorError
from clustercore_apps.service.channel.reach import Reach

ASK_INTERVAL_SECONDS = 1.0
ANSWER_SECONDS_MAX = 5.0
"""A server that has not told of all its channels after this, and leaves a question unanswered, is away."""
CHANNELS_MAX = 64
NO_CHANNEL = 'no event channel is set; say channel = "127.0.0.1:7420" in [front] of the configuration file'


class ChannelWatch:
    """Of one console. `reach` is `None` when the front end has no channel; else `own` is its name."""

    def __init__(self, reach: Reach | None, own: str, front: str) -> None:
        self._reach = reach
        self._own = own
        self._name = f"console of {front}"
        self._lookers = 0
        # A participant belongs to one thread, so there is one.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="channel watch")
        self._client: ChannelClient | None = None
        self._tallies: dict[str, ChannelTally] = {}
        self._left_out = 0
        self._fault = NO_CHANNEL if reach is None else "not asked yet"
        self._asked = asyncio.Condition()
        self._asking: asyncio.Task[None] | None = None
        self._is_closed = False

    async def answers(self, chosen: str) -> AsyncGenerator[dict[str, Any], None]:
        """One after each question; of the channel `chosen`, or our own, with its suppliers and consumers."""
        self._lookers += 1
        try:
            if not self._is_closed and (self._asking is None or self._asking.done()):
                self._asking = asyncio.create_task(self._ask_on(), name="channel watch")
            if self._tallies:
                # Of a second ago at most.
                yield self._answer(chosen)
            while True:
                async with self._asked:
                    await self._asked.wait()
                yield self._answer(chosen)
        finally:
            self._lookers -= 1

    async def answer(self, chosen: str) -> dict[str, Any]:
        """The next one."""
        answers = self.answers(chosen)
        try:
            return await anext(answers)
        finally:
            await answers.aclose()

    def close(self) -> None:
        """Ends the questions; those who wait for an answer are the caller's."""
        self._is_closed = True
        if self._asking is not None:
            self._asking.cancel()
        self._thread.submit(self._hang_up)
        self._thread.shutdown(wait=False)

    async def _ask_on(self) -> None:
        """While somebody looks; then the link is closed and what was counted forgotten."""
        loop = asyncio.get_running_loop()
        while self._lookers > 0:
            while self._lookers > 0:
                began = loop.time()
                if self._reach is not None:
                    self._fault = await loop.run_in_executor(self._thread, self._ask, self._reach)
                async with self._asked:
                    self._asked.notify_all()
                await asyncio.sleep(max(0.0, ASK_INTERVAL_SECONDS - (loop.time() - began)))
            # Somebody may come meanwhile, who relies on this task.
            await loop.run_in_executor(self._thread, self._hang_up)

    def _answer(self, chosen: str) -> dict[str, Any]:
        tally = self._tallies.get(chosen or self._own)
        return {
            "server": self._reach.server if self._reach else "",
            "fault": self._fault,
            "channels": [one.summary() for _, one in sorted(self._tallies.items())],
            "channels_left_out": self._left_out,
            "chosen": tally.details() if tally else None,
        }

    def _ask(self, reach: Reach) -> str:
        """Asks for everything; why it cannot, or nothing."""
        try:
            if self._client is None:
                self._client = reach.open(self._name)
            self._describe(self._client)
            self._client.check()
            return ""
        except (OperatorError, clustercore.ClusterError) as error:
            self._hang_up()
            return str(error)

    def _describe(self, client: ChannelClient) -> None:
        names = sorted(str(name) for name in client.ask("list")["channels"])
        self._left_out = max(0, len(names) - CHANNELS_MAX)
        tallies = {}
        deadline = time.monotonic() + ANSWER_SECONDS_MAX
        for name in names[:CHANNELS_MAX]:
            tally = self._tallies.get(name, ChannelTally(name))
            try:
                tally.add(time.monotonic(), client.ask("describe", channel=name))
            except OperatorError as error:
                # Deleted just now, or no right to see it: this channel's fault, not that of all.
                if not client.participant.linked or time.monotonic() > deadline:
                    raise
                tally.fail(str(error))
            tallies[name] = tally
        self._tallies = tallies

    def _hang_up(self) -> None:
        self._tallies = {}
        if self._client is not None:
            with contextlib.suppress(clustercore.ClusterError):
                self._client.participant.close()
            self._client = None
