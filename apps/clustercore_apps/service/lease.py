"""Who may command a node: one front end and one service at a time, for a while.

A lease outlives neither a dead front end nor a partition: who does not renew it loses it. The fencing token
grows with every lease given, so that a front end that was away and comes back with an old one is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from clustercore_apps.errors import AgentError

FENCE_MAX = (1 << 63) - 1


@dataclass(slots=True)
class Lease:
    """`seconds` is its length at each renewal, `expires` a time of the caller's clock."""

    front: str
    service: str
    fence: int
    seconds: float
    expires: float


class LeaseTable:
    """The lease of one node. Time comes in as an argument, in seconds of any steady clock."""

    def __init__(self, fence_highest: int = 0) -> None:
        self.lease: Lease | None = None
        self.fence_highest = fence_highest

    def give(self, now: float, front: str, service: str, fence: int, seconds: float) -> Lease:
        """Gives the node to `front`. The same front end may take it over from itself with a newer token.

        Raises `AgentError` STALE_TOKEN or LEASE_HELD.
        """
        held = self.lease
        if fence <= self.fence_highest:
            raise AgentError("STALE_TOKEN", f"token is {fence}, {self.fence_highest} was seen already")
        if held is not None and held.front != front:
            rest = max(0.0, held.expires - now)
            raise AgentError("LEASE_HELD", f'front end "{held.front}" has the node for {rest:.1f} s more')
        self.fence_highest = fence
        self.lease = Lease(front, service, fence, seconds, now + seconds)
        return self.lease

    def check(self, fence: int) -> Lease:
        """The lease that `fence` belongs to. Raises `AgentError` STALE_TOKEN or NO_LEASE."""
        if fence < self.fence_highest:
            raise AgentError("STALE_TOKEN", f"token is {fence}, {self.fence_highest} is the newest")
        if self.lease is None or self.lease.fence != fence:
            raise AgentError("NO_LEASE", f"no lease has token {fence}; it lapsed or was given back")
        return self.lease

    def renew(self, now: float, fence: int, seconds: float) -> Lease:
        """Makes the lease last `seconds` from now. Raises as `check`."""
        lease = self.check(fence)
        lease.seconds = seconds
        lease.expires = now + seconds
        return lease

    def release(self, fence: int) -> None:
        """Ends the lease. Raises as `check`."""
        self.check(fence)
        self.lease = None

    def lapsed(self, now: float) -> Lease | None:
        """Takes the lease away when its time is over and returns it."""
        if self.lease is not None and now >= self.lease.expires:
            lease, self.lease = self.lease, None
            return lease
        return None

    def to_json(self) -> dict[str, Any]:
        """For the state file: without times of a clock that another process does not share."""
        lease = self.lease
        held = lease and {
            "front": lease.front,
            "service": lease.service,
            "fence": lease.fence,
            "seconds": lease.seconds,
        }
        return {"fence_highest": self.fence_highest, "lease": held}

    @classmethod
    def from_json(cls, now: float, value: dict[str, Any]) -> LeaseTable:
        """What `to_json` wrote; a lease gets its full length again.

        Raises `KeyError`, `TypeError`, `ValueError`.
        """
        table = cls(int(value["fence_highest"]))
        if held := value["lease"]:
            seconds = float(held["seconds"])
            table.lease = Lease(
                str(held["front"]), str(held["service"]), int(held["fence"]), seconds, now + seconds
            )
        return table
