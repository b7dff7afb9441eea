"""The sender of a transfer as a pure machine: entries, digests and messages in; messages, blocks, orders out.

No file is read and nothing waits here. What the receiver says out of turn is a `Disorder`, which ends the
transfer.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TypeAlias

from clustercore_apps.transfer import paths, wire
from clustercore_apps.transfer.receiving import ROUNDS_MAX, Disorder, Failure, blocks_present
from clustercore_apps.transfer.wire import BLOCK_BYTES, Code, block_count


@dataclass(frozen=True, slots=True)
class HashFile:
    """Read the whole file, apart from what is sent. Answered by `on_digest`."""

    entry: int


@dataclass(frozen=True, slots=True)
class HashBlocks:
    """Answered by `on_block_digests`."""

    entry: int
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Confirm:
    """Everything was read: is it still the same file? Answered by `on_confirmed`."""

    entry: int


@dataclass(frozen=True, slots=True)
class CloseFile:
    """Nothing more is read of it."""

    entry: int


Order: TypeAlias = HashFile | HashBlocks | Confirm | CloseFile


@dataclass(frozen=True, slots=True)
class Block:
    """To be read and sent."""

    entry: int
    offset: int
    length: int


class State(Enum):
    """Of a live entry."""

    OFFERED = auto()
    SENDING = auto()
    COMPARING = auto()
    CONFIRMING = auto()
    ENDED = auto()


@dataclass(slots=True)
class _Entry:
    head: wire.Directory | wire.File | wire.Link | wire.DirectoryEnd
    state: State = State.OFFERED
    # Blocks below are to be compared; those below `compared` were asked about.
    present_blocks: int = 0
    compared: int = 0
    digests: tuple[bytes, ...] = ()
    # Everything that is to be sent is in `runs`, or was sent.
    is_planned: bool = False
    runs: deque[tuple[int, int]] = field(default_factory=deque)
    digest: bytes | None = None
    rounds: int = 0
    # Bytes of this round that were sent, and that were there already.
    sent: int = 0
    kept: int = 0


class Sending:
    """One transfer to one receiver. `orders` and `messages` are to be drained after each call."""

    def __init__(self, name: bytes, block_bytes: int = BLOCK_BYTES) -> None:
        self.orders: deque[Order] = deque()
        self.messages: deque[bytes] = deque()
        self.failures: deque[Failure] = deque()
        self.settled, self.failed = 0, 0
        # All that was sent; of settled files what did not have to be; and how far the files are, for people.
        self.bytes_sent, self.bytes_kept, self.bytes_covered, self.files = 0, 0, 0, 0
        self.is_done = False
        # The receiver's disk is full: nothing more is to be offered.
        self.is_stopped = False
        self._block_bytes = block_bytes
        self._unsettled_max = 0
        self._entry_next = 0
        self._live: dict[int, _Entry] = {}
        # Files with blocks to be sent, in their order.
        self._ready: deque[int] = deque()
        self.has_finished = False
        self._say(wire.Hello(block_bytes, name))

    @property
    def wants_entry(self) -> bool:
        """Whether another entry may be offered."""
        return not self.is_stopped and not self.has_finished and len(self._live) < self._unsettled_max

    @property
    def has_blocks(self) -> bool:
        """Whether `next_block` may have one."""
        return bool(self._ready)

    @property
    def entry_next(self) -> int:
        """The number of the next entry."""
        return self._entry_next

    @property
    def unsettled(self) -> int:
        """Entries that are not settled."""
        return len(self._live)

    def offer(self, head: wire.Directory | wire.File | wire.Link | wire.DirectoryEnd) -> None:
        """Tells the receiver of an entry whose number is `entry_next`. Only while `wants_entry`."""
        assert self.wants_entry and head.entry == self._entry_next
        self._live[head.entry] = _Entry(head)
        self._entry_next += 1
        self._say(head)

    def finish(self) -> None:
        """No more entries come."""
        assert not self.has_finished
        self.has_finished = True
        self._say(wire.Finish(self._entry_next))

    def handle(self, payload: bytes) -> None:
        """Takes one message of the receiver.

        Raises `WireError` for what is no message, `Disorder` for one that has no place here.
        """
        message = wire.from_receiver(payload)
        if isinstance(message, wire.Ready):
            self._on_ready(message)
            return
        if not self._unsettled_max:
            raise Disorder("the first message is no Ready")
        if isinstance(message, wire.Done):
            self._on_done(message)
            return
        number = message.entry
        entry = self._live.get(number)
        if entry is None:
            # What failed here may have been answered in the meantime.
            if number < self._entry_next and isinstance(message, wire.Want | wire.Missing | wire.Failed):
                return
            raise Disorder(f"{type(message).__name__} for entry {number}, which is not open")
        match message:
            case wire.Settled():
                self._on_settled(number, entry)
            case wire.Failed(_, code, text):
                words = "the receiver: " + paths.shown_name(text, wire.TEXT_BYTES_MAX)
                self.is_stopped |= code is Code.FULL
                self._give_up(number, code, words)
            case wire.Want(_, present):
                self._on_want(number, entry, present)
            case wire.Missing(_, first, missing):
                self._on_missing(number, entry, first, missing)
            case wire.Again():
                self._on_again(number, entry)

    def next_block(self) -> Block | None:
        """The next block to be read and sent, or None. It counts as sent: send it, or call `on_failed`."""
        while self._ready:
            number = self._ready[0]
            entry = self._live.get(number)
            if entry is None or not entry.runs:
                self._ready.popleft()
                continue
            first, end = entry.runs[0]
            if first + 1 < end:
                entry.runs[0] = (first + 1, end)
            else:
                entry.runs.popleft()
            offset = first * self._block_bytes
            block = Block(number, offset, min(self._block_bytes, _size(entry) - offset))
            self.bytes_sent += block.length
            self.bytes_covered += block.length
            entry.sent += block.length
            return block
        return None

    def on_block_sent(self, number: int) -> None:
        """The block of `next_block` is on its way."""
        entry = self._live.get(number)
        if entry is not None and not entry.runs:
            self._go_on(number, entry)

    def on_digest(self, number: int, digest: bytes) -> None:
        """The digest of the whole file, by a read of its own."""
        entry = self._live.get(number)
        if entry is not None:
            entry.digest = digest
            self._go_on(number, entry)

    def on_block_digests(self, number: int, digests: tuple[bytes, ...]) -> None:
        """The digests that `HashBlocks` asked for."""
        entry = self._live.get(number)
        if entry is not None:
            entry.digests = digests
            self._go_on(number, entry)

    def on_confirmed(self, number: int) -> None:
        """It is the same file as when it was opened."""
        entry = self._live.get(number)
        if entry is not None and entry.state is State.CONFIRMING:
            assert entry.digest is not None
            entry.state = State.ENDED
            self._say(wire.End(number, entry.digest))

    def on_failed(self, number: int, code: Code, text: str) -> None:
        """The file cannot be read, or has changed."""
        entry = self._live.get(number)
        if entry is not None and entry.state is not State.ENDED:
            self._say(wire.Withdraw(number, code, text.encode("utf-8", "replace")))
            self._give_up(number, code, text)

    def check_invariants(self) -> None:
        """What must hold after every call."""
        assert len(self._live) <= max(self._unsettled_max, 0)
        assert self.settled + self.failed + len(self._live) == self._entry_next
        for entry in self._live.values():
            assert entry.compared <= entry.present_blocks <= block_count(_size(entry), self._block_bytes)
            assert not (entry.state in (State.CONFIRMING, State.ENDED) and entry.runs)
            assert entry.rounds < ROUNDS_MAX

    def _on_ready(self, ready: wire.Ready) -> None:
        if self._unsettled_max:
            raise Disorder("a second Ready")
        if ready.version != wire.VERSION:
            raise Disorder(f"the receiver speaks version {ready.version} of transfers, we {wire.VERSION}")
        self._unsettled_max = ready.unsettled_max

    def _on_done(self, done: wire.Done) -> None:
        if not self.has_finished or self._live:
            raise Disorder(f"Done while {len(self._live)} entries are not settled")
        # What the sender gave up itself has failed on both sides.
        if (done.settled, done.failed) != (self.settled, self.failed):
            raise Disorder(
                f"Done with {done.settled} settled and {done.failed} failed; here it is {self.settled} and "
                f"{self.failed}"
            )
        self.is_done = True

    def _on_settled(self, number: int, entry: _Entry) -> None:
        is_file = isinstance(entry.head, wire.File)
        if is_file and entry.state is not State.ENDED:
            raise Disorder(f"Settled for entry {number} in state {entry.state.name}")
        del self._live[number]
        self.settled += 1
        if is_file:
            self.files += 1
            self.bytes_kept += entry.kept
            self.orders.append(CloseFile(number))

    def _on_want(self, number: int, entry: _Entry, present: int) -> None:
        if not isinstance(entry.head, wire.File):
            raise Disorder(f"Want for entry {number}, which is no file")
        if present > entry.head.size:
            raise Disorder(f"Want for entry {number}: {present} bytes present of {entry.head.size}")
        if entry.state is State.OFFERED:
            self.orders.append(HashFile(number))
        elif present or entry.state not in (State.COMPARING, State.ENDED):
            raise Disorder(f"Want for entry {number} in state {entry.state.name}")
        elif entry.state is State.ENDED:
            self._next_round(number, entry)
        self._plan(number, entry, present)

    def _on_missing(self, number: int, entry: _Entry, first: int, missing: tuple[bool, ...]) -> None:
        if entry.state is not State.COMPARING:
            raise Disorder(f"Missing for entry {number} in state {entry.state.name}")
        if (first, len(missing)) != (entry.compared - len(entry.digests), len(entry.digests)):
            raise Disorder(f"Missing for entry {number} from {first} on is not what was asked")
        entry.digests = ()
        entry.state = State.SENDING
        for place, is_missing in enumerate(missing, first):
            if is_missing:
                self._add_run(number, entry, place, place + 1)
            else:
                kept = self._bytes_before(entry, place + 1) - self._bytes_before(entry, place)
                entry.kept += kept
                self.bytes_covered += kept
        self._ask(number, entry)
        self._go_on(number, entry)

    def _on_again(self, number: int, entry: _Entry) -> None:
        if entry.state is not State.ENDED:
            raise Disorder(f"Again for entry {number} in state {entry.state.name}")
        self._next_round(number, entry)
        self._plan(number, entry, _size(entry))

    def _next_round(self, number: int, entry: _Entry) -> None:
        entry.rounds += 1
        if entry.rounds >= ROUNDS_MAX:
            raise Disorder(f"entry {number} is asked for {ROUNDS_MAX + 1} times")
        # The digest itself may be what was wrong.
        entry.digest = None
        self.orders.append(HashFile(number))

    def _plan(self, number: int, entry: _Entry, present: int) -> None:
        """What is to be compared, and if nothing is, sent."""
        entry.state, entry.runs, entry.digests = State.SENDING, deque(), ()
        entry.compared, entry.is_planned = 0, False
        self.bytes_covered -= entry.sent + entry.kept
        entry.sent, entry.kept = 0, 0
        entry.present_blocks = blocks_present(present, _size(entry), self._block_bytes)
        self._ask(number, entry)
        self._go_on(number, entry)

    def _ask(self, number: int, entry: _Entry) -> None:
        """Has the next digests computed; behind the last, everything is missing."""
        count = min(entry.present_blocks - entry.compared, wire.DIGESTS_MAX)
        if count:
            self.orders.append(HashBlocks(number, entry.compared, count))
            entry.compared += count
        else:
            blocks = block_count(_size(entry), self._block_bytes)
            self._add_run(number, entry, entry.present_blocks, blocks)
            entry.is_planned = True

    def _add_run(self, number: int, entry: _Entry, first: int, end: int) -> None:
        if first >= end:
            return
        if entry.runs and entry.runs[-1][1] == first:
            entry.runs[-1] = (entry.runs[-1][0], end)
        else:
            entry.runs.append((first, end))
        if number not in self._ready:
            self._ready.append(number)

    def _go_on(self, number: int, entry: _Entry) -> None:
        """When nothing is left to be sent: compare more, or end."""
        if entry.state is not State.SENDING or entry.runs:
            return
        if entry.digests:
            entry.state = State.COMPARING
            first = entry.compared - len(entry.digests)
            self._say(wire.Blocks(number, first, entry.digests))
        elif entry.is_planned and entry.digest is not None:
            entry.state = State.CONFIRMING
            self.orders.append(Confirm(number))

    def _give_up(self, number: int, code: Code, text: str) -> None:
        entry = self._live.pop(number)
        self.failed += 1
        # Done with, one way or the other.
        self.bytes_covered += _size(entry) - entry.sent - entry.kept
        self.failures.append(Failure(entry.head.path, code, text))
        if isinstance(entry.head, wire.File):
            self.orders.append(CloseFile(number))

    def _bytes_before(self, entry: _Entry, block: int) -> int:
        return min(block * self._block_bytes, _size(entry))

    def _say(self, message: wire.FromSender) -> None:
        self.messages.append(message.encode())


def _size(entry: _Entry) -> int:
    return entry.head.size if isinstance(entry.head, wire.File) else 0
