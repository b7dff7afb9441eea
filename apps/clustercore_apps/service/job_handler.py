"""The job handler beside a node's service: a process of its own, so that an agent's restart loses no request.

It takes requests in messages and hands them to the service. It is started after the service answers, found
again by pid and start time like the service, started again when it ends by itself (front ends use TCP
meanwhile), and ended before the service.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import time
from pathlib import Path

from clustercore_apps.address import Address
from clustercore_apps.errors import AgentError, OperatorError
from clustercore_apps.service.supervisor import PORT_POLL_SECONDS, Instance, Order, Supervisor

PROGRAM = "clustercore-job"
PROGRAMS_VARIABLE = "CLUSTERCORE_PROGRAMS"
START_SECONDS = 5.0
SAYS_WHEN_READY = b"listening on "


def find_program(given: str) -> str:
    """The program: as given, else in the folder $CLUSTERCORE_PROGRAMS, beside this Python, or on PATH.

    Raises `AgentError` BAD_PROGRAM.
    """
    if given:
        return given
    folders = [Path(sys.executable).parent]
    if PROGRAMS_VARIABLE in os.environ:
        folders.insert(0, Path(os.environ[PROGRAMS_VARIABLE]))
    beside = next((folder / PROGRAM for folder in folders if (folder / PROGRAM).exists()), None)
    found = str(beside) if beside is not None else shutil.which(PROGRAM)
    if found is None:
        raise AgentError(
            "BAD_PROGRAM", f"{PROGRAM} is not on PATH; install it, or name it with --job-program"
        )
    return found


def read_public_key(path: Path | None) -> str:
    """The public key to the private one in a file; "" without a file. Raises `OperatorError`."""
    if path is None:
        return ""
    # Here and not above: an agent without a key needs no native module.
    import clustercore

    try:
        return clustercore.Key.load(path).public
    except (clustercore.ClusterError, OSError) as error:
        raise OperatorError(f"--job-key: {error}") from None


class JobSupervisor(Supervisor):
    """Owns at most one job handler."""

    def handler_order(self, service: Instance, port: int, words: list[str], program: str) -> Order:
        """What starts a handler for a service that answers; `port` 0 lets the system choose."""
        listen = "[{address}]:{port}" if ":" in self._address else "{address}:{port}"
        at = str(Address(service.address, service.port))
        command = [program, "--listen", listen, "--service", at, *words]
        return Order(f"{service.service}-job", command, {}, {}, port, "TERM", START_SECONDS)

    async def start(self, order: Order) -> Instance:
        """As of a service; it is ready when it says so. Raises `AgentError`."""
        self._said_before = self._output_size(order.service)
        return await super().start(order)

    async def _wait_for_port(self, instance: Instance, deadline: float) -> None:
        until = time.monotonic() + deadline
        while SAYS_WHEN_READY not in self._said(instance.service):
            if self._ended.is_set():
                tail = self._output_tail(instance.service)
                raise AgentError("START_FAILED", f"the job handler ended, {self._exit_text}{tail}")
            if time.monotonic() >= until:
                raise AgentError("START_DEADLINE", f"the job handler did not start within {deadline:g} s")
            await asyncio.sleep(PORT_POLL_SECONDS)

    def _output_size(self, service: str) -> int:
        with contextlib.suppress(OSError):
            return (self._workdir / service / "output.log").stat().st_size
        return 0

    def _said(self, service: str) -> bytes:
        with contextlib.suppress(OSError):
            return (self._workdir / service / "output.log").read_bytes()[self._said_before :]
        return b""

    _said_before = 0
