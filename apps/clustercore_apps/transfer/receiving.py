"""The receiver of a transfer as a pure machine: messages and results of the disk in, messages and orders out.

No file is opened and nothing waits here. What the peer sends out of turn is a `Disorder`, which ends the
transfer; what goes wrong with one entry fails that entry alone.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from clustercore_apps.transfer import paths, wire
from clustercore_apps.transfer.wire import Code, block_count, block_length

UNSETTLED_MAX = 64
ROUNDS_MAX = 3


class Disorder(Exception):
    """A message that has no place in this state."""


@dataclass(frozen=True, slots=True)
class MakeDirectory:
    """Answered by `on_made`."""

    entry: int
    path: list[bytes]


@dataclass(frozen=True, slots=True)
class MakeLink:
    """Answered by `on_made`."""

    entry: int
    path: list[bytes]
    target: bytes
    modified: int


@dataclass(frozen=True, slots=True)
class EndDirectory:
    """Mode, time, and its names are durable. Answered by `on_made`."""

    entry: int
    path: list[bytes]
    mode: int
    modified: int


@dataclass(frozen=True, slots=True)
class OpenFile:
    """Find what is there of it. Answered by `on_opened`."""

    entry: int
    path: list[bytes]
    size: int


@dataclass(frozen=True, slots=True)
class WriteBlock:
    """Everything before `offset` is complete."""

    entry: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Compare:
    """Answered by `on_compared`."""

    entry: int
    first: int
    digests: tuple[bytes, ...]
    block_bytes: int


@dataclass(frozen=True, slots=True)
class Restart:
    """What is under the final name is another file: begin an empty temporary one."""

    entry: int


@dataclass(frozen=True, slots=True)
class Check:
    """All is written: read it back from the disk. Answered by `on_checked`."""

    entry: int


@dataclass(frozen=True, slots=True)
class Place:
    """Put it under its final name, durably. Answered by `on_made`."""

    entry: int
    mode: int
    modified: int


@dataclass(frozen=True, slots=True)
class Drop:
    """Forget an open file; what is in its temporary one stays."""

    entry: int


@dataclass(frozen=True, slots=True)
class SyncFolder:
    """Make the names in the receiver's folder durable. Answered by `on_synced`."""


Order: TypeAlias = (
    MakeDirectory
    | MakeLink
    | EndDirectory
    | OpenFile
    | WriteBlock
    | Compare
    | Restart
    | Check
    | Place
    | Drop
    | SyncFolder
)


class State(Enum):
    """Of a live entry."""

    OPENING = auto()
    WANTED = auto()
    COMPARING = auto()
    CHECKING = auto()
    PLACING = auto()
    MAKING = auto()
    WAITING = auto()


@dataclass(slots=True)
class _Entry:
    head: wire.Directory | wire.File | wire.Link | wire.DirectoryEnd
    path: list[bytes]
    state: State
    present: int = 0
    # What is compared stands under the final name.
    is_final: bool = False
    offset_next: int = 0
    rounds: int = 0
    digest: bytes = b""


@dataclass(frozen=True, slots=True)
class Failure:
    """An entry that is not there in the end, for people."""

    path: bytes
    code: Code
    text: str


class Receiving:
    """One transfer. `handle` takes messages; `orders` and `messages` are to be drained after each call."""

    def __init__(self) -> None:
        self.orders: deque[Order] = deque()
        self.messages: deque[bytes] = deque()
        self.failures: deque[Failure] = deque()
        self.name = b""
        self.settled, self.failed = 0, 0
        self.bytes_written, self.files = 0, 0
        self.is_done = False
        self._block_bytes = 0
        self._entry_next = 0
        # In the order of their numbers.
        self._live: dict[int, _Entry] = {}
        self._raw: wire.Data | None = None
        self._finish: int | None = None

    @property
    def unsettled(self) -> int:
        """Entries that are not settled."""
        return len(self._live)

    def is_opening(self, number: int) -> bool:
        """Whether a file still waits for `on_opened`."""
        entry = self._live.get(number)
        return entry is not None and entry.state is State.OPENING

    def handle(self, payload: bytes) -> None:
        """Takes one message of the sender.

        Raises `WireError` for what is no message, `Disorder` for one that has no place here.
        """
        if self._raw is not None:
            self._on_raw(self._raw, payload)
            return
        message = wire.from_sender(payload)
        if isinstance(message, wire.Hello):
            self._on_hello(message)
            return
        if not self._block_bytes:
            raise Disorder("the first message is no Hello")
        match message:
            case wire.Finish(entries):
                self._on_finish(entries)
            case wire.Directory() | wire.File() | wire.Link() | wire.DirectoryEnd():
                self._on_entry(message)
            case wire.Data():
                self._on_data(message)
            case wire.Blocks() | wire.End() | wire.Withdraw():
                entry = self._find(message.entry)
                if entry is not None:
                    self._on_file_message(message, entry)

    def on_opened(self, number: int, present: int, *, is_final: bool) -> None:
        """A file is open, and so many bytes may be its own already."""
        entry = self._live.get(number)
        if entry is None:
            return
        entry.state, entry.present, entry.is_final = State.WANTED, min(present, self._size(entry)), is_final
        self._say(wire.Want(number, entry.present))

    def on_compared(self, number: int, first: int, missing: tuple[bool, ...]) -> None:
        """Blocks were read from the disk and compared."""
        entry = self._live.get(number)
        if entry is None or entry.state is not State.COMPARING:
            return
        entry.state = State.WANTED
        if entry.is_final and any(missing):
            self._restart(number, entry)
        else:
            self._say(wire.Missing(number, first, missing))

    def on_checked(self, number: int, digest: bytes) -> None:
        """A file was read back from the disk."""
        entry = self._live.get(number)
        if entry is None or entry.state is not State.CHECKING:
            return
        entry.rounds += 1
        head = entry.head
        assert isinstance(head, wire.File)
        if digest == entry.digest:
            entry.state = State.PLACING
            self.orders.append(Place(number, head.mode, head.modified))
        elif entry.rounds == ROUNDS_MAX:
            text = f"read back from the disk it has another digest than at the sender, {ROUNDS_MAX} times"
            self.on_failed(number, Code.UNVERIFIED, text)
        elif entry.is_final:
            entry.state = State.WANTED
            self._restart(number, entry)
        else:
            entry.state, entry.present, entry.offset_next = State.WANTED, head.size, 0
            self._say(wire.Again(number))

    def on_made(self, number: int) -> None:
        """A directory, a link or a file is in its place."""
        if number not in self._live:
            return
        entry = self._live.pop(number)
        self.settled += 1
        self.files += isinstance(entry.head, wire.File)
        self._say(wire.Settled(number))
        self._advance()

    def on_failed(self, number: int, code: Code, text: str) -> None:
        """Something failed at the disk."""
        if number in self._live:
            self._say(wire.Failed(number, code, text.encode("utf-8", "replace")))
            self._give_up(number, code, text)

    def on_synced(self) -> None:
        """The receiver's folder is durable."""
        self.is_done = True
        self._say(wire.Done(self.settled, self.failed))

    def check_invariants(self) -> None:
        """What must hold after every call."""
        assert len(self._live) <= UNSETTLED_MAX
        assert list(self._live) == sorted(self._live)
        assert self.settled + self.failed + len(self._live) == self._entry_next
        for number, entry in self._live.items():
            assert number < self._entry_next
            assert entry.rounds < ROUNDS_MAX or entry.state is State.PLACING
            is_file = isinstance(entry.head, wire.File)
            assert is_file or entry.state in (State.MAKING, State.WAITING)

    def _on_hello(self, hello: wire.Hello) -> None:
        if self._block_bytes:
            raise Disorder("a second Hello")
        if hello.version != wire.VERSION:
            raise Disorder(f"the sender speaks version {hello.version} of transfers, we {wire.VERSION}")
        self._block_bytes, self.name = hello.block_bytes, hello.name
        self._say(wire.Ready(UNSETTLED_MAX))

    def _on_entry(self, head: wire.Directory | wire.File | wire.Link | wire.DirectoryEnd) -> None:
        if head.entry != self._entry_next:
            raise Disorder(f"entry {head.entry} comes in the place of {self._entry_next}")
        if self._finish is not None:
            raise Disorder(f"entry {head.entry} comes after Finish")
        if len(self._live) >= UNSETTLED_MAX:
            raise Disorder(f"entry {head.entry} comes while {UNSETTLED_MAX} are unsettled, the limit")
        self._entry_next += 1
        number = head.entry
        try:
            path = paths.components(head.path)
            if isinstance(head, wire.Link):
                paths.check_link(head.path, head.target)
        except ValueError as error:
            self._live[number] = _Entry(head, [], State.MAKING)
            self.on_failed(number, Code.REFUSED, str(error))
            return
        state = State.MAKING
        match head:
            case wire.Directory():
                self.orders.append(MakeDirectory(number, path))
            case wire.Link(_, modified, _, target):
                self.orders.append(MakeLink(number, path, target, modified))
            case wire.File(_, _, size, _, _):
                state = State.OPENING
                self.orders.append(OpenFile(number, path, size))
            case wire.DirectoryEnd():
                state = State.WAITING
        self._live[number] = _Entry(head, path, state)
        self._advance()

    def _on_file_message(self, message: wire.Blocks | wire.End | wire.Withdraw, entry: _Entry) -> None:
        number = message.entry
        if isinstance(message, wire.Withdraw):
            if entry.state not in (State.OPENING, State.WANTED, State.COMPARING):
                raise Disorder(f"Withdraw for entry {number} in state {entry.state.name}")
            self._give_up(number, message.code, "the sender: " + paths.shown_name(message.text, 1024))
            return
        if entry.state is not State.WANTED:
            raise Disorder(f"{type(message).__name__} for entry {number} in state {entry.state.name}")
        if isinstance(message, wire.End):
            entry.state, entry.digest = State.CHECKING, message.digest
            self.orders.append(Check(number))
            return
        end = message.first + len(message.digests)
        limit = blocks_present(entry.present, self._size(entry), self._block_bytes)
        if end > limit:
            raise Disorder(f"Blocks up to {end} for entry {number}, of which {limit} are present")
        entry.state = State.COMPARING
        self.orders.append(Compare(number, message.first, message.digests, self._block_bytes))

    def _on_data(self, data: wire.Data) -> None:
        self._raw = data
        entry = self._find(data.entry)
        if entry is None:
            return
        if entry.state is not State.WANTED or entry.is_final:
            raise Disorder(f"Data for entry {data.entry} in state {entry.state.name}")
        if data.length != block_length(data.offset, self._size(entry), self._block_bytes):
            raise Disorder(
                f"Data for entry {data.entry}: no block of {self._size(entry)} bytes is {data.length} long "
                f"at {data.offset}"
            )
        if data.offset < entry.offset_next:
            raise Disorder(f"Data for entry {data.entry} at {data.offset}, behind {entry.offset_next}")
        entry.offset_next = data.offset + data.length

    def _on_raw(self, data: wire.Data, payload: bytes) -> None:
        self._raw = None
        if len(payload) != data.length:
            raise Disorder(f"a block of {data.length} bytes was announced, {len(payload)} came")
        # It may have failed since: then nothing is written.
        if data.entry in self._live:
            self.bytes_written += data.length
            self.orders.append(WriteBlock(data.entry, data.offset, payload))

    def _on_finish(self, entries: int) -> None:
        if self._finish is not None:
            raise Disorder("a second Finish")
        if entries != self._entry_next:
            raise Disorder(f"Finish after {entries} entries; {self._entry_next} came")
        self._finish = entries
        self._advance()

    def _find(self, number: int) -> _Entry | None:
        """A file that is spoken of; None when it is settled, and what was under way is to be dropped."""
        if number >= self._entry_next:
            raise Disorder(f"entry {number} was never told")
        entry = self._live.get(number)
        if entry is not None and not isinstance(entry.head, wire.File):
            raise Disorder(f"entry {number} is no file")
        return entry

    def _restart(self, number: int, entry: _Entry) -> None:
        entry.present, entry.is_final, entry.offset_next = 0, False, 0
        self.orders.append(Restart(number))
        self._say(wire.Want(number, 0))

    def _give_up(self, number: int, code: Code, text: str) -> None:
        entry = self._live.pop(number)
        self.failed += 1
        self.failures.append(Failure(entry.head.path, code, text))
        if entry.state not in (State.MAKING, State.WAITING):
            self.orders.append(Drop(number))
        self._advance()

    def _advance(self) -> None:
        """Ends the directory whose turn it is, or the transfer."""
        number = next(iter(self._live), None)
        if number is None:
            if self._finish is not None:
                self.orders.append(SyncFolder())
            return
        entry = self._live[number]
        if entry.state is State.WAITING:
            head = entry.head
            assert isinstance(head, wire.DirectoryEnd)
            entry.state = State.MAKING
            self.orders.append(EndDirectory(number, entry.path, head.mode, head.modified))

    def _size(self, entry: _Entry) -> int:
        return entry.head.size if isinstance(entry.head, wire.File) else 0

    def _say(self, message: wire.FromReceiver) -> None:
        self.messages.append(message.encode())


def blocks_present(present: int, size: int, block_bytes: int) -> int:
    """How many blocks of a file of `size` bytes lie wholly within its first `present`."""
    return block_count(size, block_bytes) if present >= size else present // block_bytes
