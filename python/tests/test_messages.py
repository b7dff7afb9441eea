"""Reliable messages and plain datagrams of shards."""

from __future__ import annotations

import gc
import json
import select
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import clustercore
import pytest

HANDSHAKE_SECONDS = 0.4


class End:
    """A shard with an endpoint, and what has come to it."""

    def __init__(self, driver: str) -> None:
        self.shard = clustercore.Shard(driver=driver)
        self.endpoint = self.shard.endpoint(
            "127.0.0.1:0", window=262144, message_bytes_max=200000, handshake_timeout=HANDSHAKE_SECONDS
        )
        self.messages: list[clustercore.Message] = []
        self.events: list[clustercore.ConnectionEvent] = []
        self.idle = False

    def turn(self) -> None:
        """One turn, and what it brings."""
        if not self.idle:
            self.shard.turn()
            self.messages += self.shard.messages()
            self.events += self.shard.connection_events()

    def has(self, kind: type[clustercore.ConnectionEvent]) -> bool:
        """Whether an event of the kind has come."""
        return any(isinstance(event, kind) for event in self.events)

    def gone(self) -> clustercore.ConnectionGone:
        """The end of the connection."""
        return next(event for event in self.events if isinstance(event, clustercore.ConnectionGone))


class Pair:
    """A client that is connected to a server."""

    def __init__(self, driver: str) -> None:
        self.client, self.server = End(driver), End(driver)
        self.connection = self.client.endpoint.connect(self.server.endpoint.address)
        self.until(lambda: self.client.has(clustercore.Connected) and self.server.has(clustercore.Accepted))

    def until(self, done: Callable[[], object]) -> None:
        """Turns both until it holds."""
        deadline = time.monotonic() + 20
        while not done():
            assert time.monotonic() < deadline, "not within twenty seconds"
            self.client.turn()
            self.server.turn()
            time.sleep(0.0001)

    def send(self, data: bytes, stream: int = 0, kind: str = "ordered") -> int:
        """Sends, and turns both where that must wait."""
        while True:
            try:
                return self.connection.send(data, stream, kind)
            except clustercore.WouldBlock:
                self.client.turn()
                self.server.turn()

    def close(self) -> None:
        """Ends both."""
        self.client.shard.close()
        self.server.shard.close()


@pytest.fixture
def pair(driver: str) -> Iterator[Pair]:
    """Two ends that are connected."""
    made = Pair(driver)
    yield made
    made.close()


def test_messages_of_all_sizes_arrive_once_and_in_order(pair: Pair) -> None:
    sent = [bytes([number & 255]) * (number * 7 % 1300) for number in range(500)]
    sent += [b"", b"x" * 200000, b"y" * 127, b"z" * 128]
    assert [pair.send(data) for data in sent] == list(range(len(sent)))
    pair.until(lambda: len(pair.server.messages) == len(sent))
    assert [message.payload for message in pair.server.messages] == sent
    assert [message.sequence for message in pair.server.messages] == list(range(len(sent)))
    first = pair.server.messages[0]
    assert (first.stream, first.kind) == (0, "ordered")
    assert first.connection.endpoint == pair.server.endpoint
    assert pair.client.endpoint.stats()["packets_lost"] == 0


def test_streams_of_all_kinds_carry_messages(pair: Pair) -> None:
    kinds = ("ordered", "unordered", "latest", "unreliable")
    for number, kind in enumerate(kinds):
        assert pair.connection.send(kind.encode(), stream=number, kind=kind) == 0
    pair.until(lambda: len(pair.server.messages) == 4)
    seen = {(message.stream, message.kind, message.payload) for message in pair.server.messages}
    assert seen == {(number, kind, kind.encode()) for number, kind in enumerate(kinds)}


def test_a_message_is_answered_on_its_connection(pair: Pair) -> None:
    for data in (b"bytes", bytearray(b"bytearray"), memoryview(b"memoryview")[6:]):
        pair.connection.send(data)
    pair.until(lambda: len(pair.server.messages) == 3)
    match pair.server.messages[1]:
        case clustercore.Message(connection, 0, "ordered", 1, b"bytearray"):
            connection.send(b"and hello to you", stream=7)
        case other:
            pytest.fail(repr(other))
    pair.until(lambda: pair.client.messages)
    answer = pair.client.messages[0]
    assert (answer.payload, answer.stream) == (b"and hello to you", 7)
    assert answer.connection == pair.connection and hash(answer.connection) == hash(pair.connection)
    assert pair.server.messages[0].connection != pair.connection


def test_a_batch_brings_the_same_in_one_buffer(pair: Pair) -> None:
    sent = [b"", b"one", b"x" * 5000, b"four"]
    pair.server.idle = True
    for data in sent:
        pair.connection.send(data)
    pair.connection.send(b"other", stream=9, kind="unordered")
    taken: list[bytes] = []
    runs = []
    deadline = time.monotonic() + 20
    while len(taken) < 5:
        assert time.monotonic() < deadline
        pair.client.turn()
        pair.server.shard.turn()
        batch = pair.server.shard.message_batch()
        assert len(batch.offsets) == 2 * len(batch) and batch.offsets.format == "I"
        ends = batch.offsets.tolist()
        parts = [batch.buffer[begin:end] for begin, end in zip(ends[::2], ends[1::2], strict=True)]
        assert parts == batch.to_list()
        assert sum(count for *_, count in batch.runs) == len(batch)
        taken += parts
        runs += batch.runs
        assert len(pair.server.shard.message_batch()) == 0, "each message once"
        assert pair.server.shard.messages() == []
    assert sorted(taken) == sorted([*sent, b"other"])
    assert {(stream, kind) for _, stream, kind, _, _ in runs} == {(0, "ordered"), (9, "unordered")}
    assert runs[0][0].endpoint == pair.server.endpoint


def test_a_slow_reader_holds_the_sender_and_loses_nothing(pair: Pair) -> None:
    pair.server.idle = True
    sent = 0
    with pytest.raises(clustercore.WouldBlock) as raised:
        while True:
            pair.connection.send(bytes(1000))
            sent += 1
            pair.client.turn()
    assert raised.value.retryable and isinstance(raised.value, BlockingIOError)
    assert 150 < sent < 300, "a window of 256 KiB, or what the system grants"
    pair.server.idle = False
    pair.until(lambda: pair.client.has(clustercore.Writable) and len(pair.server.messages) == sent)
    pair.send(b"more")
    pair.until(lambda: len(pair.server.messages) == sent + 1)


def test_finishing_lets_arrive_what_was_sent(pair: Pair) -> None:
    for _ in range(100):
        pair.send(bytes(1000))
    path = pair.connection.path()
    assert path.rtt > 0 and path.packet_bytes >= 1200
    pair.connection.finish(300, "bye")
    pair.until(lambda: all(end.has(clustercore.ConnectionGone) for end in (pair.client, pair.server)))
    assert len(pair.server.messages) == 100
    match pair.server.gone():
        case clustercore.ConnectionGone(_, "closed_by_peer", 300, "bye") as gone:
            assert gone.unconfirmed == []
        case other:
            pytest.fail(repr(other))
    assert (pair.client.gone().connection, pair.client.gone().reason) == (pair.connection, "closed")
    with pytest.raises(clustercore.NotConnected) as raised:
        pair.connection.send(b"too late")
    assert isinstance(raised.value, ConnectionError)


def test_what_is_not_confirmed_is_told_at_the_end(pair: Pair) -> None:
    pair.server.idle = True
    for _ in range(7):
        pair.connection.send(b"to nobody", stream=3)
    pair.client.turn()
    pair.connection.close()
    pair.until(lambda: pair.client.has(clustercore.ConnectionGone))
    assert pair.client.gone().unconfirmed == [(3, "ordered", 0, 6)]


def test_a_peer_that_is_not_there_is_gone_with_its_reason(pair: Pair) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        connection = pair.client.endpoint.connect("{}:{}".format(*silent.getsockname()))
        pair.until(lambda: pair.client.has(clustercore.ConnectionGone))
    gone = pair.client.gone()
    assert (gone.connection, gone.reason) == (connection, "unreachable")


def test_a_refusal_is_told(driver: str, pair: Pair) -> None:
    with clustercore.Shard(driver=driver) as shard:
        closed = shard.endpoint("127.0.0.1:0", accepting=False)
        pair.client.endpoint.connect(closed.address)

        def is_told() -> bool:
            shard.turn()
            return pair.client.has(clustercore.ConnectionGone)

        pair.until(is_told)
    gone = pair.client.gone()
    assert (gone.reason, gone.text) == ("refused", "it takes no connections")


def test_garbage_is_counted_and_dropped(pair: Pair) -> None:
    host, port = pair.server.endpoint.address.split(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for length in range(200):
            data = bytes((place * 37 + length) & 255 | 0x40 for place in range(length))
            stranger.sendto(data, (host, int(port)))
    pair.send(b"still there")
    pair.until(lambda: pair.server.messages)
    stats = pair.server.endpoint.stats()
    assert stats["packets_malformed"] + stats["packets_unknown"] >= 190


def test_a_send_makes_a_turn_due(pair: Pair) -> None:
    for _ in range(20):
        pair.client.turn()
        pair.server.turn()
        time.sleep(0.001)
    with select.epoll() as loop:
        loop.register(pair.client.shard.fileno(), select.EPOLLIN)
        while loop.poll(0):
            pair.client.turn()
        pair.connection.send(b"one")
        pair.connection.send(b"two")
        assert loop.poll(10), "the loop hears of it"
    pair.until(lambda: len(pair.server.messages) == 2)


def test_a_turn_that_waits_brings_messages_too(pair: Pair) -> None:
    pair.connection.send(b"hello")
    pair.client.turn()
    deadline = time.monotonic() + 20
    while not (found := pair.server.shard.messages()):
        assert time.monotonic() < deadline
        pair.server.shard.turn(0.01)
        pair.client.turn()
    assert found[0].payload == b"hello"


def test_a_trace_is_a_sequence_of_json_records(tmp_path: Path) -> None:
    path = tmp_path / "trace.sqlog"
    with clustercore.Shard() as shard, shard.endpoint("127.0.0.1:0", trace_path=path) as endpoint:
        endpoint.connect(endpoint.address)
        deadline = time.monotonic() + 20
        while not any(isinstance(event, clustercore.Accepted) for event in shard.connection_events()):
            assert time.monotonic() < deadline
            shard.turn(0.01)
    records = [json.loads(record) for record in path.read_text().split("\x1e")[1:]]
    assert records[0]["serialization_format"] == "application/qlog+json-seq"
    names = [record["name"] for record in records[1:]]
    assert names[:2] == ["datagram:packet_sent", "datagram:packet_received"]
    assert {"datagram:connection_started", "datagram:recovery_metrics_updated"} <= set(names)
    times = [record["time"] for record in records[1:]]
    assert times == sorted(times)


def test_what_cannot_be_is_refused(pair: Pair) -> None:
    shard, endpoint, connection = pair.client.shard, pair.client.endpoint, pair.connection
    with pytest.raises(clustercore.InsecureAddress, match="outside loopback"):
        shard.endpoint("0.0.0.0:0")
    shard.endpoint("0.0.0.0:0", insecure=True).close()
    with pytest.raises(clustercore.BadConfiguration, match="packet_bytes_max is 100"):
        shard.endpoint("127.0.0.1:0", packet_bytes_max=100)
    with pytest.raises(clustercore.InvalidArgument, match="gone_after is 0"):
        shard.endpoint("127.0.0.1:0", gone_after=0)
    with pytest.raises(clustercore.BadConfiguration, match="a clear endpoint has no keys"):
        shard.endpoint("127.0.0.1:0", key_log_path="/nowhere/keys")
    with pytest.raises(OSError, match="make the trace /nowhere/trace"):
        shard.endpoint("127.0.0.1:0", trace_path="/nowhere/trace")
    with pytest.raises(TypeError):
        shard.endpoint("127.0.0.1:0", colour="red")  # type: ignore[call-arg]
    with pytest.raises(clustercore.BadAddress):
        endpoint.connect("somewhere")
    with pytest.raises(clustercore.InvalidArgument, match="key is 3 bytes"):
        endpoint.connect("127.0.0.1:9", key=b"key")
    with pytest.raises(clustercore.BadConfiguration, match="clear endpoint"):
        endpoint.connect("127.0.0.1:9", key=bytes(32))
    with pytest.raises(clustercore.InvalidArgument, match="kind is"):
        connection.send(b"", kind="fast")
    with pytest.raises(clustercore.InvalidArgument, match="stream is -1"):
        connection.send(b"", stream=-1)
    with pytest.raises(clustercore.TooLarge, match="message is 200001 bytes"):
        connection.send(bytes(200001))
    with pytest.raises(TypeError):
        connection.send("text")  # type: ignore[arg-type]
    with pytest.raises(clustercore.InvalidArgument, match="code is 7"):
        connection.close(7)
    with pytest.raises(clustercore.AddressInUse):
        shard.endpoint(endpoint.address)


def test_closed_things_say_so(pair: Pair) -> None:
    shard, endpoint, connection = pair.client.shard, pair.client.endpoint, pair.connection
    endpoint.close()
    endpoint.close()
    for call in (
        lambda: endpoint.address,
        endpoint.stats,
        lambda: endpoint.connect("127.0.0.1:9"),
        connection.path,
        lambda: connection.send(b"x"),
        connection.finish,
    ):
        with pytest.raises(clustercore.NoSuchEndpoint) as raised:
            call()
        assert isinstance(raised.value, LookupError)
    shard.turn()
    shard.close()
    takes = (shard.messages, shard.message_batch, shard.datagrams, shard.connection_events)
    for take in (*takes, connection.path):
        with pytest.raises(clustercore.Closed):
            take()
    endpoint.close()


def test_other_threads_are_refused(pair: Pair) -> None:
    calls: list[Callable[[], object]] = [
        lambda: pair.connection.send(b"x"),
        pair.connection.path,
        pair.client.endpoint.stats,
        pair.server.shard.messages,
        pair.server.shard.message_batch,
        pair.server.shard.datagrams,
        pair.server.shard.connection_events,
        lambda: pair.client.shard.bind("127.0.0.1:0"),
    ]
    pair.server.idle = True
    pair.send(b"not taken by others")
    found: list[clustercore.Message] = []
    deadline = time.monotonic() + 20
    with ThreadPoolExecutor(1) as other:
        while not found:
            assert time.monotonic() < deadline
            pair.client.turn()
            pair.server.shard.turn(0.01)
            for call in calls:
                with pytest.raises(clustercore.WrongThread):
                    other.submit(call).result()
            found = pair.server.shard.messages()


def test_messages_outlive_their_shard(driver: str) -> None:
    def receive() -> clustercore.Message:
        pair = Pair(driver)
        pair.send(b"kept")
        pair.until(lambda: pair.server.messages)
        pair.close()
        return pair.server.messages[0]

    message = receive()
    gc.collect()
    assert message.payload == b"kept" and "endpoint 0" in repr(message.connection)


def test_plain_datagrams_come_as_they_were_sent(driver: str) -> None:
    with clustercore.Shard(driver=driver) as shard:
        one, two = shard.bind("127.0.0.1:0"), shard.bind("127.0.0.1:0", receive_buffer=65536)
        shard.turn()
        one.send(two.address, bytes(range(250)), segment=100)
        one.send(two.address, bytearray(b"alone"))
        found: list[clustercore.Datagram] = []
        deadline = time.monotonic() + 10
        while len(found) < 4:
            assert time.monotonic() < deadline
            shard.turn(0.01)
            found += shard.datagrams()
            assert shard.datagrams() == []
        assert [len(datagram.payload) for datagram in found] == [100, 100, 50, 5]
        assert found[2].payload == bytes(range(200, 250)) and found[3].payload == b"alone"
        assert all(datagram.socket == two and datagram.sender == one.address for datagram in found)
        assert two.counters()["datagrams_received"] == 4
        with pytest.raises(clustercore.TooLarge):
            one.send(two.address, bytes(70000))
        with pytest.raises(clustercore.InvalidArgument, match="segment is 0"):
            one.send(two.address, b"x", segment=0)
        with pytest.raises(clustercore.BadAddress):
            one.send("localhost:1", b"x")
        two.close()
        two.close()
        with pytest.raises(clustercore.NoSuchSocket):
            two.counters()
    one.close()


def test_names_are_looked_up() -> None:
    assert clustercore.resolve("127.0.0.1", 80) == ["127.0.0.1:80"]
    assert clustercore.resolve("::1", 80) == ["[::1]:80"]
    assert all(address.endswith(":4711") for address in clustercore.resolve("localhost", 4711))
    with pytest.raises(clustercore.Unreachable, match='"no such host" has no address'):
        clustercore.resolve("no such host", 80)
    with pytest.raises(clustercore.InvalidArgument, match="port is 65536"):
        clustercore.resolve("localhost", 65536)
