"""One transfer at the receiver: its machine joined to the folder and to the threads that read back."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import clustercore

from clustercore_apps.transfer import receiving, target
from clustercore_apps.transfer.link import send
from clustercore_apps.transfer.reading import ReadBack, Workers, block_digests
from clustercore_apps.transfer.receiving import Disorder, Receiving
from clustercore_apps.transfer.target import Folder, Incoming, TargetError, explain
from clustercore_apps.transfer.wire import Code

_T = TypeVar("_T")

# A file that an older transfer has lost is free when what reads it back has noticed.
FREE_SECONDS = 10.0
# A sender that means well has fewer unsettled entries than that.
ANSWERS_MAX = 1024


@dataclass(slots=True)
class _File:
    path: list[bytes]
    incoming: Incoming
    read_back: ReadBack


class Writers:
    """Which transfer of this program writes which file: a newer one takes it over.

    So a sender that was killed and started anew need not wait until its death is noticed.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, ...], tuple[Transfer, int]] = {}

    def enter(self, path: list[bytes], transfer: Transfer, number: int) -> None:
        """That one writes it now."""
        self._known[tuple(path)] = transfer, number

    def leave(self, path: list[bytes], transfer: Transfer) -> None:
        """It does no longer."""
        if self._known.get(tuple(path), (None,))[0] is transfer:
            del self._known[tuple(path)]

    def take_over(self, path: list[bytes], transfer: Transfer) -> None:
        """Whoever else writes it gives it up."""
        older, number = self._known.get(tuple(path), (transfer, 0))
        if older is not transfer:
            older.lose(number)


class Transfer:
    """What one sender sends. `handle` raises `WireError` and `Disorder`, which end this transfer alone."""

    def __init__(
        self, connection: clustercore.Connection, folder: Folder, workers: Workers, writers: Writers
    ) -> None:
        self.connection = connection
        self.machine = Receiving()
        self.is_full = False
        # Why it cannot end well, though every entry has.
        self.fault: str | None = None
        self._folder, self._workers, self._writers = folder, workers, writers
        # What waits for an older transfer to let go, and until when.
        self._retries: deque[tuple[receiving.OpenFile, float]] = deque()
        self._files: dict[int, _File] = {}
        self._waiting: deque[bytes] = deque()

    def handle(self, payload: bytes) -> None:
        """Takes a message, and writes what it brings."""
        self.machine.handle(payload)
        self.obey()
        if len(self.machine.messages) > ANSWERS_MAX:
            raise Disorder(f"{ANSWERS_MAX} answers wait, and the sender takes none")

    def pump(self) -> None:
        """Sends what there is to say, until the connection is full. Raises `NotConnected`."""
        while not self.is_full and (self._waiting or self.machine.messages):
            if not self._waiting:
                self._waiting.append(self.machine.messages.popleft())
            if send(self.connection, self._waiting[0]):
                self._waiting.popleft()
            else:
                self.is_full = True

    def end(self) -> None:
        """Gives up what is open; temporary files stay."""
        for number in list(self._files):
            self._close(number)

    def lose(self, number: int) -> None:
        """A newer transfer has begun a file of this one."""
        self.machine.on_failed(number, Code.BUSY, "a newer transfer has taken it over")
        self.obey()

    def retry(self) -> None:
        """Opens what was not free before."""
        for _ in range(len(self._retries)):
            order, until = self._retries.popleft()
            if self.machine.is_opening(order.entry):
                self._open(order, until)

    def obey(self) -> None:
        """Does what the machine has ordered."""
        orders = self.machine.orders
        while orders:
            order = orders.popleft()
            match order:
                case receiving.WriteBlock(number, offset, data):
                    self._write(number, offset, data)
                case receiving.OpenFile():
                    self._writers.take_over(order.path, self)
                    self._open(order, time.monotonic() + FREE_SECONDS)
                case receiving.Compare(number, first, digests, block_bytes):
                    self._compare(number, first, digests, block_bytes)
                case receiving.Restart(number):
                    self._restart(number)
                case receiving.Check(number):
                    self._check(number)
                case receiving.Place(number, mode, modified):
                    self._place(number, mode, modified)
                case receiving.Drop(number):
                    self._close(number)
                case receiving.MakeDirectory(number, path):
                    self._try(number, partial(self._folder.make_directory, path))
                case receiving.MakeLink():
                    self._make_link(order)
                case receiving.EndDirectory():
                    self._end_directory(order)
                case receiving.SyncFolder():
                    self._sync()

    def _open(self, order: receiving.OpenFile, until: float) -> None:
        number, path = order.entry, order.path
        try:
            incoming = self._folder.open_file(path, order.size)
        except (OSError, TargetError) as error:
            code, text = explain(error)
            if code is Code.BUSY and time.monotonic() < until:
                self._retries.append((order, until))
            else:
                self.machine.on_failed(number, code, text)
            return
        self._files[number] = _File(path, incoming, ReadBack(order.size))
        if not incoming.is_final:
            self._writers.enter(path, self, number)
        self.machine.on_opened(number, incoming.present, is_final=incoming.is_final)

    def _close(self, number: int) -> None:
        file = self._files.pop(number, None)
        if file is not None:
            file.incoming.close()
            self._writers.leave(file.path, self)

    def _write(self, number: int, offset: int, data: bytes) -> None:
        file = self._files[number]
        try:
            file.incoming.write(offset, data)
        except OSError as error:
            self.machine.on_failed(number, *explain(error))
            return
        # Offsets ascend and what is left out was there: everything before the end of this block is complete.
        file.read_back.written = offset + len(data)
        self._read_back(number, file)

    def _compare(self, number: int, first: int, digests: tuple[bytes, ...], block_bytes: int) -> None:
        file, stopping = self._files[number], self._workers.stopping
        descriptor, size = file.incoming.descriptor, file.incoming.size

        def work() -> tuple[bool, ...]:
            found = block_digests(descriptor, first, len(digests), block_bytes, size, stopping)
            return tuple(one != other for one, other in zip(found, digests, strict=True))

        self._on_thread(number, file, work, lambda missing: self.machine.on_compared(number, first, missing))

    def _restart(self, number: int) -> None:
        file = self._files[number]
        try:
            file.incoming.restart()
        except (OSError, TargetError) as error:
            self.machine.on_failed(number, *explain(error))
            return
        self._writers.enter(file.path, self, number)
        file.read_back = ReadBack(file.incoming.size)

    def _check(self, number: int) -> None:
        file = self._files[number]
        try:
            file.incoming.set_length()
        except OSError as error:
            self.machine.on_failed(number, *explain(error))
            return
        file.read_back.is_complete = True
        self._read_back(number, file)

    def _read_back(self, number: int, file: _File) -> None:
        """Goes on with reading back, one segment at a time, and ends it."""
        read_back = file.read_back
        if read_back.is_ended() and not read_back.is_running:
            # Should the digest be wrong, everything is read back once more.
            file.read_back = ReadBack(read_back.size)
            self.machine.on_checked(number, read_back.digest())
        elif read_back.is_due():
            read_back.is_running = True
            descriptor, stopping = file.incoming.descriptor, self._workers.stopping

            def then(_: None) -> None:
                read_back.is_running = False
                self._read_back(number, file)

            self._on_thread(number, file, lambda: read_back.read_segment(descriptor, stopping), then)

    def _place(self, number: int, mode: int, modified: int) -> None:
        file = self._files[number]

        def then(_: None) -> None:
            self._close(number)
            self.machine.on_made(number)

        self._on_thread(number, file, lambda: file.incoming.place(mode, modified), then)

    def _make_link(self, order: receiving.MakeLink) -> None:
        make = partial(self._folder.make_link, order.path, order.target, order.modified)
        self._try(order.entry, make)

    def _end_directory(self, order: receiving.EndDirectory) -> None:
        try:
            taken = self._folder.take_directory(order.path)
        except OSError as error:
            self.machine.on_failed(order.entry, *explain(error))
            return

        def failed(error: OSError) -> None:
            self.machine.on_failed(order.entry, *explain(error))
            self.obey()

        def then(_: None) -> None:
            self.machine.on_made(order.entry)
            self.obey()

        self._workers.submit(lambda: target.end_directory(taken, order.mode, order.modified), then, failed)

    def _sync(self) -> None:
        taken = self._folder.take_root()

        def failed(error: OSError) -> None:
            self.fault = f"the folder cannot be synced: {error.strerror}"

        self._workers.submit(lambda: target.sync_directory(taken), lambda _: self.machine.on_synced(), failed)

    def _try(self, number: int, act: Callable[[], None]) -> None:
        try:
            act()
        except (OSError, TargetError) as error:
            self.machine.on_failed(number, *explain(error))
        else:
            self.machine.on_made(number)

    def _on_thread(
        self, number: int, file: _File, work: Callable[[], _T], then: Callable[[_T], None]
    ) -> None:
        """Work on an open file; its result counts only while the file is open."""
        file.incoming.enter()

        def is_open() -> bool:
            file.incoming.leave()
            return self._files.get(number) is file

        def ended(result: _T) -> None:
            if is_open():
                then(result)
                self.obey()

        def failed(error: OSError) -> None:
            if is_open():
                self.machine.on_failed(number, *explain(error))
                self.obey()

        self._workers.submit(work, ended, failed)
