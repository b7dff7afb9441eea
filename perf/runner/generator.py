"""Driving load and reading what came of it: our generator, or wrk and httperf where they are installed."""

from __future__ import annotations

import json
import re
import subprocess
import time
from dataclasses import dataclass, field, replace

from . import tools
from .place import Place
from .processes import cpu_ns
from .programs import Address


class LoadError(RuntimeError):
    """The generator itself failed, as against requests that failed."""


@dataclass(frozen=True)
class Load:
    """What to send. `rate` None is the closed loop; `num_calls` 1 makes a connection per request."""

    uri: str = "/1k"
    connections: int = 64
    rate: float | None = None
    num_calls: int = 0
    seconds: float = 2.0
    warmup_seconds: float = 0.3
    requests: int | None = None
    timeout: float = 5.0
    expect_bytes: int | None = None
    extra: tuple[str, ...] = field(default=())

    def with_(self, **changes: object) -> Load:
        """The same load with some values changed."""
        return replace(self, **changes)

    def describe(self) -> str:
        """A short name for results: what varies from run to run."""
        loop = f"{self.rate:g}/s" if self.rate else "closed"
        calls = "/new-connection" if self.num_calls == 1 else ""
        return f"{self.uri.lstrip('/')}/{self.connections}c/{loop}{calls}"


def command(load: Load, target: Address, watch_pids: list[int]) -> list[str]:
    """The generator's command line for `load` on `target`."""
    host, port = target
    words = [
        tools.need("clustercore-load"),
        "--json",
        "--server",
        host,
        "--port",
        str(port),
        "--uri",
        load.uri,
    ]
    words += ["--connections", str(load.connections), "--seconds", f"{load.seconds:g}"]
    words += ["--warmup-seconds", f"{load.warmup_seconds:g}", "--timeout", f"{load.timeout:g}"]
    words += ["--rate", f"{load.rate:g}"] if load.rate else ["--closed"]
    words += ["--num-calls", str(load.num_calls)] if load.num_calls else []
    words += ["--requests", str(load.requests)] if load.requests else []
    words += ["--expect-bytes", str(load.expect_bytes)] if load.expect_bytes is not None else []
    words += ["--watch-pid", ",".join(map(str, watch_pids))] if watch_pids else []
    return words + list(load.extra)


def run(load: Load, target: Address, place: Place, watch_pids: list[int] | None = None) -> dict:
    """Runs the generator once and returns its JSON report. Raises LoadError with its own words."""
    words = inside(place, command(load, target, watch_pids or []))
    limit = load.seconds + load.warmup_seconds + load.timeout + 30
    try:
        outcome = subprocess.run(words, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired as error:
        raise LoadError(f"the generator ran over {limit:.0f} s: {' '.join(words)}") from error
    if outcome.returncode != 0:
        raise LoadError(outcome.stderr.strip() or f"the generator ended with {outcome.returncode}")
    return json.loads(outcome.stdout)


def run_wrk(load: Load, target: Address, place: Place, watch_pids: list[int] | None = None) -> dict:
    """The same closed loop by wrk, for a second opinion; raises LoadError when wrk is not installed."""
    wrk = tools.system("wrk") or _absent("wrk")
    url = "http://{}:{}{}".format(*target, load.uri)
    seconds = max(1, round(load.seconds))
    words = inside(place, [wrk, "-t1", f"-c{load.connections}", f"-d{seconds}", "--latency", url])
    before, started = cpu_ns(watch_pids or []), time.monotonic()
    outcome = subprocess.run(words, capture_output=True, text=True, timeout=seconds + 30)
    used, elapsed = cpu_ns(watch_pids or []) - before, time.monotonic() - started
    return parse_wrk(outcome.stdout, used, elapsed)


def parse_wrk(text: str, cpu_used_ns: int, seconds: float) -> dict:
    """wrk's text as a report with the generator's keys. Raises LoadError when it is not wrk's."""
    count = re.search(r"(\d+) requests in", text)
    if not count:
        raise LoadError(f"wrk printed no count: {text[:200]}")
    requests = int(count.group(1))
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    percentiles = dict(re.findall(r"(50|90|99)%\s+([\d.]+(?:us|ms|s))", text))
    latency = {f"p{name}": _to_us(value) for name, value in percentiles.items()}
    failed = sum(map(int, errors.groups())) if errors else 0
    return {
        "answered_in_window": requests,
        "rate": requests / seconds if seconds else 0.0,
        "failed": failed + (int(bad.group(1)) if bad else 0),
        "last_byte_us": latency or None,
        "watched_cpu_us_per_request": cpu_used_ns / 1e3 / requests if requests else None,
    }


def run_httperf(load: Load, target: Address, place: Place) -> dict:
    """The paper's generator: `rate` connections per second, `num_calls` requests (or one) on each."""
    httperf = tools.system("httperf") or _absent("httperf")
    host, port = target
    connections = max(1, round((load.rate or 100) * load.seconds))
    words = [httperf, "--hog", "--server", host, "--port", str(port), "--uri", load.uri]
    words += ["--rate", f"{load.rate or 100:g}", "--num-conns", str(connections)]
    words += ["--num-calls", str(load.num_calls or 1), "--timeout", f"{load.timeout:g}"]
    outcome = subprocess.run(inside(place, words), capture_output=True, text=True, timeout=load.seconds + 60)
    return parse_httperf(outcome.stdout)


def parse_httperf(text: str) -> dict:
    """httperf's text: reply rate, mean response and transfer time in ms, errors.

    Raises LoadError when it is not.
    """
    replies = re.search(r"replies (\d+)", text)
    times = re.search(r"Reply time \[ms\]: response ([\d.]+) transfer ([\d.]+)", text)
    errors = re.search(r"Errors: total (\d+)", text)
    if not (replies and times and errors):
        raise LoadError(f"httperf printed no summary: {text[:200]}")
    rate = re.search(r"Request rate: ([\d.]+) req/s", text)
    first_ms, transfer_ms = float(times.group(1)), float(times.group(2))
    return {
        "answered_in_window": int(replies.group(1)),
        "rate": float(rate.group(1)) if rate else 0.0,
        "failed": int(errors.group(1)),
        "first_byte_us": {"mean": first_ms * 1e3},
        "last_byte_us": {"mean": (first_ms + transfer_ms) * 1e3},
    }


def inside(place: Place, words: list[str]) -> list[str]:
    """`words` as they are run in the client's namespace."""
    netns = place.client_netns or place.front_netns
    return ["ip", "netns", "exec", netns, *words] if netns else words


def _to_us(text: str) -> float:
    for unit, factor in (("us", 1.0), ("ms", 1e3), ("s", 1e6)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    raise LoadError(f"not a time: {text}")


def _absent(name: str) -> str:
    raise LoadError(f"{name} is not installed (perf/bench.sh --install-peers)")
