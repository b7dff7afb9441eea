"""The protocol between a front end and a node agent: one JSON object per line, both ways, over TCP or TLS.

```
front end                                   node agent
   | -- hello {protocol, front, token} ------> |      first line, within HELLO_SECONDS
   | <- welcome {protocol, node, cores, ...} - |      or error, then the agent closes
   | -- request {id, verb, ...} -------------> |
   | <- reply {id, ok, ...} ------------------ |      in any order; ids are the front end's
   | <- load {...}, instance {...} ----------- |      by itself: load at its interval, instance on each change
```

A line is at most `LINE_BYTES_MAX` bytes. Whatever does not parse is answered by `error {code, text}` and the
connection closes: the next line could not be trusted either.

The whole protocol is in docs/operators/agent-protocol.md.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from clustercore_apps.errors import AgentError

PROTOCOL = 1
LINE_BYTES_MAX = 256 * 1024
HELLO_SECONDS = 5.0
IDLE_SECONDS = 60.0
"""A connection that says nothing for this long is closed; front ends renew their lease far more often."""

ERROR_CODES = (
    "BAD_MESSAGE",  # not a line of this protocol
    "TOO_LARGE",  # line above LINE_BYTES_MAX
    "PROTOCOL",  # another version
    "DENIED",  # wrong or missing token
    "BUSY",  # too many connections
    "LEASE_HELD",  # another front end has the node
    "STALE_TOKEN",  # an older fencing token than one already seen
    "NO_LEASE",  # the lease lapsed or was never given
    "PORT_TAKEN",  # somebody else listens there
    "BAD_PROGRAM",  # cannot be executed or is not allowed here
    "START_FAILED",  # ended before its port answered
    "START_DEADLINE",  # port did not answer in time
    "TIMEOUT",  # the front end waited in vain for a reply
    "DISCONNECTED",  # the connection went away before the reply
    "INTERNAL",  # a fault of the agent; its log says more
)

Message = dict[str, Any]


def encode(message: Message) -> bytes:
    """One line. Raises `AgentError` TOO_LARGE."""
    line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
    if len(line) > LINE_BYTES_MAX:
        raise AgentError("TOO_LARGE", f"message has {len(line)} bytes, limit is {LINE_BYTES_MAX}")
    return line


def decode(line: bytes) -> Message:
    """The object in `line`, which must have a string `type`. Raises `AgentError` BAD_MESSAGE."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        raise AgentError("BAD_MESSAGE", f"line of {len(line)} bytes is not JSON") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise AgentError("BAD_MESSAGE", 'line is not an object with a string "type"')
    return message


async def receive(reader: asyncio.StreamReader, seconds: float) -> Message | None:
    """The next message, `None` at the end of the stream.

    The reader must have been opened with `limit=LINE_BYTES_MAX`. Raises `AgentError` and `TimeoutError`.
    """
    try:
        async with asyncio.timeout(seconds):
            line = await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise AgentError(
                "BAD_MESSAGE", f"stream ends inside a line of {len(error.partial)} bytes"
            ) from None
        return None
    except asyncio.LimitOverrunError:
        raise AgentError("TOO_LARGE", f"line is longer than {LINE_BYTES_MAX} bytes") from None
    return decode(line)


def take_string(message: Message, key: str, characters_max: int = 256) -> str:
    """A string field. Raises `AgentError` BAD_MESSAGE."""
    value = message.get(key)
    if not isinstance(value, str) or len(value) > characters_max:
        raise AgentError("BAD_MESSAGE", f'"{key}" must be a string of at most {characters_max} characters')
    return value


def take_number(message: Message, key: str, least: float, most: float) -> float:
    """A number field in `least..=most`. Raises `AgentError` BAD_MESSAGE."""
    value = message.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise AgentError("BAD_MESSAGE", f'"{key}" must be a number {least:g}..{most:g}')
    return value


def take_integer(message: Message, key: str, least: int, most: int) -> int:
    """A whole-number field in `least..=most`. Raises `AgentError` BAD_MESSAGE."""
    value = message.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise AgentError("BAD_MESSAGE", f'"{key}" must be a whole number {least}..{most}')
    return value


def take_strings(message: Message, key: str, count_max: int, count_min: int = 0) -> list[str]:
    """An array of strings. Raises `AgentError` BAD_MESSAGE."""
    value = message.get(key)
    fits = isinstance(value, list) and count_min <= len(value) <= count_max
    if not fits or not all(isinstance(item, str) and "\0" not in item for item in value or []):
        raise AgentError("BAD_MESSAGE", f'"{key}" must be an array of {count_min} to {count_max} strings')
    return list(value or [])


def take_string_table(message: Message, key: str, count_max: int) -> dict[str, str]:
    """An object whose values are strings. Raises `AgentError` BAD_MESSAGE."""
    value = message.get(key, {})
    if not isinstance(value, dict) or len(value) > count_max:
        raise AgentError("BAD_MESSAGE", f'"{key}" must be an object of at most {count_max} entries')
    if not all(isinstance(item, str) for item in value.values()):
        raise AgentError("BAD_MESSAGE", f'"{key}" must have strings as values')
    return dict(value)
