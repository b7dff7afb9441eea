"""A shard inside an asyncio loop, in front of two back ends. No thread anywhere.

Without arguments: a demonstration with back ends of its own, which ends by itself. Otherwise it serves until
Ctrl-C:

    forward_asyncio.py 127.0.0.1:8080 10.0.0.2:80 10.0.0.3:80

`clustercore.aio.run` does what `Turner` shows here.
"""

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import Callable

import clustercore


class Turner:
    """Turns a shard whenever its descriptor is readable or a timer of its is due."""

    def __init__(self, shard: clustercore.Shard, on_event: Callable[[clustercore.Event], None]) -> None:
        self.shard = shard
        self.on_event = on_event
        self.loop = asyncio.get_running_loop()
        self.due: asyncio.Handle = self.loop.call_soon(self.turn)
        self.loop.add_reader(shard.fileno(), self.turn)

    def turn(self) -> None:
        """One turn, then its events, then the timer for the next."""
        self.due.cancel()
        self.shard.turn()
        for event in self.shard.events():
            self.on_event(event)
        timeout = self.shard.next_timeout()
        if timeout is not None:
            self.due = self.loop.call_later(timeout, self.turn)

    def stop(self) -> None:
        """Leaves the loop."""
        self.due.cancel()
        self.loop.remove_reader(self.shard.fileno())


async def serve(address: str, back_ends: list[str]) -> None:
    """Forwards until cancelled."""
    with clustercore.Shard() as shard:
        web = shard.forwarder("web")
        print(f"http://{web.listen(address)}/ through {shard.driver}")
        for back_end in back_ends:
            web.add_backend(back_end)
        Turner(shard, print)
        await asyncio.Event().wait()


async def demonstrate() -> None:
    """Eight requests by turns; then one back end is drained, and four more."""
    drained = asyncio.Event()

    def on_event(event: clustercore.Event) -> None:
        match event:
            case clustercore.BackendDrained(_, backend, finished):
                print(f"back end {backend} is drained: {'finished' if finished else 'cut'}")
                drained.set()
            case _:
                print(event)

    async with await start_back_end("first") as first, await start_back_end("second") as second:
        with clustercore.Shard() as shard:
            web = shard.forwarder("web", policy="round_robin", health="off")
            address = web.listen("127.0.0.1:0")
            key = web.add_backend(address_of(first), name="first")
            web.add_backend(address_of(second), name="second")
            turner = Turner(shard, on_event)
            await show(address, 8)
            web.drain_backend(key, deadline=5)
            await drained.wait()
            web.remove_backend(key)
            await show(address, 4)
            print(f"{web.stats()['requests']} requests, {web.stats()['answered_502']} failed")
            turner.stop()


async def show(address: str, count: int) -> None:
    """Asks so many times and prints who answered how often."""
    answers = Counter([await get(address) for _ in range(count)])
    print(", ".join(f"{name} answered {answers[name]}" for name in sorted(answers)))


async def get(address: str) -> str:
    """The body of one answer."""
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET / HTTP/1.1\r\nHost: example\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.partition(b"\r\n\r\n")[2].decode()


async def start_back_end(name: str) -> asyncio.Server:
    """A service that answers each request with its name and closes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(name)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + name.encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    return await asyncio.start_server(answer, "127.0.0.1", 0)


def address_of(server: asyncio.Server) -> str:
    """`ip:port` of a server."""
    host, port = server.sockets[0].getsockname()
    return f"{host}:{port}"


if __name__ == "__main__":
    if len(sys.argv) > 2:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve(sys.argv[1], sys.argv[2:]))
    else:
        asyncio.run(demonstrate())
