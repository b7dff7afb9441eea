"""Sends one file or tree to one receiver: the machine joined to disk, threads and network."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass

import clustercore

from clustercore_apps.transfer import wire
from clustercore_apps.transfer.link import Link, send, why_gone
from clustercore_apps.transfer.paths import shown_name
from clustercore_apps.transfer.reading import Workers, block_digests, file_digest
from clustercore_apps.transfer.receiving import Disorder, Failure
from clustercore_apps.transfer.report import Report
from clustercore_apps.transfer.sending import Block, CloseFile, Confirm, HashBlocks, HashFile, Sending
from clustercore_apps.transfer.source import (
    FoundDirectory,
    FoundFault,
    FoundFile,
    FoundLink,
    Source,
    SourceFile,
    Totals,
)
from clustercore_apps.transfer.wire import Close, Code

THREADS = min(4, os.cpu_count() or 1)
# So much is handed to the connection between two turns.
TURN_BYTES = 1 << 20
WAIT_SECONDS = 0.25
FAREWELL_TURNS = 40


class Broken(Exception):
    """The transfer has ended early, in words; the same command takes it up again."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was sent: files and bytes of them in place, bytes that were there already, entries that failed."""

    files: int
    bytes_sent: int
    bytes_kept: int
    failed: int


class Sender:
    """One transfer. `run` does it all."""

    def __init__(self, source: Source, link: Link, report: Report) -> None:
        self._link, self._report = link, report
        self._machine = Sending(source.name)
        self._walk = source.walk(report.skipped)
        self._has_walked = False
        self._totals = Totals(source)
        self._workers = Workers(THREADS, link.wake)
        self._files: dict[int, SourceFile] = {}
        # Messages that wait for room; a raw one stands right behind its Data.
        self._waiting: deque[bytes] = deque()
        self._is_connected = self._is_full = False
        self._faults = 0

    def run(self, address: str, peer_key: str | None) -> Outcome:
        """Sends to the receiver at `address`. Raises `Broken`, `ClusterError`."""
        connection = self._link.endpoint.connect(address, peer_key)
        machine = self._machine
        try:
            while not machine.is_done:
                self._link.turn(0.0 if self._has_more() else WAIT_SECONDS)
                self._take(connection)
                self._workers.deliver()
                self._offer()
                self._obey()
                if self._is_connected and not self._is_full:
                    self._pump(connection)
                self._tell()
            connection.finish(Close.DONE, "done")
            self._farewell()
        except (wire.WireError, Disorder) as error:
            code = Close.MALFORMED if isinstance(error, wire.WireError) else Close.DISORDER
            self._part(connection, code, str(error))
            raise Broken(f"the receiver broke the protocol: {error}") from None
        except clustercore.NotConnected:
            raise Broken(self._reason()) from None
        except KeyboardInterrupt:
            self._part(connection, Close.STOPPED, "the sender was stopped")
            raise
        finally:
            self._end()
        failed = machine.failed + self._faults
        return Outcome(machine.files, machine.bytes_sent, machine.bytes_kept, failed)

    def _has_more(self) -> bool:
        """Whether something could be sent at once."""
        has_any = bool(self._waiting or self._machine.messages or self._machine.has_blocks)
        return self._is_connected and not self._is_full and has_any

    def _take(self, connection: clustercore.Connection) -> None:
        """What the turn has brought."""
        for message in self._link.shard.messages():
            self._machine.handle(message.payload)
        for event in self._link.shard.connection_events():
            match event:
                case clustercore.Connected():
                    self._is_connected = True
                case clustercore.Writable():
                    self._is_full = False
                case clustercore.ConnectionGone() if event.connection == connection:
                    raise Broken(why_gone(event))

    def _offer(self) -> None:
        """Tells of entries as long as the receiver may have more."""
        machine = self._machine
        while machine.wants_entry and not self._has_walked:
            found = next(self._walk, None)
            match found:
                case None:
                    self._has_walked = True
                case FoundDirectory(path, mode, modified, True):
                    machine.offer(wire.DirectoryEnd(machine.entry_next, mode, modified, path))
                case FoundDirectory(path, mode):
                    machine.offer(wire.Directory(machine.entry_next, mode, path))
                case FoundLink(path, target, modified):
                    machine.offer(wire.Link(machine.entry_next, modified, path, target))
                case FoundFile():
                    self._offer_file(found)
                case FoundFault(path, text):
                    self._faults += 1
                    self._report.failed([Failure(path, Code.UNREADABLE, text)])
        if (self._has_walked or machine.is_stopped) and not machine.has_finished:
            machine.finish()

    def _offer_file(self, found: FoundFile) -> None:
        number = self._machine.entry_next
        try:
            file = SourceFile(found)
        except OSError as error:
            # Told and withdrawn, so that both sides know.
            head = wire.File(number, found.mode, found.size, found.modified, found.path)
            self._machine.offer(head)
            self._machine.on_failed(number, Code.UNREADABLE, f"it cannot be read: {error.strerror}")
            return
        self._files[number] = file
        self._machine.offer(wire.File(number, file.mode, file.size, file.modified, found.path))

    def _obey(self) -> None:
        """Does what the machine has ordered."""
        orders = self._machine.orders
        while orders:
            match orders.popleft():
                case HashFile(number):
                    self._hash_file(number)
                case HashBlocks(number, first, count):
                    self._hash_blocks(number, first, count)
                case Confirm(number):
                    self._confirm(number)
                case CloseFile(number):
                    if number in self._files:
                        self._files.pop(number).held.give_up()

    def _hash_file(self, number: int) -> None:
        file, stopping = self._files[number], self._workers.stopping
        file.held.enter()

        def then(digest: bytes) -> None:
            file.held.leave()
            self._machine.on_digest(number, digest)

        self._workers.submit(
            lambda: file_digest(file.descriptor, file.size, stopping),
            then,
            lambda error: self._unreadable(number, file, error),
        )

    def _hash_blocks(self, number: int, first: int, count: int) -> None:
        file, stopping = self._files[number], self._workers.stopping
        file.held.enter()

        def then(digests: tuple[bytes, ...]) -> None:
            file.held.leave()
            self._machine.on_block_digests(number, digests)

        self._workers.submit(
            lambda: block_digests(file.descriptor, first, count, wire.BLOCK_BYTES, file.size, stopping),
            then,
            lambda error: self._unreadable(number, file, error),
        )

    def _unreadable(self, number: int, file: SourceFile, error: OSError) -> None:
        file.held.leave()
        self._machine.on_failed(number, Code.UNREADABLE, f"it cannot be read: {error.strerror}")

    def _confirm(self, number: int) -> None:
        try:
            changed = self._files[number].has_changed()
        except OSError as error:
            changed = f"it cannot be looked at any more: {error.strerror}"
        if changed is None:
            self._machine.on_confirmed(number)
        else:
            self._machine.on_failed(number, Code.CHANGED, changed)

    def _pump(self, connection: clustercore.Connection) -> None:
        """Hands messages and blocks to the connection, until it is full or it is time for a turn."""
        room = TURN_BYTES
        while room > 0:
            while self._waiting:
                if not send(connection, self._waiting[0]):
                    self._is_full = True
                    return
                room -= len(self._waiting.popleft())
            if self._machine.messages:
                self._waiting.append(self._machine.messages.popleft())
                continue
            block = self._machine.next_block()
            if block is None:
                return
            self._read(block)

    def _read(self, block: Block) -> None:
        """Reads a block, on this path of its own."""
        try:
            data = os.pread(self._files[block.entry].descriptor, block.length, block.offset)
        except OSError as error:
            self._machine.on_failed(block.entry, Code.UNREADABLE, f"it cannot be read: {error.strerror}")
        else:
            if len(data) == block.length:
                self._waiting += (wire.Data(block.entry, block.offset, block.length).encode(), data)
                self._machine.on_block_sent(block.entry)
            else:
                self._machine.on_failed(
                    block.entry, Code.CHANGED, "the file became shorter while it was sent"
                )
        self._obey()

    def _tell(self) -> None:
        machine = self._machine
        self._report.failed(machine.failures)
        machine.failures.clear()
        total = self._totals.bytes if self._totals.is_known else None
        self._report.progress(machine.bytes_covered, total, machine.files)

    def _reason(self) -> str:
        """Why the connection is over; an event says so."""
        for _ in range(FAREWELL_TURNS):
            for event in self._link.shard.connection_events():
                if isinstance(event, clustercore.ConnectionGone):
                    return why_gone(event)
            self._link.turn(0.05)
        return "the connection is over"

    def _farewell(self) -> None:
        """Lets the last words arrive."""
        for _ in range(FAREWELL_TURNS):
            self._link.turn(0.05)
            for event in self._link.shard.connection_events():
                if isinstance(event, clustercore.ConnectionGone):
                    return

    def _part(self, connection: clustercore.Connection, code: Close, text: str) -> None:
        """Closes with a reason."""
        connection.close(code, shown_name(text.encode(), wire.TEXT_BYTES_MAX))
        self._link.turn(0.0)
        self._link.turn(0.0)

    def _end(self) -> None:
        self._totals.stop()
        self._workers.stop()
        for file in self._files.values():
            file.held.give_up()
        self._files.clear()
        self._report.failed(self._machine.failures)
        self._machine.failures.clear()
