"""A shard in a loop of the program's own."""

from __future__ import annotations

import gc
import select
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import clustercore
import pytest
from conftest import Service, get

Start = Callable[[str], Service]


def turn_until(shard: clustercore.Shard, done: Callable[[], object]) -> list[clustercore.Event]:
    """An event loop of its own: epoll with the shard's descriptor and timers, as any program has one."""
    seen: list[clustercore.Event] = []
    deadline = time.monotonic() + 10
    with select.epoll() as loop:
        loop.register(shard.fileno(), select.EPOLLIN)
        while not done():
            assert time.monotonic() < deadline, "not within ten seconds"
            shard.turn()
            seen += shard.events()
            timeout = shard.next_timeout()
            # 50 ms bound the wait for what the test itself looks at; longer would hide a missed wake-up.
            loop.poll(0.05 if timeout is None else min(timeout, 0.05))
    return seen


def test_a_shard_serves_from_the_loop_that_owns_it(driver: str, service: Start) -> None:
    with clustercore.Shard(driver=driver) as shard, ThreadPoolExecutor(1) as clients:
        assert shard.driver.startswith(driver) and driver in repr(shard)
        web = shard.forwarder("web")
        address = web.listen("127.0.0.1:0")
        key = web.add_backend(service("one").address)
        answer = clients.submit(get, address)
        turn_until(shard, answer.done)
        assert answer.result() == (200, "one")
        assert web.stats()["requests"] == 1
        assert web.latency(reset=True)["max"] > 0 and web.latency()["max"] == 0
        web.drain_backend(key, deadline=5)
        seen = shard.events()
        assert clustercore.BackendDrained("web", key, True, 0) in seen
        web.set_backend(key, weight=4)
        assert web.backends()[0].weight == 4
        web.remove_backend(key)
        assert web.backends() == []


def test_the_descriptor_wakes_who_waits(driver: str) -> None:
    with clustercore.Shard(driver=driver) as shard:
        web = shard.forwarder("web")
        host, port = web.listen("127.0.0.1:0").split(":")
        for _ in range(3):
            shard.turn()
        with select.epoll() as loop:
            loop.register(shard.fileno(), select.EPOLLIN)
            while loop.poll(0):
                shard.turn()
            # Comes while the wait below has begun, or before: either way it must end long before its limit.
            clients: list[socket.socket] = []
            client = threading.Timer(
                0.05, lambda: clients.append(socket.create_connection((host, int(port))))
            )
            client.start()
            begun = time.monotonic()
            assert loop.poll(30)
            assert time.monotonic() - begun < 25, "woken, not timed out"
            while web.stats()["clients_accepted"] == 0:
                shard.turn(0.05)
        client.join(10)
        clients[0].close()


def test_a_command_makes_a_turn_due(driver: str) -> None:
    with clustercore.Shard(driver=driver) as shard:
        web = shard.forwarder("web")
        shard.turn()
        with select.epoll() as loop:
            loop.register(shard.fileno(), select.EPOLLIN)
            while loop.poll(0):
                shard.turn()
            key = web.add_backend("127.0.0.1:9")
            web.drain_backend(key)
            assert loop.poll(10), "the loop hears of it"
        shard.turn()
        assert shard.events() == [clustercore.BackendDrained("web", key, True, 0)]


def test_timers_run(driver: str, service: Start) -> None:
    with clustercore.Shard(driver=driver) as shard, ThreadPoolExecutor(1) as clients:
        assert shard.next_timeout() in (0, None)
        web = shard.forwarder("web", queue_timeout=0.05)
        one = service("one")
        web.add_backend(one.address, in_flight_max=1)
        one.hold.clear()
        address = web.listen("127.0.0.1:0")
        first = clients.submit(get, address)
        turn_until(shard, one.entered.is_set)
        with ThreadPoolExecutor(1) as others:
            second = others.submit(get, address)
            seen = turn_until(shard, second.done)
        assert second.result()[0] == 503
        assert any(isinstance(event, clustercore.Saturated) for event in seen)
        one.hold.set()
        turn_until(shard, first.done)


def test_it_belongs_to_the_thread_of_its_first_turn(driver: str) -> None:
    with clustercore.Shard(driver=driver) as shard, ThreadPoolExecutor(1) as other:
        web = other.submit(shard.forwarder, "web").result()
        shard.turn()
        for call in (shard.turn, shard.events, shard.fileno, shard.next_timeout, web.backends, shard.close):
            with pytest.raises(clustercore.WrongThread, match="first turn"):
                other.submit(call).result()
        assert web.backends() == []


def test_a_closed_shard_says_so(driver: str) -> None:
    shard = clustercore.Shard(driver=driver)
    web = shard.forwarder("web")
    shard.turn()
    shard.close()
    shard.close()
    for call in (shard.turn, shard.events, shard.fileno, web.backends, lambda: shard.forwarder("other")):
        with pytest.raises(clustercore.Closed):
            call()
    web.close()


def test_log_records_come_with_turns(driver: str) -> None:
    records: list[tuple[str, str]] = []
    with clustercore.Shard(driver=driver, log=lambda level, text: records.append((level, text))) as shard:
        assert records == []
        shard.turn()
    assert records and records[0][0] == "info" and records[0][1].startswith(f"driver {driver}")


def test_dropping_a_shard_closes_its_sockets(driver: str) -> None:
    shard = clustercore.Shard(driver=driver)
    web = shard.forwarder("web")
    host, port = web.listen("127.0.0.1:0").split(":")
    shard.turn()
    del shard, web
    gc.collect()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=5)
