"""Messages over a narrow path between namespaces: the share that they get beside TCP, and what loss costs."""

from __future__ import annotations

import json
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import place, tools
from .experiments import Effort
from .messages import OURS, MessagesError
from .place import Place
from .processes import Process, ProcessSet

MESSAGE_PORT, TCP_PORT = 7000, 7001
WARMUP_SECONDS = 3.0
FAIR_SECONDS = 20.0
TCP_CONGESTION = 13
COUNTERS = """
table inet arrived {
    counter messages { }
    counter stream { }
    chain input {
        type filter hook input priority 0;
        meta l4proto udp counter name "messages"
        meta l4proto tcp counter name "stream"
    }
}
"""
LOSS = """
table inet loss {{
    chain forward {{
        type filter hook forward priority 0;
        numgen random mod 1000 < {per_mille} drop
    }}
}}
"""


def fairness(megabits: int, queue_ms: int, effort: Effort) -> dict[str, float]:
    """The share of a bottleneck that one connection of messages gets beside one of TCP (cubic), both always
    with something to send, medians of at most three runs of 20 s after 3 s.

    Raises PlaceError, StartError, MessagesError.
    """
    runs = 1 if effort.is_quick else min(3, effort.runs)
    seconds = effort.seconds if effort.is_quick else FAIR_SECONDS
    shares, used = [], []
    for _ in range(runs):
        with place.bottleneck(megabits, queue_ms) as where, _messages(where, seconds + 10), _tcp(where):
            time.sleep(min(WARMUP_SECONDS, seconds))
            before, started = _arrived(where), time.monotonic()
            time.sleep(seconds)
            after, elapsed = _arrived(where), time.monotonic() - started
        ours, theirs = (after[name] - before[name] for name in ("messages", "stream"))
        if not ours or not theirs:
            raise MessagesError(f"of messages {ours} bytes arrived, of TCP {theirs}")
        shares.append(ours / (ours + theirs))
        used.append((ours + theirs) * 8 / elapsed / megabits / 1e6)
    return {
        "share": statistics.median(shares),
        "share_min": min(shares),
        "share_max": max(shares),
        "used": statistics.median(used),
    }


def loss(megabits: int, queue_ms: int, per_mille: int, effort: Effort) -> dict[str, float]:
    """What messages still carry when so many packets of a path are lost, as a part of what they carry
    without; the same of TCP (cubic) beside it. Packets pass the path one by one.

    Raises PlaceError, StartError, MessagesError.
    """
    rates: dict[str, list[float]] = {name: [] for name in ("messages", "messages_lossy", "tcp", "tcp_lossy")}
    seconds = effort.seconds
    with place.bottleneck(megabits, queue_ms, has_trains=False) as where:
        for turn in range(effort.runs):
            for is_lossy in (False, True) if turn % 2 == 0 else (True, False):
                if is_lossy:
                    where.inside(where.router_netns, "nft", LOSS.format(per_mille=per_mille))
                suffix = "_lossy" if is_lossy else ""
                with _messages(where, seconds + 10):
                    rates["messages" + suffix].append(_rate(where, "messages", seconds))
                with _tcp(where):
                    rates["tcp" + suffix].append(_rate(where, "stream", seconds))
                where.inside(where.router_netns, "nft", "flush ruleset")
    medians = {f"{name}_bytes_per_second": statistics.median(values) for name, values in rates.items()}
    ratios = {
        name: statistics.median(
            lossy / whole for lossy, whole in zip(rates[f"{name}_lossy"], rates[name], strict=True)
        )
        for name in ("messages", "tcp")
    }
    return medians | {"rate_of_lossless": ratios["messages"], "tcp_rate_of_lossless": ratios["tcp"]}


def _rate(where: Place, name: str, seconds: float) -> float:
    """Bytes a second that arrive, after a second of warming up."""
    time.sleep(1.0)
    before, started = _arrived(where), time.monotonic()
    time.sleep(seconds)
    return (_arrived(where)[name] - before[name]) / (time.monotonic() - started)


def _arrived(where: Place) -> dict[str, int]:
    """Bytes of either kind that have come to the receiver; counted from the first call on."""
    netns = where.front_netns
    tables = where.inside(netns, "nft", "list tables")
    if "arrived" not in tables:
        where.inside(netns, "nft", COUNTERS)
    listed = json.loads(where.inside(netns, "nft", "-j", "list counters table inet arrived"))
    counters = [entry["counter"] for entry in listed["nftables"] if "counter" in entry]
    return {counter["name"]: counter["bytes"] for counter in counters}


@contextmanager
def _messages(where: Place, seconds: float) -> Iterator[None]:
    """Messages from sender to receiver for so long. Raises StartError, MessagesError."""
    with (
        tempfile.TemporaryDirectory(prefix="clustercore-perf-") as directory,
        ProcessSet(Path(directory)) as processes,
    ):
        to = f"{where.front}:{MESSAGE_PORT}"
        program = tools.need(OURS)
        receiver = processes.start("receiver", [program, "--listen", to], where.front_netns)
        _wait_for(receiver, "listening on")
        words = ["--to", to, "--bytes", "1024", "--seconds", str(seconds)]
        sender = processes.start("sender", [program, *words], where.client_netns)
        yield
        for process in (sender, receiver):
            if not process.is_running():
                raise MessagesError(f"{process.name} has ended: {process.last_words()}")


def _wait_for(process: Process, words: str) -> None:
    deadline = time.monotonic() + 10
    while words not in process.last_words():
        if not process.is_running() or time.monotonic() > deadline:
            raise MessagesError(f"{process.name} does not say {words!r}: {process.last_words()}")
        time.sleep(0.02)


@contextmanager
def _tcp(where: Place) -> Iterator[None]:
    """A TCP connection from sender to receiver that always has something to send."""
    listener = place.inside_thread(
        where.front_netns, lambda: socket.create_server((where.front, TCP_PORT), reuse_port=True)
    )
    with listener:
        sender = place.inside_thread(where.client_netns, lambda: _connect(where.front))
        receiver, _ = listener.accept()
    threads = [
        threading.Thread(target=_pump, args=(sender.sendall, bytes(1 << 16))),
        threading.Thread(target=_pump, args=(receiver.recv_into, bytearray(1 << 18))),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for end in (sender, receiver):
            end.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        sender.close()
        receiver.close()


def _connect(address: str) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.IPPROTO_TCP, TCP_CONGESTION, b"cubic")
    connection.settimeout(10)
    connection.connect((address, TCP_PORT))
    connection.settimeout(None)
    return connection


def _pump(move, buffer: bytes | bytearray) -> None:
    """Sends or receives until the connection is shut down."""
    try:
        while move(buffer) != 0:
            pass
    except OSError:
        return
