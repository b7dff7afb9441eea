"""The life of a back end as the front end sees it: states and what may follow what."""

from __future__ import annotations

from enum import StrEnum


class Life(StrEnum):
    """`IDLE` is a node that waits in the pool; every other state belongs to a lease."""

    IDLE = "idle"
    STARTING = "starting"
    ACTIVE = "active"
    EJECTED = "ejected"
    DRAINING = "draining"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"

    def may_become(self, later: Life) -> bool:
        """True when the table allows the step."""
        return later in TRANSITIONS[self]


TRANSITIONS: dict[Life, frozenset[Life]] = {
    # The lease is given, the agent is asked to start the service.
    Life.IDLE: frozenset({Life.STARTING}),
    # The port answers; or it does not; or somebody takes the back end away meanwhile.
    Life.STARTING: frozenset({Life.ACTIVE, Life.FAILED, Life.STOPPING}),
    # On the child list. The health check may take it out for a while.
    Life.ACTIVE: frozenset({Life.EJECTED, Life.DRAINING, Life.STOPPING, Life.FAILED}),
    Life.EJECTED: frozenset({Life.ACTIVE, Life.DRAINING, Life.STOPPING, Life.FAILED}),
    # Gets no new request, finishes those in flight.
    Life.DRAINING: frozenset({Life.STOPPING, Life.FAILED}),
    # Off the child list; the agent ends the process.
    Life.STOPPING: frozenset({Life.STOPPED, Life.FAILED}),
    # The lease is given back.
    Life.STOPPED: frozenset({Life.IDLE}),
    # The node waits out its back-off.
    Life.FAILED: frozenset({Life.IDLE}),
}
