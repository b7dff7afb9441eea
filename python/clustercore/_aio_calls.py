"""asyncio: calls that are awaited, and servers whose handlers are coroutines."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Self

from clustercore._calls import failure
from clustercore._errors import CallFailed, Closed
from clustercore._native import CallContext, CallHandle, CallServer, Channel, DeferredCall

CallHandler = Callable[[CallContext, bytes], Awaitable[bytes]]


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
        if not self._is_soon:
            self._soon(0)
        try:
            return await ended
        except asyncio.CancelledError:
            self._channel.cancel(handle)
            raise
        finally:
            self._outstanding.discard(ended)

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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

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
        timeout = self._channel.next_timeout()
        if timeout is not None:
            self._soon(timeout)


async def serve(server: CallServer, services: Mapping[str, Mapping[str, CallHandler]]) -> None:
    """Serves coroutines on `server` in the running loop until cancelled, or the server is closed.

    `services` are names of services, each with its methods. Each call is a task of its own, cancelled when
    its caller wants it no more.
    """
    handlers: dict[str, CallHandler] = {}
    for service, methods in services.items():
        server.add(service, dict.fromkeys(methods), place="deferred")
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
            answer = await self._handlers[call.context.method](call.context, call.arguments)
        except asyncio.CancelledError:
            answer = failure("CANCELLED", "executed", "cancelled by its caller", {})
        except Exception as error:
            answer = error
        try:
            self._server.reply(call, answer)
        except Closed:
            return
