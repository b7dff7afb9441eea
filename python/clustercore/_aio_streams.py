"""asyncio: streamed calls, made and served."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from types import TracebackType
from typing import Self

from clustercore._calls import failure
from clustercore._errors import NoSuchCall
from clustercore._native import CallParts, Stream


class AsyncStream:
    """A streamed call, as an asynchronous iterator of the parts of its results. Made by `Calls.stream`.

    As an asynchronous context manager it is cancelled at the end of the block when it has not ended.
    """

    def __init__(self, stream: Stream, nudge: Callable[[], None]) -> None:
        self._stream = stream
        self._nudge = nudge
        self._stirred = asyncio.Event()
        self._is_closed = False
        self._feeder: asyncio.Task[None] | None = None
        self._error: BaseException | None = None

    async def send(self, part: bytes) -> None:
        """Sends a part of the arguments, waiting for room.

        Raises TooLarge (64 KiB), NoSuchCall (the call has ended: `results` tells how; or its parts have),
        CallFailed.
        """
        while True:
            self._stirred.clear()
            if self._stream.try_send(part):
                self._nudge()
                return
            await self._wait()

    def end(self) -> None:
        """Sends no more parts."""
        self._stream.end()
        self._nudge()

    def cancel(self) -> None:
        """Asks the server to end the call; how it ends is told as ever."""
        self._stream.cancel()
        self._nudge()

    async def results(self) -> bytes:
        """What the call has returned besides its parts, waiting for its end.

        Parts that were not taken are dropped. Raises CallFailed.
        """
        while True:
            self._stirred.clear()
            while self._stream.try_take() is not None:
                self._nudge()
            if self._stream.is_over:
                return self._over()
            await self._wait()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while True:
            self._stirred.clear()
            part = self._stream.try_take()
            if part is not None:
                self._nudge()
                return part
            if self._stream.is_over:
                self._over()
                raise StopAsyncIteration
            await self._wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close_feeder()
        if not self._is_closed:
            self.cancel()

    def feed(self, parts: AsyncIterable[bytes] | Iterable[bytes]) -> None:
        """Sends the parts of an iterable in a task of its own, then ends them."""
        self._feeder = asyncio.get_running_loop().create_task(self._feed(parts))

    def stir(self) -> None:
        """Something came."""
        self._stirred.set()

    def close(self) -> None:
        """Nothing comes any more."""
        self._is_closed = True
        self._close_feeder()
        self._stirred.set()

    def _over(self) -> bytes:
        self._close_feeder()
        if self._error is not None:
            raise self._error
        return self._stream.results()

    def _close_feeder(self) -> None:
        if self._feeder is not None and self._feeder is not asyncio.current_task():
            self._feeder.cancel()

    async def _wait(self) -> None:
        if not self._is_closed:
            await self._stirred.wait()
        if self._is_closed:
            raise failure("UNAVAILABLE", "unknown", "the calls were closed", {})

    async def _feed(self, parts: AsyncIterable[bytes] | Iterable[bytes]) -> None:
        try:
            if isinstance(parts, AsyncIterable):
                async for part in parts:
                    await self.send(part)
            else:
                for part in parts:
                    await self.send(part)
        except NoSuchCall:
            return
        except Exception as error:
            self._error = error
            self.cancel()
            return
        self.end()


class AsyncParts:
    """The parts of a streamed call, for its handler: an asynchronous iterator of those of its arguments."""

    def __init__(self, parts: CallParts) -> None:
        self._parts = parts
        self._stirred = asyncio.Event()

    async def send(self, part: bytes) -> None:
        """Sends a part of the results, waiting for room. Raises CallFailed when nobody waits for the call."""
        while True:
            self._stirred.clear()
            if self._parts.try_send(part):
                return
            await self._stirred.wait()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while True:
            self._stirred.clear()
            part = self._parts.try_next()
            if part is False:
                raise StopAsyncIteration
            if part is not None:
                return part
            await self._stirred.wait()

    def stir(self) -> None:
        """Something came."""
        self._stirred.set()
