"""The receiver's folder: nothing is written outside of it, and nothing half under its final name.

Every folder on the way is opened relative to the one above it without following links, so a link that stands
in the way, whoever made it, is an error. Calls raise `OSError`, or `TargetError` with a code of the protocol.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections import OrderedDict
from pathlib import Path

from clustercore_apps.transfer.paths import temporary_name
from clustercore_apps.transfer.reading import Held
from clustercore_apps.transfer.wire import Code

FOLDERS_OPEN_MAX = 16
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_CODES = {
    errno.ENOSPC: Code.FULL,
    errno.EDQUOT: Code.FULL,
    errno.EACCES: Code.DENIED,
    errno.EPERM: Code.DENIED,
    errno.EROFS: Code.DENIED,
    errno.ELOOP: Code.REFUSED,
    errno.ENOTDIR: Code.REFUSED,
    errno.EISDIR: Code.KIND,
    errno.EEXIST: Code.KIND,
    errno.ENOTEMPTY: Code.KIND,
}
_WORDS = {
    errno.ELOOP: "a symbolic link is in the way, and links are not followed",
    errno.ENOTDIR: "something on the way is no folder (a link is not followed)",
}


class TargetError(Exception):
    """Something cannot be received, with its code."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code


def explain(error: OSError | TargetError) -> tuple[Code, str]:
    """The code and the words for what went wrong with an entry."""
    if isinstance(error, TargetError):
        return error.code, str(error)
    number = error.errno or 0
    return _CODES.get(number, Code.DISK), _WORDS.get(number, os.strerror(number))


class Incoming:
    """A file that is being received: a temporary one that is locked, or the one under the final name."""

    def __init__(self, folder: int, name: bytes, size: int) -> None:
        """`folder` is this object's own from now on. Raises what `Folder.open_file` raises."""
        self.name, self.size = name, size
        self._folder = Held(folder)
        self.temporary = temporary_name(name)
        self.is_final = False
        self.present = 0
        try:
            self._file = Held(self._open())
        except BaseException:
            self._folder.give_up()
            raise

    @property
    def descriptor(self) -> int:
        """The open file."""
        return self._file.descriptor

    @property
    def folder(self) -> int:
        """The open folder that it is in."""
        return self._folder.descriptor

    def write(self, offset: int, data: bytes) -> None:
        """All of `data`. Raises `OSError`."""
        written = os.pwrite(self.descriptor, data, offset)
        while written < len(data):
            written += os.pwrite(self.descriptor, memoryview(data)[written:], offset + written)

    def restart(self) -> None:
        """Leaves the file under the final name as it is and begins a temporary one."""
        made = self._make()
        self._file.give_up()
        self._file, self.is_final, self.present = Held(made), False, 0

    def set_length(self) -> None:
        """Cuts what is longer than the file was told to be. Raises `OSError`."""
        if not self.is_final and os.fstat(self.descriptor).st_size != self.size:
            os.ftruncate(self.descriptor, self.size)

    def place(self, mode: int, modified: int) -> None:
        """Gives it its mode, time and final name, durably. On a thread. Raises `OSError`."""
        now = os.fstat(self.descriptor)
        if stat.S_IMODE(now.st_mode) != mode:
            os.fchmod(self.descriptor, mode)
        if now.st_mtime_ns != modified:
            os.utime(self.descriptor, ns=(modified, modified))
        os.fsync(self.descriptor)
        if not self.is_final:
            os.rename(self.temporary, self.name, src_dir_fd=self.folder, dst_dir_fd=self.folder)
            os.fsync(self.folder)

    def enter(self) -> None:
        """Work on a thread begins to use it."""
        self._file.enter()
        self._folder.enter()

    def leave(self) -> None:
        """That work has ended."""
        self._file.leave()
        self._folder.leave()

    def close(self) -> None:
        """Closes it when no work uses it any more. What is in the temporary file stays."""
        self._file.give_up()
        self._folder.give_up()

    def _open(self) -> int:
        """The temporary file of before, or the final one of this size, or a new temporary one."""
        found = self._reopen()
        if found is not None:
            try:
                self.present = min(os.fstat(found).st_size, self.size)
                self._need_room()
            except BaseException:
                os.close(found)
                raise
            return found
        try:
            final = os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            final = None
        if final is not None and stat.S_ISDIR(final.st_mode):
            raise TargetError(Code.KIND, "a folder of this name is there")
        if final is not None and stat.S_ISREG(final.st_mode) and final.st_size == self.size:
            try:
                opened = os.open(self.name, os.O_RDONLY | _OPEN, dir_fd=self.folder)
            except OSError:
                pass  # One that we may not read is replaced, as any other.
            else:
                self.is_final, self.present = True, self.size
                return opened
        self._need_room()
        return self._make()

    def _reopen(self) -> int | None:
        """The temporary file of a transfer that was cut off, locked."""
        try:
            opened = os.open(self.temporary, os.O_RDWR | _OPEN, dir_fd=self.folder)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            # Of a link whose transfer was cut off.
            os.unlink(self.temporary, dir_fd=self.folder)
            return None
        try:
            _lock(opened)
            # Between opening and locking, another transfer may have given it its final name.
            found = os.stat(self.temporary, dir_fd=self.folder, follow_symlinks=False)
            mine = os.fstat(opened)
            if not os.path.samestat(found, mine) or mine.st_nlink != 1 or not stat.S_ISREG(mine.st_mode):
                raise TargetError(Code.BUSY, "its temporary file is somebody else's")
        except FileNotFoundError:
            os.close(opened)
            return None
        except BaseException:
            os.close(opened)
            raise
        return opened

    def _make(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _OPEN
        try:
            made = os.open(self.temporary, flags, 0o600, dir_fd=self.folder)
        except FileExistsError:
            raise TargetError(Code.BUSY, "another transfer has begun it") from None
        try:
            _lock(made)
        except BaseException:
            os.close(made)
            raise
        return made

    def _need_room(self) -> None:
        """What cannot fit fails before it is sent."""
        room = os.fstatvfs(self.folder)
        free = room.f_bavail * room.f_frsize
        if self.size - self.present > free:
            text = f"{self.size - self.present} bytes are needed, {free} are free on the disk"
            raise TargetError(Code.FULL, text)


class Folder:
    """The folder that is received into."""

    def __init__(self, path: Path) -> None:
        """Raises `OSError`."""
        self._root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open: OrderedDict[tuple[bytes, ...], int] = OrderedDict()

    def open_file(self, path: list[bytes], size: int) -> Incoming:
        """What is there of a file, and its temporary one. Raises `OSError`, `TargetError`."""
        return Incoming(os.dup(self._folder(path[:-1])), path[-1], size)

    def make_directory(self, path: list[bytes]) -> None:
        """Makes it or uses the one that is there, with the owner's rights until its end."""
        folder, name = self._folder(path[:-1]), path[-1]
        try:
            os.mkdir(name, 0o700, dir_fd=folder)
        except FileExistsError:
            self._forget(path)
            opened = os.open(name, _FOLDER, dir_fd=folder)
            try:
                mode = stat.S_IMODE(os.fstat(opened).st_mode)
                if mode & 0o700 != 0o700:
                    os.fchmod(opened, mode | 0o700)
            finally:
                os.close(opened)

    def make_link(self, path: list[bytes], target: bytes, modified: int) -> None:
        """Makes a link, by a temporary name, in the place of a file or link that may be there."""
        folder, name = self._folder(path[:-1]), path[-1]
        temporary = temporary_name(name)
        try:
            if os.readlink(name, dir_fd=folder) == target:
                return
        except OSError:
            pass  # None is there.
        try:
            os.symlink(target, temporary, dir_fd=folder)
        except FileExistsError:
            if not stat.S_ISLNK(os.stat(temporary, dir_fd=folder, follow_symlinks=False).st_mode):
                raise TargetError(Code.BUSY, "its temporary name is in use") from None
            # Of a transfer that was cut off.
            os.unlink(temporary, dir_fd=folder)
            os.symlink(target, temporary, dir_fd=folder)
        try:
            os.utime(temporary, ns=(modified, modified), dir_fd=folder, follow_symlinks=False)
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.unlink(temporary, dir_fd=folder)
            raise

    def take_directory(self, path: list[bytes]) -> int:
        """A descriptor of a folder below, the caller's own, for `end_directory`."""
        taken = os.dup(self._folder(path))
        self._forget(path)
        return taken

    def take_root(self) -> int:
        """A descriptor of the folder itself, the caller's own."""
        return os.dup(self._root)

    def close(self) -> None:
        """No call may follow."""
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()
        os.close(self._root)

    def _folder(self, path: list[bytes]) -> int:
        """The descriptor of a folder below: this object's own, open until some others were asked for."""
        if not path:
            return self._root
        key = tuple(path)
        if key in self._open:
            self._open.move_to_end(key)
            return self._open[key]
        above = self._folder(path[:-1])
        opened = os.open(path[-1], _FOLDER, dir_fd=above)
        self._open[key] = opened
        if len(self._open) > FOLDERS_OPEN_MAX:
            _, oldest = self._open.popitem(last=False)
            os.close(oldest)
        return opened

    def _forget(self, path: list[bytes]) -> None:
        """Of a folder and what was opened below it."""
        key = tuple(path)
        for known in [known for known in self._open if known[: len(key)] == key]:
            os.close(self._open.pop(known))


def end_directory(descriptor: int, mode: int, modified: int) -> None:
    """Gives a folder its mode and time, makes its names durable, closes it. On a thread. Raises `OSError`."""
    try:
        os.utime(descriptor, ns=(modified, modified))
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(descriptor: int) -> None:
    """Makes the names of a folder durable, closes it. On a thread. Raises `OSError`."""
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise TargetError(Code.BUSY, "another transfer writes it") from None
