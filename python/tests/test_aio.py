"""asyncio: events of a node and a shard in the running loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import clustercore
import pytest
from clustercore import aio
from conftest import Service, get

Start = Callable[[str], Service]


def test_events_of_a_node_are_awaited(node: clustercore.Node) -> None:
    async def main() -> None:
        web = node.forwarder("web")
        waiting = asyncio.create_task(aio.next_events(node))
        await asyncio.sleep(0.05)
        assert not waiting.done(), "log records are no events"
        key = web.add_backend("127.0.0.1:9")
        web.drain_backend(key)
        assert await asyncio.wait_for(waiting, 10) == [clustercore.BackendDrained("web", key, True, 0)]

    asyncio.run(main())


def test_events_end_with_the_node(node: clustercore.Node) -> None:
    async def main() -> list[clustercore.Event]:
        web = node.forwarder("web")
        for _ in range(3):
            web.drain_backend(web.add_backend("127.0.0.1:9"))
        seen = []
        async for event in aio.events(node):
            seen.append(event)
            if len(seen) == 3:
                asyncio.get_running_loop().call_later(0.02, node.close)
        return seen

    assert len(asyncio.run(asyncio.wait_for(main(), 20))) == 3


def test_one_task_waits_at_a_time_and_may_be_cancelled(node: clustercore.Node) -> None:
    async def main() -> None:
        waiting = asyncio.create_task(aio.next_events(node))
        await asyncio.sleep(0)
        with pytest.raises(clustercore.WrongState, match="another task"):
            await aio.next_events(node)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        web = node.forwarder("web")
        web.drain_backend(web.add_backend("127.0.0.1:9"))
        assert len(await asyncio.wait_for(aio.next_events(node), 10)) == 1

    asyncio.run(main())


def test_a_shard_runs_in_the_loop(driver: str, service: Start) -> None:
    async def main() -> None:
        seen: list[clustercore.Event] = []
        with clustercore.Shard(driver=driver) as shard:
            running = asyncio.create_task(aio.run(shard, seen.append))
            await asyncio.sleep(0)
            # All of this comes after the first turn: commands must make the loop turn again.
            web = shard.forwarder("web")
            address = web.listen("127.0.0.1:0")
            key = web.add_backend(service("one").address)
            answers = await asyncio.gather(*(asyncio.to_thread(get, address) for _ in range(20)))
            assert set(answers) == {(200, "one")}
            web.drain_backend(key)
            async with asyncio.timeout(10):
                while not seen:
                    await asyncio.sleep(0.005)
            assert seen == [clustercore.BackendDrained("web", key, True, 0)]
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

    asyncio.run(main())


def test_a_shard_that_is_closed_ends_its_run(driver: str) -> None:
    async def main() -> None:
        shard = clustercore.Shard(driver=driver)
        web = shard.forwarder("web")
        running = asyncio.create_task(aio.run(shard, lambda event: shard.close()))
        await asyncio.sleep(0)
        web.drain_backend(web.add_backend("127.0.0.1:9"))
        await asyncio.wait_for(running, 10)

    asyncio.run(main())


def test_what_a_callback_raises_comes_out_of_the_run(driver: str) -> None:
    def on_event(event: clustercore.Event) -> None:
        raise LookupError(repr(event))

    async def main() -> None:
        with clustercore.Shard(driver=driver) as shard:
            web = shard.forwarder("web")
            web.drain_backend(web.add_backend("127.0.0.1:9"))
            with pytest.raises(LookupError, match="BackendDrained"):
                await asyncio.wait_for(aio.run(shard, on_event), 10)

    asyncio.run(main())


def test_messages_are_awaited_and_answered(driver: str) -> None:
    async def main() -> None:
        with clustercore.Shard(driver=driver) as near, clustercore.Shard(driver=driver) as far:
            server, client = far.endpoint("127.0.0.1:0"), near.endpoint("127.0.0.1:0")
            connection = client.connect(server.address)
            connected = asyncio.Event()
            answers: list[bytes] = []

            def on_connection_event(event: clustercore.ConnectionEvent) -> None:
                if isinstance(event, clustercore.Connected):
                    connected.set()

            running = asyncio.create_task(
                aio.run(
                    near,
                    on_message=lambda message: answers.append(message.payload),
                    on_connection_event=on_connection_event,
                )
            )

            async def serve() -> None:
                async for message in aio.messages(far):
                    message.connection.send(message.payload.upper())

            serving = asyncio.create_task(serve())
            async with asyncio.timeout(20):
                await connected.wait()
                # Comes between turns: a send must make the loop turn.
                for data in (b"one", b"two", b"three"):
                    await asyncio.sleep(0.01)
                    connection.send(data)
                while len(answers) < 3:
                    await asyncio.sleep(0.001)
            assert answers == [b"ONE", b"TWO", b"THREE"]
            far.close()
            near.close()
            # Nobody turns them any more: the loops end when they next try.
            running.cancel()
            serving.cancel()
            await asyncio.gather(running, serving, return_exceptions=True)

    asyncio.run(main())


def test_a_slow_taker_of_messages_slows_the_sender_and_gets_them_all(driver: str) -> None:
    total = 3 * aio.MESSAGES_WAITING_MAX

    async def main() -> None:
        with clustercore.Shard(driver=driver) as shard:
            server = shard.endpoint("127.0.0.1:0")
            connection = shard.endpoint("127.0.0.1:0").connect(server.address)
            sent, taken = 0, []

            def send() -> None:
                nonlocal sent
                try:
                    while sent < total:
                        connection.send(b"%d" % sent)
                        sent += 1
                except clustercore.WouldBlock:
                    pass

            def on_connection_event(event: clustercore.ConnectionEvent) -> None:
                if isinstance(event, clustercore.Connected | clustercore.Writable):
                    send()

            messages = aio.messages(shard, on_connection_event)
            async with asyncio.timeout(30), contextlib.aclosing(messages):
                async for message in messages:
                    taken.append(message)
                    if len(taken) % 100 == 0:
                        await asyncio.sleep(0.001)
                    if len(taken) == total:
                        break
            assert [message.sequence for message in taken] == list(range(total))

    asyncio.run(main())


def test_messages_end_with_the_shard(driver: str) -> None:
    async def main() -> None:
        shard = clustercore.Shard(driver=driver)
        server = shard.endpoint("127.0.0.1:0")
        shard.endpoint("127.0.0.1:0").connect(server.address)

        def close(_: object) -> None:
            shard.close()

        async with asyncio.timeout(20):
            assert [message async for message in aio.messages(shard, close)] == []

    asyncio.run(main())
