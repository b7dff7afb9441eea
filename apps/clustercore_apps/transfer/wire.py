"""Messages of a transfer: bytes from them and back, strictly. The table is in `docs/protocol/transfer.md`.

Nothing here trusts a length, a count or a number: what is not a message of ours is a `WireError` in words.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final, TypeAlias, TypeVar

MAGIC: Final = b"CLCT"
VERSION: Final = 1
BLOCK_BYTES: Final = 256 << 10
BLOCK_BYTES_MIN: Final = 4 << 10
BLOCK_BYTES_MAX: Final = 1 << 20
DIGEST_BYTES: Final = 32
DIGESTS_MAX: Final = 256
UNSETTLED_MAX: Final = 4096
NAME_BYTES_MAX: Final = 255
PATH_BYTES_MAX: Final = 4096
TEXT_BYTES_MAX: Final = 1024
MODE_MAX: Final = 0o777
SIZE_MAX: Final = (1 << 63) - 1
# Besides a block: the longest message is Blocks, and a path with a link's target.
MESSAGE_BYTES_MAX: Final = BLOCK_BYTES_MAX + 16384


class WireError(Exception):
    """What came is no message of ours: in words for people on both sides."""


class Code(IntEnum):
    """Why an entry has failed."""

    CHANGED = 1
    UNREADABLE = 2
    REFUSED = 3
    FULL = 4
    DENIED = 5
    KIND = 6
    BUSY = 7
    UNVERIFIED = 8
    DISK = 9


class Close(IntEnum):
    """Why a connection is closed."""

    DONE = 256
    MALFORMED = 257
    DISORDER = 258
    VERSION = 259
    STOPPED = 260
    BUSY = 261


@dataclass(frozen=True, slots=True)
class Hello:
    """The sender begins. `block_bytes` is a power of two."""

    KIND: ClassVar = 0x01
    block_bytes: int
    name: bytes
    version: int = VERSION

    def encode(self) -> bytes:
        """Its bytes."""
        return struct.pack("<B4sHI", self.KIND, MAGIC, self.version, self.block_bytes) + _text(self.name)


@dataclass(frozen=True, slots=True)
class Directory:
    """A folder, before what is in it."""

    KIND: ClassVar = 0x02
    entry: int
    mode: int
    path: bytes

    def encode(self) -> bytes:
        """Its bytes."""
        return struct.pack("<BQH", self.KIND, self.entry, self.mode) + _text(self.path)


@dataclass(frozen=True, slots=True)
class File:
    """A file; `modified` in nanoseconds since 1970."""

    KIND: ClassVar = 0x03
    entry: int
    mode: int
    size: int
    modified: int
    path: bytes

    def encode(self) -> bytes:
        """Its bytes."""
        head = struct.pack("<BQHQq", self.KIND, self.entry, self.mode, self.size, self.modified)
        return head + _text(self.path)


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link."""

    KIND: ClassVar = 0x04
    entry: int
    modified: int
    path: bytes
    target: bytes

    def encode(self) -> bytes:
        """Its bytes."""
        head = struct.pack("<BQq", self.KIND, self.entry, self.modified)
        return head + _text(self.path) + _text(self.target)


@dataclass(frozen=True, slots=True)
class DirectoryEnd:
    """A folder, behind what is in it."""

    KIND: ClassVar = 0x05
    entry: int
    mode: int
    modified: int
    path: bytes

    def encode(self) -> bytes:
        """Its bytes."""
        return struct.pack("<BQHq", self.KIND, self.entry, self.mode, self.modified) + _text(self.path)


@dataclass(frozen=True, slots=True)
class Blocks:
    """Digests of the sender's blocks from `first` on."""

    KIND: ClassVar = 0x06
    entry: int
    first: int
    digests: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Its bytes."""
        head = struct.pack("<BQQH", self.KIND, self.entry, self.first, len(self.digests))
        return head + b"".join(self.digests)


@dataclass(frozen=True, slots=True)
class Data:
    """A raw message of `length` bytes follows: the block at `offset`."""

    KIND: ClassVar = 0x07
    entry: int
    offset: int
    length: int

    def encode(self) -> bytes:
        """Its bytes."""
        return struct.pack("<BQQI", self.KIND, self.entry, self.offset, self.length)


@dataclass(frozen=True, slots=True)
class End:
    """Everything of a file was sent, and its digest is this."""

    KIND: ClassVar = 0x08
    entry: int
    digest: bytes

    def encode(self) -> bytes:
        """Its bytes."""
        return struct.pack("<BQ", self.KIND, self.entry) + self.digest


@dataclass(frozen=True, slots=True)
class Withdraw:
    """The sender gives an entry up."""

    KIND: ClassVar = 0x09
    entry: int
    code: Code
    text: bytes

    def encode(self) -> bytes:
        """Its bytes."""
        return struct.pack("<BQH", self.KIND, self.entry, self.code) + _text(self.text[:TEXT_BYTES_MAX])


@dataclass(frozen=True, slots=True)
class Finish:
    """No more entries come."""

    KIND: ClassVar = 0x0A
    entries: int

    def encode(self) -> bytes:
        """Its bytes."""
        return struct.pack("<BQ", self.KIND, self.entries)


@dataclass(frozen=True, slots=True)
class Ready:
    """The receiver takes this many unsettled entries."""

    KIND: ClassVar = 0x41
    unsettled_max: int
    version: int = VERSION

    def encode(self) -> bytes:
        """Its bytes."""
        return struct.pack("<BHH", self.KIND, self.version, self.unsettled_max)


@dataclass(frozen=True, slots=True)
class Want:
    """A file is wanted, of which so many bytes are present."""

    KIND: ClassVar = 0x42
    entry: int
    present: int

    def encode(self) -> bytes:
        """Its bytes."""
        return struct.pack("<BQQ", self.KIND, self.entry, self.present)


@dataclass(frozen=True, slots=True)
class Missing:
    """Which of the blocks from `first` on are missing."""

    KIND: ClassVar = 0x43
    entry: int
    first: int
    missing: tuple[bool, ...]

    def encode(self) -> bytes:
        """Its bytes."""
        bits = bytearray((len(self.missing) + 7) // 8)
        for place, is_missing in enumerate(self.missing):
            bits[place // 8] |= is_missing << place % 8
        return struct.pack("<BQQH", self.KIND, self.entry, self.first, len(self.missing)) + bytes(bits)


@dataclass(frozen=True, slots=True)
class Again:
    """The digest was wrong."""

    KIND: ClassVar = 0x44
    entry: int

    def encode(self) -> bytes:
        """Its bytes."""
        return struct.pack("<BQ", self.KIND, self.entry)


@dataclass(frozen=True, slots=True)
class Settled:
    """An entry is in its place, checked and durable."""

    KIND: ClassVar = 0x45
    entry: int

    def encode(self) -> bytes:
        """Its bytes."""
        return struct.pack("<BQ", self.KIND, self.entry)


@dataclass(frozen=True, slots=True)
class Failed:
    """An entry has failed at the receiver."""

    KIND: ClassVar = 0x46
    entry: int
    code: Code
    text: bytes

    def encode(self) -> bytes:
        """Its bytes."""
        return struct.pack("<BQH", self.KIND, self.entry, self.code) + _text(self.text[:TEXT_BYTES_MAX])


@dataclass(frozen=True, slots=True)
class Done:
    """All entries are settled, so many of them well."""

    KIND: ClassVar = 0x47
    settled: int
    failed: int

    def encode(self) -> bytes:
        """Its bytes."""
        return struct.pack("<BQQ", self.KIND, self.settled, self.failed)


FromSender: TypeAlias = (
    Hello | Directory | File | Link | DirectoryEnd | Blocks | Data | End | Withdraw | Finish
)
FromReceiver: TypeAlias = Ready | Want | Missing | Again | Settled | Failed | Done


_Kind = TypeVar("_Kind")


def from_sender(payload: bytes) -> FromSender:
    """A message of the sender. Raises `WireError`."""
    return _decode(payload, _SENDERS)


def from_receiver(payload: bytes) -> FromReceiver:
    """A message of the receiver. Raises `WireError`."""
    return _decode(payload, _RECEIVERS)


def block_length(offset: int, size: int, block_bytes: int) -> int:
    """Bytes of the block at `offset` of a file; 0 where no block begins."""
    return 0 if offset % block_bytes or offset >= size else min(block_bytes, size - offset)


def block_count(size: int, block_bytes: int) -> int:
    """How many blocks `size` bytes have."""
    return -(-size // block_bytes)


class _Fields:
    """What is left of a message. Every `take` raises `WireError`."""

    def __init__(self, payload: bytes) -> None:
        self._bytes, self._place = payload, 0

    def take(self, length: int) -> bytes:
        """So many bytes."""
        end = self._place + length
        if end > len(self._bytes):
            missing = end - len(self._bytes)
            raise WireError(f"a message of {len(self._bytes)} bytes lacks {missing} of byte {end}")
        taken = self._bytes[self._place : end]
        self._place = end
        return taken

    def number(self, form: str, name: str, least: int = 0, most: int = SIZE_MAX) -> int:
        """A number within bounds."""
        (value,) = struct.unpack(form, self.take(struct.calcsize(form)))
        if not least <= value <= most:
            raise WireError(f"{name} is {value}, limit is {least}..{most}")
        return int(value)

    def entry(self) -> int:
        """The number of an entry."""
        return self.number("<Q", "entry")

    def mode(self) -> int:
        """Permission bits."""
        return self.number("<H", "mode", most=MODE_MAX)

    def modified(self) -> int:
        """A time, before 1970 too."""
        return self.number("<q", "modified", least=-SIZE_MAX)

    def text(self, name: str, most: int) -> bytes:
        """Bytes with their length before them."""
        return self.take(self.number("<H", f"length of {name}", most=most))

    def code(self) -> Code:
        """Why an entry has failed."""
        return Code(self.number("<H", "code", least=min(Code), most=max(Code)))

    def end(self) -> None:
        """Nothing may be left."""
        if self._place != len(self._bytes):
            raise WireError(f"a message of {len(self._bytes)} bytes ends after {self._place}")


def _decode(payload: bytes, kinds: dict[int, Callable[[_Fields], _Kind]]) -> _Kind:
    if not payload:
        raise WireError("an empty message")
    take = kinds.get(payload[0])
    if take is None:
        raise WireError(f"no message is of kind {payload[0]:#04x}")
    fields = _Fields(payload)
    fields.take(1)
    message = take(fields)
    fields.end()
    return message


def _hello(fields: _Fields) -> Hello:
    magic = fields.take(len(MAGIC))
    if magic != MAGIC:
        raise WireError(f"this is no transfer: it begins with {magic.hex()}")
    version = fields.number("<H", "version")
    block_bytes = fields.number("<I", "block bytes", BLOCK_BYTES_MIN, BLOCK_BYTES_MAX)
    if block_bytes & (block_bytes - 1):
        raise WireError(f"block bytes is {block_bytes}, which is no power of two")
    return Hello(block_bytes, fields.text("name", NAME_BYTES_MAX), version)


def _blocks(fields: _Fields) -> Blocks:
    entry, first = fields.entry(), fields.number("<Q", "first block")
    count = fields.number("<H", "count", 1, DIGESTS_MAX)
    return Blocks(entry, first, tuple(fields.take(DIGEST_BYTES) for _ in range(count)))


def _missing(fields: _Fields) -> Missing:
    entry, first = fields.entry(), fields.number("<Q", "first block")
    count = fields.number("<H", "count", 1, DIGESTS_MAX)
    bits = int.from_bytes(fields.take((count + 7) // 8), "little")
    if bits >> count:
        raise WireError(f"a bit behind the last of {count} blocks is set")
    return Missing(entry, first, tuple(bool(bits >> place & 1) for place in range(count)))


def _ready(fields: _Fields) -> Ready:
    version = fields.number("<H", "version")
    return Ready(fields.number("<H", "unsettled entries", 1, UNSETTLED_MAX), version)


def _text(text: bytes) -> bytes:
    return struct.pack("<H", len(text)) + text


_SENDERS: dict[int, Callable[[_Fields], FromSender]] = {
    Hello.KIND: _hello,
    Directory.KIND: lambda it: Directory(it.entry(), it.mode(), it.text("path", PATH_BYTES_MAX)),
    File.KIND: lambda it: File(
        it.entry(), it.mode(), it.number("<Q", "size"), it.modified(), it.text("path", PATH_BYTES_MAX)
    ),
    Link.KIND: lambda it: Link(
        it.entry(), it.modified(), it.text("path", PATH_BYTES_MAX), it.text("target", PATH_BYTES_MAX)
    ),
    DirectoryEnd.KIND: lambda it: DirectoryEnd(
        it.entry(), it.mode(), it.modified(), it.text("path", PATH_BYTES_MAX)
    ),
    Blocks.KIND: _blocks,
    Data.KIND: lambda it: Data(
        it.entry(), it.number("<Q", "offset"), it.number("<I", "length", 1, BLOCK_BYTES_MAX)
    ),
    End.KIND: lambda it: End(it.entry(), it.take(DIGEST_BYTES)),
    Withdraw.KIND: lambda it: Withdraw(it.entry(), it.code(), it.text("text", TEXT_BYTES_MAX)),
    Finish.KIND: lambda it: Finish(it.number("<Q", "entries")),
}
_RECEIVERS: dict[int, Callable[[_Fields], FromReceiver]] = {
    Ready.KIND: _ready,
    Want.KIND: lambda it: Want(it.entry(), it.number("<Q", "bytes present")),
    Missing.KIND: _missing,
    Again.KIND: lambda it: Again(it.entry()),
    Settled.KIND: lambda it: Settled(it.entry()),
    Failed.KIND: lambda it: Failed(it.entry(), it.code(), it.text("text", TEXT_BYTES_MAX)),
    Done.KIND: lambda it: Done(it.number("<Q", "settled"), it.number("<Q", "failed")),
}
