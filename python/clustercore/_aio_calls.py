"""asyncio: calls that are awaited, and servers whose handlers are coroutines."""

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
)
from types import TracebackType
from typing import Any, Self
from weakref import WeakValueDictionary

from clustercore._aio_streams import AsyncParts, AsyncStream
from clustercore._calls import failure
from clustercore._errors import CallFailed, Closed
from clustercore._native import CallContext, CallHandle, CallServer, Channel, DeferredCall

WholeHandler = Callable[[CallContext, bytes], Awaitable[bytes]]
StreamedHandler = Callable[[CallContext, bytes, AsyncParts], AsyncIterator[bytes] | Awaitable[bytes | None]]
CallHandler = WholeHandler | StreamedHandler


class Calls:
    """Calls of a channel as awaitables, turned by the running loop.

    async with aio.Calls(clustercore.Channel("127.0.0.1:7000")) as calls:
        results = await calls.call("demo.Echo/Echo", b"hello", timeout=1.0)

    Thousands may be outstanding. A call whose task is cancelled is cancelled at the server too.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._loop = asyncio.get_running_loop()
        self._descriptor = channel.fileno()
        self._loop.add_reader(self._descriptor, self._turn)
        self._due: asyncio.Handle | None = self._loop.call_soon(self._turn)
        self._is_soon = True
        self._is_closed = False
        self._outstanding: set[asyncio.Future[bytes]] = set()
        self._streams: WeakValueDictionary[int, AsyncStream] = WeakValueDictionary()
        self._streams_made = 0

    async def call(
        self,
        method: str,
        arguments: bytes,
        *,
        timeout: float | None = None,
        metadata: dict[str, bytes] | None = None,
        idempotent: bool = False,
    ) -> bytes:
        """Calls `method`, "package.Service/Method". Raises CallFailed, Closed."""
        if self._is_closed:
            raise Closed("the calls were closed")
        ended: asyncio.Future[bytes] = self._loop.create_future()
        handle: CallHandle = self._channel.submit(
            method, arguments, ended, timeout=timeout, metadata=metadata, idempotent=idempotent
        )
        self._outstanding.add(ended)
        self._nudge()
        try:
            return await ended
        except asyncio.CancelledError:
            self._channel.cancel(handle)
            raise
        finally:
            self._outstanding.discard(ended)

    def stream(
        self,
        method: str,
        arguments: bytes = b"",
        parts: AsyncIterable[bytes] | Iterable[bytes] | None = None,
        *,
        timeout: float | None = None,
        metadata: dict[str, bytes] | None = None,
        idempotent: bool = False,
    ) -> AsyncStream:
        """Makes a streamed call: `async for` takes the parts of its results.

        `parts` are those of its arguments, sent meanwhile; without them, `send` and `end` of the stream send
        some. A stream that is let go of is cancelled. Raises Closed.
        """
        if self._is_closed:
            raise Closed("the calls were closed")
        self._streams_made += 1
        made = self._channel.stream(
            method,
            arguments,
            timeout=timeout,
            metadata=metadata,
            idempotent=idempotent,
            token=self._streams_made,
        )
        stream = AsyncStream(made, self._nudge)
        self._streams[self._streams_made] = stream
        if parts is not None:
            stream.feed(parts)
        self._nudge()
        return stream

    def close(self) -> None:
        """No turn after this; who still waits gets CallFailed. The channel stays open."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._due is not None:
            self._due.cancel()
        self._loop.remove_reader(self._descriptor)
        for ended in self._outstanding:
            if not ended.done():
                ended.set_exception(failure("UNAVAILABLE", "unknown", "the calls were closed", {}))
        for stream in list(self._streams.values()):
            stream.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _nudge(self) -> None:
        if not self._is_soon and not self._is_closed:
            self._soon(0)

    def _soon(self, timeout: float) -> None:
        if self._due is not None:
            self._due.cancel()
        self._is_soon = timeout == 0
        self._due = (
            self._loop.call_soon(self._turn) if timeout == 0 else self._loop.call_later(timeout, self._turn)
        )

    def _turn(self) -> None:
        if self._is_closed:
            return
        self._is_soon = False
        try:
            self._channel.turn()
        except Exception as error:
            for ended in self._outstanding:
                if not ended.done():
                    ended.set_exception(error)
            self.close()
            return
        for ended, results in self._channel.ended():
            if ended.done():
                continue
            if isinstance(results, CallFailed):
                ended.set_exception(results)
            else:
                ended.set_result(results)
        for token in self._channel.stirred():
            stream = self._streams.get(token)
            if stream is not None:
                stream.stir()
        timeout = self._channel.next_timeout()
        if timeout is not None:
            self._soon(timeout)


async def serve(server: CallServer, services: Mapping[str, Mapping[str, CallHandler]]) -> None:
    """Serves coroutines on `server` in the running loop until cancelled, or the server is closed.

    `services` are names of services, each with its methods. Each call is a task of its own, cancelled when
    its caller wants it no more. Handlers that `clustercore.streamed` has made serve streamed calls:
    asynchronous generators that are given the parts of the arguments as well and yield those of the
    results, or coroutine functions that return bytes.
    """
    handlers: dict[str, CallHandler] = {}
    for service, methods in services.items():
        server.add(service, methods, place="deferred")
        handlers.update({f"{service}/{name}": handler for name, handler in methods.items()})
    turner = _ServerTurner(server, handlers)
    try:
        await turner.done
    finally:
        turner.stop()


class _ServerTurner:
    """One reader and one timer: a turn for each of them."""

    def __init__(self, server: CallServer, handlers: Mapping[str, CallHandler]) -> None:
        self._server = server
        self._handlers = handlers
        self._loop = asyncio.get_running_loop()
        self._descriptor = server.fileno()
        self._loop.add_reader(self._descriptor, self._turn)
        self._due: asyncio.Handle = self._loop.call_soon(self._turn)
        self._tasks: dict[asyncio.Task[None], DeferredCall] = {}
        self._parts: dict[DeferredCall, AsyncParts] = {}
        self.done: asyncio.Future[None] = self._loop.create_future()

    def stop(self) -> None:
        self._due.cancel()
        self._loop.remove_reader(self._descriptor)
        for task in self._tasks:
            task.cancel()

    def _turn(self) -> None:
        self._due.cancel()
        if self.done.done():
            return
        try:
            self._server.turn()
            for call in self._server.deferred():
                task = self._loop.create_task(self._answer(call))
                self._tasks[task] = call
                task.add_done_callback(self._tasks.pop)
            for call in self._server.stirred():
                if call in self._parts:
                    self._parts[call].stir()
            for task, call in self._tasks.items():
                if call.context.is_cancelled:
                    task.cancel()
            timeout = self._server.next_timeout()
        except Closed:
            self.done.set_result(None)
        except Exception as error:
            self.done.set_exception(error)
        else:
            if timeout == 0:
                self._due = self._loop.call_soon(self._turn)
            elif timeout is not None:
                self._due = self._loop.call_later(timeout, self._turn)

    async def _answer(self, call: DeferredCall) -> None:
        answer: bytes | BaseException
        try:
            answer = await self._execute(call)
        except asyncio.CancelledError:
            answer = failure("CANCELLED", "executed", "cancelled by its caller", {})
        except Exception as error:
            answer = error
        finally:
            self._parts.pop(call, None)
        try:
            self._server.reply(call, answer)
        except Closed:
            return

    async def _execute(self, call: DeferredCall) -> bytes:
        handler: Callable[..., Any] = self._handlers[call.context.method]
        if call.parts is None:
            whole: bytes = await handler(call.context, call.arguments)
            return whole
        parts = self._parts[call] = AsyncParts(call.parts)
        answer = handler(call.context, call.arguments, parts)
        if not isinstance(answer, AsyncIterator):
            return await answer or b""
        try:
            async for part in answer:
                await parts.send(part)
        finally:
            if isinstance(answer, AsyncGenerator):
                await answer.aclose()
        return b""
