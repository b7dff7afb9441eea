"""Messages, paths and names of a transfer: what is right comes back, everything else is refused in words."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clustercore_apps.transfer import paths, wire
from clustercore_apps.transfer.report import Report, shown_bytes, shown_files, shown_seconds

NUMBERS = st.integers(0, wire.SIZE_MAX)
TIMES = st.integers(-wire.SIZE_MAX, wire.SIZE_MAX)
MODES = st.integers(0, wire.MODE_MAX)
PATHS = st.binary(max_size=60)
DIGESTS = st.binary(min_size=32, max_size=32)
CODES = st.sampled_from(wire.Code)
TEXTS = st.binary(max_size=50)
FROM_SENDER = st.one_of(
    st.builds(wire.Hello, st.sampled_from([1 << n for n in range(12, 21)]), TEXTS, st.integers(0, 65535)),
    st.builds(wire.Directory, NUMBERS, MODES, PATHS),
    st.builds(wire.File, NUMBERS, MODES, NUMBERS, TIMES, PATHS),
    st.builds(wire.Link, NUMBERS, TIMES, PATHS, PATHS),
    st.builds(wire.DirectoryEnd, NUMBERS, MODES, TIMES, PATHS),
    st.builds(wire.Blocks, NUMBERS, NUMBERS, st.lists(DIGESTS, min_size=1, max_size=9).map(tuple)),
    st.builds(wire.Data, NUMBERS, NUMBERS, st.integers(1, wire.BLOCK_BYTES_MAX)),
    st.builds(wire.End, NUMBERS, DIGESTS),
    st.builds(wire.Withdraw, NUMBERS, CODES, TEXTS),
    st.builds(wire.Finish, NUMBERS),
)
FROM_RECEIVER = st.one_of(
    st.builds(wire.Ready, st.integers(1, wire.UNSETTLED_MAX), st.integers(0, 65535)),
    st.builds(wire.Want, NUMBERS, NUMBERS),
    st.builds(wire.Missing, NUMBERS, NUMBERS, st.lists(st.booleans(), min_size=1, max_size=40).map(tuple)),
    st.builds(wire.Again, NUMBERS),
    st.builds(wire.Settled, NUMBERS),
    st.builds(wire.Failed, NUMBERS, CODES, TEXTS),
    st.builds(wire.Done, NUMBERS, NUMBERS),
)


@given(FROM_SENDER)
def test_what_a_sender_says_comes_back(message: wire.FromSender) -> None:
    payload = message.encode()
    assert wire.from_sender(payload) == message
    with pytest.raises(wire.WireError):
        wire.from_receiver(payload)
    for broken in (payload[:-1], payload + b"\0"):
        with pytest.raises(wire.WireError):
            wire.from_sender(broken)


@given(FROM_RECEIVER)
def test_what_a_receiver_says_comes_back(message: wire.FromReceiver) -> None:
    payload = message.encode()
    assert wire.from_receiver(payload) == message
    with pytest.raises(wire.WireError):
        wire.from_sender(payload)
    for broken in (payload[:-1], payload + b"\0"):
        with pytest.raises(wire.WireError):
            wire.from_receiver(broken)


@settings(max_examples=300)
@given(st.integers(0, 255), st.binary(max_size=200))
def test_any_bytes_are_a_message_or_an_error(kind: int, rest: bytes) -> None:
    for decode in (wire.from_sender, wire.from_receiver):
        with contextlib.suppress(wire.WireError):
            message = decode(bytes([kind]) + rest)
            assert dataclasses.is_dataclass(message)
            assert message.encode() == bytes([kind]) + rest, "one message has one form"


@settings(max_examples=300)
@given(FROM_SENDER | FROM_RECEIVER, st.data())
def test_a_changed_byte_makes_another_message_or_an_error(
    message: wire.FromSender | wire.FromReceiver, data: st.DataObject
) -> None:
    payload = bytearray(message.encode())
    place = data.draw(st.integers(0, len(payload) - 1))
    payload[place] ^= data.draw(st.integers(1, 255))
    for decode in (wire.from_sender, wire.from_receiver):
        with contextlib.suppress(wire.WireError):
            assert decode(bytes(payload)) != message


def test_limits_are_named() -> None:
    for payload, words in (
        (b"", "an empty message"),
        (b"\x30", "no message is of kind 0x30"),
        (b"\x01HTTP" + bytes(8), "this is no transfer: it begins with 48545450"),
        (wire.Hello(4096, b"").encode()[:-6] + (5000).to_bytes(4, "little") + b"\0\0", "no power of two"),
        (wire.Directory(0, 0o4755, b"a").encode(), "mode is 2541, limit is 0..511"),
        (wire.File(0, 0, 1 << 63, 0, b"a").encode(), "size is 9223372036854775808, limit is"),
        (wire.Blocks(0, 0, ()).encode(), "count is 0, limit is 1..256"),
        (wire.Data(0, 0, (1 << 20) + 1).encode(), "length is 1048577, limit is 1..1048576"),
        (wire.Data(0, 0, 0).encode(), "length is 0"),
        (b"\x09" + bytes(8) + b"\x63\0\0\0", "code is 99, limit is 1..9"),
        (wire.Directory(0, 0, b"a" * 5000).encode(), "length of path is 5000, limit is 0..4096"),
    ):
        with pytest.raises(wire.WireError, match=words):
            wire.from_sender(payload)
    with pytest.raises(wire.WireError, match="a bit behind the last of 3 blocks is set"):
        wire.from_receiver(wire.Missing(1, 0, (True,) * 3).encode()[:-1] + b"\x0f")
    with pytest.raises(wire.WireError, match="unsettled entries is 0"):
        wire.from_receiver(wire.Ready(0).encode())


def test_the_documented_bytes_are_those() -> None:
    assert wire.Hello(1 << 18, b"tree").encode() == b"\x01CLCT\x01\x00\x00\x00\x04\x00\x04\x00tree"
    assert wire.Want(1, 2).encode() == b"\x42\x01" + bytes(7) + b"\x02" + bytes(7)
    missing = wire.Missing(3, 4, (False, True) + (False,) * 7 + (True,))
    assert missing.encode() == b"\x43\x03" + bytes(7) + b"\x04" + bytes(7) + b"\x0a\0" + b"\x02\x02"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (b"/etc/passwd", "is absolute"),
        (b"../x", r"has \.\. in it"),
        (b"a/../../x", r"has \.\. in it"),
        (b"a/./x", r"has \. in it"),
        (b"a//x", "has an empty component"),
        (b"a/", "has an empty component"),
        (b"", "has an empty component"),
        (b"a\0b", "zero byte"),
        (b"n" * 256, "256 bytes, limit is 255"),
        (b"a/" * 2100 + b"a", "limit is 4096"),
        (b"a/.clustercore-" + b"0" * 32 + b".part", "name of a temporary file"),
        (b"\x1b[2J/..", r"\\x1b\[2J"),
    ],
)
def test_a_path_that_could_lead_out_is_refused(path: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        paths.components(path)


def test_a_path_below_has_its_components() -> None:
    assert paths.components(b"a/..b/...") == [b"a", b"..b", b"..."]
    assert paths.components(b"\xff\xfe/x y") == [b"\xff\xfe", b"x y"]


@pytest.mark.parametrize(
    ("path", "target", "is_inside"),
    [
        (b"t/a", b"b", True),
        (b"t/a", b"../b", True),
        (b"t/a", b"../../b", False),
        (b"a", b"../b", False),
        (b"t/d/a", b"../../x/y", True),
        (b"t/d/a", b"x/../y", False),
        (b"t/d/a", b"./x//y/", True),
        (b"t/a", b"/etc", False),
        (b"t/a", b"", False),
        (b"t/a", b"..", True),
        (b"t/a", b"x\0", False),
    ],
)
def test_a_link_stays_inside_or_is_refused(path: bytes, target: bytes, is_inside: bool) -> None:
    if is_inside:
        paths.check_link(path, target)
    else:
        with pytest.raises(ValueError, match="link"):
            paths.check_link(path, target)


NAMES = st.sampled_from([b"a", b"b", b"c"])


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(st.lists(NAMES, min_size=1, max_size=3), st.lists(NAMES | st.just(b".."), max_size=5))
    ),
    st.lists(NAMES, min_size=1, max_size=6),
)
def test_no_chain_of_links_that_are_taken_leads_out(
    links: list[tuple[list[bytes], list[bytes]]], walk: list[bytes]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve() / "root"
        root.mkdir()
        for path, target in links:
            with contextlib.suppress(ValueError, FileExistsError, NotADirectoryError):
                paths.check_link(b"/".join(path), b"/".join(target))
                place = Path(os.fsdecode(os.path.join(os.fsencode(root), *path)))
                # As the receiver does it: no folder on the way is a link.
                if any(above.is_symlink() for above in place.parents):
                    continue
                place.parent.mkdir(parents=True, exist_ok=True)
                os.symlink(b"/".join(target), place)
        reached = os.path.realpath(os.path.join(os.fsencode(root), *walk))
        assert os.fsdecode(reached).startswith(str(root))


@given(st.binary(max_size=400))
def test_no_name_of_a_peer_moves_the_cursor(name: bytes) -> None:
    shown = paths.shown_name(name)
    assert shown.isprintable() and len(shown) <= 200


def test_sizes_and_times_are_short() -> None:
    assert [shown_bytes(n) for n in (0, 999, 1000, 12_345, 999_000, 1_500_000, 3_000_000_000, 5e12)] == [
        *("0 B", "999 B", "1.0 kB", "12.3 kB", "999 kB", "1.5 MB", "3.0 GB", "5.00 TB"),
    ]
    assert [shown_seconds(n) for n in (0.4, 59, 61, 3700)] == ["0 s", "59 s", "1 min 1 s", "1 h 1 min"]
    assert [shown_files(n) for n in (0, 1, 2)] == ["0 files verified", "1 file verified", "2 files verified"]


def test_a_line_of_progress_has_share_rate_and_what_is_left() -> None:
    report = Report("to h", is_quiet=False)
    line = report.line(250_000_000, 1_000_000_000, 3, 2.0)
    assert line == "to h: 250 MB of 1.0 GB, 25%, 125 MB/s, 6 s left, 3 files verified"
    assert report.line(0, None, 0, 0.0) == "to h: 0 B, 0 B/s, 0 files verified"
    assert report.line(0, 0, 1, 1.0) == "to h: 0 B of 0 B, 100%, 0 B/s, 1 file verified"
