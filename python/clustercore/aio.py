"""asyncio: events of a node, and a shard turned by the running loop, by descriptors and timers alone.

async for event in aio.events(node): ...
task = asyncio.create_task(aio.run(shard, on_event, on_message=on_message))
async for message in aio.messages(shard): ...
async with aio.Calls(channel) as calls: results = await calls.call(method, arguments)
async with aio.Calls(channel) as calls: async for part in calls.stream(method, parts=parts): ...
await aio.serve(server, {"demo.Echo": {"Echo": echo}})
async with aio.ChannelEvents(participant) as channel_events: async for delivery in channel_events: ...
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from weakref import WeakSet

from clustercore import Closed, ConnectionEvent, Datagram, Event, Message, Node, Shard, WrongState
from clustercore._aio_calls import Calls, serve
from clustercore._aio_events import ChannelEvents
from clustercore._aio_streams import AsyncParts, AsyncStream

__all__ = [
    "AsyncParts",
    "AsyncStream",
    "Calls",
    "ChannelEvents",
    "events",
    "messages",
    "next_events",
    "run",
    "serve",
]

_awaited: WeakSet[Node] = WeakSet()


async def next_events(node: Node) -> list[Event]:
    """Waits until events of `node` are there and takes them.

    Raises Closed when the node is or becomes closed, WrongState when another task waits for it already.
    """
    if node in _awaited:
        raise WrongState(f"another task waits for events of {node!r}")
    loop = asyncio.get_running_loop()
    _awaited.add(node)
    try:
        while not (taken := node.poll(timeout=0)):
            descriptor = node.fileno()
            ready = loop.create_future()
            loop.add_reader(descriptor, _tell, ready)
            try:
                await ready
            finally:
                loop.remove_reader(descriptor)
        return taken
    finally:
        _awaited.discard(node)


async def events(node: Node) -> AsyncIterator[Event]:
    """Events of `node`, one by one, until it is closed."""
    while True:
        try:
            taken = await next_events(node)
        except Closed:
            return
        for event in taken:
            yield event


async def run(
    shard: Shard,
    on_event: Callable[[Event], object] | None = None,
    *,
    on_message: Callable[[Message], object] | None = None,
    on_connection_event: Callable[[ConnectionEvent], object] | None = None,
    on_datagram: Callable[[Datagram], object] | None = None,
) -> None:
    """Turns `shard` in the running loop until cancelled or the shard is closed.

    The functions are called in the loop with what each turn brings; without one, that is dropped. What a
    turn or one of them raises ends it and is raised from here.
    """
    turner = _Turner(shard, _Calls(on_event, on_message, on_connection_event, on_datagram))
    try:
        await turner.done
    finally:
        turner.stop()


async def messages(
    shard: Shard, on_connection_event: Callable[[ConnectionEvent], object] | None = None
) -> AsyncGenerator[Message, None]:
    """Messages of all endpoints of `shard`, one by one, until it is closed; turns the shard meanwhile, as
    `run`.

    While 1024 messages wait to be taken the shard is not turned, so that senders are slowed down. Use
    `contextlib.aclosing` around it where the loop over it may be left early.
    """
    waiting: deque[Message] = deque()
    news = asyncio.Event()

    def keep(message: Message) -> None:
        waiting.append(message)
        news.set()

    turner = _Turner(
        shard, _Calls(None, keep, on_connection_event, None), lambda: len(waiting) >= MESSAGES_WAITING_MAX
    )
    turner.done.add_done_callback(lambda _: news.set())
    try:
        while True:
            while waiting:
                yield waiting.popleft()
                turner.resume()
            if turner.done.done():
                turner.done.result()
                return
            await news.wait()
            news.clear()
    finally:
        turner.stop()


def _tell(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


@dataclass(frozen=True)
class _Calls:
    """What is called with what a turn has brought."""

    on_event: Callable[[Event], object] | None
    on_message: Callable[[Message], object] | None
    on_connection_event: Callable[[ConnectionEvent], object] | None
    on_datagram: Callable[[Datagram], object] | None

    def tell(self, shard: Shard) -> None:
        """Everything is taken before the first call, which may close the shard."""
        told: list[Callable[[], object]] = []
        _add(told, shard.events(), self.on_event)
        _add(told, shard.connection_events(), self.on_connection_event)
        if self.on_message is not None:
            _add(told, shard.messages(), self.on_message)
        if self.on_datagram is not None:
            _add(told, shard.datagrams(), self.on_datagram)
        for call in told:
            call()


_Thing = TypeVar("_Thing")


def _add(
    told: list[Callable[[], object]], things: list[_Thing], call: Callable[[_Thing], object] | None
) -> None:
    if call is not None:
        told += [partial(call, thing) for thing in things]


class _Turner:
    """One reader and one timer: a turn for each of them."""

    def __init__(self, shard: Shard, calls: _Calls, is_full: Callable[[], bool] = lambda: False) -> None:
        self._shard = shard
        self._calls = calls
        self._is_full = is_full
        self._is_paused = False
        self._loop = asyncio.get_running_loop()
        self._descriptor = shard.fileno()
        self._due: asyncio.Handle = self._loop.call_soon(self._turn)
        self._loop.add_reader(self._descriptor, self._turn)
        self.done: asyncio.Future[None] = self._loop.create_future()

    def stop(self) -> None:
        """No turn after this."""
        self._due.cancel()
        self._loop.remove_reader(self._descriptor)

    def resume(self) -> None:
        """Goes on after it was full."""
        if self._is_paused and not self._is_full() and not self.done.done():
            self._is_paused = False
            self._loop.add_reader(self._descriptor, self._turn)
            self._due = self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._due.cancel()
        if self.done.done():
            return
        if self._is_full():
            self._is_paused = True
            self._loop.remove_reader(self._descriptor)
            return
        try:
            self._shard.turn()
            self._calls.tell(self._shard)
            timeout = self._shard.next_timeout()
        except Closed:
            # By a call, or by somebody else meanwhile.
            self.done.set_result(None)
        except Exception as error:
            self.done.set_exception(error)
        else:
            if timeout == 0:
                self._due = self._loop.call_soon(self._turn)
            elif timeout is not None:
                self._due = self._loop.call_later(timeout, self._turn)


MESSAGES_WAITING_MAX = 1024
