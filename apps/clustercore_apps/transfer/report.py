"""What people see of a transfer: a bar on a terminal, plain lines elsewhere, faults on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from clustercore_apps.transfer.paths import shown_name
from clustercore_apps.transfer.receiving import Failure

# Faults that are told one by one; of the others only the number.
FAULTS_MAX = 100
BAR_SECONDS = 0.1
LINE_SECONDS = 5.0


class Report:
    """Progress of one transfer. With `is_quiet`, only faults."""

    def __init__(self, title: str, *, is_quiet: bool) -> None:
        self._title, self._is_quiet = title, is_quiet
        self._started = self._told = time.monotonic()
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._faults = 0
        if sys.stdout.isatty() and not is_quiet:
            columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=False))
            more = (TransferSpeedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[files]}"))
            self._bar = Progress(*columns, *more, console=Console(), auto_refresh=False, transient=True)
            self._task = self._bar.add_task(title, total=None, files="")
            self._bar.start()

    def skipped(self, path: str, reason: str) -> None:
        """Something does not travel."""
        self.fault(f"skipped {path}: {reason}")

    def failed(self, failures: Iterable[Failure]) -> None:
        """Entries are not there in the end."""
        for failure in failures:
            self.fault(f"failed {shown_name(failure.path)}: {failure.text}")

    def progress(self, done: int, total: int | None, files: int) -> None:
        """How many bytes are done of how many, None when that is not known; files checked and in place."""
        now = time.monotonic()
        if now - self._told < (LINE_SECONDS if self._bar is None else BAR_SECONDS):
            return
        self._told = now
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, files=shown_files(files))
            self._bar.refresh()
        elif not self._is_quiet:
            print(self.line(done, total, files, now - self._started), flush=True)

    def line(self, done: int, total: int | None, files: int, seconds: float) -> str:
        """One line of progress."""
        rate = done / seconds if seconds > 0 else 0.0
        share = left = ""
        if total is not None:
            share = f" of {shown_bytes(total)}, {done / total if total else 1:.0%}"
            left = f", {shown_seconds((total - done) / rate)} left" if rate else ""
        return f"{self._title}: {shown_bytes(done)}{share}, {shown_bytes(rate)}/s{left}, {shown_files(files)}"

    def end(self, text: str | None) -> None:
        """The last line, and nothing follows."""
        if self._faults > FAULTS_MAX:
            print(f"clustercore: and {self._faults - FAULTS_MAX} more", file=sys.stderr, flush=True)
        if self._bar is not None:
            self._bar.stop()
        if text is not None and not self._is_quiet:
            print(text, flush=True)

    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._started

    def fault(self, text: str) -> None:
        """Something is wrong: on standard error, quiet or not."""
        self._faults += 1
        if self._faults > FAULTS_MAX:
            return
        # While the bar stands, rich puts it above.
        print(f"clustercore: {text}", file=sys.stderr, flush=True)


def shown_bytes(count: float) -> str:
    """A number of bytes for people, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} TB"


def shown_files(count: int) -> str:
    """How many files are checked and in place."""
    return f"{count} file{'' if count == 1 else 's'} verified"


def shown_seconds(seconds: float) -> str:
    """A length of time for people."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
