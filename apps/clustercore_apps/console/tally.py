"""What a channel's counters say from one answer to the next: rates, lag, losses, and a little history."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

POINTS_MAX = 180
PROXIES_MAX = 200
"""Consumers and suppliers that are shown of one channel."""
CONSUMERS, SUPPLIERS = "consumers", "suppliers"
COUNTER = {CONSUMERS: "delivered", SUPPLIERS: "taken"}
LOSSES = ("discarded", "expired", "dropped", "dead", "missed")
REFUSALS = ("refused", "discarded", "expired", "filtered", "failed", "repeats")

Answer = dict[str, Any]
Key = tuple[str, str, str, int]
"""Side, owner, name, and which of those with the same name."""


class ChannelTally:
    """One channel; `add` takes the server's answer to `describe`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._fault = ""
        self._answer: Answer | None = None
        self._time = 0.0
        self._rate_in = self._rate_out = 0.0
        self._rates: dict[Key, float] = {}
        self._history: deque[tuple[float, float, int]] = deque(maxlen=POINTS_MAX)

    def add(self, now: float, answer: Answer) -> None:
        """`now` is seconds of a steady clock."""
        before, seconds = self._answer, now - self._time
        self._fault, self._answer, self._time = "", answer, now
        self._rates = {}
        self._rate_in = self._rate_out = 0.0
        if before is not None and seconds > 0:
            self._rate_in = _rise(_accepted(before), _accepted(answer), seconds)
            counts = _counts(before)
            # Who has just come begins with what he has by now.
            self._rates = {
                key: _rise(counts[key], count, seconds)
                for key, count in _counts(answer).items()
                if key in counts
            }
            self._rate_out = sum(rate for key, rate in self._rates.items() if key[0] == CONSUMERS)
        self._history.append((round(self._rate_in, 1), round(self._rate_out, 1), self._queued()))

    def fail(self, fault: str) -> None:
        """It could not be asked."""
        self._fault, self._answer = fault, None
        self._history.clear()

    def summary(self) -> Answer:
        """One row of the list."""
        answer = self._answer
        if answer is None:
            return {"name": self._name, "fault": self._fault}
        return {
            "name": self._name,
            "fault": "",
            "rate_in": round(self._rate_in, 1),
            "rate_out": round(self._rate_out, 1),
            "queued": self._queued(),
            "events": answer["stats"]["events"],
            "bytes": answer["stats"]["bytes"],
            "lag": max((_lag(answer, one) for one in answer["consumers"]), default=0),
            "lost": sum(sum(_losses(one).values()) for one in answer["consumers"]),
            "consumers": len(answer["consumers"]),
            "suppliers": len(answer["suppliers"]),
        }

    def details(self) -> Answer:
        """Everything that is shown of a chosen one."""
        answer = self._answer
        if answer is None:
            return self.summary()
        points = list(self._history)
        return {
            **self.summary(),
            "history": {
                "rate_in": [point[0] for point in points],
                "rate_out": [point[1] for point in points],
                "queued": [point[2] for point in points],
            },
            "offset_next": answer["offset_next"],
            "retained": answer["offset_next"] - answer["retained_from"],
            "consumer_list": [
                self._consumer(answer, key, one) for key, one in _keyed(answer, CONSUMERS)[:PROXIES_MAX]
            ],
            "supplier_list": [
                self._supplier(key, one) for key, one in _keyed(answer, SUPPLIERS)[:PROXIES_MAX]
            ],
        }

    def _consumer(self, answer: Answer, key: Key, one: Answer) -> Answer:
        settings = one.get("settings", {})
        return {
            "name": one["name"],
            "owner": one["owner"],
            "mode": one["mode"],
            "filter": one.get("filter", ""),
            "connected": one["is_connected"],
            "rate": round(self._rates.get(key, 0.0), 1),
            "queue_length": one.get("queue_length", 0),
            "length_max": settings.get("length_max", 0),
            "queue_bytes": one.get("queue_bytes", 0),
            "discard": settings.get("discard", ""),
            "lag": _lag(answer, one),
            "delivered": one.get("stats", {}).get("delivered", 0),
            "losses": {name: count for name, count in _losses(one).items() if count},
            "why": [reason["text"] for reason in one.get("why", [])],
        }

    def _supplier(self, key: Key, one: Answer) -> Answer:
        stats = one.get("stats", {})
        return {
            "name": one["name"],
            "owner": one["owner"],
            "mode": one["mode"],
            "rate": round(self._rates.get(key, 0.0), 1),
            "buffer_length": one.get("buffer_length", 0),
            "taken": stats.get("taken", 0),
            "refusals": {name: stats[name] for name in REFUSALS if stats.get(name)},
        }

    def _queued(self) -> int:
        return sum(one.get("queue_length", 0) for one in self._answer["consumers"]) if self._answer else 0


def _keyed(answer: Answer, side: str) -> list[tuple[Key, Answer]]:
    seen: Counter[tuple[str, str]] = Counter()
    rows = []
    for one in answer[side]:
        whose = (one["owner"], one["name"])
        rows.append(((side, *whose, seen[whose]), one))
        seen[whose] += 1
    return rows


def _counts(answer: Answer) -> dict[Key, int]:
    """What each proxy has moved so far."""
    return {
        key: one.get("stats", {}).get(COUNTER[side], 0)
        for side in (CONSUMERS, SUPPLIERS)
        for key, one in _keyed(answer, side)
    }


def _accepted(answer: Answer) -> int:
    """Events that came in so far; those that nobody wanted have no offset."""
    return int(answer["offset_next"]) + int(answer["stats"].get("unwanted", 0))


def _lag(answer: Answer, consumer: Answer) -> int:
    """How far behind the channel it is: events between what it has done with and the newest."""
    newest = int(answer["offset_next"])
    return max(0, newest - int(consumer.get("position", newest)))


def _losses(consumer: Answer) -> dict[str, int]:
    stats = consumer.get("stats", {})
    return {name: int(stats.get(name, 0)) for name in LOSSES}


def _rise(before: int, now: int, seconds: float) -> float:
    """Per second; a counter that went back has begun anew."""
    return (now - before if now >= before else now) / seconds
