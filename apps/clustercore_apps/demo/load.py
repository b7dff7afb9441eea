"""A light HTTP client for a load that rises and falls, open loop: it does not wait for slow answers."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from clustercore_apps.address import Address

IN_FLIGHT_MAX = 1024
REQUEST_SECONDS = 15.0
LATENCIES_MAX = 200_000
BODY_BYTES_MAX = 1 << 20


@dataclass(slots=True)
class LoadReport:
    """What came of it. Latencies are seconds from the intended start to the last byte."""

    requests: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    @property
    def errors_count(self) -> int:
        """Requests that were not answered with 2xx or 3xx."""
        return sum(self.errors.values())

    def percentile(self, share: float) -> float:
        """The latency that `share` (0..=1) of the answers did not exceed; 0 without answers."""
        if not self.latencies:
            return 0.0
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


class Load:
    """`run` sends requests at `rate(seconds since start)` per second until cancelled or `seconds` have
    passed.
    """

    def __init__(self, target: Address, path: str, rate: Callable[[float], float]) -> None:
        self.report = LoadReport()
        self._target = target
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: clustercore-demo\r\n\r\n".encode()
        )
        self._rate = rate
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._open: set[asyncio.Task[None]] = set()

    async def run(self, seconds: float | None) -> None:
        """Ends after `seconds` (`None`: never) and after the last answer."""
        begun = time.monotonic()
        due = begun
        try:
            while seconds is None or due - begun < seconds:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                self._send(due)
                due += 1 / max(0.1, self._rate(due - begun))
            if self._open:
                await asyncio.wait(self._open, timeout=REQUEST_SECONDS)
        finally:
            for task in self._open:
                task.cancel()
            for _, writer in self._idle:
                writer.close()

    def _send(self, due: float) -> None:
        self.report.requests += 1
        if len(self._open) >= IN_FLIGHT_MAX:
            self.report.errors["too many in flight"] += 1
            return
        task = asyncio.create_task(self._one(due))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _one(self, due: float) -> None:
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                if self._idle:
                    reader, writer = self._idle.pop()
                else:
                    reader, writer = await asyncio.open_connection(self._target.host, self._target.port)
                writer.write(self._request)
                status, is_open = await _read_answer(reader)
        except TimeoutError:
            self.report.errors["timeout"] += 1
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            self.report.errors[type(error).__name__] += 1
        else:
            if not 200 <= status < 400:
                self.report.errors[f"status {status}"] += 1
            elif len(self.report.latencies) < LATENCIES_MAX:
                self.report.latencies.append(time.monotonic() - due)
            if is_open:
                self._idle.append((reader, writer))
                writer = None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def rise_and_fall(low: float, high: float, period: float, quiet: float) -> Callable[[float], float]:
    """Requests per second over time: up and down within `period` seconds, then `quiet` seconds at `low`."""

    def rate(seconds: float) -> float:
        place = seconds % (period + quiet)
        if place >= period:
            return low
        return low + (high - low) * math.sin(math.pi * place / period) ** 2

    return rate


async def _read_answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """Status, and whether the connection can be used again. Raises `ValueError` when it is no HTTP."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status_line, *lines = head.split("\r\n")
    version, status, *_ = status_line.split(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(f"answer begins with {version[:20]!r}")
    fields = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    if fields.get("transfer-encoding", "").lower() == "chunked":
        while (size := int((await reader.readline()).split(b";")[0], 16)) > 0:
            await reader.readexactly(size + 2)
        while (await reader.readline()).strip():
            continue
    elif "content-length" in fields:
        length = int(fields["content-length"])
        if length > BODY_BYTES_MAX:
            raise ValueError(f"body has {length} bytes, limit is {BODY_BYTES_MAX}")
        await reader.readexactly(length)
    else:
        await reader.read(BODY_BYTES_MAX)
        return int(status), False
    return int(status), fields.get("connection", "").lower() != "close"
