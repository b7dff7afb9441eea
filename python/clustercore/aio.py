"""asyncio: events of a node, and a shard turned by the running loop, by descriptors and timers alone.

async for event in aio.events(node): ...
task = asyncio.create_task(aio.run(shard, on_event))
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from weakref import WeakSet

from clustercore import Closed, Event, Node, Shard, WrongState

__all__ = ["events", "next_events", "run"]

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


async def run(shard: Shard, on_event: Callable[[Event], object] | None = None) -> None:
    """Turns `shard` in the running loop until cancelled or the shard is closed.

    `on_event` is called in the loop with each event. What a turn or `on_event` raises ends it and is raised
    from here.
    """
    turner = _Turner(shard, on_event)
    try:
        await turner.done
    finally:
        turner.stop()


def _tell(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


class _Turner:
    """One reader and one timer: a turn for each of them."""

    def __init__(self, shard: Shard, on_event: Callable[[Event], object] | None) -> None:
        self._shard = shard
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._descriptor = shard.fileno()
        self._due: asyncio.Handle = self._loop.call_soon(self._turn)
        self._loop.add_reader(self._descriptor, self._turn)
        self.done: asyncio.Future[None] = self._loop.create_future()

    def stop(self) -> None:
        """No turn after this."""
        self._due.cancel()
        self._loop.remove_reader(self._descriptor)

    def _turn(self) -> None:
        self._due.cancel()
        if self.done.done():
            return
        try:
            self._shard.turn()
            for event in self._shard.events():
                if self._on_event is not None:
                    self._on_event(event)
            timeout = self._shard.next_timeout()
        except Closed:
            # By `on_event`, or by somebody else meanwhile.
            self.done.set_result(None)
        except Exception as error:
            self.done.set_exception(error)
        else:
            if timeout == 0:
                self._due = self._loop.call_soon(self._turn)
            elif timeout is not None:
                self._due = self._loop.call_later(timeout, self._turn)
