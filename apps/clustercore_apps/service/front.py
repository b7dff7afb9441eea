"""The front end: everything of one configuration file, in one asyncio loop beside the core's own threads."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable
from typing import Any

import clustercore

from clustercore_apps import __version__
from clustercore_apps.errors import OperatorError
from clustercore_apps.service.channel.host import ChannelHost
from clustercore_apps.service.channel.notice import of_decision
from clustercore_apps.service.channel.publisher import FAREWELL_SECONDS, Publisher
from clustercore_apps.service.channel.reach import Reach
from clustercore_apps.service.channel.reporter import Reporter
from clustercore_apps.service.config import FrontConfig
from clustercore_apps.service.decisions import EventLog
from clustercore_apps.service.load_manager import LoadManager
from clustercore_apps.service.manager import ServiceManager
from clustercore_apps.service.nodes import Nodes
from clustercore_apps.service.security import read_token

DECISIONS_SHOWN = 100
BY_HAND = "by hand"


class Front:
    """`async with Front(config) as front:` serves while the block runs."""

    def __init__(self, config: FrontConfig) -> None:
        self.config = config
        self.events = EventLog(config.event_log, config.event_log_bytes_max)
        self.managers: dict[str, ServiceManager] = {}
        self.started = time.monotonic()
        self.is_ready = False
        self._node: clustercore.Node | None = None
        self._nodes = Nodes(config, self.events)
        self._load_manager: LoadManager | None = None
        self._channel_host: ChannelHost | None = None
        self.publisher: Publisher | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Front:
        try:
            await self._open()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _open(self) -> None:
        config = self.config
        self._make_state_dir()
        self._open_channel()
        try:
            self._node = clustercore.Node(
                shards=config.shards,
                driver=config.driver,
                spin_us=config.spin_us,
                connections_max=config.connections_max,
            )
        except (clustercore.ClusterError, OSError) as error:
            raise OperatorError(f'the core cannot start: {error}; "clustercore doctor" tells more') from None
        for service in config.services:
            manager = ServiceManager(config, service, self._node, self._nodes, self.events)
            self.managers[service.name] = manager
        asyncio.get_running_loop().add_reader(self._node.fileno(), self._on_events)
        # The descriptor tells of what comes after a poll, so there must have been one.
        self._on_events()
        for manager in self.managers.values():
            await manager.open()
        self._load_manager = LoadManager(config, self.managers, self._nodes, self.events)
        for node in self._nodes.all.values():
            self._tasks.append(asyncio.create_task(node.link.run(), name=f"link {node.name}"))
        if self.publisher is not None:
            reporter = Reporter(config.name, self._nodes, self.managers, self.publisher)
            self._tasks.append(asyncio.create_task(reporter.run(), name="reporter"))
        self._tasks.append(asyncio.create_task(self._load_manager.run(), name="load manager"))
        self.is_ready = True
        self.events.add(
            "started", f"front end {config.name} with {len(self.managers)} services on {self._node.driver}"
        )

    async def close(self) -> None:
        """Gives back what is borrowed, ends the local instances and the core."""
        self.is_ready = False
        # The load manager first: nothing may be added any more. The links last: they carry the farewell.
        for task in self._tasks[-1:]:
            task.cancel()
        await asyncio.gather(*(manager.close() for manager in self.managers.values()), return_exceptions=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        if self._node is not None:
            asyncio.get_running_loop().remove_reader(self._node.fileno())
            self._node.close()
            self._node = None
            self.events.add("ended", f"front end {self.config.name}")
        self.events.close()
        await asyncio.to_thread(self._close_channel)

    def failed_task(self) -> asyncio.Task[None] | None:
        """A part that ended although it never should; the caller reports it and ends the front end."""
        return next((task for task in self._tasks if task.done() and not task.cancelled()), None)

    def add(self, service: str) -> str:
        """By hand: borrows a node. The load policy may give it back when it stays idle."""
        self._known(service)
        assert self._load_manager is not None
        return self._load_manager.add(service, BY_HAND)

    def drain(self, service: str, node: str, *, at_once: bool) -> None:
        """By hand: drains the back end, or cuts it when `at_once`."""
        self._known(service)
        assert self._load_manager is not None
        self._load_manager.drain(service, node, BY_HAND, deadline=0.0 if at_once else None)

    def snapshot(self, decisions: int = DECISIONS_SHOWN) -> dict[str, Any]:
        """The whole state, ready for JSON."""
        now = time.monotonic()
        return {
            "front": {
                "name": self.config.name,
                "version": __version__,
                "driver": str(self._node.driver) if self._node else "",
                "uptime_seconds": round(now - self.started, 1),
                "pid": os.getpid(),
                "ready": self.is_ready,
            },
            "services": [self._service(manager, now) for manager in self.managers.values()],
            "nodes": self._nodes.snapshot(now),
            "decisions": [decision.to_json() for decision in self.events.latest(decisions)],
            "channel": self._channel(),
        }

    def counters(self) -> dict[str, int]:
        """The core's counters by name."""
        return dict(self._node.counters()) if self._node else {}

    def _service(self, manager: ServiceManager, now: float) -> dict[str, Any]:
        config = manager.config
        children = manager.child_snapshot(now)
        is_local = not any(child["state"] == "active" for child in children)
        counts = self.events.counts
        return {
            "name": config.name,
            "mode": config.mode,
            "policy": config.policy,
            "listen": manager.listening,
            "minimum": config.minimum,
            "maximum": config.maximum,
            "weight": config.weight,
            **manager.thresholds_snapshot(),
            "serving": "local" if is_local else "back ends",
            "local": manager.local_snapshot(),
            "children": children,
            "stats": manager.stats,
            "latency": manager.latency,
            "rate": round(manager.history.rate, 1),
            "history": manager.history.to_json(),
            "adds": counts.get((config.name, "add"), 0),
            "removes": counts.get((config.name, "stopped"), 0),
            "failures": counts.get((config.name, "failed"), 0),
        }

    def _channel(self) -> dict[str, Any] | None:
        """Where it publishes, and how that goes; `None` when it does not."""
        if self.publisher is None or self.config.channel is None:
            return None
        return {
            "name": self.config.channel.name,
            "server": self.publisher.reach.server,
            "fault": self.publisher.fault,
            **self.publisher.counts(),
        }

    def _open_channel(self) -> None:
        """Raises `OperatorError` when it is to serve one and cannot; one that is away is waited for."""
        config = self.config.channel
        if config is None:
            return
        if config.listen is not None:
            self._channel_host = ChannelHost(config, self.config.name, self.config.driver)
            reach = self._channel_host.reach
        else:
            if config.token_file is not None:
                read_token(config.token_file)
            reach = Reach(config.server, "", config.token_file, config.insecure, self.config.driver)
        publisher = self.publisher = Publisher(reach, config, self.config.name)
        self.events.on_decision = lambda decision: publisher.publish(of_decision(self.config.name, decision))
        publisher.start()

    def _close_channel(self) -> None:
        if self.publisher is not None:
            self.events.on_decision = lambda _decision: None
            self.publisher.close(2 * FAREWELL_SECONDS)
        if self._channel_host is not None:
            self._channel_host.close()
            self._channel_host = None

    def _known(self, service: str) -> None:
        if service not in self.managers:
            raise OperatorError(f'there is no service "{service}"; there are: {", ".join(self.managers)}')
        if not self.is_ready:
            raise OperatorError("the front end is starting or ending; try again")

    def _make_state_dir(self) -> None:
        directory = self.config.state_dir
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise OperatorError(
                f"state folder {directory} is no use: {error.strerror}; give a writable one as "
                f"front.state_dir"
            ) from None

    def _on_events(self) -> None:
        if self._node is None:
            return
        events: Iterable[Any] = self._node.poll(timeout=0)
        for event in events:
            manager = self._manager_of(event)
            if manager is not None:
                manager.on_event(event)

    def _manager_of(self, event: Any) -> ServiceManager | None:
        owner = getattr(event, "forwarder", None)
        if isinstance(owner, str):
            return self.managers.get(owner)
        return next((manager for manager in self.managers.values() if manager.forwarder == owner), None)
