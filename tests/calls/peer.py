"""One end of calls between two programs; see examples/rust/src/bin/clustercore-call-peer.rs.

The stubs are made from demo.proto by the test, which puts their folder on the path.
"""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Iterator

import clustercore
import clustercore.aio
import demo_clustercore
import demo_pb2


class InPython(demo_clustercore.Calculator):
    """Adds in Python."""

    def Add(self, request: demo_pb2.AddRequest, context: clustercore.CallContext) -> demo_pb2.AddReply:
        """The sum of numbers."""
        return demo_pb2.AddReply(sum=sum(request.numbers), by="python")

    def Measure(self, request: demo_pb2.Tree, context: clustercore.CallContext) -> demo_pb2.Measures:
        """What a tree holds."""
        measures = demo_pb2.Measures()
        _measure(request, measures)
        return measures

    def Fail(self, request: demo_pb2.AddRequest, context: clustercore.CallContext) -> demo_pb2.AddReply:
        """Fails."""
        who = context.metadata.get("who", b"nobody").decode()
        raise clustercore.call_failed("NOT_FOUND", f"nothing for {who}")

    def Running(
        self, requests: Iterator[demo_pb2.AddRequest], context: clustercore.CallContext
    ) -> Iterator[demo_pb2.AddReply]:
        """The sum so far."""
        so_far = 0
        for request in requests:
            so_far += sum(request.numbers)
            yield demo_pb2.AddReply(sum=so_far, by="python")

    def Total(
        self, requests: Iterator[demo_pb2.AddRequest], context: clustercore.CallContext
    ) -> demo_pb2.AddReply:
        """The sum of all."""
        return demo_pb2.AddReply(sum=sum(sum(request.numbers) for request in requests), by="python")

    def Each(
        self, request: demo_pb2.AddRequest, context: clustercore.CallContext
    ) -> Iterator[demo_pb2.AddReply]:
        """Each number."""
        for number in request.numbers:
            yield demo_pb2.AddReply(sum=number)


def _measure(tree: demo_pb2.Tree, measures: demo_pb2.Measures) -> None:
    for leaf in tree.leaves:
        measures.leaves += 1
        measures.bytes += len(leaf.content)
        measures.names.append(leaf.name)
        measures.contents += leaf.content
    for branch in tree.branches:
        _measure(branch, measures)


def serve() -> None:
    """Until stdin ends."""
    server = clustercore.CallServer("127.0.0.1:0")
    demo_clustercore.add_calculator(server, InPython())
    print(server.address, flush=True)
    is_over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), is_over.set()), daemon=True).start()
    while not is_over.is_set():
        server.turn(0.02)


def call(address: str) -> None:
    """Calls, and prints what came."""
    channel = clustercore.Channel(address)
    client = demo_clustercore.CalculatorClient(channel)
    added = client.Add(demo_pb2.AddRequest(numbers=range(1, 101)), timeout=20)
    print(f"sum {added.sum}")
    print(f"added by {added.by}", file=sys.stderr)

    def leaf(name: str, size: int) -> demo_pb2.Tree.Leaf:
        return demo_pb2.Tree.Leaf(name=name, content=name.encode() * size)

    branches = [demo_pb2.Tree(leaves=[leaf("c", 100_000)]), demo_pb2.Tree()]
    measures = client.Measure(
        demo_pb2.Tree(leaves=[leaf("a", 3), leaf("b", 0)], branches=branches), timeout=20
    )
    names, begins = " ".join(measures.names), measures.contents[:4].decode()
    print(f"{measures.leaves} leaves, {measures.bytes} bytes: {names}, {begins}")
    try:
        client.Fail(demo_pb2.AddRequest(), timeout=20, metadata={"who": b"you"})
    except clustercore.CallFailed as failed:
        print(f"{failed.status} {str(failed.outcome == 'executed').lower()}: {failed.text}")
    print(f"many {asyncio.run(many(clustercore.Channel(address)))}")
    asyncio.run(stream(clustercore.Channel(address)))
    total = client.Total((demo_pb2.AddRequest(numbers=[1]) for _ in range(20_000)), timeout=20)
    print(f"total {total.sum}")
    replies = [reply.sum for reply in client.Each(demo_pb2.AddRequest(numbers=[1] * 20_000), timeout=20)]
    print(f"each {sum(replies)} in {len(replies)}: ok")


async def stream(channel: clustercore.Channel) -> None:
    """Each request is sent when the reply to the one before is there."""
    turns: asyncio.Queue[int] = asyncio.Queue()

    async def requests() -> AsyncIterator[demo_pb2.AddRequest]:
        for number in range(1, 6):
            yield demo_pb2.AddRequest(numbers=[number])
            await turns.get()

    async with clustercore.aio.Calls(channel) as calls:
        client = demo_clustercore.CalculatorAsyncClient(calls)
        sums = []
        async for reply in client.Running(requests(), timeout=20):
            sums.append(str(reply.sum))
            turns.put_nowait(reply.sum)
    print(f"running {' '.join(sums)}: ok")


async def many(channel: clustercore.Channel) -> int:
    """Many at a time, in whatever order."""
    async with clustercore.aio.Calls(channel) as calls:
        client = demo_clustercore.CalculatorAsyncClient(calls)
        replies = await asyncio.gather(
            *[client.Add(demo_pb2.AddRequest(numbers=[number, number]), timeout=20) for number in range(200)]
        )
    return sum(reply.sum for reply in replies)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve"]:
            serve()
        case ["call", address]:
            call(address)
        case _:
            sys.exit("usage: peer.py serve | call IP:PORT")
