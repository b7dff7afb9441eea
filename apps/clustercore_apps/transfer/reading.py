"""Digests of files, on threads of their own: reading and hashing go on without the interpreter."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event
from typing import TypeVar

from blake3 import blake3

READ_BYTES = 1 << 20
# So much of a long file is written out, dropped and read back at a time while the rest arrives.
SEGMENT_BYTES = 32 << 20

_T = TypeVar("_T")


class Stopped(Exception):
    """The program is ending: work was left off."""


class Workers:
    """Threads for reading, and a way back: what is to be done with a result runs where `deliver` is called.

    `wake` is called on a worker's thread when there is something to deliver.
    """

    def __init__(self, threads: int, wake: Callable[[], None]) -> None:
        self.stopping = Event()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="reading")
        self._wake = wake
        self._ended: deque[Callable[[], None]] = deque()

    def submit(
        self, work: Callable[[], _T], then: Callable[[_T], None], failed: Callable[[OSError], None]
    ) -> None:
        """Runs `work` on a thread; later `then` or, after an `OSError`, `failed` in `deliver`."""

        def run() -> None:
            if self.stopping.is_set():
                return
            try:
                result = work()
            except Stopped:
                return
            except OSError as error:
                self._ended.append(partial(failed, error))
            except Exception as error:
                # A defect: it shows where the transfer's own thread is.
                self._ended.append(partial(_raise, error))
            else:
                self._ended.append(partial(then, result))
            self._wake()

        self._pool.submit(run)

    def deliver(self) -> None:
        """Hands over what has ended."""
        while self._ended:
            self._ended.popleft()()

    def stop(self) -> None:
        """Ends the threads; what they were at is left off."""
        self.stopping.set()
        self._pool.shutdown(cancel_futures=True)


class Held:
    """A descriptor that is closed when it is given up and no work uses it any more.

    Only the thread that owns the transfer calls this; workers use the number in between.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._uses = 0
        self._is_given_up = False

    def enter(self) -> None:
        """Work begins to use it."""
        self._uses += 1

    def leave(self) -> None:
        """Work has ended."""
        self._uses -= 1
        self._close_if_free()

    def give_up(self) -> None:
        """Nobody will use it anew."""
        self._is_given_up = True
        self._close_if_free()

    def _close_if_free(self) -> None:
        if self._is_given_up and not self._uses and self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class ReadBack:
    """The digest of a file as it stands on the disk, segment by segment behind what is written."""

    def __init__(self, size: int) -> None:
        self.size = size
        # Bytes from the beginning that are there, and that were read back.
        self.written, self.position = 0, 0
        # All is written: the last segment may be read.
        self.is_complete = False
        self.is_running = False
        self._hasher = blake3()

    def is_due(self) -> bool:
        """Whether a segment can be read now."""
        if self.is_running or self.is_ended():
            return False
        return self.is_complete or self.written - self.position >= SEGMENT_BYTES

    def is_ended(self) -> bool:
        """Whether everything was read."""
        return self.is_complete and self.position == self.size

    def digest(self) -> bytes:
        """Of the whole file."""
        return self._hasher.digest()

    def read_segment(self, descriptor: int, stopping: Event) -> None:
        """Has the next segment written out and dropped from memory, then reads it from the disk.

        On a thread. Raises `OSError`; `EOFError` does not come, a file that is too short has another digest.
        """
        length = min(SEGMENT_BYTES, self.size - self.position)
        os.fdatasync(descriptor)
        os.posix_fadvise(descriptor, self.position, length, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(descriptor, self.position, length, os.POSIX_FADV_SEQUENTIAL)
        hash_range(self._hasher, descriptor, self.position, length, stopping)
        # They are of no use to anybody now.
        os.posix_fadvise(descriptor, self.position, length, os.POSIX_FADV_DONTNEED)
        self.position += length


def file_digest(descriptor: int, size: int, stopping: Event) -> bytes:
    """The digest of the first `size` bytes, by a read of its own. On a thread. Raises `OSError`."""
    hasher = blake3()
    hash_range(hasher, descriptor, 0, size, stopping)
    return hasher.digest()


def block_digests(
    descriptor: int, first: int, count: int, block_bytes: int, size: int, stopping: Event
) -> tuple[bytes, ...]:
    """Digests of `count` blocks from `first` on. On a thread. Raises `OSError`."""
    buffer = memoryview(bytearray(block_bytes))
    digests = []
    for block in range(first, first + count):
        if stopping.is_set():
            raise Stopped
        offset = block * block_bytes
        digests.append(blake3(_fill(descriptor, offset, buffer[: min(block_bytes, size - offset)])).digest())
    return tuple(digests)


def hash_range(hasher: blake3, descriptor: int, offset: int, length: int, stopping: Event) -> None:
    """Adds so many bytes to a digest; those that the file lacks are left out. Raises `OSError`."""
    buffer = memoryview(bytearray(min(READ_BYTES, length)))
    end = offset + length
    while offset < end:
        if stopping.is_set():
            raise Stopped
        read = _fill(descriptor, offset, buffer[: min(len(buffer), end - offset)])
        if not read:
            return
        hasher.update(read)
        offset += len(read)


def _fill(descriptor: int, offset: int, buffer: memoryview) -> memoryview:
    """Reads until the buffer is full or the file ends; what was read."""
    place = 0
    while place < len(buffer):
        count = os.preadv(descriptor, [buffer[place:]], offset + place)
        if not count:
            break
        place += count
    return buffer[:place]


def _raise(error: Exception) -> None:
    raise error
