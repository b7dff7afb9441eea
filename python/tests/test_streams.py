"""Streamed calls: iterators of parts both ways, blocking and awaited."""

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import clustercore
import pytest
from clustercore import CallContext, CallFailed, CallParts, CallServer, Channel, aio, call_failed, streamed


@contextmanager
def running(server: CallServer) -> Iterator[str]:
    """Serves in a thread of its own."""
    is_over = threading.Event()

    def serve() -> None:
        while not is_over.is_set():
            server.turn(0.02)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server.address
    finally:
        is_over.set()
        thread.join()
        server.close()


@streamed
def echo(_context: CallContext, arguments: bytes, parts: CallParts) -> Generator[bytes, None, bytes]:
    count = 0
    for part in parts:
        count += 1
        yield part
    return arguments + b"%d" % count


@streamed
def size(_context: CallContext, _arguments: bytes, parts: CallParts) -> bytes:
    return b"%d" % sum(len(part) for part in parts)


@streamed
def count_to(_context: CallContext, arguments: bytes, _parts: CallParts) -> Iterator[bytes]:
    for number in range(int(arguments)):
        yield b"%d" % number


def whole(_context: CallContext, arguments: bytes) -> bytes:
    return arguments


def stream_server() -> CallServer:
    server = CallServer("127.0.0.1:0")
    server.add("test.Stream", {"Echo": echo, "Size": size, "CountTo": count_to, "Whole": whole})
    return server


def test_parts_are_sent_and_taken_one_by_one() -> None:
    with running(stream_server()) as address, Channel(address).stream("test.Stream/Echo", b"n=") as stream:
        for number in range(50):
            stream.send(b"part %d" % number)
            assert next(stream) == b"part %d" % number
        stream.end()
        assert list(stream) == []
        assert stream.is_over
        assert stream.results() == b"n=50"
        assert stream.results() == b"n=50", "told as often as it is asked for"


def test_an_iterable_is_sent_while_results_are_taken() -> None:
    with running(stream_server()) as address:
        channel = Channel(address)
        parts = [bytes([number % 256]) * 1000 for number in range(2000)]
        stream = channel.stream("test.Stream/Echo", parts=iter(parts), timeout=30)
        assert list(stream) == parts
        assert stream.results() == b"2000"
        assert channel.stream("test.Stream/Size", parts=parts, timeout=30).results() == b"2000000"


def test_results_come_in_parts_for_whole_arguments() -> None:
    with running(stream_server()) as address:
        stream = Channel(address).stream("test.Stream/CountTo", b"30000", timeout=30)
        stream.end()
        assert [int(part) for part in stream] == list(range(30000))


def test_whole_and_streamed_methods_are_not_mixed_up() -> None:
    with running(stream_server()) as address:
        channel = Channel(address)
        assert channel.call("test.Stream/Whole", b"x", timeout=10) == b"x"
        with pytest.raises(CallFailed, match="is streamed"):
            channel.call("test.Stream/Echo", b"", timeout=10)
        with pytest.raises(CallFailed, match="is not streamed"):
            list(channel.stream("test.Stream/Whole", timeout=10))


def test_a_failure_comes_behind_the_parts() -> None:
    @streamed
    def fail(_context: CallContext, _arguments: bytes, _parts: CallParts) -> Iterator[bytes]:
        yield b"one"
        raise call_failed("NOT_FOUND", "no two")

    @streamed
    def too_long(_context: CallContext, _arguments: bytes, _parts: CallParts) -> Iterator[bytes]:
        yield bytes(65537)

    server = CallServer("127.0.0.1:0")
    server.add("test.Stream", {"Fail": fail, "TooLong": too_long})
    with running(server) as address:
        channel = Channel(address)
        stream = channel.stream("test.Stream/Fail", timeout=10)
        assert next(stream) == b"one"
        with pytest.raises(CallFailed, match="no two") as failed:
            next(stream)
        assert (failed.value.status, failed.value.outcome) == ("NOT_FOUND", "executed")
        with pytest.raises(clustercore.NoSuchCall):
            stream.send(b"late")
        with pytest.raises(CallFailed, match="65537 bytes, limit is 65536"):
            channel.stream("test.Stream/TooLong", timeout=10).results()
        with pytest.raises(clustercore.TooLarge):
            channel.stream("test.Stream/TooLong", timeout=10).send(bytes(65537))


def test_what_the_iterable_raises_is_raised_and_the_call_may_be_cancelled() -> None:
    def parts() -> Iterator[bytes]:
        yield b"one"
        raise ValueError("no two")

    with running(stream_server()) as address:
        stream = Channel(address).stream("test.Stream/Echo", parts=parts(), timeout=10)
        with pytest.raises(ValueError, match="no two"):
            list(stream)
        stream.cancel()
        with pytest.raises(CallFailed) as failed:
            stream.results()
        assert failed.value.status == "CANCELLED"


def test_a_generator_ends_with_its_call() -> None:
    ended = threading.Event()

    @streamed
    def forever(_context: CallContext, _arguments: bytes, _parts: CallParts) -> Iterator[bytes]:
        try:
            while True:
                yield bytes(1000)
        finally:
            ended.set()

    server = CallServer("127.0.0.1:0")
    server.add("test.Stream", {"Forever": forever})
    with running(server) as address:
        channel = Channel(address)
        stream = channel.stream("test.Stream/Forever")
        assert len(next(stream)) == 1000
        del stream
        gc.collect()
        until = time.monotonic() + 20
        while not ended.is_set() and time.monotonic() < until:
            channel.turn(0.02)
        assert ended.is_set()


def test_streams_are_awaited_beside_calls() -> None:
    async def turns(done: asyncio.Queue[bytes]) -> AsyncIterator[bytes]:
        for number in range(20):
            yield b"%d" % number
            await done.get()

    async def one(calls: aio.Calls) -> bytes:
        done: asyncio.Queue[bytes] = asyncio.Queue()
        stream = calls.stream("test.Stream/Echo", b"n=", turns(done), timeout=30)
        taken = []
        async for part in stream:
            taken.append(part)
            done.put_nowait(part)
        assert taken == [b"%d" % number for number in range(20)]
        return await stream.results()

    async def main(address: str) -> None:
        async with aio.Calls(Channel(address)) as calls:
            streams = [one(calls) for _ in range(3)]
            whole = [calls.call("test.Stream/Whole", b"%d" % number, timeout=30) for number in range(50)]
            assert await asyncio.gather(*streams) == [b"n=20"] * 3
            assert await asyncio.gather(*whole) == [b"%d" % number for number in range(50)]
            async with calls.stream("test.Stream/Size", timeout=30) as stream:
                for _ in range(1000):
                    await stream.send(bytes(1000))
                stream.end()
                assert await stream.results() == b"1000000"

    with running(stream_server()) as address:
        asyncio.run(main(address))


def test_closed_calls_let_streams_go() -> None:
    async def main(address: str) -> None:
        calls = aio.Calls(Channel(address))
        stream = calls.stream("test.Stream/Echo")
        waits = asyncio.create_task(anext(stream))
        await asyncio.sleep(0.05)
        calls.close()
        with pytest.raises(CallFailed, match="the calls were closed"):
            await waits
        with pytest.raises(clustercore.Closed):
            calls.stream("test.Stream/Echo")

    with running(stream_server()) as address:
        asyncio.run(main(address))


def test_asynchronous_generators_serve_and_are_cancelled_with_their_calls() -> None:
    ended = []

    @streamed
    async def double(_context: CallContext, _arguments: bytes, parts: aio.AsyncParts) -> AsyncIterator[bytes]:
        async for part in parts:
            yield part * 2

    @streamed
    async def measure(_context: CallContext, _arguments: bytes, parts: aio.AsyncParts) -> bytes:
        total = 0
        async for part in parts:
            total += len(part)
        return b"%d" % total

    @streamed
    async def forever(
        _context: CallContext, _arguments: bytes, _parts: aio.AsyncParts
    ) -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(1000)
        finally:
            ended.append("forever")

    async def whole(_context: CallContext, arguments: bytes) -> bytes:
        return arguments

    async def main() -> None:
        with CallServer("127.0.0.1:0") as server:
            methods: dict[str, Callable[..., Any]]
            methods = {"Double": double, "Measure": measure, "Forever": forever, "Whole": whole}
            serving = asyncio.create_task(aio.serve(server, {"test.Stream": methods}))
            async with aio.Calls(Channel(server.address)) as calls:
                stream = calls.stream("test.Stream/Double", parts=[b"a", b"bc"] * 500, timeout=30)
                assert [part async for part in stream] == [b"aa", b"bcbc"] * 500
                parts = [bytes(1000)] * 1000
                measured = calls.stream("test.Stream/Measure", parts=parts, timeout=30)
                assert await measured.results() == b"1000000"
                assert await calls.call("test.Stream/Whole", b"x", timeout=30) == b"x"
                async with calls.stream("test.Stream/Forever") as endless:
                    for _ in range(1000):
                        assert len(await anext(endless)) == 1000
                until = time.monotonic() + 20
                while not ended and time.monotonic() < until:
                    await asyncio.sleep(0.01)
            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving

    asyncio.run(main())
    assert ended == ["forever"]
