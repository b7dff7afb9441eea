"""One end of a conversation over a faulty path: sends what it should, and looks at every byte that comes.

    talker.py listen ADDRESS      talks with whoever connects
    talker.py call ADDRESS PEER   connects, and finishes when all was said and heard

Each side says `--count` messages on an ordered and as many on an unordered stream. A JSON line is printed for
each thing that happens; a message that is wrong, comes twice or out of turn ends the program with words.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import time

import clustercore

KINDS = ("ordered", "unordered")
BLOCK = random.Random(1).randbytes(1 << 17)
DONE = 300
LIMIT_SECONDS = 60


def payload(salt: int, number: int) -> bytes:
    """Message `number` of a stream: mostly within a packet, some in fragments."""
    length = 40_000 if number % 500 == 499 else number * number % 2500
    start = (number * 7919 + salt * 104_729) % (len(BLOCK) - length)
    return number.to_bytes(8, "big") + BLOCK[start : start + length]


def say(event: str, **what: object) -> None:
    """Prints what has happened."""
    print(json.dumps({"event": event, **what}), flush=True)


class Talk:
    """What is said and heard on one connection."""

    def __init__(self, connection: clustercore.Connection, is_caller: bool, count: int) -> None:
        self.connection, self.is_caller, self.count = connection, is_caller, count
        self.sent = dict.fromkeys(KINDS, 0)
        self.heard: dict[str, set[int]] = {kind: set() for kind in KINDS}
        self.is_finished = False

    def salt(self, kind: str, is_own: bool) -> int:
        """Tells the streams apart."""
        return KINDS.index(kind) + 2 * (self.is_caller == is_own)

    def take(self, message: clustercore.Message) -> None:
        """A message must be what it should, and come once, in its turn."""
        heard, number = self.heard[message.kind], message.sequence
        if number in heard:
            sys.exit(f"{message.kind} message {number} came twice")
        if message.kind == "ordered" and number != len(heard):
            sys.exit(f"message {number} came when {len(heard)} was due")
        if message.payload != payload(self.salt(message.kind, is_own=False), number):
            sys.exit(f"{message.kind} message {number} is not what was sent")
        heard.add(number)

    def send(self) -> None:
        """As much as goes, the streams in turn."""
        kind = min(KINDS, key=self.sent.__getitem__)
        while self.sent[kind] < self.count:
            number = self.sent[kind]
            try:
                self.connection.send(payload(self.salt(kind, is_own=True), number), kind=kind)
            except (clustercore.WouldBlock, clustercore.NotConnected):
                return
            self.sent[kind] += 1
            kind = min(KINDS, key=self.sent.__getitem__)

    def finish_if_done(self) -> None:
        """The caller ends it when nothing is left to say or hear."""
        is_done = all(self.sent[kind] == len(self.heard[kind]) == self.count for kind in KINDS)
        if self.is_caller and is_done and not self.is_finished:
            self.is_finished = True
            self.connection.finish(DONE, "done")

    def counts(self) -> dict[str, dict[str, int]]:
        """For the test."""
        return {"sent": self.sent, "heard": {kind: len(numbers) for kind, numbers in self.heard.items()}}


class Talker:
    """A program with an endpoint."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.shard = clustercore.Shard(driver=arguments.driver)
        self.endpoint = self.shard.endpoint(
            arguments.address,
            insecure=True,
            gone_after=arguments.gone_after,
            idle_timeout=arguments.idle_timeout,
        )
        self.talks: dict[clustercore.Connection, Talk] = {}
        self.ended = 0
        say("bound", address=self.endpoint.address)

    def turn(self) -> None:
        """One turn, and what it brings."""
        self.shard.turn(0.02)
        messages, events = self.shard.messages(), self.shard.connection_events()
        for event in events:
            if isinstance(event, clustercore.Connected | clustercore.Accepted):
                is_caller = isinstance(event, clustercore.Connected)
                talk = Talk(event.connection, is_caller, self.arguments.count)
                self.talks[event.connection] = talk
                say("open")
        for message in messages:
            self.talks[message.connection].take(message)
        self.freeze_if_due()
        for event in events:
            if isinstance(event, clustercore.ConnectionGone):
                self.on_gone(event)
        for talk in self.talks.values():
            talk.send()
            talk.finish_if_done()

    def on_gone(self, event: clustercore.ConnectionGone) -> None:
        """Tells everything about the end of a connection."""
        self.ended += 1
        talk = self.talks.pop(event.connection, None)
        say(
            "gone",
            reason=event.reason,
            code=event.code,
            unconfirmed=event.unconfirmed,
            stats=self.endpoint.stats(),
            **(talk.counts() if talk else {}),
        )

    def freeze_if_due(self) -> None:
        """Stands still after so many messages, so that what it has heard is exactly what it says."""
        for talk in self.talks.values():
            heard = sum(len(numbers) for numbers in talk.heard.values())
            if self.arguments.freeze_after is not None and heard >= self.arguments.freeze_after:
                say("frozen", **talk.counts(), numbers=sorted(talk.heard["unordered"]))
                while True:
                    signal.pause()


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=("listen", "call"))
    parser.add_argument("address")
    parser.add_argument("peer", nargs="?")
    parser.add_argument("--driver", default="auto")
    parser.add_argument("--count", type=int, default=1500, help="messages of each stream")
    parser.add_argument("--gone-after", type=float, default=20.0)
    parser.add_argument("--idle-timeout", type=float, default=40.0)
    parser.add_argument("--freeze-after", type=int, help="messages heard")
    parser.add_argument("--ends", type=int, default=1, help="connections that end before the program does")
    arguments = parser.parse_args()
    talker = Talker(arguments)
    if arguments.role == "call":
        talker.endpoint.connect(arguments.peer)
    limit = time.monotonic() + LIMIT_SECONDS
    while talker.ended < arguments.ends:
        if time.monotonic() > limit:
            counts = [talk.counts() for talk in talker.talks.values()]
            sys.exit(f"not at an end after {LIMIT_SECONDS} s: {counts}, {talker.endpoint.stats()}")
        talker.turn()
    # The last words leave, and are repeated if they are lost.
    until = time.monotonic() + 0.3
    while time.monotonic() < until:
        talker.shard.turn(0.02)


if __name__ == "__main__":
    main()
