"""One back end of a service: borrowed, started, appended to the child list, taken off it again.

The nine steps of removal: (1) the load manager decides, (2) tells the service manager which one, (3) which
sends it no new request, (4) and is asked to say when nothing is in flight; (5) the requests in flight are
worked off and (6) their replies returned; (7) the forwarder reports that the drain is done, or its deadline
has passed; (8) the agent stops the service; (9) the lease is released and the node is idle again. Steps 1 and
2 are `LoadManager`'s, the rest is
`BackEnd.take_down`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from typing import Any

import clustercore

from clustercore_apps.address import Address
from clustercore_apps.errors import AgentError
from clustercore_apps.service.config import ServiceConfig
from clustercore_apps.service.decisions import EventLog
from clustercore_apps.service.life import Life
from clustercore_apps.service.nodes import Loan, Nodes

log = logging.getLogger("clustercore.front")

REPLY_GRACE_SECONDS = 3.0
DRAIN_EVENT_GRACE_SECONDS = 2.0

_numbers = itertools.count(1)


class BackEnd:
    """A loan and what became of it. `number` names it towards the scaler, `key` towards the forwarder."""

    def __init__(
        self,
        config: ServiceConfig,
        forwarder: clustercore.Forwarder,
        loan: Loan,
        nodes: Nodes,
        events: EventLog,
        front: str,
        lease_seconds: float,
    ) -> None:
        self.number = next(_numbers)
        self.key: int | None = None
        self.life = Life.IDLE
        self.since = time.monotonic()
        self.loan = loan
        self.address = ""
        self.is_gone = False
        self._config = config
        self._forwarder = forwarder
        self._nodes = nodes
        self._events = events
        self._front = front
        self._lease_seconds = lease_seconds
        self._drained: asyncio.Future[bool] | None = None
        self._starting: asyncio.Task[None] | None = None
        self._is_leaving = False

    @property
    def node(self) -> str:
        """The name of its node."""
        return self.loan.node.name

    def begin(self, reason: str) -> None:
        """Starts the service in the background; the outcome is an event."""
        self._become(Life.STARTING)
        self._note("add", reason)
        self._starting = asyncio.create_task(self._bring_up())

    async def _bring_up(self) -> None:
        link, config = self.loan.node.link, self._config
        begun = time.monotonic()
        try:
            await link.request(
                "lease",
                front=self._front,
                service=config.name,
                fence=self.loan.fence,
                seconds=self._lease_seconds,
            )
            reply = await link.request(
                "start",
                wait=config.start_deadline + REPLY_GRACE_SECONDS,
                fence=self.loan.fence,
                command=list(config.command),
                files=config.files,
                environment=config.environment,
                port=config.port,
                stop_signal=config.stop_signal,
                deadline=config.start_deadline,
                transport=config.transport,
            )
            instance = reply["instance"]
            self.address = str(Address(str(instance["address"]), int(instance["port"])))
            cores = self.loan.node.cores
            limit = config.thresholds.in_flight_per_core_max * cores
            job, job_key = self._job_of(reply)
            self.key = self._forwarder.add_backend(
                self.address,
                name=self.node,
                weight=1,
                cores=cores,
                in_flight_max=limit or None,
                job=job,
                job_key=job_key,
            )
        except (AgentError, clustercore.ClusterError, KeyError, TypeError, ValueError) as error:
            await self._fail(f"could not be started: {error}")
            return
        self._become(Life.ACTIVE)
        took = round(time.monotonic() - begun, 3)
        self._note(
            "active", f"{self.address} answers after {took} s, appended to the child list", start_seconds=took
        )

    def _job_of(self, reply: dict[str, Any]) -> tuple[str | None, str | None]:
        """Where its job handler listens and its key; nothing in TCP mode, or when it has none."""
        if self._config.transport != "messages":
            return None, None
        job = reply.get("job")
        if not isinstance(job, dict):
            fault = str(reply.get("job_fault", "the agent knows no message mode"))
            self._note("path_broken", f"no job handler: {fault}; served by TCP")
            return None, None
        return str(Address(str(job["address"]), int(job["port"]))), str(job.get("key") or "") or None

    async def take_down(self, reason: str, *, deadline: float | None = None) -> None:
        """Steps 3 to 9.

        `deadline` (seconds) replaces the configured drain deadline; 0 cuts what is in flight.
        """
        if self._is_leaving or self.is_gone:
            return
        self._is_leaving = True
        if self._starting is not None and not self._starting.done():
            # A start is given up; a start that is failing already is left to finish that.
            if self.life == Life.STARTING:
                self._starting.cancel()
            await asyncio.wait([self._starting])
            if self.is_gone:
                return
        drain_deadline = self._config.drain_deadline if deadline is None else deadline
        if self.key is not None:
            if drain_deadline > 0:
                await self._drain(self.key, reason, drain_deadline)
            else:
                self._note("remove", f"{reason}; requests in flight are cut")
            with contextlib.suppress(clustercore.ClusterError):
                self._forwarder.remove_backend(self.key)
        self._become(Life.STOPPING)
        stopped = await self._stop_service()
        self._become(Life.STOPPED if stopped else Life.FAILED)
        self._leave(failed=not stopped)

    async def lose(self, reason: str) -> None:
        """The service ended or nobody reaches it: off the child list at once, nothing left to drain."""
        if self._is_leaving or self.is_gone or self.life == Life.STARTING:
            # A start that fails is told by its own request.
            return
        self._is_leaving = True
        await self._fail(reason)

    async def renew(self) -> None:
        """Renews the lease. A refusal means that somebody else decides over the node now."""
        sent = time.monotonic()
        try:
            await self.loan.node.link.request("renew", fence=self.loan.fence, seconds=self._lease_seconds)
        except AgentError as error:
            if error.code in ("NO_LEASE", "STALE_TOKEN") and self.life != Life.STARTING:
                await self.lose(f"lease lost: {error.text}")
            return
        if not self.is_gone:
            self._nodes.renewed(self.loan, sent)

    def on_drained(self, finished: bool) -> None:
        """The forwarder says that nothing is in flight any more, or that the deadline came first."""
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(finished)

    def on_ejected(self, reason: str) -> None:
        """The health check took it out; the forwarder tries it again by itself with back-off."""
        if self.life == Life.ACTIVE:
            self._become(Life.EJECTED)
            self._note("ejected", reason)

    def on_back(self) -> None:
        """The health check let it in again."""
        if self.life == Life.EJECTED:
            self._become(Life.ACTIVE)
            self._note("back", "answers again")

    def on_path(self, reason: str | None) -> None:
        """Messages to its job handler do not get through, for a reason; or do again."""
        if reason is not None:
            self._note("path_broken", f"messages do not get through ({reason}); served by TCP")
        else:
            self._note("path_restored", "messages get through again")

    async def _drain(self, key: int, reason: str, deadline: float) -> None:
        self._become(Life.DRAINING)
        self._note("drain", reason, deadline_seconds=deadline)
        self._drained = asyncio.get_running_loop().create_future()
        begun = time.monotonic()
        try:
            self._forwarder.drain_backend(key, deadline=deadline)
            finished = await asyncio.wait_for(self._drained, deadline + DRAIN_EVENT_GRACE_SECONDS)
        except (TimeoutError, clustercore.ClusterError) as error:
            finished = False
            log.warning("drain of %s: %s", self.node, error)
        took = round(time.monotonic() - begun, 3)
        text = (
            "nothing in flight any more"
            if finished
            else f"deadline of {deadline:g} s passed, the rest is cut"
        )
        self._note("drained", f"{text} after {took} s", finished=finished, drain_seconds=took)

    async def _stop_service(self) -> bool:
        """Steps 8 and 9 at the agent.

        One that is out of reach ends the service itself when the lease lapses.
        """
        link, deadline = self.loan.node.link, self._config.stop_deadline
        try:
            reply = await link.request(
                "stop", wait=deadline + REPLY_GRACE_SECONDS, fence=self.loan.fence, deadline=deadline
            )
            await link.request("release", wait=deadline + REPLY_GRACE_SECONDS, fence=self.loan.fence)
        except AgentError as error:
            self._note("failed", f"could not be stopped: {error}; it ends when its lease lapses")
            return False
        ended = "ended" if reply.get("orderly") else f"had to be killed after {deadline:g} s"
        self._note("stopped", f"service {ended}, node is idle again")
        return True

    async def _fail(self, reason: str) -> None:
        if self.key is not None:
            with contextlib.suppress(clustercore.ClusterError):
                self._forwarder.remove_backend(self.key)
        self._become(Life.FAILED)
        self._note("failed", reason)
        # Whatever still runs there must end; when the agent is out of reach, the lapsing lease does it.
        with contextlib.suppress(AgentError):
            await self.loan.node.link.request(
                "release", wait=self._config.stop_deadline + REPLY_GRACE_SECONDS, fence=self.loan.fence
            )
        self._leave(failed=True)

    def _leave(self, *, failed: bool) -> None:
        self._nodes.give_back(self.loan, failed=failed)
        self.is_gone = True

    def _become(self, life: Life) -> None:
        assert self.life.may_become(life), f"{self.life} -> {life}"
        self.life = life
        self.since = time.monotonic()

    def _note(self, kind: str, reason: str, **figures: Any) -> None:
        self._events.add(kind, reason, service=self._config.name, node=self.node, **figures)
