"""One file by `clustercore send`, beside what disk and loopback give without a protocol, and beside rsync."""

from __future__ import annotations

import os
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from . import results, tools
from .experiments import Effort

OURS, DISK, CHECKED_DISK, LOOPBACK, RSYNC = (
    "clustercore-send",
    "disk",
    "disk-read-back",
    "loopback",
    "rsync",
)
CHUNK_BYTES = 1 << 20
SEGMENT_BYTES = 32 << 20
LIMIT_SECONDS = 300
_CONFIG = """use chroot = no
uid = {uid}
gid = {gid}
[target]
path = {path}
read only = no
"""


class TransferError(Exception):
    """A program failed, or what arrived is not what was sent: in its own words."""


def measure(case: str, mebibytes: int, effort: Effort) -> tuple[dict[str, float], list[results.Row]]:
    """Medians of bytes per second, ours with its ratios, from runs there and back; and a row of each.

    The source lies in the page cache for everybody; what is written goes to the disk that perf/out is on.
    Raises TransferError.
    """
    tools.OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=tools.OUT, prefix="transfer-") as folder:
        source = _make_source(Path(folder), min(mebibytes, 64) if effort.is_quick else mebibytes)
        subjects: dict[str, Callable[[Path, Path], float]] = {
            OURS: _ours,
            DISK: _disk,
            CHECKED_DISK: _checked_disk,
            LOOPBACK: _loopback,
        }
        if tools.system("rsync"):
            subjects[RSYNC] = _rsync
        rates: dict[str, list[float]] = {name: [] for name in subjects}
        for turn in range(effort.runs):
            for name in subjects if turn % 2 == 0 else reversed(subjects):
                rates[name].append(_run(subjects[name], source))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    limit = min(DISK, LOOPBACK, key=medians.__getitem__)
    rows = []
    for name, values in rates.items():
        row = results.Row(
            "check",
            case,
            name,
            "bytes_per_second",
            "B/s",
            medians[name],
            min(values),
            max(values),
            effort.runs,
        )
        row.floor, row.floor_name = medians[limit], limit
        if RSYNC in medians:
            row.peer, row.peer_name = medians[RSYNC], RSYNC
        row.ratio = {other: round(medians[name] / medians[other], 4) for other in medians if other != name}
        rows.append(row)
    figures = {f"{name.replace('-', '_')}_bytes_per_second": value for name, value in medians.items()}
    figures["of_limit"] = medians[OURS] / medians[limit]
    figures["of_disk_read_back"] = medians[OURS] / medians[CHECKED_DISK]
    if RSYNC in medians:
        figures["of_rsync"] = medians[OURS] / medians[RSYNC]
    return figures, rows


def _make_source(folder: Path, mebibytes: int) -> Path:
    """A file of random bytes, written out, in the page cache."""
    source = folder / "source"
    with source.open("wb") as file:
        for _ in range(mebibytes):
            file.write(os.urandom(CHUNK_BYTES))
        file.flush()
        os.fsync(file.fileno())
    return source


def _run(subject: Callable[[Path, Path], float], source: Path) -> float:
    """Bytes per second of one run into a fresh folder; what arrived has the source's length."""
    target = source.parent / "target"
    target.mkdir()
    try:
        os.sync()
        seconds = subject(source, target)
        size = source.stat().st_size
        arrived = [path.stat().st_size for path in target.iterdir()]
        if subject is not _loopback and arrived != [size]:
            raise TransferError(f"{size} bytes were sent, {arrived} are there")
        return size / seconds
    finally:
        shutil.rmtree(target)


def _ours(source: Path, target: Path) -> float:
    """By the product: the sender's own time from its connecting to the last file verified and in place."""
    command = tools.platform()
    if command is None:
        raise TransferError("the command clustercore is not installed: run without --no-build")
    words = [command, "receive", str(target), "--listen", "127.0.0.1:0", "--once"]
    receiver = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert receiver.stdout is not None
        address = receiver.stdout.readline().strip().rsplit(" ", 1)[-1]
        sent = subprocess.run(
            [command, "send", str(source), address], capture_output=True, text=True, timeout=LIMIT_SECONDS
        )
        receiver.communicate(timeout=LIMIT_SECONDS)
    finally:
        receiver.kill()
        receiver.wait()
    found = re.search(r", ([\d.]+) s, [^,]+/s$", sent.stdout.strip())
    if sent.returncode != 0 or receiver.returncode != 0 or found is None:
        raise TransferError(f"clustercore send: {sent.stderr.strip() or sent.stdout.strip()}")
    return float(found.group(1))


def _rsync(source: Path, target: Path) -> float:
    """By rsync's daemon over loopback, whole file, synced; it does not read back."""
    program = tools.system("rsync")
    assert program is not None
    config = source.parent / "rsyncd.conf"
    config.write_text(_CONFIG.format(uid=os.geteuid(), gid=os.getegid(), path=target))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    words = [
        program,
        "--daemon",
        "--no-detach",
        f"--port={port}",
        "--address=127.0.0.1",
        f"--config={config}",
    ]
    daemon = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port)
        started = time.monotonic()
        words = [
            program,
            "--archive",
            "--whole-file",
            "--fsync",
            str(source),
            f"rsync://127.0.0.1:{port}/target/",
        ]
        sent = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_SECONDS)
        seconds = time.monotonic() - started
    finally:
        daemon.terminate()
        daemon.wait()
    if sent.returncode != 0:
        raise TransferError(f"rsync: {sent.stderr.strip()}")
    return seconds


def _disk(source: Path, target: Path) -> float:
    """Written from memory and synced: what the disk takes."""
    return _written(source, target, is_read_back=False)


def _checked_disk(source: Path, target: Path) -> float:
    """The same, and every 32 MiB dropped from memory and read back: the system calls of a receiver."""
    return _written(source, target, is_read_back=True)


def _written(source: Path, target: Path, *, is_read_back: bool) -> float:
    started = time.monotonic()
    file = os.open(target / "file", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    buffer = memoryview(bytearray(CHUNK_BYTES))
    place = checked = 0
    size = source.stat().st_size
    try:
        while place < size:
            place += os.pwrite(file, buffer[: os.preadv(reading, [buffer], place)], place)
            if is_read_back and (place - checked >= SEGMENT_BYTES or place == size):
                os.fdatasync(file)
                os.posix_fadvise(file, checked, place - checked, os.POSIX_FADV_DONTNEED)
                while checked < place:
                    checked += os.preadv(file, [buffer], checked)
        os.fsync(file)
    finally:
        os.close(reading)
        os.close(file)
    return time.monotonic() - started


def _loopback(source: Path, _target: Path) -> float:
    """By TCP from the page cache to memory, a process on each side: what loopback gives."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                with socket.create_connection(address) as client, source.open("rb") as file:
                    client.sendfile(file)
                status = 0
            finally:
                os._exit(status)
        peer, _ = server.accept()
        started, taken = time.monotonic(), 0
        buffer = bytearray(CHUNK_BYTES)
        with peer:
            while count := peer.recv_into(buffer):
                taken += count
        seconds = time.monotonic() - started
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or taken != source.stat().st_size:
        raise TransferError(f"loopback: {taken} bytes came")
    return seconds


def _wait_for(port: int) -> None:
    """Until somebody listens there."""
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise TransferError("rsync's daemon does not listen") from None
            time.sleep(0.02)
