"""Which paths and links may travel, and how names are shown. Pure: nothing here looks at a disk.

A path of a peer is never trusted; these rules are applied on both sides.
"""

from __future__ import annotations

import re

from blake3 import blake3

from clustercore_apps.transfer.wire import NAME_BYTES_MAX, PATH_BYTES_MAX

TEMPORARY = re.compile(rb"\.clustercore-[0-9a-f]{32}\.part")


def components(path: bytes) -> list[bytes]:
    """The parts of a relative path.

    Raises `ValueError` that names the path and what is wrong with it.
    """
    shown = shown_name(path)
    if len(path) > PATH_BYTES_MAX:
        raise ValueError(f"path is {len(path)} bytes, limit is {PATH_BYTES_MAX}")
    if path.startswith(b"/"):
        raise ValueError(f'path "{shown}" is absolute; only paths below the folder are taken')
    if b"\0" in path:
        raise ValueError(f'path "{shown}" has a zero byte')
    parts = path.split(b"/")
    for part in parts:
        if part in (b"", b".", b".."):
            named = part.decode() or "an empty component"
            raise ValueError(f'path "{shown}" has {named} in it; it could lead out of the folder')
        if len(part) > NAME_BYTES_MAX:
            raise ValueError(f'a component of "{shown}" is {len(part)} bytes, limit is {NAME_BYTES_MAX}')
        if TEMPORARY.fullmatch(part):
            raise ValueError(f'"{shown}" has the name of a temporary file of a transfer')
    return parts


def check_link(path: bytes, target: bytes) -> None:
    """Holds a link to the rule: relative, `..` only at the beginning and no more of them than its folder is
    deep.

    So each step up starts from a true folder, and no chain of such links leads outside. Raises `ValueError`.
    """
    depth = len(components(path)) - 1
    shown = f'link "{shown_name(path)}" to "{shown_name(target)}"'
    if not target or target.startswith(b"/"):
        raise ValueError(f"{shown} is not relative; it could lead out of the folder")
    if len(target) > PATH_BYTES_MAX or b"\0" in target:
        raise ValueError(f"{shown} is no usable link")
    parts = target.split(b"/")
    ups = next((place for place, part in enumerate(parts) if part != b".."), len(parts))
    if ups > depth:
        raise ValueError(f"{shown} leads out of the folder")
    rest = [part for part in parts[ups:] if part not in (b"", b".")]
    if b".." in rest:
        raise ValueError(f'{shown} has ".." behind a name; it could lead out of the folder')


def temporary_name(name: bytes) -> bytes:
    """The hidden file beside `name` that is written first."""
    return b".clustercore-" + blake3(name).hexdigest()[:32].encode() + b".part"


def shown_name(name: bytes, most: int = 200) -> str:
    """A name or words of a peer for people: no control character reaches the terminal, and it ends."""
    text = name.decode("utf-8", "backslashreplace")
    text = "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text)
    return text if len(text) <= most else text[: most - 1] + "…"
