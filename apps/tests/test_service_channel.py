"""What a front end publishes, over a real channel server: events, bounds, what becomes of them without it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import clustercore
import pytest
from conftest import wait_until
from hypothesis import given
from hypothesis import strategies as st

from clustercore_apps.console.channels import ChannelWatch
from clustercore_apps.console.feed import BODY_BYTES_MAX, Feed
from clustercore_apps.console.tally import ChannelTally
from clustercore_apps.service.channel import publisher as publishing
from clustercore_apps.service.channel.notice import (
    NODE_CHANGED,
    NODE_JOINED,
    NODE_LOAD,
    NODE_LOST,
    Notice,
    of_decision,
    of_level,
    of_node,
)
from clustercore_apps.service.channel.publisher import Publisher
from clustercore_apps.service.channel.reach import Reach
from clustercore_apps.service.channel.reporter import LevelWatch, NodeWatch
from clustercore_apps.service.config import ChannelConfig
from clustercore_apps.service.decisions import Decision

CONFIG = ChannelConfig(None, "", "service", None, None, 100, False)


class Server:
    """A channel server that a thread of this test turns."""

    def __init__(self, address: str | None = "127.0.0.1:0", **options: Any) -> None:
        self._server = clustercore.ChannelServer(tcp=address, **options)
        self.address = str(self._server.tcp_address or self._server.udp_address)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._turn)
        self._thread.start()

    @property
    def reach(self) -> Reach:
        """Without a secret."""
        return Reach(f"tcp://{self.address}", "", None, False)

    def end(self) -> None:
        """Closes it."""
        self._is_over.set()
        self._thread.join()

    def _turn(self) -> None:
        while not self._is_over.is_set():
            self._server.turn(0.05)
        self._server.close()


@pytest.fixture
def server() -> Iterator[Server]:
    """One where everybody may everything."""
    made = Server(open=True)
    try:
        yield made
    finally:
        made.end()


@contextmanager
def publisher(reach: Reach, config: ChannelConfig = CONFIG) -> Iterator[Publisher]:
    """Of a front end `f`."""
    made = Publisher(reach, config, "f")
    made.start()
    try:
        yield made
    finally:
        made.close(5)


@contextmanager
def feed(reach: Reach) -> Iterator[Feed]:
    """Of the console of `f`."""
    made = Feed(reach, CONFIG, "f")
    made.start()
    try:
        yield made
    finally:
        made.close(5)


def decision(number: int, kind: str = "add") -> Notice:
    """Of `f`, about a node of its service."""
    one = Decision(number, 1700000000.5 + number, kind, "web", "slave1", f"reason {number}", {"load": 9.5})
    return of_decision("f", one)


def row(**changes: Any) -> dict[str, Any]:
    """A node as the console shows it."""
    texts = {"name": "slave1", "agent": "127.0.0.2:7400", "fault": "", "phase": "idle", "detail": ""}
    numbers = {"cores": 2, "cpu": 0.25, "cpu_service": 0.0, "connections": 3, "back_off_seconds": 0.0}
    return {**texts, **numbers, "service": "", "held_by": "", "connected": True, **changes}


def consume(server: Server, channel: str, spec: dict[str, Any]) -> clustercore.Participant:
    """A consumer that the server knows."""
    participant = clustercore.Participant(f"tcp://{server.address}")
    participant.consume(channel, spec=spec)
    participant.ask({"op": "ping"})
    return participant


def test_decision_is_an_event_with_fields_and_the_line_of_the_log() -> None:
    event = decision(7).to_event(3)
    assert event.type == "clustercore.decision.add"
    assert (event.source, event.name, event.domain) == ("/front/f", "slave1", "clustercore.service")
    assert event.fields == {"front": "f", "kind": "add", "service": "web", "node": "slave1"}
    assert event.content_type == "application/json"
    assert event.time == 1700000007.5
    body = json.loads(event.body)
    assert (body["number"], body["reason"], body["figures"]) == (7, "reason 7", {"load": 9.5})
    assert decision(7).to_event(4).id != event.id


def test_ids_differ_within_a_source_whatever_is_told() -> None:
    load = of_node("f", NODE_LOAD, 1.0, row())
    assert load.source == "/front/f/node/slave1"
    ids = {(notice.source, notice.to_event(number).id) for number, notice in enumerate([load, load])}
    assert len(ids) == 2


def test_nodes_join_change_and_are_lost() -> None:
    watch = NodeWatch("f")

    def kinds(**changes: Any) -> list[str]:
        return [notice.type for notice in watch.look(1.0, [row(**changes)])]

    assert kinds(connected=False) == [], "it never was there"
    assert kinds() == [NODE_JOINED]
    assert kinds(cpu=0.9) == [], "a load is no state"
    assert kinds(phase="active", service="web") == [NODE_CHANGED]
    assert kinds(connected=False, phase="unknown") == [NODE_LOST]
    assert kinds() == [NODE_JOINED]


def test_level_is_told_when_it_is_another_one() -> None:
    watch = LevelWatch("f")

    def levels(level: str) -> list[tuple[str, str]]:
        child = {"node": "slave1", "level": level, "load": 3, "in_flight": 3, "cores": 1}
        notices = watch.look(1.0, {"web": [child]})
        return [(str(one.fields["before"]), str(one.fields["level"])) for one in notices]

    assert levels("low") == [("", "low")]
    assert levels("low") == []
    assert levels("high") == [("low", "high")]
    assert levels("") == [], "while it starts it has none"
    assert levels("low") == [("", "low")]


def test_level_is_an_event_that_can_be_filtered_by_its_numbers(server: Server) -> None:
    child = {"node": "slave1", "level": "high", "load": 9, "in_flight": 9, "cores": 1}
    with publisher(server.reach) as made:
        wait_until(lambda: made.fault == "")
        consumer = consume(server, "service", {"filter": 'level == "high" && load > 8.0'})
        made.publish(of_level("f", 1.0, "web", "low", child))
        (delivery,) = wait_until(lambda: consumer.take(timeout=0.1))
        assert delivery.event.type == "clustercore.back_end.level"


def test_who_comes_late_gets_the_last_ones(server: Server) -> None:
    config = ChannelConfig(None, "", "service", None, None, 5, False)
    with publisher(server.reach, config) as made:
        for number in range(20):
            made.publish(decision(number))
        wait_until(lambda: made.counts()["published"] == 20)
        late = consume(server, "service", {"start": "earliest"})
        found = wait_until(lambda: late.take(timeout=0.1))
        assert [json.loads(one.event.body)["number"] for one in found] == [15, 16, 17, 18, 19]


def test_console_hears_decisions_and_nodes_of_its_front_end_alone(server: Server) -> None:
    with publisher(server.reach) as made:
        made.publish(decision(1))
        made.publish(of_decision("other", Decision(2, 1.0, "add", "web", "x", "not ours", {})))
        made.publish(of_node("f", NODE_JOINED, 1.0, row()))
        wait_until(lambda: made.counts()["published"] == 3)
        with feed(server.reach) as heard:
            wait_until(lambda: heard.snapshot(10)["nodes"])
            made.publish(of_node("f", NODE_LOAD, 2.0, row(cpu=0.75)), is_load=True)
            wait_until(lambda: heard.snapshot(10)["nodes"]["slave1"]["cpu"] == 0.75)
            seen = heard.snapshot(10)
    assert [one["reason"] for one in seen["decisions"]] == ["reason 1"]
    assert seen["live"]["fault"] == "" and seen["live"]["malformed"] == 0


def test_over_datagrams_and_with_a_consumer_that_is_there_first() -> None:
    server = Server(None, udp="127.0.0.1:0", open=True)
    reach = Reach(f"udp://{server.address}", "", None, False)
    try:
        with feed(reach) as heard:
            wait_until(lambda: "is not there yet" in heard.snapshot(1)["live"]["fault"])
            with publisher(reach) as made:
                made.publish(decision(1))
                wait_until(lambda: heard.snapshot(10)["decisions"])
                assert heard.snapshot(1)["live"]["fault"] == ""
        admin = clustercore.Participant(f"udp://{server.address}")
        wait_until(lambda: not admin.ask({"op": "describe", "channel": "service"})["consumers"])
    finally:
        server.end()


def test_without_a_server_the_newest_are_kept_and_the_rest_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "WAITING_MAX", 10)
    first = Server(open=True)
    address = first.address
    first.end()
    with publisher(first.reach) as made:
        made.publish(*(decision(number) for number in range(12)))
        for number in range(12, 25):
            made.publish(decision(number))
        wait_until(lambda: "does not answer" in made.fault or "lost" in made.fault, 20)
        assert made.counts() == {"published": 0, "discarded": 15, "waiting": 10}
        second = Server(address, open=True)
        try:
            wait_until(lambda: made.counts() == {"published": 10, "discarded": 15, "waiting": 0}, 30)
            late = consume(second, "service", {"start": "earliest"})
            found = wait_until(lambda: late.take(timeout=0.1))
            assert [json.loads(one.event.body)["number"] for one in found] == list(range(15, 25))
        finally:
            second.end()


def test_a_server_that_begins_anew_gets_its_channels_again() -> None:
    first = Server(open=True)
    with publisher(first.reach) as made, feed(first.reach) as heard:
        made.publish(decision(1))
        wait_until(lambda: heard.snapshot(10)["decisions"])
        first.end()
        wait_until(lambda: made.fault and heard.snapshot(1)["live"]["fault"])
        second = Server(first.address, open=True)
        try:
            wait_until(lambda: made.fault == "" and heard.snapshot(1)["live"]["fault"] == "", 30)
            made.publish(decision(2))
            wait_until(lambda: len(heard.snapshot(10)["decisions"]) == 2, 30)
            numbers = [one["number"] for one in heard.snapshot(10)["decisions"]]
            assert numbers == [1, 2]
        finally:
            second.end()


def test_who_may_only_emit_publishes_into_channels_that_are_there() -> None:
    secret, boss = "secret-of-front-012345", "secret-of-admin-012345"
    tokens = {secret: ("front", "emit consume"), boss: ("admin", "emit consume administer")}
    server = Server(tokens=tokens)
    try:
        reach = Reach(f"tcp://{server.address}", secret, None, False)
        with publisher(reach) as made:
            made.publish(decision(1))
            wait_until(lambda: "administer" in made.fault)
            admin = clustercore.Participant(f"tcp://{server.address}", token=boss)
            for name in (CONFIG.name, CONFIG.loads):
                admin.ask({"op": "create", "channel": name})
            wait_until(lambda: made.counts()["published"] == 1, 20)
            assert made.fault == ""
    finally:
        server.end()


def test_an_event_that_cannot_be_is_counted_and_holds_up_nobody(server: Server) -> None:
    with publisher(server.reach) as made:
        made.publish(Notice("t", "/s", "n", 1.0, {"text": "x" * 100_000}, {}))
        made.publish(Notice("t", "/s", "n", 1.0, {}, {"text": "x" * 3_000_000}))
        made.publish(decision(1))
        wait_until(lambda: made.counts() == {"published": 1, "discarded": 2, "waiting": 0})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
BODIES = st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode())
KNOWN = st.fixed_dictionaries(
    {}, optional=dict.fromkeys((*row(), "number", "time", "time_unix", "kind", "node", "reason"), JSON)
).map(lambda value: json.dumps(value).encode())


# Some of the right shape but for one member.
SHAPED = st.tuples(st.sampled_from(sorted(row())), JSON).map(lambda change: row(**{change[0]: change[1]}))
ROWS = SHAPED.map(lambda value: json.dumps(value).encode())


@given(st.sampled_from(["clustercore.decision.add", NODE_LOAD, NODE_LOST, "x"]), BODIES | KNOWN | ROWS)
def test_bodies_of_others_are_taken_or_counted(kind: str, body: bytes) -> None:
    heard = Feed(Reach("tcp://127.0.0.1:1", "", None, False), CONFIG, "f")
    heard._take(clustercore.ChannelEvent("1", "/s", kind, body=body))
    seen = heard.snapshot(10)
    assert len(seen["decisions"]) + len(seen["nodes"]) + heard.malformed == 1
    json.dumps(seen, allow_nan=False)
    heard.close(0)


def test_a_large_body_is_not_looked_at() -> None:
    heard = Feed(Reach("tcp://127.0.0.1:1", "", None, False), CONFIG, "f")
    body = json.dumps(row(detail="x" * BODY_BYTES_MAX)).encode()
    heard._take(clustercore.ChannelEvent("1", "/s", NODE_LOAD, body=body))
    assert heard.malformed == 1
    heard.close(0)


def described(server: Server, channel: str) -> dict[str, Any]:
    """What the server says of a channel."""
    return dict(
        clustercore.Participant(f"tcp://{server.address}").ask({"op": "describe", "channel": channel})
    )


def test_tally_has_rates_queue_lag_losses_and_why(server: Server) -> None:
    lazy = consume(server, "default", {"mode": "pull", "qos": {"length_max": 4}})
    tally = ChannelTally("default")
    tally.add(10.0, described(server, "default"))
    supplier = clustercore.Participant(f"tcp://{server.address}")
    handle = supplier.supply("default")
    supplier.emit(handle, [clustercore.ChannelEvent(str(number), "/s", "t") for number in range(10)])
    supplier.flush(handle)
    tally.add(12.0, described(server, "default"))
    row = tally.summary()
    assert (row["rate_in"], row["rate_out"], row["queued"], row["lost"]) == (5.0, 0.0, 4, 6)
    assert row["lag"] == 4
    (consumer,) = tally.details()["consumer_list"]
    assert consumer["why"] == ["the consumer pulls and has not asked"]
    assert consumer["losses"] == {"discarded": 6}
    assert (consumer["queue_length"], consumer["length_max"]) == (4, 4)
    (shared,) = tally.details()["supplier_list"]
    assert (shared["rate"], shared["taken"]) == (5.0, 10)
    assert tally.details()["history"]["queued"] == [0, 4]
    lazy.close()


def test_the_server_is_asked_while_somebody_looks(server: Server) -> None:
    async def look() -> None:
        watch = ChannelWatch(server.reach, "service", "f")

        first = watch.answers("default")
        answer = await anext(first)
        assert [one["name"] for one in answer["channels"]] == ["default"]
        assert answer["chosen"]["name"] == "default"
        await first.aclose()
        # One comes while the last one leaves, and is told; so is one who comes when all have left.
        assert (await asyncio.wait_for(watch.answer("default"), 10))["fault"] == ""
        async with asyncio.timeout(10):
            while watch._client is not None:
                await asyncio.sleep(0.01)
        assert (await asyncio.wait_for(watch.answer("other"), 10))["chosen"] is None
        watch.close()

    asyncio.run(look())


def test_tally_of_a_server_that_began_anew_is_not_negative() -> None:
    def answer(offset: int, taken: int) -> dict[str, Any]:
        supplier = {"name": "shared", "owner": "", "mode": "push", "stats": {"taken": taken}}
        stats = {"events": 0, "bytes": 0}
        numbers = {"offset_next": offset, "retained_from": 0}
        return {**numbers, "stats": stats, "consumers": [], "suppliers": [supplier]}

    tally = ChannelTally("c")
    tally.add(1.0, answer(100, 100))
    tally.add(2.0, answer(3, 4))
    assert tally.summary()["rate_in"] == 3.0
    assert tally.details()["supplier_list"][0]["rate"] == 4.0
