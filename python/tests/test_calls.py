"""Calls between a server and channels of this process and others, blocking and awaited."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import clustercore
import pytest
from clustercore import CallContext, CallFailed, CallServer, Channel, aio, call_failed


def echo(_context: CallContext, arguments: bytes) -> bytes:
    return arguments


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


def echo_server(place: Literal["worker", "loop"] = "worker") -> CallServer:
    server = CallServer("127.0.0.1:0")
    server.add("test.Echo", {"Echo": echo}, place=place)
    return server


@pytest.mark.parametrize("place", ["worker", "loop"])
def test_results_come_back_whole(place: Literal["worker", "loop"]) -> None:
    with running(echo_server(place)) as address:
        channel = Channel(address)
        for size in (0, 32, 1400, 200_000):
            arguments = bytes(range(256)) * (size // 256 + 1)
            assert channel.call("test.Echo/Echo", arguments[:size], timeout=10) == arguments[:size]
        assert channel.outstanding == 0


def test_failures_say_status_outcome_and_words() -> None:
    def fail(_context: CallContext, _arguments: bytes) -> bytes:
        raise call_failed("NOT_FOUND", "no such user")

    def break_down(_context: CallContext, _arguments: bytes) -> bytes:
        raise ValueError("seven is not eight")

    server = CallServer("127.0.0.1:0")
    server.add("test.Bad", {"Fail": fail, "Break": break_down})
    with running(server) as address:
        channel = Channel(address)
        with pytest.raises(CallFailed) as failed:
            channel.call("test.Bad/Fail", b"", timeout=10)
        assert (failed.value.status, failed.value.outcome) == ("NOT_FOUND", "executed")
        assert failed.value.text == "no such user"
        with pytest.raises(CallFailed, match="seven is not eight") as broken:
            channel.call("test.Bad/Break", b"", timeout=10)
        assert broken.value.status == "UNKNOWN"
        with pytest.raises(CallFailed) as unknown:
            channel.call("test.Bad/None", b"", timeout=10)
        assert (unknown.value.status, unknown.value.outcome) == ("UNIMPLEMENTED", "not executed")


def test_metadata_and_deadline_reach_the_handler() -> None:
    def tell(context: CallContext, _arguments: bytes) -> bytes:
        assert context.time_left is not None and context.time_left <= 10
        return context.metadata["who"] + b" calls " + context.method.encode()

    server = CallServer("127.0.0.1:0")
    server.add("test.Tell", {"Tell": tell})
    with running(server) as address:
        answer = Channel(address).call("test.Tell/Tell", b"", timeout=10, metadata={"who": b"the test"})
        assert answer == b"the test calls test.Tell/Tell"


def test_nobody_there_is_not_executed() -> None:
    channel = Channel("127.0.0.1:9")
    with pytest.raises(CallFailed) as late:
        channel.call("test.Echo/Echo", b"", timeout=0.2)
    assert (late.value.status, late.value.outcome) == ("DEADLINE_EXCEEDED", "not executed")


def test_a_far_server_must_have_a_key_or_be_meant() -> None:
    with pytest.raises(clustercore.InsecureAddress):
        Channel("192.0.2.1:7000")
    with pytest.raises(clustercore.NoSuchService, match=r"known are: a\.B"):
        Channel("a.C", names={"a.B": "127.0.0.1:7000"})
    with pytest.raises(clustercore.InsecureAddress):
        CallServer("0.0.0.0:0")


def test_keys_prove_both_sides() -> None:
    server_key, client_key = clustercore.Key.generate(), clustercore.Key.generate()

    def who(context: CallContext, _arguments: bytes) -> bytes:
        return (context.caller or "nobody").encode()

    server = CallServer("127.0.0.1:0", key=server_key, allow=[client_key.public])
    server.add("test.Who", {"Who": who})
    with running(server) as address:
        names: dict[str, str | tuple[str, str] | list[str | tuple[str, str]]]
        names = {"test.Who": (address, server_key.public)}
        channel = Channel("test.Who", names=names, key=client_key)
        assert channel.call("test.Who/Who", b"", timeout=10).decode() == client_key.public
        stranger = Channel("test.Who", names=names, key=clustercore.Key.generate())
        with pytest.raises(CallFailed) as refused:
            stranger.call("test.Who/Who", b"", timeout=0.5)
        assert refused.value.outcome == "not executed"


def test_submitted_calls_end_once_with_their_owner() -> None:
    with running(echo_server()) as address:
        channel = Channel(address)
        for number in range(500):
            channel.submit("test.Echo/Echo", b"%d" % number, number, timeout=10)
        seen: dict[int, object] = {}
        until = time.monotonic() + 20
        while len(seen) < 500 and time.monotonic() < until:
            channel.turn(0.05)
            for owner, results in channel.ended():
                assert owner not in seen
                seen[owner] = results
        assert seen == {number: b"%d" % number for number in range(500)}


def test_thousands_are_awaited_at_a_time() -> None:
    async def call_many(address: str) -> list[bytes]:
        async with aio.Calls(Channel(address)) as calls:
            tasks = [calls.call("test.Echo/Echo", b"%d" % number, timeout=20) for number in range(5000)]
            return await asyncio.gather(*tasks)

    with running(echo_server("loop")) as address:
        assert asyncio.run(call_many(address)) == [b"%d" % number for number in range(5000)]


def test_coroutines_serve_and_are_cancelled_with_their_calls() -> None:
    ended = []

    async def wait(_context: CallContext, arguments: bytes) -> bytes:
        try:
            await asyncio.sleep(0.01 if arguments == b"short" else 30)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return arguments

    async def both() -> None:
        server = CallServer("127.0.0.1:0")
        serving = asyncio.create_task(aio.serve(server, {"test.Wait": {"Wait": wait}}))
        async with aio.Calls(Channel(server.address)) as calls:
            assert await calls.call("test.Wait/Wait", b"short", timeout=10) == b"short"
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(calls.call("test.Wait/Wait", b"long", timeout=20), 0.3)
            for _ in range(200):
                if ended:
                    break
                await asyncio.sleep(0.01)
        serving.cancel()
        server.close()

    asyncio.run(both())
    assert ended == ["cancelled"]


def test_health_is_told() -> None:
    with running(echo_server()) as address:
        answer = Channel(address).call("grpc.health.v1.Health/Check", b"\x0a\x09test.Echo", timeout=10)
        assert answer == b"\x08\x01"
