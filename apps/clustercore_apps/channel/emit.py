"""`clustercore channel emit`: puts events into a channel."""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import sys
import time
import uuid
from typing import Any

import clustercore

from clustercore_apps.channel.client import ChannelClient
from clustercore_apps.errors import OperatorError

# Of a line of standard input; also the limit of a body.
LINE_BYTES_MAX = 1 << 20
WAITING_MAX = 8192
WAIT_SECONDS = 0.5


class Lines:
    """Lines of a descriptor, as they come."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.is_open = True
        self._part = b""

    def read(self) -> list[bytes]:
        """The lines that are whole with what can be read now. Raises `OperatorError`."""
        piece = os.read(self.descriptor, 1 << 16)
        *lines, self._part = (self._part + piece).split(b"\n")
        if not piece:
            self.is_open = False
            lines = [self._part] if self._part else []
        if len(self._part) > LINE_BYTES_MAX:
            raise OperatorError(f"a line of standard input is longer than {LINE_BYTES_MAX} bytes, the limit")
        return lines


class Supply:
    """A supplier, and what became of its events."""

    def __init__(self, client: ChannelClient, channel: str) -> None:
        self.client = client
        self.handle = client.participant.supply(channel)
        self.emitted = 0
        self.confirmed = 0
        self.faults: list[str] = []
        client.settle()

    def emit(self, events: list[clustercore.ChannelEvent]) -> int:
        """How many were taken up."""
        taken = self.client.participant.emit(self.handle, events)
        self.emitted += taken
        return int(taken)

    def look(self) -> None:
        """What the server says of them. Raises `OperatorError`."""
        for one in self.client.check():
            if one["what"] == "confirmed":
                self.confirmed += one["count"]
            elif one["what"] in ("refused", "lost"):
                self.faults.append(f"event {one['number'] + 1}: {one.get('message', one['code'])}")

    def finish(self, is_persistent: bool) -> None:
        """Waits until all are taken, and on disk when they are to be. Raises `OperatorError`."""
        try:
            self.client.participant.flush(self.handle, self.client.seconds)
        except clustercore.Timeout as error:
            self.look()
            raise OperatorError(f"{error}; it refuses them for now, or does not answer") from None
        except clustercore.InvalidArgument:
            # The proxy is gone, and the news say why.
            self.look()
            raise
        deadline = time.monotonic() + self.client.seconds
        self.look()
        while is_persistent and self.confirmed + len(self.faults) < self.emitted:
            if time.monotonic() > deadline:
                raise OperatorError(
                    f"{self.confirmed} of {self.emitted} events are on disk after {self.client.seconds:g} s"
                )
            self.client.participant.turn(WAIT_SECONDS)
            self.look()


def run_emit(client: ChannelClient, options: argparse.Namespace) -> int:
    """Emits one event, or one for each line of standard input; 0 when all were taken, else 1.

    Raises `OperatorError`.
    """
    attributes = _attributes(options)
    # Before the server is asked for anything: what is wrong with the options is wrong with each line.
    single = make_event(options.id, _body(options), attributes)
    supply = Supply(client, options.channel)
    if options.lines:
        _emit_lines(supply, options.id, attributes)
    else:
        supply.emit([single])
    supply.finish(options.persistent)
    for fault in supply.faults:
        print(f"clustercore: {fault}", file=sys.stderr)
    print(f"{supply.emitted - len(supply.faults)} of {supply.emitted} events taken")
    return 1 if supply.faults else 0


def make_event(identity: str | None, body: bytes, attributes: dict[str, Any]) -> clustercore.ChannelEvent:
    """An event; without an id it gets one of its own. Raises `OperatorError`."""
    try:
        return clustercore.ChannelEvent(identity or uuid.uuid4().hex, body=body, **attributes)
    except (clustercore.InvalidArgument, OverflowError) as error:
        raise OperatorError(str(error)) from None


def parse_fields(texts: list[str]) -> dict[str, Any]:
    """Fields as `name=value`: a value that is a JSON number, boolean or text is that, another is text.

    Raises `OperatorError`.
    """
    fields: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise OperatorError(f'--field is "{text}"; write name=value, for example load=0.75')
        if name in fields:
            raise OperatorError(f'--field {name} is given twice, "{fields[name]}" and "{value}"')
        fields[name] = _scalar(value)
    return fields


def _scalar(text: str) -> Any:
    try:
        value = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, bool | int | float | str) else text


def _attributes(options: argparse.Namespace) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "source": options.source or f"/{socket.gethostname()}",
        "type": options.type,
        "name": options.name,
        "time": time.time(),
        "content_type": "text/plain" if options.lines or options.body is not None else "",
    }
    if options.field:
        attributes["fields"] = parse_fields(options.field)
    if options.priority is not None:
        attributes["priority"] = options.priority
    if options.persistent:
        attributes["persistent"] = True
    return attributes


def _body(options: argparse.Namespace) -> bytes:
    return b"" if options.body is None else os.fsencode(options.body)


def _emit_lines(supply: Supply, identity: str | None, attributes: dict[str, Any]) -> None:
    """Each line goes at once, also while the next is still being written."""
    identity = identity or uuid.uuid4().hex
    lines = Lines(sys.stdin.fileno())
    participant = supply.client.participant
    waiting: list[clustercore.ChannelEvent] = []
    number = 0
    while lines.is_open or waiting:
        wanted = [participant.fileno()]
        if lines.is_open and len(waiting) < WAITING_MAX:
            wanted.append(lines.descriptor)
        due = participant.next_timeout()
        ready, _, _ = select.select(wanted, [], [], WAIT_SECONDS if due is None else min(due, WAIT_SECONDS))
        if lines.descriptor in ready:
            for line in lines.read():
                number += 1
                attributes["time"] = time.time()
                waiting.append(make_event(f"{identity}-{number}", line, attributes))
        del waiting[: supply.emit(waiting)]
        participant.turn()
        supply.look()
