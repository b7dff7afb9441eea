"""`clustercore demo`: a front end and three nodes as processes of their own on this machine, and a load to
watch.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clustercore_apps.address import Address
from clustercore_apps.channel import PORT
from clustercore_apps.command.client import ConsoleClient
from clustercore_apps.command.signals import signal_event
from clustercore_apps.command.view import duration
from clustercore_apps.demo.load import Load, LoadReport, rise_and_fall
from clustercore_apps.demo.programs import ServiceProgram, find_program
from clustercore_apps.errors import OperatorError

log = logging.getLogger("clustercore.demo")

CHANNEL_DEFAULT = f"127.0.0.1:{PORT}"
NODES = 3
START_SECONDS = 20.0
END_SECONDS = 20.0
MEDIUM_PER_CORE, HIGH_PER_CORE = 4, 8
RATE_LOW, RATE_HIGH = 4.0, 140.0
RATE_WITHOUT_DEMO = 2.0
PERIOD_SECONDS, QUIET_SECONDS = 45.0, 15.0
HOLD_REMOVE_SECONDS = 2.0


async def run_demo(
    *,
    front: str,
    console: str,
    channel: str,
    with_load: bool,
    seconds: float | None,
    program: str,
    driver: str,
    verbose: bool,
) -> int:
    """Brings everything up, prints where it is, waits, ends everything.

    0 only when every request was served.
    """
    try:
        front_address, console_address = Address.parse(front), Address.parse(console)
        channel_address = Address.parse(channel)
    except ValueError as error:
        raise OperatorError(str(error)) from None
    service = find_program(program)
    stop = signal_event()
    with tempfile.TemporaryDirectory(prefix="clustercore-demo-") as folder:
        async with _Cluster(Path(folder), verbose) as cluster:
            await cluster.start_nodes(stop)
            await cluster.start_front(stop, front_address, console_address, channel_address, service, driver)
            if stop.is_set():
                return 130
            print(
                f"service  http://{front_address}/   ({service.kind}; the front end and {NODES} nodes "
                f"to borrow)"
            )
            server = "" if str(channel_address) == CHANNEL_DEFAULT else f" --server tcp://{channel_address}"
            print(f"events   clustercore channel watch service{server}")
            print(f"console  http://{console_address}/", flush=True)
            if seconds is None:
                print("Ctrl-C ends it", flush=True)
            load = _make_load(front_address, with_load, seconds)
            lost = await _watch(cluster, load, stop, seconds)
            state = await asyncio.to_thread(_final_state, console_address)
    return _summary(load.report, state, lost, is_asked=seconds is not None)


def _make_load(front: Address, with_load: bool, seconds: float | None) -> Load:
    if not with_load:
        # A request now and then, so that "everything was served" says something.
        return Load(front, "/", lambda _seconds: RATE_WITHOUT_DEMO)
    # Within a given time: rise and fall in two thirds of it, the rest for giving back.
    period = PERIOD_SECONDS if seconds is None else max(1.0, seconds * 0.65)
    quiet = QUIET_SECONDS if seconds is None else max(1.0, seconds)
    return Load(front, "/paced", rise_and_fall(RATE_LOW, RATE_HIGH, period, quiet))


async def _watch(cluster: _Cluster, load: Load, stop: asyncio.Event, seconds: float | None) -> str:
    """Until the time is over, a signal comes or a part dies; returns which part, or nothing."""
    driving = asyncio.create_task(load.run(seconds))
    stopping = asyncio.create_task(stop.wait())
    dying = asyncio.create_task(cluster.wait_for_death())
    await asyncio.wait({driving, stopping, dying}, return_when=asyncio.FIRST_COMPLETED)
    for task in (driving, stopping):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    if dying.done():
        return dying.result()
    dying.cancel()
    return ""


def _final_state(console: Address) -> dict[str, Any]:
    with contextlib.suppress(OperatorError):
        return ConsoleClient(str(console), None, None).state()
    return {}


def _summary(report: LoadReport, state: dict[str, Any], lost: str, *, is_asked: bool) -> int:
    service = (state.get("services") or [{}])[0]
    adds, removes = service.get("adds", 0), service.get("removes", 0)
    percentiles = "  ".join(
        f"p{share:g} {duration(report.percentile(share / 100))}" for share in (50, 90, 99)
    )
    print(
        f"requests {report.requests}  errors {report.errors_count}  adds {adds}  removes {removes}  "
        f"latency {percentiles}  max {duration(report.percentile(1))}"
    )
    for kind, count in report.errors.most_common():
        print(f"  {kind}: {count}")
    if lost:
        print(f"clustercore: {lost} ended by itself", file=sys.stderr)
        return 1
    served = len(report.latencies) > 0 and report.errors_count == 0
    return 0 if served or not is_asked else 1


@dataclass(slots=True)
class _Part:
    name: str
    process: asyncio.subprocess.Process
    # For signals: those of asyncio itself may reap a child that has just ended, unknown to its watcher.
    pidfd: int

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)


class _Cluster:
    """The processes. They end when their standard input does, so none is left when this program is killed."""

    def __init__(self, folder: Path, verbose: bool) -> None:
        self._folder = folder
        self._verbose = verbose
        self._parts: list[_Part] = []
        self._nodes: list[Address] = []

    async def __aenter__(self) -> _Cluster:
        return self

    async def __aexit__(self, *_: object) -> None:
        # The front end first: it gives its back ends back.
        for part in reversed(self._parts):
            await _end(part)

    async def start_nodes(self, stop: asyncio.Event) -> None:
        """Three agents on 127.0.0.2 to 127.0.0.4, ports chosen by the kernel."""
        for number in range(1, NODES + 1):
            name, host = f"slave{number}", f"127.0.0.{number + 1}"
            line = await self._start(
                stop,
                name,
                *("node", "--name", name, "--listen", f"{host}:0", "--cores", "1", "--stop-services"),
                *("--state-dir", str(self._folder / name)),
            )
            if stop.is_set():
                return
            self._nodes.append(Address.parse(line.rsplit(" ", 1)[-1]))

    async def start_front(
        self,
        stop: asyncio.Event,
        front: Address,
        console: Address,
        channel: Address,
        service: ServiceProgram,
        driver: str,
    ) -> None:
        """The front end with a configuration made for the occasion."""
        if stop.is_set():
            return
        config = self._folder / "services.toml"
        config.write_text(
            _config(self._folder, front, console, channel, service, self._nodes, driver), encoding="utf-8"
        )
        await self._start(stop, "front end", "front", "--config", str(config))

    async def wait_for_death(self) -> str:
        """Returns the name of the first part that ends."""
        waits = {asyncio.create_task(part.process.wait()): part.name for part in self._parts}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            return waits[done.pop()]
        finally:
            for wait in waits:
                wait.cancel()

    async def _start(self, stop: asyncio.Event, name: str, *arguments: str) -> str:
        """Starts a part and returns the first line that it says.

        Raises `OperatorError` with its last words.
        """
        output = self._folder / f"{name}.log"
        verbose = ["--verbose"] if self._verbose else []
        # A local file of our own: opening it does not wait.
        with open(output, "wb") as errors:  # noqa: ASYNC230
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "clustercore_apps", *arguments, "--until-input-ends", *verbose),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=None if self._verbose else errors,
                # Ctrl-C is for this program, which ends the parts in the right order.
                start_new_session=True,
            )
        self._parts.append(_Part(name, process, os.pidfd_open(process.pid)))
        assert process.stdout is not None
        saying = asyncio.create_task(process.stdout.readline())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({saying, stopping}, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        line = saying.result().decode().strip() if saying.done() else ""
        if not saying.done():
            saying.cancel()
        if not line and not stop.is_set():
            said = output.read_text(encoding="utf-8", errors="replace").strip().split("\n")[-1]
            raise OperatorError(
                said.removeprefix("clustercore: ") or f"{name} did not start in {START_SECONDS:g} s"
            )
        return line


async def _end(part: _Part) -> None:
    process = part.process
    if process.returncode is None:
        part.signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), END_SECONDS)
    if process.returncode is None:
        log.warning("%s does not end and is killed", part.name)
        part.signal(signal.SIGKILL)
        await process.wait()
    os.close(part.pidfd)


def _config(
    folder: Path,
    front: Address,
    console: Address,
    channel: Address,
    service: ServiceProgram,
    nodes: list[Address],
    driver: str,
) -> str:
    """The TOML text. JSON strings are TOML strings as well."""
    lines = [
        "[front]",
        f"console = {json.dumps(str(console))}",
        f"channel = {json.dumps(str(channel))}",
        f"state_dir = {json.dumps(str(folder / 'front'))}",
        f"driver = {json.dumps(driver)}",
        "lease_seconds = 5",
    ]
    for number, agent in enumerate(nodes, start=1):
        lines += ["[[nodes]]", f'name = "slave{number}"', f"agent = {json.dumps(str(agent))}"]
    lines += [
        "[[services]]",
        'name = "web"',
        f"listen = {json.dumps(str(front))}",
        f"command = {json.dumps(service.command)}",
        f"stop_signal = {json.dumps(service.stop_signal)}",
        "cores_local = 1",
        "[services.thresholds]",
        f"medium_per_core = {MEDIUM_PER_CORE}",
        f"high_per_core = {HIGH_PER_CORE}",
        "[services.scaling]",
        f"hold_remove = {HOLD_REMOVE_SECONDS}",
        "cool_down = 0.5",
        "[services.environment]",
        f"PYTHONPATH = {json.dumps(os.pathsep.join(entry for entry in sys.path if entry))}",
        "[services.files]",
    ]
    lines += [f"{json.dumps(name)} = {json.dumps(content)}" for name, content in service.files.items()]
    return "\n".join(lines) + "\n"
