"""A node between real clients and real services."""

from __future__ import annotations

import concurrent.futures
import gc
import os
import select
import socket
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import clustercore
import pytest
from conftest import Service, events_until, get, wait_for

Start = Callable[[str], Service]


def test_the_local_instance_serves_while_the_list_is_empty(node: clustercore.Node, service: Start) -> None:
    web = node.forwarder("web")
    address = web.listen("127.0.0.1:0")
    assert get(address)[0] == 503
    key = web.set_local(service("local").address, cores=2)
    local = web.local()
    assert local is not None and (local.key, local.name, local.cores) == (key, "local", 2)
    assert get(address) == (200, "local")
    slave = web.add_backend(service("slave").address, name="slave1", weight=3, cores=4)
    assert get(address) == (200, "slave")
    (row,) = web.backends()
    assert (row.key, row.name, row.weight, row.cores, row.requests) == (slave, "slave1", 3, 4, 1)
    assert (row.level, row.failures, row.in_flight) == ("low", 0, 0)
    assert row.latency_us_mean > 0
    assert row.state in ("active", "warming")
    web.remove_backend(slave)
    assert get(address) == (200, "local")
    assert web.set_local(None) is None and web.local() is None
    assert get(address)[0] == 503


def test_a_drain_ends_when_nothing_is_in_flight(node: clustercore.Node, service: Start) -> None:
    web = node.forwarder("web")
    address = web.listen("127.0.0.1:0")
    slave = service("slave")
    slave.hold.clear()
    key = web.add_backend(slave.address)
    answers: list[tuple[int, str]] = []
    client = threading.Thread(target=lambda: answers.append(get(address)))
    client.start()
    assert slave.entered.wait(10)
    web.drain_backend(key, deadline=30)
    (row,) = web.backends()
    assert (row.state, row.in_flight) == ("draining", 1)
    with pytest.raises(clustercore.WrongState, match=rf"back end {key} \(.*\) is draining already"):
        web.drain_backend(key)
    assert node.poll(timeout=0.05) == []
    slave.hold.set()
    assert events_until(node, clustercore.BackendDrained) == [clustercore.BackendDrained("web", key, True, 0)]
    client.join(10)
    assert answers == [(200, "slave")]


def test_a_drain_that_takes_too_long_says_what_is_left(node: clustercore.Node, service: Start) -> None:
    web = node.forwarder("web")
    address = web.listen("127.0.0.1:0")
    slave = service("slave")
    slave.hold.clear()
    key = web.add_backend(slave.address)
    client = threading.Thread(target=get, args=(address,))
    client.start()
    assert slave.entered.wait(10)
    web.drain_backend(key, deadline=0.02)
    left = clustercore.BackendDrained("web", key, False, 1)
    assert events_until(node, clustercore.BackendDrained) == [left]
    slave.hold.set()
    client.join(10)


def test_local_requests_in_flight_are_counted(node: clustercore.Node, service: Start) -> None:
    web = node.forwarder("web")
    address = web.listen("127.0.0.1:0")
    local = service("local")
    local.hold.clear()
    web.set_local(local.address)
    client = threading.Thread(target=get, args=(address,))
    client.start()
    assert local.entered.wait(10)
    assert web.stats()["local_in_flight"] == 1
    local.hold.set()
    client.join(10)
    wait_for(lambda: web.stats()["local_in_flight"] == 0)


def test_counters_and_latencies(node: clustercore.Node, service: Start) -> None:
    web, other = node.forwarder("web"), node.forwarder("other")
    one = service("one")
    for forwarder in (web, other):
        forwarder.add_backend(one.address)
        assert get(forwarder.listen("127.0.0.1:0")) == (200, "one")
    labels = [label for label, _, _ in clustercore.counters()]
    assert list(web.stats()) == [*labels, "local_in_flight"]
    assert list(node.counters()) == labels
    assert web.stats()["requests"] == 1 and node.counters()["requests"] == 2
    latency = web.latency(reset=True)
    assert 0 < latency["p50"] <= latency["p99"] <= latency["p999"] <= latency["max"] < 10
    assert 0 < latency["first_byte_p50"] <= latency["max"]
    assert set(web.latency().values()) == {0.0}
    other.close()
    assert node.counters()["requests"] == 1


def test_two_shards_are_one_service(driver: str, service: Start) -> None:
    with clustercore.Node(shards=2, driver=driver) as node:
        assert node.shards == 2 and "shards=2" in repr(node)
        web = node.forwarder("web", policy="round_robin", health="off")
        address = web.listen("127.0.0.1:0")
        for name in ("one", "two"):
            web.add_backend(service(name).address)
        assert {get(address)[1] for _ in range(12)} == {"one", "two"}
        assert web.stats()["requests"] == 12


def test_weights_can_be_changed(node: clustercore.Node, service: Start) -> None:
    web = node.forwarder("web", policy="round_robin", health="off")
    address = web.listen("127.0.0.1:0")
    key = web.add_backend(service("one").address)
    web.add_backend(service("two").address)
    web.set_backend(key, weight=3)
    assert [row.weight for row in web.backends()] == [3, 1]
    assert sorted(get(address)[1] for _ in range(8)) == ["one"] * 6 + ["two"] * 2


def test_a_back_end_whose_reading_is_high_gets_nothing(node: clustercore.Node, service: Start) -> None:
    web = node.forwarder("web", signal="cpu", health="off")
    address = web.listen("127.0.0.1:0")
    one = web.add_backend(service("one").address)
    web.add_backend(service("two").address)
    assert get(address)[1] == "one"
    web.set_backend(one, reading=0.9)
    assert [(row.level, row.reading) for row in web.backends()] == [("high", 0.9), ("low", 0.0)]
    assert get(address)[1] == "two"
    web.set_thresholds(medium_per_core=0.5, high_per_core=0.95)
    assert [row.level for row in web.backends()] == ["medium", "low"]
    web.set_backend(one, reading=0.2)
    assert get(address)[1] == "one"
    assert sum(row.latency_us_total > 0 for row in web.backends()) == 2
    with pytest.raises(clustercore.BadConfiguration, match="above the high one"):
        web.set_thresholds(medium_per_core=2, high_per_core=1)


def test_a_request_that_waits_goes_when_a_reading_falls(node: clustercore.Node, service: Start) -> None:
    web = node.forwarder("web", signal="latency", medium_per_core=5, high_per_core=10, health="off")
    address = web.listen("127.0.0.1:0")
    key = web.add_backend(service("one").address)
    web.set_backend(key, reading=11.0)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(get, address)
        wait_for(lambda: web.stats()["queue_length"] == 1)
        web.set_backend(key, reading=9.0)
        assert answer.result(10)[1] == "one"


def test_tcp_mode_forwards_bytes(node: clustercore.Node) -> None:
    echo = node.forwarder("echo", mode="tcp")
    with socket.create_server(("127.0.0.1", 0)) as server:
        echo.add_backend(f"127.0.0.1:{server.getsockname()[1]}")
        host, port = echo.listen("127.0.0.1:0").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as client:
            client.sendall(b"over there")
            there, _ = server.accept()
            with there:
                there.settimeout(10)
                assert there.recv(100) == b"over there"
                there.sendall(b"and back")
            assert client.recv(100) == b"and back"
            assert client.recv(100) == b""


def test_a_listening_socket_stays_the_callers(node: clustercore.Node, service: Start) -> None:
    web = node.forwarder("web")
    web.add_backend(service("one").address)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        assert web.listen_fd(listener) == address
        assert get(address) == (200, "one")
    assert get(address) == (200, "one")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert web.listen_fd(listener.fileno()) == f"127.0.0.1:{listener.getsockname()[1]}"
        assert os.fstat(listener.fileno()), "still open"


def test_descriptors_that_are_no_listeners(node: clustercore.Node) -> None:
    web = node.forwarder("web")
    with socket.socket() as plain, pytest.raises(clustercore.NotAListener):
        web.listen_fd(plain)
    read, write = os.pipe()
    try:
        with pytest.raises(clustercore.NotAListener):
            web.listen_fd(read)
    finally:
        os.close(read)
        os.close(write)
    with pytest.raises(OSError, match="Bad file descriptor"):
        web.listen_fd(1_000_000)
    with pytest.raises(TypeError):
        web.listen_fd("three")  # type: ignore[arg-type]


def test_a_taken_port_is_named(node: clustercore.Node) -> None:
    web = node.forwarder("web")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(clustercore.AddressInUse, match=f"listen on {address}") as caught:
            web.listen(address)
    error = caught.value
    assert isinstance(error, OSError)
    assert (error.code, error.name, error.side, error.retryable) == (40, "ADDRESS_IN_USE", "kernel", False)


def test_names_are_unique_until_closed(node: clustercore.Node) -> None:
    with node.forwarder("web") as web:
        assert web.name == "web" and "'web'" in repr(web)
        with pytest.raises(clustercore.AlreadyExists, match="web"):
            node.forwarder("web")
    web.close()
    with pytest.raises(clustercore.Closed, match="web"):
        web.listen("127.0.0.1:0")
    assert node.forwarder("web").stats()["requests"] == 0


def test_keys_that_are_not_there(node: clustercore.Node) -> None:
    web = node.forwarder("web")
    calls: list[Callable[[], object]] = [
        lambda: web.remove_backend(7),
        lambda: web.drain_backend(7),
        lambda: web.set_backend(7, weight=2),
    ]
    for call in calls:
        with pytest.raises(clustercore.NoSuchBackend, match="no back end 7") as caught:
            call()
        assert isinstance(caught.value, LookupError)


def test_ejection_and_return_are_events(node: clustercore.Node, service: Start) -> None:
    one = service("one")
    health = clustercore.HealthConfig(interval=0.02, fall=2, rise=1, ejection=0.05, ejection_max=0.05)
    web = node.forwarder("web", health=health)
    address = web.listen("127.0.0.1:0")
    key = web.add_backend(one.address)
    assert get(address) == (200, "one")
    # The last one is never ejected.
    web.add_backend(service("two").address)
    one.stop()
    ejected = events_until(node, clustercore.BackendEjected)[-1]
    assert isinstance(ejected, clustercore.BackendEjected)
    assert (ejected.forwarder, ejected.backend) == ("web", key)
    assert ejected.duration > 0 and "failed" in ejected.reason
    assert web.backends()[0].state in ("ejected", "trial")
    again = Service("again", one.server_port)
    try:
        deadline = time.monotonic() + 10
        seen: list[clustercore.Event] = []
        while clustercore.BackendReturned("web", key) not in seen:
            assert time.monotonic() < deadline
            get(address)
            seen += node.poll(timeout=0.02)
    finally:
        again.stop()


def test_waiting_requests_are_told_of(node: clustercore.Node, service: Start) -> None:
    web = node.forwarder("web", queue_timeout=0.05, retry_after=7)
    address = web.listen("127.0.0.1:0")
    one = service("one")
    one.hold.clear()
    web.add_backend(one.address, in_flight_max=1)
    client = threading.Thread(target=get, args=(address,))
    client.start()
    assert one.entered.wait(10)
    assert get(address)[0] == 503
    assert clustercore.Saturated in {type(event) for event in events_until(node, clustercore.Saturated)}
    one.hold.set()
    client.join(10)
    assert web.stats()["answered_503"] == 1


def test_log_records_come_on_the_polling_thread(driver: str) -> None:
    records: list[tuple[str, str, int]] = []

    def sink(level: str, text: str) -> None:
        records.append((level, text, threading.get_ident()))

    with clustercore.Node(driver=driver, log=sink) as node:
        address = node.forwarder("web").listen("127.0.0.1:0")
        wait_for(lambda: node.poll(timeout=0.02) or any(address in text for _, text, _ in records))
    assert {level for level, _, _ in records} == {"info"}
    assert records[0][1].startswith(f"driver {driver}")
    assert {thread for _, _, thread in records} == {threading.get_ident()}


def test_a_sink_that_raises_does_not_stop_the_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    caught: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", caught.append)

    def sink(level: str, text: str) -> None:
        raise ValueError(f"{level} {text}")

    with clustercore.Node(driver="epoll", log=sink) as node:
        wait_for(lambda: node.poll(timeout=0.02) or caught)
    assert caught[0].exc_type is ValueError and caught[0].object is sink


def test_the_descriptor_tells_of_events(node: clustercore.Node) -> None:
    web = node.forwarder("web")
    key = web.add_backend("127.0.0.1:9")
    node.poll(timeout=0)
    web.drain_backend(key)
    seen: list[clustercore.Event] = []
    while not seen:
        assert select.select([node.fileno()], [], [], 10)[0], "readable within ten seconds"
        seen = node.poll(timeout=0)
    assert seen == [clustercore.BackendDrained("web", key, True, 0)]


def test_at_most_so_many_events_at_once(node: clustercore.Node) -> None:
    web = node.forwarder("web")
    keys = [web.add_backend("127.0.0.1:9") for _ in range(5)]
    for key in keys:
        web.drain_backend(key)
    seen: list[clustercore.Event] = []
    while len(seen) < 5:
        taken = node.poll(timeout=10, max=2)
        assert 1 <= len(taken) <= 2
        seen += taken
    assert sorted(event.backend or 0 for event in seen) == keys


def test_poll_waits_without_the_interpreter(node: clustercore.Node) -> None:
    web = node.forwarder("web")
    seen: list[clustercore.Event] = []
    poller = threading.Thread(target=lambda: seen.extend(node.poll()))
    poller.start()
    # This thread goes on while the other waits without limit.
    key = web.add_backend("127.0.0.1:9")
    web.drain_backend(key)
    poller.join(10)
    assert not poller.is_alive() and seen


def test_two_threads_poll_and_two_command(node: clustercore.Node) -> None:
    web = node.forwarder("web")
    seen: list[int] = []
    end = threading.Event()

    def poll() -> None:
        while not end.is_set():
            seen.extend(event.backend or 0 for event in node.poll(timeout=0.05))

    keys: list[int] = []

    def command() -> None:
        for _ in range(50):
            key = web.add_backend("127.0.0.1:9")
            keys.append(key)
            web.drain_backend(key)
            web.backends()

    threads = [threading.Thread(target=target) for target in (poll, poll, command, command)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(seen) == 100)
    end.set()
    for thread in threads:
        thread.join(10)
    assert sorted(seen) == sorted(keys) == list(range(1, 101))


def test_close_ends_every_wait(driver: str) -> None:
    node = clustercore.Node(driver=driver)
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            while True:
                node.poll()
        except clustercore.Closed as error:
            raised.append(error)

    pollers = [threading.Thread(target=wait) for _ in range(3)]
    for poller in pollers:
        poller.start()
    node.close()
    for poller in pollers:
        poller.join(10)
    assert len(raised) == 3


def test_a_closed_node_says_so(driver: str, service: Start) -> None:
    with clustercore.Node(driver=driver) as node:
        web = node.forwarder("web")
        key = web.add_backend(service("one").address)
        address = web.listen("127.0.0.1:0")
        assert get(address) == (200, "one")
    node.close()
    for call in (
        lambda: node.poll(timeout=0),
        lambda: node.forwarder("other"),
        lambda: web.listen("127.0.0.1:0"),
        lambda: web.drain_backend(key),
        lambda: web.latency(),
    ):
        with pytest.raises(clustercore.Closed):
            call()
    assert web.stats()["requests"] == 1, "what was counted stays"
    web.close()
    host, port = address.split(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=5)


def test_the_context_manager_closes_on_errors_and_lets_them_pass() -> None:
    with pytest.raises(ZeroDivisionError), clustercore.Node(driver="epoll") as node:
        raise ZeroDivisionError
    with pytest.raises(clustercore.Closed):
        node.poll(timeout=0)


def test_a_forwarder_keeps_its_node(driver: str, service: Start) -> None:
    web = clustercore.Node(driver=driver).forwarder("web")
    gc.collect()
    web.add_backend(service("one").address)
    assert get(web.listen("127.0.0.1:0")) == (200, "one")


def test_a_node_in_a_cycle_with_its_sink_is_collected() -> None:
    class Program:
        def __init__(self) -> None:
            self.node = clustercore.Node(driver="epoll", log=self.log)

        def log(self, level: str, text: str) -> None:
            pass

    program = Program()
    gone = weakref.ref(program.node)
    del program
    gc.collect()
    assert gone() is None
