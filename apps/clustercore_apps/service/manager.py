"""The service manager: one service's forwarder, its local instance and its child list."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import clustercore

from clustercore_apps.address import Address
from clustercore_apps.errors import AgentError, OperatorError
from clustercore_apps.service import process
from clustercore_apps.service.back_end import BackEnd
from clustercore_apps.service.config import FrontConfig, ServiceConfig
from clustercore_apps.service.decisions import EventLog
from clustercore_apps.service.history import History
from clustercore_apps.service.launcher import ProcessLauncher
from clustercore_apps.service.learner import Learnt, ThresholdLearner
from clustercore_apps.service.life import Life
from clustercore_apps.service.load_signal import to_be_told
from clustercore_apps.service.node_load import cores_usable
from clustercore_apps.service.nodes import Loan, Nodes
from clustercore_apps.service.readings import Readings, served
from clustercore_apps.service.state_file import read_state, write_state
from clustercore_apps.service.supervisor import Instance, Order, Supervisor

LOCAL_HOST = "127.0.0.1"
LATENCY_SECONDS = 10.0
"""Latency percentiles are of the last so many seconds at most."""
LOCAL_RESTART_SECONDS_MIN = 0.1
LOCAL_RESTART_SECONDS_MAX = 5.0


class ServiceManager:
    """Serves one service. The load manager decides about its back ends."""

    def __init__(
        self,
        front: FrontConfig,
        config: ServiceConfig,
        node: clustercore.Node,
        nodes: Nodes,
        events: EventLog,
    ) -> None:
        self.config = config
        self.back_ends: list[BackEnd] = []
        self.listening: list[str] = []
        self.cores_local = config.cores_local or cores_usable()
        self.history = History()
        self.rows: dict[int, clustercore.Backend] = {}
        self.local_in_flight = 0
        self.local_load = 0.0
        """In the signal's unit, as `loads`."""
        self.loads: dict[int, float] = {}
        """Of each back end by its key."""
        self.medium, self.high = config.thresholds.medium, config.thresholds.high
        """In the signal's unit; they move when they are learnt."""
        self._readings = Readings(config.thresholds.signal)
        self._learner = ThresholdLearner(self.medium, self.high) if config.thresholds.is_learnt else None
        self.stats: dict[str, int] = {}
        self.latency: dict[str, float] = {}
        self._latency_reset = 0.0
        self.forwarder = _make_forwarder(front, config, node)
        self._front = front
        self._nodes = nodes
        self._events = events
        self._local_address = ""
        self._local_restarts = 0
        self._closing = False
        self._restarting: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._local_state = front.state_dir / f"local-{config.name}.json"
        self._local = Supervisor(
            f"{config.name}-local",
            LOCAL_HOST,
            self.cores_local,
            front.state_dir / "local",
            ProcessLauncher(),
            self._on_local_change,
        )

    async def open(self) -> None:
        """Starts the local instance, then listens. Raises `OperatorError`."""
        if self.config.local:
            self._end_leftover()
            try:
                await self._start_local()
            except AgentError as error:
                raise OperatorError(f'local instance of service "{self.config.name}": {error.text}') from None
        for address in self.config.listen:
            try:
                self.listening.append(self.forwarder.listen(str(address)))
            except (clustercore.ClusterError, OSError) as error:
                raise OperatorError(
                    f'service "{self.config.name}" cannot listen on {address}: {error}; end what '
                    f"listens there or "
                    "change services.listen"
                ) from None

    async def close(self) -> None:
        """Gives every back end back and ends the local instance."""
        self._closing = True
        if self._restarting is not None:
            self._restarting.cancel()
        for back_end in self.back_ends:
            self.take_down(back_end, "the front end is ending")
        if self._leaving:
            await asyncio.wait(self._leaving)
        await self._local.stop(self.config.stop_deadline)

    def add(self, loan: Loan, reason: str) -> BackEnd:
        """Starts a back end on the node of `loan`."""
        back_end = BackEnd(
            self.config,
            self.forwarder,
            loan,
            self._nodes,
            self._events,
            self._front.name,
            self._front.lease_seconds,
        )
        self.back_ends.append(back_end)
        back_end.begin(reason)
        return back_end

    def take_down(self, back_end: BackEnd, reason: str, *, deadline: float | None = None) -> None:
        """Begins the removal of a back end; it leaves the list when all nine steps are done."""
        self._spawn(back_end.take_down(reason, deadline=deadline))

    def lose(self, back_end: BackEnd, reason: str) -> None:
        """Begins the end of a back end whose service is gone."""
        self._spawn(back_end.lose(reason))

    def find(self, node: str) -> BackEnd | None:
        """The back end on that node."""
        return next(
            (back_end for back_end in self.back_ends if back_end.node == node and not back_end.is_gone), None
        )

    def forget_gone(self) -> None:
        """Takes finished back ends off the list."""
        self.back_ends = [back_end for back_end in self.back_ends if not back_end.is_gone]

    def on_event(self, event: Any) -> None:
        """An event of the forwarder, for the back end that it names."""
        back_end = next(
            (one for one in self.back_ends if one.key is not None and one.key == event.backend), None
        )
        if back_end is None:
            return
        if isinstance(event, clustercore.BackendDrained):
            back_end.on_drained(event.finished)
        elif isinstance(event, clustercore.BackendEjected):
            back_end.on_ejected(str(getattr(event, "reason", "") or "failed too often"))
        elif isinstance(event, clustercore.BackendReturned):
            back_end.on_back()
        elif isinstance(event, clustercore.PathBroken):
            back_end.on_path(event.reason)
        elif isinstance(event, clustercore.PathRestored):
            back_end.on_path(None)

    def look(self, now: float) -> Learnt | None:
        """Takes the forwarder's view of its back ends; everything else here reads what was seen last.

        Returns learnt thresholds when they have changed; they hold already.
        """
        self.rows = {row.key: row for row in self.forwarder.backends()}
        self.stats = dict(self.forwarder.stats())
        # Requests that wait while the child list is empty wait for the local instance.
        self.local_in_flight = self.stats.get("local_in_flight", 0) + self.stats.get("queue_length", 0)
        local = self.forwarder.local()
        self._look_at_loads(now, local)
        return self._learn(now, local)

    def _look_at_loads(self, now: float, local: clustercore.Backend | None) -> None:
        if not self.config.thresholds.signal.is_sampled:
            self.local_load = self.local_in_flight / self.cores_local
            self.loads = {key: row.in_flight / max(1, row.cores) for key, row in self.rows.items()}
            return
        self.local_load = self._readings.of_local(now, self._local, local)
        nodes = {one.key: one.loan.node for one in self.back_ends if one.key in self.rows}
        self.loads = {
            key: self._readings.of_back_end(now, self.rows[key], node.load, node.cores)
            for key, node in nodes.items()
            if key is not None
        }
        self._readings.forget_all_but(self.loads)
        self._tell_core(local)

    def _tell_core(self, local: clustercore.Backend | None) -> None:
        active = {one.key for one in self.back_ends if one.life == Life.ACTIVE and one.key in self.loads}
        keys = [key for key in active if key is not None]
        told = to_be_told([self.loads[key] for key in keys], self.high)
        pairs = list(zip(keys, told, strict=True))
        if local is not None:
            pairs += [(local.key, load) for load in to_be_told([self.local_load], self.high)]
        for key, load in pairs:
            # One that was taken off in this moment needs no reading any more.
            with contextlib.suppress(clustercore.NoSuchBackend):
                self.forwarder.set_backend(key, reading=load * self.config.thresholds.signal.scale)

    def _learn(self, now: float, local: clustercore.Backend | None) -> Learnt | None:
        if self._learner is None:
            return None
        rows = [*self.rows.values(), *([local] if local is not None else [])]
        learnt = self._learner.look(now, {row.key: (row.cores, served(row)) for row in rows})
        if learnt is not None:
            self.medium, self.high = learnt.medium, learnt.high
            self.forwarder.set_thresholds(medium_per_core=learnt.medium, high_per_core=learnt.high)
        return learnt

    def local_snapshot(self) -> dict[str, Any] | None:
        """For the console; `None` without a local instance."""
        if not self.config.local:
            return None
        instance = self._local.instance
        return {
            "address": self._local_address,
            "phase": self._local.phase,
            "detail": self._local.detail,
            "pid": instance.identity.pid if instance else 0,
            "cores": self.cores_local,
            "in_flight": self.local_in_flight,
            "load": round(self.local_load, 3),
            "level": self._level(self.local_load),
        }

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _start_local(self) -> None:
        config = self.config
        instance = await self._local.start(
            Order(
                config.name,
                list(config.command),
                config.files,
                config.environment,
                config.local_port,
                config.stop_signal,
                config.start_deadline,
            )
        )
        self._local_address = str(Address(instance.address, instance.port))
        limit = self.config.thresholds.in_flight_per_core_max * self.cores_local
        self.forwarder.set_local(self._local_address, cores=self.cores_local, in_flight_max=limit or None)

    def _end_leftover(self) -> None:
        """Ends the local instance of a front end that was killed; a new one starts in its place."""
        state = read_state(self._local_state)
        with contextlib.suppress(KeyError, TypeError, ValueError):
            if state is not None and state["instance"] is not None:
                process.kill_session(Instance.from_json(state["instance"]).identity)

    def _on_local_change(self) -> None:
        instance = self._local.instance
        with contextlib.suppress(OSError):
            write_state(self._local_state, {"instance": instance.to_json() if instance else None})
        if self._local.phase == "exited" and not self._closing:
            self._events.add("local_exited", self._local.detail, service=self.config.name)
            self.forwarder.set_local(None)
            self._restarting = asyncio.create_task(self._restart_local())

    async def _restart_local(self) -> None:
        pause = LOCAL_RESTART_SECONDS_MIN
        while not self._closing:
            self._local_restarts += 1
            try:
                await self._start_local()
            except AgentError as error:
                self._events.add("failed", f"local instance: {error.text}", service=self.config.name)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LOCAL_RESTART_SECONDS_MAX)
                continue
            self._events.add(
                "back", f"local instance runs again on {self._local_address}", service=self.config.name
            )
            # One that ends again and again must not be started without a pause.
            await asyncio.sleep(LOCAL_RESTART_SECONDS_MIN)
            return

    def child_snapshot(self, now: float) -> list[dict[str, Any]]:
        """For the console: the child list in its order, with starting and leaving ones."""
        children = []
        for back_end in self.back_ends:
            row = self.rows.get(back_end.key) if back_end.key is not None else None
            children.append(
                {
                    "node": back_end.node,
                    "key": back_end.key,
                    "address": back_end.address,
                    "state": str(back_end.life),
                    "since_seconds": round(now - back_end.since, 1),
                    "health": row.state if row else "",
                    "level": self._shown_level(row) if row and back_end.life == Life.ACTIVE else "",
                    "load": round(self.loads.get(row.key, 0.0), 3) if row else 0.0,
                    "in_flight": row.in_flight if row else 0,
                    "cores": row.cores if row else back_end.loan.node.cores,
                    "weight": row.weight if row else 1,
                    "requests": row.requests if row else 0,
                    "failures": row.failures if row else 0,
                    "latency_us_mean": row.latency_us_mean if row else 0,
                    "cpu_service": back_end.loan.node.load.get("cpu_service", 0.0),
                }
            )
        return children

    def thresholds_snapshot(self) -> dict[str, Any]:
        """For the console: what load is here, and where its levels begin."""
        thresholds = self.config.thresholds
        return {
            "load_signal": thresholds.signal.name,
            "load_unit": thresholds.signal.unit,
            "thresholds": "auto" if thresholds.is_learnt else "fixed",
            "medium": round(self.medium, 3),
            "high": round(self.high, 3),
        }

    def _shown_level(self, row: clustercore.Backend) -> str:
        # The core may have been told less than was sampled, see `to_be_told`.
        is_sampled = self.config.thresholds.signal.is_sampled
        return self._level(self.loads.get(row.key, 0.0)) if is_sampled else row.level

    def _level(self, load: float) -> str:
        return self.config.thresholds.signal.level(load, self.medium, self.high)

    def measure(self, now: float) -> None:
        """Takes the latencies and adds one point to the history that the console draws."""
        is_due = now - self._latency_reset >= LATENCY_SECONDS
        self.latency = dict(self.forwarder.latency(reset=is_due))
        if is_due:
            self._latency_reset = now
        in_flight = self.local_in_flight + sum(row.in_flight for row in self.rows.values())
        active = sum(1 for back_end in self.back_ends if back_end.life == Life.ACTIVE)
        self.history.add(now, self.stats, self.latency, in_flight, active)


def _make_forwarder(
    front: FrontConfig, config: ServiceConfig, node: clustercore.Node
) -> clustercore.Forwarder:
    health = None
    if config.health is not None:
        health = clustercore.HealthConfig(
            path=config.health.path,
            interval=config.health.interval,
            timeout=config.health.timeout,
            rise=config.health.rise,
            fall=config.health.fall,
        )
    try:
        return node.forwarder(
            config.name,
            mode=config.mode,
            policy=config.policy,
            signal=config.thresholds.signal.name,
            medium_per_core=config.thresholds.medium_of_core,
            high_per_core=config.thresholds.high_of_core,
            health=health,
            job_key=clustercore.Key.load(front.job_key_file) if front.job_key_file else None,
            # As the nodes' own links: by default that of the front end, and any of them may say so.
            job_insecure=any(one.insecure for one in front.nodes),
            **config.forwarding,
        )
    except (clustercore.ClusterError, OSError, ValueError) as error:
        raise OperatorError(f'{front.path}: service "{config.name}": {error}') from None
