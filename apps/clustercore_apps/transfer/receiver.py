"""Receives transfers into one folder until it is told to stop: the machines joined to network and disk."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

import clustercore

from clustercore_apps.errors import OperatorError
from clustercore_apps.transfer import wire
from clustercore_apps.transfer.incoming import Transfer, Writers
from clustercore_apps.transfer.link import Link, why_gone
from clustercore_apps.transfer.paths import shown_name
from clustercore_apps.transfer.reading import Workers
from clustercore_apps.transfer.receiving import Disorder
from clustercore_apps.transfer.report import Report, shown_bytes, shown_files
from clustercore_apps.transfer.target import Folder
from clustercore_apps.transfer.wire import Close

TRANSFERS_MAX = 8
THREADS = 4
WAIT_SECONDS = 0.5


class _Running:
    """A transfer and what people see of it."""

    def __init__(self, transfer: Transfer, who: str, report: Report) -> None:
        self.transfer, self.who, self.report = transfer, who, report


class Receiver:
    """`run` receives. Raises `OperatorError` when the folder cannot be used."""

    def __init__(self, folder: Path, link: Link, *, is_quiet: bool) -> None:
        self._link, self._is_quiet = link, is_quiet
        try:
            self._folder = Folder(folder)
        except OSError as error:
            raise OperatorError(f"folder {folder} cannot be used: {error.strerror}") from None
        self._workers = Workers(THREADS, link.wake)
        self._writers = Writers()
        self._running: dict[clustercore.Connection, _Running] = {}
        self._ended = self._failed = 0

    def run(self, is_stopped: Callable[[], bool], *, once: bool) -> int:
        """Receives until stopped, or until one transfer has ended; how many did not end well."""
        try:
            while not is_stopped() and not (once and self._ended):
                self._link.turn(WAIT_SECONDS)
                self._take_messages()
                self._workers.deliver()
                self._go_on()
                self._take_events()
        finally:
            self._stop()
        return self._failed

    def _take_messages(self) -> None:
        """Written before the next turn, which gives their room back: a slow disk slows the senders."""
        for message in self._link.shard.messages():
            running = self._running.get(message.connection) or self._accept(message.connection)
            if running.transfer.fault is not None:
                continue
            try:
                running.transfer.handle(message.payload)
            except wire.WireError as error:
                self._cut_off(running, Close.MALFORMED, f"malformed message: {error}")
            except Disorder as error:
                self._cut_off(running, Close.DISORDER, str(error))

    def _take_events(self) -> None:
        for event in self._link.shard.connection_events():
            match event:
                case clustercore.Accepted(connection, peer):
                    self._announce(connection, peer, event.identity)
                case clustercore.Writable(connection):
                    if connection in self._running:
                        self._running[connection].transfer.is_full = False
                case clustercore.ConnectionGone(connection):
                    self._on_gone(connection, event)

    def _announce(self, connection: clustercore.Connection, peer: str, identity: bytes | None) -> None:
        running = self._running.get(connection) or self._accept(connection)
        key = f", {clustercore.public_key_text(identity)}" if identity is not None else ""
        running.who = f"{peer}{key}"
        if not self._is_quiet:
            print(f"transfer from {running.who}", flush=True)
        if len(self._running) > TRANSFERS_MAX:
            self._cut_off(running, Close.BUSY, f"{TRANSFERS_MAX} transfers are running, the limit; try later")

    def _accept(self, connection: clustercore.Connection) -> _Running:
        transfer = Transfer(connection, self._folder, self._workers, self._writers)
        running = _Running(transfer, "somebody", Report("received", is_quiet=True))
        self._running[connection] = running
        return running

    def _go_on(self) -> None:
        """Answers, and words about what has failed."""
        for running in list(self._running.values()):
            transfer = running.transfer
            transfer.retry()
            transfer.obey()
            running.report.failed(transfer.machine.failures)
            transfer.machine.failures.clear()
            if transfer.fault is not None:
                self._cut_off(running, Close.STOPPED, transfer.fault)
                continue
            # When it is over, an event says why.
            with contextlib.suppress(clustercore.NotConnected):
                transfer.pump()

    def _cut_off(self, running: _Running, code: Close, text: str) -> None:
        """Ends one transfer; the others go on."""
        transfer = running.transfer
        if transfer.fault is None:
            transfer.fault = text
        with contextlib.suppress(clustercore.NotConnected):
            transfer.connection.close(code, shown_name(text.encode(), wire.TEXT_BYTES_MAX))

    def _on_gone(self, connection: clustercore.Connection, gone: clustercore.ConnectionGone) -> None:
        running = self._running.pop(connection, None)
        if running is None:
            return
        transfer, machine = running.transfer, running.transfer.machine
        transfer.end()
        self._ended += 1
        running.report.failed(machine.failures)
        running.report.end(None)
        name = shown_name(machine.name) or "nothing"
        is_whole = machine.is_done and transfer.fault is None
        if is_whole:
            taken = f"{shown_files(machine.files)}, {shown_bytes(machine.bytes_written)} written"
            failed = f", {machine.failed} failed" if machine.failed else ""
            if not self._is_quiet:
                print(f"received {name} from {running.who}: {taken}{failed}", flush=True)
        else:
            why = transfer.fault or why_gone(gone)
            kept = "what has come is kept, the same command takes it up again"
            print(
                f"clustercore: {name} from {running.who} is not whole: {why}; {kept}",
                file=sys.stderr,
                flush=True,
            )
        if not is_whole or machine.failed:
            self._failed += 1

    def _stop(self) -> None:
        for running in list(self._running.values()):
            self._cut_off(running, Close.STOPPED, "the receiver is stopping")
            running.transfer.end()
        self._link.turn(0.0)
        self._link.turn(0.0)
        self._workers.stop()
        self._workers.deliver()
        self._folder.close()
