"""The receiver's folder and the threads that read: real files, and what must not happen to them."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3
from conftest import wait_until

from clustercore_apps.transfer import reading, target
from clustercore_apps.transfer.paths import temporary_name
from clustercore_apps.transfer.reading import ReadBack, Workers
from clustercore_apps.transfer.source import FoundFault, FoundFile, FoundLink, Source, SourceFile, Totals
from clustercore_apps.transfer.target import Folder, TargetError, explain
from clustercore_apps.transfer.wire import Code

MODIFIED = 1_600_000_000_123_456_789


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    """A receiver's folder."""
    (tmp_path / "in").mkdir()
    made = Folder(tmp_path / "in")
    yield made
    made.close()


def open_descriptors() -> int:
    """How many this process has."""
    return len(os.listdir("/proc/self/fd"))


def test_a_file_is_hidden_until_it_is_placed(folder: Folder, tmp_path: Path) -> None:
    incoming = folder.open_file([b"file"], 5)
    incoming.write(0, b"hello")
    place = tmp_path / "in" / "file"
    assert not place.exists()
    incoming.place(0o640, MODIFIED)
    incoming.close()
    assert place.read_bytes() == b"hello"
    assert (stat.S_IMODE(place.stat().st_mode), place.stat().st_mtime_ns) == (0o640, MODIFIED)
    assert os.listdir(tmp_path / "in") == ["file"]


def test_what_was_begun_is_found_again(folder: Folder) -> None:
    incoming = folder.open_file([b"file"], 10)
    incoming.write(0, b"hello")
    incoming.close()
    again = folder.open_file([b"file"], 10)
    assert (again.present, again.is_final) == (5, False)
    again.close()
    # Of a file that has become shorter.
    shorter = folder.open_file([b"file"], 3)
    assert shorter.present == 3
    shorter.set_length()
    assert os.fstat(shorter.descriptor).st_size == 3
    shorter.close()


def test_two_do_not_write_one_file(folder: Folder) -> None:
    first = folder.open_file([b"file"], 5)
    with pytest.raises(TargetError, match="another transfer writes it") as raised:
        folder.open_file([b"file"], 5)
    assert raised.value.code is Code.BUSY
    first.close()
    folder.open_file([b"file"], 5).close()


def test_a_final_file_is_not_touched_before_its_successor_is_whole(folder: Folder, tmp_path: Path) -> None:
    place = tmp_path / "in" / "file"
    place.write_bytes(b"older")
    incoming = folder.open_file([b"file"], 5)
    assert (incoming.is_final, incoming.present) == (True, 5)
    incoming.restart()
    incoming.write(0, b"newer")
    assert place.read_bytes() == b"older"
    incoming.place(0o600, MODIFIED)
    incoming.close()
    assert place.read_bytes() == b"newer"
    other = folder.open_file([b"file"], 6)
    assert not other.is_final, "another size is another file"
    other.close()


def test_no_folder_is_opened_by_a_link(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    os.symlink(tmp_path / "outside", tmp_path / "in" / "way")
    os.symlink("way", tmp_path / "in" / "inner")
    for path in ([b"way", b"file"], [b"inner", b"file"]):
        with pytest.raises(OSError, match=r".") as raised:
            folder.open_file(path, 5)
        code, text = explain(raised.value)
        assert code is Code.REFUSED and "link" in text
    with pytest.raises(OSError, match=r"."):
        folder.make_directory([b"way"])
    with pytest.raises(OSError, match=r"."):
        folder.make_link([b"way", b"link"], b"x", 0)
    assert os.listdir(tmp_path / "outside") == []


def test_temporary_names_of_a_kill_are_no_obstacle(folder: Folder, tmp_path: Path) -> None:
    temporary = tmp_path / "in" / os.fsdecode(temporary_name(b"thing"))
    os.symlink("/etc/passwd", temporary)
    folder.make_link([b"thing"], b"target", MODIFIED)
    assert os.readlink(tmp_path / "in" / "thing") == "target"
    assert (tmp_path / "in" / "thing").lstat().st_mtime_ns == MODIFIED
    os.symlink("/etc/passwd", temporary)
    incoming = folder.open_file([b"thing"], 1)
    incoming.write(0, b"x")
    incoming.place(0o600, MODIFIED)
    incoming.close()
    assert (tmp_path / "in" / "thing").read_bytes() == b"x"


def test_a_temporary_file_with_another_name_is_not_written(folder: Folder, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_bytes(b"mine")
    os.link(mine, tmp_path / "in" / os.fsdecode(temporary_name(b"file")))
    with pytest.raises(TargetError, match="somebody else's"):
        folder.open_file([b"file"], 5)
    assert mine.read_bytes() == b"mine"


def test_directories_get_their_mode_and_time_at_the_end(folder: Folder, tmp_path: Path) -> None:
    folder.make_directory([b"d"])
    folder.make_directory([b"d", b"e"])
    folder.open_file([b"d", b"e", b"f"], 0).close()
    target.end_directory(folder.take_directory([b"d", b"e"]), 0o500, MODIFIED)
    target.end_directory(folder.take_directory([b"d"]), 0o700, MODIFIED + 1)
    facts = (tmp_path / "in" / "d" / "e").stat()
    assert (stat.S_IMODE(facts.st_mode), facts.st_mtime_ns) == (0o500, MODIFIED)
    # Once more: the rights to write come back.
    folder.make_directory([b"d", b"e"])
    assert stat.S_IMODE((tmp_path / "in" / "d" / "e").stat().st_mode) == 0o700


def test_deep_and_wide_trees_hold_few_descriptors(folder: Folder) -> None:
    before = open_descriptors()
    path: list[bytes] = []
    for number in range(40):
        path.append(b"d%d" % number)
        folder.make_directory(path)
    for number in range(40):
        folder.make_directory([b"wide%d" % number])
        folder.open_file([b"wide%d" % number, b"file"], 0).close()
    folder.open_file([*path, b"file"], 0).close()
    assert open_descriptors() - before <= target.FOLDERS_OPEN_MAX


def test_what_does_not_fit_is_told_before_it_is_sent(folder: Folder) -> None:
    before = open_descriptors()
    with pytest.raises(TargetError, match=r"are free on the disk") as raised:
        folder.open_file([b"file"], 1 << 62)
    assert raised.value.code is Code.FULL
    assert open_descriptors() == before


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, Code.FULL),
        (errno.EDQUOT, Code.FULL),
        (errno.EACCES, Code.DENIED),
        (errno.EROFS, Code.DENIED),
        (errno.ELOOP, Code.REFUSED),
        (errno.EISDIR, Code.KIND),
        (errno.EIO, Code.DISK),
    ],
)
def test_errors_of_the_disk_have_their_codes(number: int, code: Code) -> None:
    found, text = explain(OSError(number, os.strerror(number)))
    assert found is code and text


def test_reading_back_follows_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "SEGMENT_BYTES", 1 << 16)
    data = os.urandom((1 << 18) + 123)
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    read_back, stopping = ReadBack(len(data)), threading.Event()
    assert not read_back.is_due()
    for place in range(0, len(data), 1 << 15):
        os.pwrite(descriptor, data[place : place + (1 << 15)], place)
        read_back.written = min(place + (1 << 15), len(data))
        while read_back.is_due():
            read_back.read_segment(descriptor, stopping)
    assert read_back.position == 1 << 18 and not read_back.is_ended()
    read_back.is_complete = True
    assert read_back.is_due()
    read_back.read_segment(descriptor, stopping)
    assert read_back.is_ended() and not read_back.is_due()
    assert read_back.digest() == blake3(data).digest()
    os.close(descriptor)


def test_digests_of_blocks_and_of_a_file_that_became_shorter(tmp_path: Path) -> None:
    data = os.urandom(10_000)
    (tmp_path / "file").write_bytes(data)
    descriptor = os.open(tmp_path / "file", os.O_RDONLY)
    stopping = threading.Event()
    found = reading.block_digests(descriptor, 1, 2, 4096, 10_000, stopping)
    assert found == (blake3(data[4096:8192]).digest(), blake3(data[8192:]).digest())
    assert reading.file_digest(descriptor, 20_000, stopping) == blake3(data).digest()
    stopping.set()
    with pytest.raises(reading.Stopped):
        reading.file_digest(descriptor, 10_000, stopping)
    os.close(descriptor)


def test_workers_answer_where_they_are_asked() -> None:
    woken = threading.Event()
    workers = Workers(2, woken.set)
    told: list[object] = []

    def fail() -> None:
        raise OSError(errno.EIO, "broken")

    def defect() -> None:
        raise ValueError("a defect")

    workers.submit(lambda: 7, told.append, told.append)
    workers.submit(fail, told.append, lambda error: told.append(error.errno))

    def both() -> bool:
        workers.deliver()
        return len(told) == 2

    wait_until(both)
    assert woken.is_set() and set(told) == {7, errno.EIO}
    workers.submit(defect, told.append, told.append)
    with pytest.raises(ValueError, match="a defect"):
        wait_until(lambda: workers.deliver())
    workers.stop()


def test_a_descriptor_in_use_is_closed_afterwards() -> None:
    end, other = os.pipe()
    held = reading.Held(end)
    held.enter()
    held.give_up()
    os.fstat(end)
    held.leave()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(end)
    os.close(other)


def test_a_source_tells_everything_in_order(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "b").mkdir(parents=True)
    (tree / "a").write_bytes(b"12345")
    (tree / "b" / "c").write_bytes(b"")
    (tree / os.fsdecode(temporary_name(b"x"))).write_bytes(b"")
    os.symlink("../a", tree / "b" / "inside")
    os.symlink("../../a", tree / "b" / "outside")
    skipped: list[str] = []
    source = Source(tree)
    found = [(type(one).__name__, one.path) for one in source.walk(lambda path, why: skipped.append(path))]
    assert found == [
        ("FoundDirectory", b"tree"),
        ("FoundFile", b"tree/a"),
        ("FoundDirectory", b"tree/b"),
        ("FoundFile", b"tree/b/c"),
        ("FoundLink", b"tree/b/inside"),
        ("FoundDirectory", b"tree/b"),
        ("FoundDirectory", b"tree"),
    ]
    assert len(skipped) == 2 and "tree/b/outside" in skipped
    totals = Totals(source)
    wait_until(lambda: totals.is_known)
    assert (totals.bytes, totals.files) == (5, 2)
    totals.stop()
    (one,) = [one for one in source.walk(lambda *_: None) if isinstance(one, FoundLink)]
    assert one.target == b"../a"


def test_a_source_that_is_gone_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    source = Source(tmp_path / "file")
    (tmp_path / "file").unlink()
    (fault,) = source.walk(lambda *_: None)
    assert isinstance(fault, FoundFault) and "No such file" in fault.text


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "file"

    def opened() -> SourceFile:
        path.write_bytes(b"data")
        (found,) = Source(path).walk(lambda *_: None)
        assert isinstance(found, FoundFile)
        return SourceFile(found)

    same = opened()
    assert same.has_changed() is None
    written = opened()
    path.write_bytes(b"more data")
    assert written.has_changed() == "the file changed while it was sent"
    removed = opened()
    path.unlink()
    assert removed.has_changed() is not None
    replaced = opened()
    (tmp_path / "other").write_bytes(b"data")
    os.replace(tmp_path / "other", path)
    assert replaced.has_changed() is not None
    for file in (same, written, replaced, removed):
        file.held.give_up()


def test_what_is_no_longer_a_file_is_not_opened_as_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"data")
    (found,) = Source(path).walk(lambda *_: None)
    assert isinstance(found, FoundFile)
    path.unlink()
    path.mkdir()
    before = open_descriptors()
    with pytest.raises(OSError, match="no longer a file"):
        SourceFile(found)
    assert open_descriptors() == before
