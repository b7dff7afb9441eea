"""What the front end has to tell, as structured events: docs/operators/service-platform.md lists them."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

import clustercore

from clustercore_apps.service.decisions import Decision

DOMAIN = "clustercore.service"
DECISION = "clustercore.decision."
"""Begins the type of a decision; its kind follows."""
NODE_JOINED = "clustercore.node.joined"
NODE_LOST = "clustercore.node.lost"
NODE_CHANGED = "clustercore.node.changed"
NODE_LOAD = "clustercore.node.load"
LEVEL = "clustercore.back_end.level"

RUN = uuid.uuid4().hex[:12]
"""Tells the ids of this process from those of others."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One event before it is one: cheap to make, for the loop. `body` becomes JSON and must not change."""

    type: str
    source: str
    name: str
    time_unix: float
    fields: dict[str, Any]
    body: dict[str, Any]

    def to_event(self, number: int) -> clustercore.ChannelEvent:
        """With the id that `number` gives. Raises `InvalidArgument`."""
        return clustercore.ChannelEvent(
            f"{RUN}-{number}",
            self.source,
            self.type,
            domain=DOMAIN,
            name=self.name,
            content_type="application/json",
            time=self.time_unix,
            fields=self.fields,
            body=json.dumps(self.body, separators=(",", ":"), default=str).encode(),
        )


def of_decision(front: str, decision: Decision) -> Notice:
    """The body is the line of the event log."""
    fields = {"front": front, "kind": decision.kind, "service": decision.service, "node": decision.node}
    return Notice(
        type=DECISION + decision.kind,
        source=source_of(front),
        name=decision.node or decision.service,
        time_unix=decision.time_unix,
        fields={name: value for name, value in fields.items() if value},
        body=decision.to_json(),
    )


def of_node(front: str, kind: str, time_unix: float, row: dict[str, Any]) -> Notice:
    """The body is the node's row on the console."""
    fields = {
        "front": front,
        "node": row["name"],
        "phase": row["phase"],
        "connected": row["connected"],
        "service": row["service"],
        "cpu": float(row["cpu"]),
        "connections": row["connections"],
    }
    return Notice(
        type=kind,
        source=source_of(front, row["name"]),
        name=row["name"],
        time_unix=time_unix,
        fields={name: value for name, value in fields.items() if value != ""},
        body=row,
    )


def of_level(front: str, time_unix: float, service: str, before: str, child: dict[str, Any]) -> Notice:
    """A back end whose level is another one than `before`."""
    figures = {
        "service": service,
        "node": child["node"],
        "level": child["level"],
        "before": before,
        "load": float(child["load"]),
    }
    return Notice(
        type=LEVEL,
        source=source_of(front, child["node"]),
        name=child["node"],
        time_unix=time_unix,
        fields={"front": front, **figures},
        body={**figures, "in_flight": child["in_flight"], "cores": child["cores"]},
    )


def source_of(front: str, node: str = "") -> str:
    """Who the event is about and from: the front end, or one of its nodes."""
    return f"/front/{front}/node/{node}" if node else f"/front/{front}"
