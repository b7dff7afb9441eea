"""The back-end list: every declared node, what its agent last said, and who has borrowed it.

Which service may have a node is `clustercore.Pool`'s decision; which of the free nodes it gets is made here:
the least loaded one. The pool's nodes are therefore places: at a grant the place is bound to the node that
suits best.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import clustercore

from clustercore_apps.errors import AgentError
from clustercore_apps.service import wire
from clustercore_apps.service.agent_link import AgentLink
from clustercore_apps.service.config import FrontConfig, NodeConfig
from clustercore_apps.service.decisions import EventLog

BACK_OFF_SECONDS_MIN = 1.0
BACK_OFF_SECONDS_MAX = 60.0
RECLAIM_SECONDS = 0.3
"""A message that crossed our own release is not a stale lease: look again after this."""
RELEASE_SECONDS = 15.0
LAPSE_SHARE = 0.7
"""A back end whose lease could not be renewed for this share of its length is given up, before the agent ends
it.
"""


@dataclass(slots=True, eq=False)
class Node:
    """One declared node. Times are of the monotonic clock, in seconds."""

    config: NodeConfig
    link: AgentLink
    address: str = ""
    cores: int = 1
    phase: str = "unknown"
    detail: str = ""
    load: dict[str, float] = field(default_factory=dict)
    held_by: str = ""
    failures: int = 0
    usable_from: float = 0.0
    is_in_pool: bool = False
    place: str = ""

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        return self.config.name

    def is_usable(self, now: float) -> bool:
        """True when a service could be started here: agent there, nothing running, no back-off, nobody
        else's.
        """
        return (
            self.link.connected
            and self.phase in ("idle", "exited")
            and not self.held_by
            and now >= self.usable_from
        )

    def load_key(self) -> tuple[float, float]:
        """Sorts the least loaded node first."""
        return (self.load.get("cpu_node", 0.0), self.load.get("load_average", 0.0) / max(1, self.cores))


@dataclass(slots=True, eq=False)
class Loan:
    """A node lent to a service. `fence` is the agent's token, `token` the pool's."""

    node: Node
    service: str
    token: int
    fence: int
    renewed: float


class Nodes:
    """All nodes and the pool over them."""

    def __init__(self, config: FrontConfig, events: EventLog) -> None:
        self._config = config
        self._events = events
        self._pool = clustercore.Pool(lease=config.lease_seconds)
        self._loans: dict[str, Loan] = {}
        self._reclaiming: dict[str, asyncio.Task[None]] = {}
        # Starts at the wall clock so that tokens of a restarted front end are newer; `_see_fence` mends a
        # clock that went backwards.
        self._fence = time.time_ns() // 1_000_000 << 20
        self.on_instance: Callable[[Node, wire.Message], None] = lambda _node, _message: None
        self.all: dict[str, Node] = {}
        for node_config in config.nodes:
            self.all[node_config.name] = self._make(node_config)
        # All nodes first: the pool refuses minima that its nodes cannot fill. `refresh` takes out those not
        # there yet.
        for node in self.all.values():
            node.place, node.is_in_pool = node.name, True
            self._pool.add_node(node.place)
        for service in config.services:
            self._pool.add_service(service.name, service.minimum, service.maximum, service.weight)

    def _make(self, config: NodeConfig) -> Node:
        link = AgentLink(
            config,
            self._config.name,
            on_welcome=lambda message: self._on_welcome(node, message),
            on_load=lambda message: self._on_load(node, message),
            on_instance=lambda message: self._on_instance(node, message),
            on_lost=lambda message: self._on_lost(node, message),
        )
        node = Node(config, link)
        return node

    def next_fence(self) -> int:
        """A token above every one given or seen."""
        self._fence += 1
        return self._fence

    def loan_of(self, node: str) -> Loan | None:
        """The loan that has the node, if any."""
        return self._loans.get(node)

    def obtainable(self, now: float, service: str) -> int:
        """Nodes that the service might get: idle ones, and those that others may have to give back."""
        return sum(
            1
            for node in self.all.values()
            if (
                node.is_usable(now)
                if (loan := self._loans.get(node.name)) is None
                else loan.service != service
            )
        )

    def refresh(self, now: float) -> None:
        """Brings the pool up to date with the time and with which nodes can be used at all."""
        self._pool.expire(now)
        for node in self.all.values():
            usable = node.name in self._loans or node.is_usable(now)
            if usable and not node.is_in_pool:
                # Not its own name, which may be the place of another node now.
                node.place = min(set(self.all) - {one.place for one in self.all.values() if one.is_in_pool})
                self._pool.add_node(node.place)
                node.is_in_pool = True
            elif not usable and node.is_in_pool:
                self._pool.remove_node(node.place)
                node.is_in_pool = False

    def borrow(self, now: float, service: str) -> Loan | tuple[str, str] | str:
        """A loan; or `(other service, node)` that must be given back first; or the reason why not."""
        self.refresh(now)
        answer = self._pool.request(now, service)
        if answer[0] == "refused":
            return str(answer[1])
        if answer[0] == "revoke":
            holder = next(node for node in self.all.values() if node.is_in_pool and node.place == answer[2])
            return str(answer[1]), holder.name
        _, place, token = answer
        granted = next(node for node in self.all.values() if node.is_in_pool and node.place == place)
        free = [node for node in self.all.values() if node.is_in_pool and node.name not in self._loans]
        node = min(free, key=Node.load_key, default=granted)
        node.place, granted.place = granted.place, node.place
        loan = Loan(node, service, token, self.next_fence(), now)
        self._loans[node.name] = loan
        return loan

    def give_back(self, loan: Loan, *, failed: bool) -> None:
        """Ends the loan. A node that failed waits before it is a candidate again: 1 s, doubled up to 60 s."""
        if self._loans.get(loan.node.name) is not loan:
            return
        del self._loans[loan.node.name]
        with contextlib.suppress(clustercore.ClusterError):
            # An expired lease is over in the pool's books already.
            self._pool.release(loan.node.place, loan.token)
        node = loan.node
        if failed:
            pause = min(BACK_OFF_SECONDS_MIN * 2**node.failures, BACK_OFF_SECONDS_MAX)
            node.failures += 1
            node.usable_from = time.monotonic() + pause
        else:
            node.failures = 0

    def renewed(self, loan: Loan, now: float) -> None:
        """The agent has renewed; so does the pool."""
        loan.renewed = now
        with contextlib.suppress(clustercore.ClusterError):
            # A lease that was revoked is not renewed; its back end is being drained already.
            self._pool.renew(now, loan.node.place, loan.token)

    def is_lapsing(self, loan: Loan, now: float) -> bool:
        """True when the agent may soon end the service because it has not heard from us."""
        return now - loan.renewed > self._config.lease_seconds * LAPSE_SHARE

    def snapshot(self, now: float) -> list[dict[str, Any]]:
        """For the console."""
        rows = []
        for node in self.all.values():
            loan = self._loans.get(node.name)
            rows.append(
                {
                    "name": node.name,
                    "agent": str(node.config.agent),
                    "connected": node.link.connected,
                    "fault": node.link.fault,
                    "phase": node.phase,
                    "detail": node.detail,
                    "cores": node.cores,
                    "cpu": node.load.get("cpu_node", 0.0),
                    "cpu_service": node.load.get("cpu_service", 0.0),
                    "connections": int(node.load.get("connections", 0)),
                    "service": loan.service if loan else "",
                    "held_by": node.held_by,
                    "back_off_seconds": round(max(0.0, node.usable_from - now), 1),
                }
            )
        return rows

    def _see_fence(self, message: wire.Message) -> None:
        self._fence = max(self._fence, int(message.get("fence_highest", 0)))

    def _on_welcome(self, node: Node, message: wire.Message) -> None:
        node.address = str(message.get("address", node.config.agent.host))
        node.cores = max(1, int(message.get("cores", 1)))
        self._events.add(
            "agent_connected",
            f"{node.config.agent}, {node.cores} {'core' if node.cores == 1 else 'cores'}",
            node=node.name,
        )
        self._on_instance(node, message)

    def _on_load(self, node: Node, message: wire.Message) -> None:
        node.load = {key: value for key, value in message.items() if isinstance(value, int | float)}

    def _on_instance(self, node: Node, message: wire.Message) -> None:
        self._see_fence(message)
        node.phase, node.detail = str(message.get("phase", "unknown")), str(message.get("detail", ""))
        lease = message.get("lease")
        loan = self._loans.get(node.name)
        holder = str(lease.get("front", "")) if isinstance(lease, dict) else ""
        is_ours = holder == self._config.name and loan is not None
        node.held_by = "" if is_ours else holder
        if holder == self._config.name and loan is None:
            self._reclaim_soon(node)
        self.on_instance(node, message)

    def _reclaim_soon(self, node: Node) -> None:
        """A lease in our name that we know nothing of: from before our restart, or given up while out of
        reach.
        """
        if node.name not in self._reclaiming:
            self._reclaiming[node.name] = asyncio.create_task(self._reclaim(node))

    async def _reclaim(self, node: Node) -> None:
        try:
            await asyncio.sleep(RECLAIM_SECONDS)
            if node.held_by != self._config.name or node.name in self._loans:
                return
            service = f"reclaim-{self._config.name}"[:64]
            fields: dict[str, Any] = {"fence": self.next_fence()}
            seconds = self._config.lease_seconds
            await node.link.request(
                "lease", front=self._config.name, service=service, seconds=seconds, **fields
            )
            await node.link.request("release", wait=RELEASE_SECONDS, **fields)
            self._events.add("reclaimed", "was still leased to this front end from before", node=node.name)
        except AgentError as error:
            self._events.add("failed", f"could not be reclaimed: {error}", node=node.name)
        finally:
            del self._reclaiming[node.name]

    def _on_lost(self, node: Node, message: wire.Message) -> None:
        node.phase, node.detail = "unknown", str(message["text"])
        self._events.add("agent_lost", str(message["text"]), node=node.name)
