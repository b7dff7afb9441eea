"""Event channels in asyncio."""

import asyncio
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from clustercore._errors import Closed
from clustercore._native import ChannelEvent, Delivery, Participant


class ChannelEvents:
    """A participant of event channels, turned by the running loop.

    async with aio.ChannelEvents(clustercore.Participant("tcp://127.0.0.1:7100")) as events:
        consumer = events.participant.consume("load", spec={"filter": "load > 0.5"})
        async for delivery in events:
            ...

    `emit` waits for room and `flush` until everything is taken; what is taken by `async for` may be
    acknowledged by the participant. Other coroutines run meanwhile.
    """

    def __init__(self, participant: Participant) -> None:
        self.participant = participant
        self._loop = asyncio.get_running_loop()
        self._descriptor = participant.fileno()
        self._loop.add_reader(self._descriptor, self._turn)
        self._due: asyncio.Handle | None = self._loop.call_soon(self._turn)
        self._ready: deque[Delivery] = deque()
        self._stirred: asyncio.Future[None] = self._loop.create_future()
        self._is_closed = False

    async def emit(self, handle: int, events: Sequence[ChannelEvent]) -> None:
        """Emits all of them, in order. Raises InvalidArgument: no such proxy; Closed."""
        done = 0
        while done < len(events):
            done += self.participant.emit(handle, events[done:])
            self._nudge()
            if done < len(events):
                await self._stir()

    async def flush(self, handle: int) -> None:
        """Waits until the server has taken everything that was emitted through a proxy. Raises Closed."""
        self._nudge()
        while self.participant.untaken(handle):
            await self._stir()

    async def take(self) -> Delivery:
        """The next event of any consumer. Raises Closed."""
        while not self._ready:
            self._ready.extend(self.participant.take(TAKEN_MAX))
            if not self._ready:
                await self._stir()
        return self._ready.popleft()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delivery:
        try:
            return await self.take()
        except Closed:
            raise StopAsyncIteration from None

    def acknowledge(self, handle: int, deliveries: Sequence[int]) -> None:
        """Done with these events, by `Delivery.delivery`."""
        self.participant.acknowledge(handle, deliveries)
        self._nudge()

    def relink(self, server: str, *, server_key: str | bytes | None = None) -> None:
        """Exchanges the link while events flow. Raises as `Participant.relink`; Closed."""
        self.participant.relink(server, server_key=server_key)
        self._nudge()

    def close(self) -> None:
        """No turn after this; who still waits gets Closed. The participant stays open."""
        if self._is_closed:
            return
        self._is_closed = True
        self._loop.remove_reader(self._descriptor)
        if self._due is not None:
            self._due.cancel()
        self._wake()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def _stir(self) -> None:
        """Waits until a turn has happened."""
        if self._is_closed:
            raise Closed("the events were closed")
        await asyncio.shield(self._stirred)
        if self._is_closed:
            raise Closed("the events were closed")

    def _nudge(self) -> None:
        if self._is_closed:
            raise Closed("the events were closed")
        if self._due is not None:
            self._due.cancel()
        self._due = self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        if self._is_closed:
            return
        self.participant.turn()
        if self._due is not None:
            self._due.cancel()
        timeout = self.participant.next_timeout()
        self._due = None if timeout is None else self._loop.call_later(timeout, self._turn)
        self._wake()

    def _wake(self) -> None:
        if not self._stirred.done():
            self._stirred.set_result(None)
        self._stirred = self._loop.create_future()


TAKEN_MAX = 256
