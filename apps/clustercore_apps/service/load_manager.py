"""The load manager: samples, asks the scaler, borrows and gives back.

It looks every `sample_interval` seconds. What to do is `clustercore.Scaler`'s decision (levels, hold times,
cool-down), who gets a node is `clustercore.Pool`'s; here the two meet the back ends.
"""

from __future__ import annotations

import asyncio
import time

import clustercore

from clustercore_apps.errors import OperatorError
from clustercore_apps.service import wire
from clustercore_apps.service.back_end import BackEnd
from clustercore_apps.service.config import FrontConfig, ServiceConfig
from clustercore_apps.service.decisions import EventLog
from clustercore_apps.service.learner import Learnt
from clustercore_apps.service.life import Life
from clustercore_apps.service.manager import ServiceManager
from clustercore_apps.service.nodes import Node, Nodes

HISTORY_SECONDS = 0.5
RENEW_SHARE = 0.25
"""A lease is renewed after this share of its length."""
EJECTED_SECONDS_MAX = 15.0
"""A back end that stays ejected for so long is replaced."""
REFUSED_REPEAT_SECONDS = 10.0
"""The same refusal is noted again only after this."""


class LoadManager:
    """Drives all services of one front end over one pool."""

    def __init__(
        self, config: FrontConfig, managers: dict[str, ServiceManager], nodes: Nodes, events: EventLog
    ) -> None:
        self._config = config
        self._managers = managers
        self._nodes = nodes
        self._events = events
        self._scalers = {name: _make_scaler(manager.config) for name, manager in managers.items()}
        self._refusals: dict[str, tuple[str, float]] = {}
        self._renewals: set[asyncio.Task[None]] = set()
        nodes.on_instance = self._on_instance

    async def run(self) -> None:
        """Until cancelled."""
        renew_due = measure_due = 0.0
        while True:
            now = time.monotonic()
            self._nodes.refresh(now)
            for manager in self._managers.values():
                manager.forget_gone()
                self._tend(now, manager)
                self._step(now, manager)
            if now >= renew_due:
                renew_due = now + self._config.lease_seconds * RENEW_SHARE
                self._renew_all()
            if now >= measure_due:
                measure_due = now + HISTORY_SECONDS
                for manager in self._managers.values():
                    manager.measure(now)
            await asyncio.sleep(self._config.sample_interval)

    def add(self, service: str, reason: str) -> str:
        """Borrows a node for the service and returns its name.

        Raises `OperatorError` with the pool's reason.
        """
        manager = self._managers[service]
        answer = self._nodes.borrow(time.monotonic(), service)
        if isinstance(answer, str):
            raise OperatorError(f'service "{service}" gets no node: {answer}')
        if isinstance(answer, tuple):
            other, node = answer
            self._recall(other, node, service)
            raise OperatorError(
                f'service "{service}" must wait: "{other}" gives {node} back first; try again'
            )
        manager.add(answer, reason)
        return answer.node.name

    def drain(self, service: str, node: str, reason: str, *, deadline: float | None = None) -> None:
        """Begins the removal of the back end on `node`. Raises `OperatorError` when there is none."""
        manager = self._managers[service]
        back_end = manager.find(node)
        if back_end is None:
            known = ", ".join(one.node for one in manager.back_ends) or "none"
            raise OperatorError(f'service "{service}" has no back end on "{node}"; it has: {known}')
        manager.take_down(back_end, reason, deadline=deadline)

    def _tend(self, now: float, manager: ServiceManager) -> None:
        """Gives up back ends that cannot be commanded any more or stay broken."""
        for back_end in manager.back_ends:
            if back_end.life in (Life.ACTIVE, Life.EJECTED) and self._nodes.is_lapsing(back_end.loan, now):
                manager.take_down(back_end, f"lease could not be renewed: {back_end.loan.node.link.fault}")
            elif back_end.life == Life.EJECTED and now - back_end.since > EJECTED_SECONDS_MAX:
                manager.lose(back_end, f"ejected for {EJECTED_SECONDS_MAX:g} s, replaced")

    def _step(self, now: float, manager: ServiceManager) -> None:
        service = manager.config.name
        scaler = self._scalers[service]
        learnt = manager.look(now)
        if learnt is not None:
            scaler.set_thresholds(medium_per_core=learnt.medium, high_per_core=learnt.high)
            self._note_learnt(service, learnt)
        scale = manager.config.thresholds.signal.scale
        children, readings = [], []
        for back_end in manager.back_ends:
            state = _SCALER_STATES.get(back_end.life)
            if state is not None:
                row = manager.rows.get(back_end.key) if back_end.key is not None else None
                children.append(
                    (back_end.number, row.in_flight if row else 0, back_end.loan.node.cores, state)
                )
                readings.append(scale * manager.loads.get(row.key, 0.0) if row else 0.0)
        local = (manager.local_in_flight, manager.cores_local)
        obtainable = self._nodes.obtainable(now, service)
        decision = scaler.step(now, local, children, obtainable, (scale * manager.local_load, readings))
        if decision is None:
            return
        if decision[0] == "add":
            self._add_by_load(now, manager, str(decision[1]))
        else:
            for back_end in manager.back_ends:
                if back_end.number == decision[1]:
                    manager.take_down(back_end, str(decision[2]))

    def _add_by_load(self, now: float, manager: ServiceManager, reason: str) -> None:
        service = manager.config.name
        try:
            self.add(service, reason)
            self._refusals.pop(service, None)
        except OperatorError as error:
            text, noted = self._refusals.get(service, ("", 0.0))
            if text != str(error) or now - noted > REFUSED_REPEAT_SECONDS:
                self._refusals[service] = (str(error), now)
                self._events.add("refused", f"{reason}; {error}", service=service)

    def _note_learnt(self, service: str, learnt: Learnt) -> None:
        self._events.add(
            "thresholds",
            f"learnt: Medium from {learnt.medium:g}, High from {learnt.high:g} requests per core; "
            f"the least response time is {1e3 * learnt.latency_min:.3g} ms",
            service=service,
            medium_per_core=learnt.medium,
            high_per_core=learnt.high,
            latency_seconds_min=round(learnt.latency_min, 6),
        )

    def _recall(self, other: str, node: str, service: str) -> None:
        back_end = self._managers[other].find(node)
        if back_end is not None and back_end.life in (Life.STARTING, Life.ACTIVE, Life.EJECTED):
            reason = f'"{service}" has a larger claim on the pool by minimum and weight'
            self._events.add("revoke", reason, service=other, node=node)
            self._managers[other].take_down(back_end, reason)

    def _renew_all(self) -> None:
        for manager in self._managers.values():
            for back_end in manager.back_ends:
                if not back_end.is_gone and back_end.loan.node.link.connected:
                    task = asyncio.create_task(back_end.renew())
                    self._renewals.add(task)
                    task.add_done_callback(self._renewals.discard)

    def _on_instance(self, node: Node, message: wire.Message) -> None:
        """The agent says how its instance is; one that ended by itself is off the child list at once."""
        loan = self._nodes.loan_of(node.name)
        if loan is None:
            return
        back_end = self._managers[loan.service].find(node.name)
        if back_end is not None and message.get("phase") in ("idle", "exited") and _should_run(back_end):
            self._managers[loan.service].lose(back_end, f"service is gone: {message.get('detail', '')}")


_SCALER_STATES = {
    Life.STARTING: "starting",
    Life.ACTIVE: "active",
    Life.DRAINING: "draining",
    Life.STOPPING: "draining",
}
"""An ejected back end is no child that could carry load, so the scaler does not see it."""


def _should_run(back_end: BackEnd) -> bool:
    return back_end.life in (Life.ACTIVE, Life.EJECTED, Life.DRAINING)


def _make_scaler(config: ServiceConfig) -> clustercore.Scaler:
    return clustercore.Scaler(
        hold_add=config.hold_add,
        hold_remove=config.hold_remove,
        cool_down=config.cool_down,
        backends_min=config.minimum,
        backends_max=config.maximum,
        signal=config.thresholds.signal.name,
        medium_per_core=config.thresholds.medium_of_core,
        high_per_core=config.thresholds.high_of_core,
    )
