"""What is to be sent: a file or a tree, in the order of the protocol, and its open files."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import TypeAlias

from clustercore_apps.errors import OperatorError
from clustercore_apps.transfer.paths import TEMPORARY, check_link, shown_name
from clustercore_apps.transfer.reading import Held
from clustercore_apps.transfer.wire import MODE_MAX, NAME_BYTES_MAX, PATH_BYTES_MAX

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class FoundDirectory:
    """A folder, before what is in it; `is_end` behind it."""

    path: bytes
    mode: int
    modified: int
    is_end: bool


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A regular file, and where it is."""

    path: bytes
    place: bytes
    size: int
    mode: int
    modified: int


@dataclass(frozen=True, slots=True)
class FoundLink:
    """A symbolic link that stays inside."""

    path: bytes
    target: bytes
    modified: int


@dataclass(frozen=True, slots=True)
class FoundFault:
    """Something that cannot be read. It counts as failed."""

    path: bytes
    text: str


Found: TypeAlias = FoundDirectory | FoundFile | FoundLink | FoundFault
Skip: TypeAlias = Callable[[str, str], None]


class Source:
    """A file or a tree."""

    def __init__(self, path: Path) -> None:
        """Raises `OperatorError` when there is nothing to send."""
        try:
            self._place = os.fsencode(path)
            facts = os.stat(self._place)
            self.name = os.path.basename(os.path.realpath(self._place)) if path.name in ("", "..") else b""
            self.name = self.name or os.fsencode(path.name)
        except OSError as error:
            raise OperatorError(f"{path} cannot be sent: {error.strerror}") from None
        self.is_tree = stat.S_ISDIR(facts.st_mode)
        if not self.is_tree and not stat.S_ISREG(facts.st_mode):
            raise OperatorError(f"{path} cannot be sent: it is neither a file nor a folder")
        if not self.name or len(self.name) > NAME_BYTES_MAX or TEMPORARY.fullmatch(self.name):
            raise OperatorError(f"{path} has no name to be sent under; name a folder below it")

    def walk(self, skip: Skip) -> Iterator[Found]:
        """Everything, folders before and behind what is in them, names in their order.

        `skip` is told of what does not travel, path and reason.
        """
        try:
            facts = os.stat(self._place)
        except OSError as error:
            yield FoundFault(self.name, error.strerror or str(error))
            return
        if self.is_tree:
            yield from _walk(self.name, self._place, facts, skip)
        else:
            # The argument itself may be a link: what it means is sent.
            yield _file(self.name, os.path.realpath(self._place), facts)


class SourceFile:
    """An open file, and whether it is still the same one."""

    def __init__(self, found: FoundFile) -> None:
        """Raises `OSError`."""
        self.held = Held(os.open(found.place, _FLAGS))
        facts = os.fstat(self.held.descriptor)
        if not stat.S_ISREG(facts.st_mode):
            self.held.give_up()
            raise OSError(errno.EISDIR, "it is no longer a file")
        self.place = found.place
        self.size, self.mode, self.modified = facts.st_size, facts.st_mode & MODE_MAX, facts.st_mtime_ns
        self._facts = _identity(facts)

    @property
    def descriptor(self) -> int:
        """The open file."""
        return self.held.descriptor

    def has_changed(self) -> str | None:
        """What has changed about it since it was opened, or None. Raises `OSError`."""
        if _identity(os.fstat(self.descriptor)) != self._facts:
            return "the file changed while it was sent"
        try:
            now = os.lstat(self.place)
        except FileNotFoundError:
            return "the file was removed while it was sent"
        return None if _identity(now) == self._facts else "another file took its name while it was sent"


class Totals:
    """How much there is to send, counted on a thread of its own while sending has begun."""

    def __init__(self, source: Source) -> None:
        self.bytes, self.files = 0, 0
        self.is_known = False
        self._source = source
        self._stopping = Event()
        self._thread = Thread(target=self._count, name="counting", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends it, counted or not."""
        self._stopping.set()
        self._thread.join()

    def _count(self) -> None:
        for found in self._source.walk(lambda *_: None):
            if self._stopping.is_set():
                return
            if isinstance(found, FoundFile):
                self.bytes += found.size
                self.files += 1
        self.is_known = True


def _file(path: bytes, place: bytes, facts: os.stat_result) -> FoundFile:
    return FoundFile(path, place, facts.st_size, facts.st_mode & MODE_MAX, facts.st_mtime_ns)


def _directory(path: bytes, facts: os.stat_result, *, is_end: bool) -> FoundDirectory:
    return FoundDirectory(path, facts.st_mode & MODE_MAX, facts.st_mtime_ns, is_end)


def _identity(facts: os.stat_result) -> tuple[int, ...]:
    """What differs when somebody has written to a file."""
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def _walk(path: bytes, place: bytes, facts: os.stat_result, skip: Skip) -> Iterator[Found]:
    """A stack of its own, since trees can be deep."""
    yield _directory(path, facts, is_end=False)
    stack = [(path, facts, _entries(path, place, skip))]
    while stack:
        path, facts, entries = stack[-1]
        found = next(entries, None)
        if found is None:
            stack.pop()
            yield _directory(path, facts, is_end=True)
        elif isinstance(found, FoundFault | FoundFile | FoundLink):
            yield found
        else:
            below, place, facts = found
            yield _directory(below, facts, is_end=False)
            stack.append((below, facts, _entries(below, place, skip)))


def _entries(
    path: bytes, place: bytes, skip: Skip
) -> Iterator[FoundFault | FoundFile | FoundLink | tuple[bytes, bytes, os.stat_result]]:
    try:
        names = sorted(os.listdir(place))
    except OSError as error:
        yield FoundFault(path, error.strerror or str(error))
        return
    for name in names:
        below, inside = path + b"/" + name, os.path.join(place, name)
        shown = shown_name(below)
        if TEMPORARY.fullmatch(name):
            skip(shown, "a temporary file of a transfer")
            continue
        if len(below) > PATH_BYTES_MAX:
            skip(shown, f"its path is longer than {PATH_BYTES_MAX} bytes")
            continue
        try:
            facts = os.lstat(inside)
            kind = stat.S_IFMT(facts.st_mode)
            if kind == stat.S_IFREG:
                yield _file(below, inside, facts)
            elif kind == stat.S_IFDIR:
                yield below, inside, facts
            elif kind == stat.S_IFLNK:
                yield from _link(below, os.readlink(inside), facts, skip)
            else:
                skip(shown, "neither a file nor a folder nor a link")
        except OSError as error:
            yield FoundFault(below, error.strerror or str(error))


def _link(path: bytes, target: bytes, facts: os.stat_result, skip: Skip) -> Iterator[FoundLink]:
    try:
        # Within what is sent, not only within the receiver's folder.
        check_link(path.partition(b"/")[2], target)
    except ValueError:
        skip(shown_name(path), f"a link that leads outside ({shown_name(target)})")
        return
    yield FoundLink(path, target, facts.st_mtime_ns)
