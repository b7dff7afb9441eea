"""Events as people and programs read them."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import clustercore

# Characters of a body that people are shown.
BODY_CHARACTERS_MAX = 512
ATTRIBUTES = (
    *("id", "source", "type", "domain", "name", "content_type", "schema", "time", "priority", "expiry"),
    *("start", "persistent", "key", "sequence"),
)


def event_line(delivery: clustercore.Delivery) -> str:
    """A line for people: offset, time, type, source, id, then what else there is."""
    event = delivery.event
    words = [str(delivery.offset), _moment(event.time), event.type, event.source, event.id]
    words += [f"name={event.name}"] if event.name else []
    words += [f"{name}={_text(value)}" for name, value in event.fields.items()]
    words += [f"tries={delivery.tries}"] if delivery.tries else []
    line = "  ".join(shown(word) for word in words)
    if not event.body:
        return line
    body = _text(event.body)
    is_cut = len(body) > BODY_CHARACTERS_MAX
    return f"{line}  | {shown(body[:BODY_CHARACTERS_MAX])}{'...' if is_cut else ''}"


def event_json(delivery: clustercore.Delivery) -> str:
    """A line for programs: a JSON object; bytes that are no text are `body_base64`."""
    event = delivery.event
    members: dict[str, Any] = {"offset": delivery.offset, "tries": delivery.tries}
    values = {name: getattr(event, name) for name in ATTRIBUTES}
    members |= {name: value for name, value in values.items() if value not in (None, "")}
    if event.fields:
        members["fields"] = {name: _plain(value) for name, value in event.fields.items()}
    if event.body:
        try:
            members["body"] = event.body.decode()
        except UnicodeDecodeError:
            members["body_base64"] = _plain(event.body)
    return json.dumps(members)


def shown(text: str) -> str:
    """The text without what a terminal would obey."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def _moment(time: float | None) -> str:
    if time is None:
        return "-"
    try:
        return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return f"{time:g}"


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _plain(value: Any) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
