"""asyncio: events of a node and a shard in the running loop."""

from __future__ import annotations

import asyncio
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
