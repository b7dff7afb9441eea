"""One service process of one node: started, watched, found again, stopped.

Phases: `idle` -> `starting` -> `active` -> `stopping` -> `idle`; a process that ends by itself leads to
`exited`, from where a new start is allowed. The state file knows the process before the port is awaited, so
an agent that dies at any point finds what it started.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clustercore_apps.errors import AgentError
from clustercore_apps.service import process
from clustercore_apps.service.launcher import Launcher, Program

PORT_POLL_SECONDS = 0.01
SWEEP_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Instance:
    """A running service: whose, where, which process. `started_unix` is wall-clock seconds, for people."""

    service: str
    address: str
    port: int
    identity: process.Identity
    stop_signal: str
    started_unix: float

    def to_json(self) -> dict[str, Any]:
        """As it stands in the state file and on the wire."""
        return {
            "service": self.service,
            "address": self.address,
            "port": self.port,
            "pid": self.identity.pid,
            "start_ticks": self.identity.start_ticks,
            "boot_id": self.identity.boot_id,
            "stop_signal": self.stop_signal,
            "started_unix": self.started_unix,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Instance:
        """Reads what `to_json` wrote. Raises `KeyError` or `ValueError`."""
        identity = process.Identity(int(value["pid"]), int(value["start_ticks"]), str(value["boot_id"]))
        return cls(
            str(value["service"]),
            str(value["address"]),
            int(value["port"]),
            identity,
            str(value["stop_signal"]),
            float(value["started_unix"]),
        )


@dataclass(frozen=True, slots=True)
class Order:
    """What the front end wants started; see `ServiceConfig` for the fields."""

    service: str
    command: list[str]
    files: dict[str, str]
    environment: dict[str, str]
    port: int
    stop_signal: str
    start_deadline: float


class Supervisor:
    """Owns at most one instance. `on_change` is told after each change of phase."""

    def __init__(
        self,
        name: str,
        address: str,
        cores: int,
        workdir: Path,
        launcher: Launcher,
        on_change: Callable[[], None],
        is_allowed: Callable[[str], bool] = lambda _program: True,
    ) -> None:
        self.phase = "idle"
        self.instance: Instance | None = None
        self.detail = ""
        self._name = name
        self._address = address
        self._cores = cores
        self._workdir = workdir
        self._launcher = launcher
        self._on_change = on_change
        self._is_allowed = is_allowed
        self._pidfd: int | None = None
        self._exit_text = ""
        self._ended = asyncio.Event()
        self._cpu_before: tuple[float, int] | None = None

    def recover(self, instance: Instance) -> bool:
        """Takes charge of an instance from the state file; false (and its remains ended) when its process is
        gone.
        """
        if not self._watch(instance):
            process.kill_session(instance.identity)
            self.detail = f"{instance.service} (pid {instance.identity.pid}) ended while nobody watched"
            return False
        self.instance = instance
        self._set("active", f"found again: pid {instance.identity.pid}")
        return True

    async def start(self, order: Order) -> Instance:
        """Starts the program and returns when its port answers.

        Raises `AgentError`; then nothing is left running.
        """
        if self.phase not in ("idle", "exited"):
            raise AgentError(
                "BUSY", f"{self._name} is {self.phase} with {self.instance and self.instance.service}"
            )
        self.phase = "starting"
        try:
            port = claim_port(self._address, order.port)
            places = {
                "port": str(port),
                "address": self._address,
                "name": self._name,
                "cores": str(self._cores),
            }
            workdir = self._workdir / order.service
            program = Program.declared(order.command, order.files, order.environment, places, workdir)
            if not self._is_allowed(program.arguments[0]):
                raise AgentError(
                    "BAD_PROGRAM", f'"{program.arguments[0]}" is not among the programs allowed here'
                )
            identity = self._launcher.start(program)
        except AgentError as error:
            self._set("idle", error.text)
            raise
        instance = Instance(order.service, self._address, port, identity, order.stop_signal, time.time())
        self.instance = instance
        if not self._watch(instance):
            self._exit_text = describe_exit(self._launcher.exit_code(identity))
        self._set("starting", f"pid {identity.pid}, waiting for port {port}")
        try:
            await self._wait_for_port(instance, order.start_deadline)
        except BaseException as error:
            await self._end(instance, 0.0)
            self._set("idle", error.text if isinstance(error, AgentError) else "start was given up")
            raise
        self._set("active", f"pid {identity.pid} answers on port {port}")
        return instance

    async def stop(self, deadline: float) -> bool:
        """Asks the process to end, kills its session `deadline` seconds later; true when it ended itself."""
        instance = self.instance
        if instance is None or self.phase == "stopping":
            await self._wait_idle(deadline + SWEEP_SECONDS)
            return True
        self._set("stopping", f"pid {instance.identity.pid} got SIG{instance.stop_signal}")
        orderly = await self._end(instance, deadline)
        self._set("idle", "stopped" if orderly else f"killed after {deadline:g} s")
        return orderly

    async def drained(self, deadline: float) -> bool:
        """Waits until no connection is established on the instance's port; false at the deadline."""
        until = time.monotonic() + deadline
        while (
            self.instance is not None
            and process.count_connections(self.instance.address, self.instance.port) > 0
        ):
            if time.monotonic() >= until:
                return False
            await asyncio.sleep(0.05)
        return True

    def load(self) -> dict[str, Any]:
        """CPU cores in use by the service since the last call, its connections, its output kept within
        bounds.
        """
        if self.instance is None:
            self._cpu_before = None
            return {"cpu_service": 0.0, "connections": 0}
        self._launcher.bound_output(self._workdir / self.instance.service)
        now = time.monotonic()
        ticks = sum(member.cpu_ticks for member in process.session_members(self.instance.identity))
        before, self._cpu_before = self._cpu_before, (now, ticks)
        cores = 0.0
        if before is not None and now > before[0]:
            cores = max(0, ticks - before[1]) / process.CLOCK_TICKS / (now - before[0])
        return {
            "cpu_service": round(cores, 3),
            "connections": process.count_connections(self.instance.address, self.instance.port),
        }

    def close(self) -> None:
        """Stops watching; the process goes on."""
        self._unwatch()

    def _watch(self, instance: Instance) -> bool:
        self._ended.clear()
        self._pidfd = process.open_pidfd(instance.identity)
        if self._pidfd is None:
            self._ended.set()
            return False
        asyncio.get_running_loop().add_reader(self._pidfd, self._on_end, instance)
        return True

    def _unwatch(self) -> None:
        if self._pidfd is not None:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None

    def _on_end(self, instance: Instance) -> None:
        self._unwatch()
        code = self._launcher.exit_code(instance.identity)
        self._ended.set()
        if self.phase == "active":
            process.kill_session(instance.identity)
            self.instance = None
            self._set("exited", f"pid {instance.identity.pid} ended by itself, {describe_exit(code)}")
        self._exit_text = describe_exit(code)

    async def _wait_for_port(self, instance: Instance, deadline: float) -> None:
        until = time.monotonic() + deadline
        while True:
            if self._ended.is_set():
                tail = self._output_tail(instance.service)
                raise AgentError(
                    "START_FAILED",
                    f"{instance.service} ended before its port answered, {self._exit_text}{tail}",
                )
            if await answers(instance.address, instance.port, PORT_POLL_SECONDS * 50):
                return
            if time.monotonic() >= until:
                tail = self._output_tail(instance.service)
                raise AgentError(
                    "START_DEADLINE",
                    f"port {instance.port} of {instance.service} did not answer within {deadline:g} s{tail}",
                )
            await asyncio.sleep(PORT_POLL_SECONDS)

    async def _end(self, instance: Instance, deadline: float) -> bool:
        orderly = False
        if deadline > 0 and process.signal_process(
            instance.identity, getattr(signal, f"SIG{instance.stop_signal}")
        ):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), deadline)
                orderly = True
        # The sweep comes in every case: a service may leave workers behind that still hold the port.
        until = time.monotonic() + SWEEP_SECONDS
        while process.kill_session(instance.identity) and time.monotonic() < until:
            await asyncio.sleep(0.01)
        if self._pidfd is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), SWEEP_SECONDS)
        self._unwatch()
        self._launcher.exit_code(instance.identity)
        self.instance = None
        return orderly

    async def _wait_idle(self, deadline: float) -> None:
        until = time.monotonic() + deadline
        while self.phase == "stopping" and time.monotonic() < until:
            await asyncio.sleep(0.01)

    def _output_tail(self, service: str) -> str:
        with contextlib.suppress(OSError):
            lines = (
                (self._workdir / service / "output.log")
                .read_bytes()[-400:]
                .decode(errors="replace")
                .split("\n")
            )
            last = [line.strip() for line in lines if line.strip()]
            return f'; it said: "{last[-1][:200]}"' if last else ""
        return ""

    def _set(self, phase: str, detail: str) -> None:
        self.phase, self.detail = phase, detail
        self._on_change()


def claim_port(address: str, port: int) -> int:
    """Checks that nobody listens on `port`, or finds a free one for 0. Raises `AgentError` PORT_TAKEN."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise AgentError("PORT_TAKEN", f"{address}:{port} cannot be had: {error.strerror}") from None
        return int(probe.getsockname()[1])


async def answers(address: str, port: int, seconds: float) -> bool:
    """True when a TCP connection to the port succeeds within `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(address, port)
    except (OSError, TimeoutError):
        return False
    # A port of the ephemeral range that nobody listens on can be met by the connecting socket itself.
    is_own = writer.get_extra_info("sockname") == writer.get_extra_info("peername")
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return not is_own


def describe_exit(code: int | None) -> str:
    """`exit code 3`, `killed by SIGKILL`, or that nobody knows."""
    if code is None:
        return "exit code unknown"
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"
