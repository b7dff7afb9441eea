"""Event channels between a server and participants of this process, blocking and awaited."""

import asyncio
import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import clustercore
import pytest
from clustercore import CallFailed, ChannelEvent, ChannelServer, Participant, aio

LIMIT = 30.0


@contextmanager
def running(server: ChannelServer) -> Iterator[ChannelServer]:
    """Serves in a thread of its own, which made nothing else."""
    is_over = threading.Event()

    def serve() -> None:
        while not is_over.is_set():
            server.turn(0.02)
        server.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server
    finally:
        is_over.set()
        thread.join()


def open_server(**options: Any) -> ChannelServer:
    any_port = "127.0.0.1:0"
    return ChannelServer(tcp=any_port, udp=any_port, rpc=any_port, http=any_port, open=True, **options)


def url(server: ChannelServer, kind: str) -> str:
    return f"{kind}://{getattr(server, f'{kind}_address')}"


def join(server: ChannelServer, kind: str = "tcp", **options: Any) -> Participant:
    return Participant(url(server, kind), **options)


def event(number: int, **options: Any) -> ChannelEvent:
    return ChannelEvent(str(number), "/test", "tested", body=b"x" * 64, **options)


def collect(participant: Participant, count: int) -> list[clustercore.Delivery]:
    taken: list[clustercore.Delivery] = []
    while len(taken) < count:
        some = participant.take(timeout=LIMIT)
        assert some, f"{len(taken)} of {count} events"
        taken += some
    return taken


def test_an_event_keeps_all_that_it_was_made_with() -> None:
    fields: dict[str, bool | int | float | str | bytes] = {
        "load": 0.75,
        "cores": 8,
        "zone": "east",
        "hot": True,
        "raw": b"\0\1",
    }
    it = ChannelEvent(
        "7", "/node/7", "load.changed", domain="cluster", name="cpu", content_type="text/plain", time=1.5,
        priority=9, expiry=2e9, start=1.0, persistent=True, key="k", sequence=3, fields=fields, body=b"b",
    )  # fmt: skip
    assert (it.id, it.source, it.type, it.domain, it.name) == (
        "7",
        "/node/7",
        "load.changed",
        "cluster",
        "cpu",
    )
    assert (it.content_type, it.time, it.priority, it.expiry, it.start) == ("text/plain", 1.5, 9, 2e9, 1.0)
    assert (it.persistent, it.key, it.sequence, it.fields, it.body) == (True, "k", 3, fields, b"b")
    with pytest.raises(clustercore.InvalidArgument, match="is that of an attribute"):
        ChannelEvent("1", "/s", "t", fields={"id": 1})
    with pytest.raises(clustercore.InvalidArgument, match="priority"):
        ChannelEvent("1", "/s", "t", priority=256)
    with pytest.raises(clustercore.InvalidArgument, match="no bool, int"):
        ChannelEvent("1", "/s", "t", fields={"a": []})  # type: ignore[dict-item]


@pytest.mark.parametrize("kind", ["tcp", "udp", "rpc"])
def test_events_reach_those_who_want_them(kind: str) -> None:
    with running(open_server()) as server:
        everything, some = join(server, kind), join(server, kind)
        everything.consume()
        some.consume(spec={"filter": "priority >= 5"})
        for consumer in (everything, some):
            assert consumer.ask({"op": "ping"}) == {}
        supplier = join(server, kind)
        handle = supplier.supply()
        assert supplier.emit(handle, [event(number, priority=number) for number in range(10)]) == 10
        supplier.flush(handle, LIMIT)
        assert [it.event.id for it in collect(everything, 10)] == [str(number) for number in range(10)]
        assert [it.event.priority for it in collect(some, 5)] == [5, 6, 7, 8, 9]


def test_what_is_not_acknowledged_comes_again_also_over_another_link() -> None:
    with running(open_server()) as server:
        consumer = join(server)
        spec = {"qos": {"acknowledgement": "explicit"}}
        handle = consumer.consume(name="steady", spec=spec)
        consumer.ask({"op": "ping"})
        supplier = join(server)
        supplier.emit(supplier.supply(), [event(number) for number in range(4)])
        supplier.turn(0.1)
        supplier.turn(0.1)
        first = collect(consumer, 4)
        consumer.acknowledge(handle, [it.delivery for it in first[:2] if it.delivery is not None])
        consumer.ask({"op": "ping"})
        for tries, kind in enumerate(["udp", "rpc", "tcp"], start=1):
            consumer.relink(url(server, kind))
            again = collect(consumer, 2)
            assert [(it.event.id, it.tries) for it in again] == [("2", tries), ("3", tries)]
        why = consumer.ask({"op": "why", "handle": handle})["reasons"]
        assert {it["reason"] for it in why} == {"in_flight"}


@pytest.mark.parametrize("kind", ["udp", "rpc"])
def test_a_link_with_keys_is_made_with_the_right_one_only(kind: str) -> None:
    key, ours = clustercore.Key.generate(), clustercore.Key.generate()
    with running(open_server(key=key, allow=[ours.public])) as server:
        known = join(server, kind, server_key=key.public, key=ours)
        assert known.ask({"op": "ping"}) == {}
        wrongs: list[dict[str, Any]] = [
            {"server_key": ours.public, "key": ours},
            {"server_key": key.public_bytes},
            {},
        ]
        for wrong in wrongs:
            refused = join(server, kind, **wrong)
            with pytest.raises(clustercore.Timeout, match="refuses the handshake: it has another key"):
                refused.ask({"op": "ping"}, 1.0)
            assert not refused.linked
            assert refused.trouble is not None
        other = join(server, key=ours)
        assert other.ask({"op": "ping"}) == {}
        with pytest.raises(clustercore.NoKey, match="give the server's too"):
            other.relink(url(server, kind))
        with pytest.raises(clustercore.BadConfiguration, match="cannot check the server's key"):
            other.relink(url(server, "tcp"), server_key=key.public)
        assert other.ask({"op": "ping"}) == {}
        other.relink(url(server, kind), server_key=key.public)
        assert other.ask({"op": "ping"}) == {}
    with pytest.raises(clustercore.ClusterError, match="allow is given"):
        ChannelServer(udp="127.0.0.1:0", allow=[key.public])
    with pytest.raises(clustercore.BadKey):
        Participant(f"{kind}://127.0.0.1:1", server_key="clc-public-x25519 nonsense")


def test_a_link_is_exchanged_while_events_are_awaited() -> None:
    async def run(server: ChannelServer, key: str) -> None:
        async with (
            aio.ChannelEvents(join(server)) as consumer,
            aio.ChannelEvents(join(server, "udp", server_key=key)) as supplier,
        ):
            spec = {"qos": {"acknowledgement": "explicit", "in_flight_max": 10_000, "length_max": 10_000}}
            consume = consumer.participant.consume(name="steady", spec=spec)
            consumer.participant.ask({"op": "ping"})
            handle = supplier.participant.supply()
            seen: set[str] = set()
            for number, kind in enumerate(["rpc", "udp", "tcp"] * 2):
                batch = [event(number * 100 + index) for index in range(100)]
                await asyncio.wait_for(supplier.emit(handle, batch), LIMIT)
                for events in (supplier, consumer):
                    events.relink(url(server, kind), server_key=None if kind == "tcp" else key)
                wanted = {str(it.id) for it in batch}
                while not wanted <= seen:
                    delivery = await asyncio.wait_for(consumer.take(), LIMIT)
                    assert delivery.delivery is not None
                    seen.add(delivery.event.id)
                    consumer.acknowledge(consume, [delivery.delivery])
            assert len(seen) == 600

    key = clustercore.Key.generate()
    with running(open_server(key=key)) as server:
        asyncio.run(run(server, key.public))


def test_rights_and_refusals_are_told_in_words() -> None:
    tokens: dict[str, tuple[str, str] | tuple[str, str, str]] = {
        "r": ("ann", "consume"),
        "w": ("bob", "emit", "load"),
    }
    server = ChannelServer(tcp="127.0.0.1:0", tokens=tokens, dead_letters="dead")
    with running(server):
        stranger = Participant(f"tcp://{server.tcp_address}")
        wait_for(stranger, lambda news: news["what"] == "bye" and "secret" in news["message"])
        ann = Participant(f"tcp://{server.tcp_address}", token="r")
        with pytest.raises(CallFailed, match="may not administer channel"):
            ann.ask({"op": "describe"})
        handle = ann.supply()
        wait_for(ann, lambda news: news["what"] == "gone" and news["handle"] == handle)
        assert ann.ask({"op": "list"}) == {"channels": ["default"]}
    with pytest.raises(clustercore.Closed):
        server.stats()
    with pytest.raises(clustercore.InvalidArgument, match="rights"):
        ChannelServer(tokens={"x": ("a", "fly")})
    with pytest.raises(clustercore.InsecureAddress):
        ChannelServer(tcp="0.0.0.0:0")
    with pytest.raises(clustercore.InsecureAddress):
        Participant("tcp://192.0.2.1:1")
    with pytest.raises(clustercore.InvalidArgument, match="tcp://IP:PORT"):
        Participant("127.0.0.1:1")


def wait_for(participant: Participant, wanted: Callable[[dict[str, Any]], bool]) -> None:
    for _ in range(300):
        if any(wanted(news) for news in participant.news()):
            return
        participant.turn(0.1)
    raise AssertionError("not told")


def test_http_is_for_everybody() -> None:
    with running(open_server()) as server:
        consumer = join(server)
        consumer.consume()
        consumer.ask({"op": "ping"})
        body = {"specversion": "1.0", "id": "web", "source": "/curl", "type": "t", "data": {"a": 1}}
        request = urllib.request.Request(
            f"http://{server.http_address}/events",
            json.dumps(body).encode(),
            {"Content-Type": "application/cloudevents+json"},
        )
        with urllib.request.urlopen(request, timeout=LIMIT) as answer:
            assert answer.status == 202
        (delivery,) = collect(consumer, 1)
        assert (delivery.event.id, delivery.event.body) == ("web", b'{"a": 1}')


def test_thousands_are_awaited() -> None:
    async def run(server: ChannelServer) -> None:
        async with (
            aio.ChannelEvents(join(server)) as consumer,
            aio.ChannelEvents(join(server, "udp")) as supplier,
        ):
            consumer.participant.consume(spec={"qos": {"length_max": 100_000}})
            consumer.participant.ask({"op": "ping"})
            handle = supplier.participant.supply()
            await supplier.emit(handle, [event(number) for number in range(10_000)])
            await asyncio.wait_for(supplier.flush(handle), LIMIT)
            for number in range(10_000):
                delivery = await asyncio.wait_for(consumer.take(), LIMIT)
                assert delivery.event.id == str(number)
            consumer.close()
            with pytest.raises(clustercore.Closed):
                await consumer.take()

    with running(open_server()) as server:
        asyncio.run(run(server))
