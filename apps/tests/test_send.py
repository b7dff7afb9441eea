"""Files and trees between real processes: whole, or not there; cut off, taken up again; nothing outside."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import clustercore
import pytest
from blake3 import blake3
from conftest import Command, run_command, start_command, wait_until

from clustercore_apps.transfer import wire
from clustercore_apps.transfer.paths import temporary_name

# Long enough to be met in the middle.
LONG_BYTES = 192 << 20
LOOPBACK = ("--listen", "127.0.0.1:0")


class Folders:
    """A folder to send from, one to receive into, and the receiver."""

    def __init__(self, root: Path) -> None:
        self.source, self.target = root / "source", root / "target"
        self.source.mkdir()
        self.target.mkdir()
        self.receivers: list[Command] = []
        self.senders: list[subprocess.Popen[str]] = []

    def receive(self, *options: str, listen: tuple[str, ...] = LOOPBACK) -> str:
        """Starts a receiver; its address."""
        self.receivers.append(start_command(1, "receive", str(self.target), *listen, *options))
        return self.receivers[-1].address

    def send(self, path: Path, *words: str) -> subprocess.CompletedProcess[str]:
        """Sends to the end."""
        return run_command("send", str(path), *words, seconds=60)

    def begin(self, path: Path, *words: str) -> subprocess.Popen[str]:
        """Begins to send."""
        command = [sys.executable, "-m", "clustercore_apps", "send", str(path), *words]
        self.senders.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
        return self.senders[-1]

    def long_file(self, name: str = "long") -> Path:
        """A file that takes a while."""
        path = self.source / name
        with path.open("wb") as file:
            for _ in range(LONG_BYTES >> 20):
                file.write(os.urandom(1 << 20))
        return path

    def temporary(self, name: str) -> Path:
        """Where a file stands while it is not whole."""
        return self.target / os.fsdecode(temporary_name(os.fsencode(name)))

    def wait_for_half(self, name: str) -> None:
        """Until some of it has come."""
        temporary = self.temporary(name)
        wait_until(lambda: temporary.exists() and temporary.stat().st_size > 8 << 20)

    def end(self) -> None:
        """Ends what runs."""
        for sender in self.senders:
            sender.kill()
            sender.communicate()
        for receiver in self.receivers:
            receiver.end(signal.SIGKILL)


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Folders]:
    """Fresh ones."""
    made = Folders(tmp_path)
    yield made
    made.end()


def digest(path: Path) -> str:
    """Of a file."""
    return blake3(path.read_bytes()).hexdigest()


def picture(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything below with kind, mode, time and content."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        facts = path.lstat()
        name = str(path.relative_to(root))
        if stat.S_ISLNK(facts.st_mode):
            found[name] = ("link", os.readlink(path), facts.st_mtime_ns)
        elif stat.S_ISDIR(facts.st_mode):
            found[name] = ("folder", stat.S_IMODE(facts.st_mode), facts.st_mtime_ns)
        else:
            found[name] = ("file", stat.S_IMODE(facts.st_mode), facts.st_mtime_ns, digest(path))
    return found


def make_tree(root: Path) -> None:
    """Some of everything that travels."""
    (root / "empty folder").mkdir(parents=True)
    (root / "deep" / "er").mkdir(parents=True)
    (root / "empty").write_bytes(b"")
    (root / "one").write_bytes(b"1")
    (root / "block").write_bytes(os.urandom(wire.BLOCK_BYTES))
    (root / "more").write_bytes(os.urandom(wire.BLOCK_BYTES * 3 + 17))
    (root / os.fsdecode(b"not \xff text")).write_bytes(b"name")
    for number in range(150):
        (root / "deep" / f"{number:03d}").write_bytes(os.urandom(number * 10))
    os.symlink("../more", root / "deep" / "link")
    os.symlink("er", root / "deep" / "folder link")
    (root / "one").chmod(0o440)
    (root / "more").chmod(0o755)
    for number, path in enumerate(sorted(root.rglob("*"), reverse=True)):
        os.utime(path, ns=(0, 1_600_000_000_123_456_789 + number), follow_symlinks=False)
    (root / "deep").chmod(0o750)
    os.utime(root, ns=(0, 1_500_000_000_000_000_001))


def test_a_tree_arrives_with_modes_times_and_links(folders: Folders) -> None:
    tree = folders.source / "tree"
    make_tree(tree)
    before = picture(folders.source)
    address = folders.receive()
    sent = folders.send(tree, address)
    assert sent.returncode == 0, sent.stderr
    assert picture(folders.target) == before
    assert re.search(r"^to 127.0.0.1:\d+: 155 files verified, ", sent.stdout, re.M), sent.stdout
    # Once more: all of it is compared and checked, and nothing is sent.
    again = folders.send(tree, address)
    assert again.returncode == 0, again.stderr
    assert "155 files verified, 0 B sent, " in again.stdout
    assert picture(folders.target) == before
    # A change is found although size and time are the same.
    facts = (tree / "more").stat()
    data = bytearray((tree / "more").read_bytes())
    data[-1] ^= 1
    (tree / "more").write_bytes(data)
    os.utime(tree / "more", ns=(0, facts.st_mtime_ns))
    assert folders.send(tree, address).returncode == 0
    assert picture(folders.target)["tree/more"] == picture(folders.source)["tree/more"]
    assert not list(folders.target.rglob(".clustercore-*"))


def test_what_does_not_travel_is_told(folders: Folders) -> None:
    tree = folders.source / "tree"
    tree.mkdir()
    os.symlink("/etc/passwd", tree / "absolute")
    os.symlink("../beside", tree / "beside")
    os.mkfifo(tree / "pipe")
    (tree / "file").write_bytes(b"data")
    sent = folders.send(tree, folders.receive())
    assert sent.returncode == 0
    for name in ("absolute: a link that leads outside", "beside: a link that", "pipe: neither a file"):
        assert f"skipped tree/{name}" in sent.stderr
    assert list(picture(folders.target)) == ["tree", "tree/file"]


def test_a_killed_sender_is_taken_up_where_it_was(folders: Folders) -> None:
    path, address = folders.long_file(), folders.receive()
    sender = folders.begin(path, address)
    folders.wait_for_half("long")
    sender.send_signal(signal.SIGKILL)
    sender.communicate()
    assert not (folders.target / "long").exists()
    there = folders.temporary("long").stat().st_size
    assert 8 << 20 < there < LONG_BYTES
    # At once: the receiver does not know yet that the sender is dead.
    sent = folders.send(path, address)
    assert sent.returncode == 0, sent.stderr
    assert "were there" in sent.stdout
    assert digest(folders.target / "long") == digest(path)
    assert not folders.temporary("long").exists()


def test_a_killed_receiver_is_noticed_and_taken_up(folders: Folders) -> None:
    path, address = folders.long_file(), folders.receive()
    sender = folders.begin(path, address)
    folders.wait_for_half("long")
    folders.receivers[0].end(signal.SIGKILL)
    assert not (folders.target / "long").exists()
    folders.receive(listen=("--listen", address))
    _, errors = sender.communicate(timeout=45)
    assert sender.returncode == 1
    assert "was started anew; the same command takes the transfer up again" in errors
    sent = folders.send(path, address)
    assert sent.returncode == 0, sent.stderr
    assert "were there" in sent.stdout
    assert digest(folders.target / "long") == digest(path)


def test_a_block_that_was_damaged_meanwhile_is_sent_again(folders: Folders) -> None:
    data = os.urandom(8 * wire.BLOCK_BYTES + 5)
    (folders.source / "file").write_bytes(data)
    damaged = bytearray(data[: 6 * wire.BLOCK_BYTES])
    damaged[3 * wire.BLOCK_BYTES + 7] ^= 4
    folders.temporary("file").write_bytes(damaged)
    sent = folders.send(folders.source / "file", folders.receive())
    assert sent.returncode == 0, sent.stderr
    assert (folders.target / "file").read_bytes() == data
    # One that was damaged, two that lacked, the rest of five bytes.
    assert f"{(3 * wire.BLOCK_BYTES + 5) / 1000:.0f} kB sent, 1.3 MB were there" in sent.stdout


def test_half_a_file_is_never_seen(folders: Folders) -> None:
    path, address = folders.long_file(), folders.receive()
    sender = folders.begin(path, address)
    final, looks = folders.target / "long", 0
    while sender.poll() is None:
        if final.exists():
            assert final.stat().st_size == LONG_BYTES
        looks += 1
        time.sleep(0.001)
    sender.communicate()
    assert sender.returncode == 0 and looks > 10
    assert digest(final) == digest(path)


def test_a_file_that_changes_is_told_and_not_placed(folders: Folders) -> None:
    path, address = folders.long_file(), folders.receive("--once")
    sender = folders.begin(path, address)
    folders.wait_for_half("long")
    with path.open("r+b") as file:
        file.write(b"another beginning")
    _, errors = sender.communicate(timeout=60)
    assert sender.returncode == 1
    assert "failed long: the file changed while it was sent" in errors
    receiver = folders.receivers[0].process
    receiver.communicate(timeout=30)
    assert receiver.returncode == 1
    assert not (folders.target / "long").exists()


def test_links_in_the_receivers_folder_are_not_followed(folders: Folders, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"mine")
    (folders.target / "tree").mkdir()
    os.symlink(outside, folders.target / "tree" / "sub")
    os.symlink(outside / "file", folders.target / "tree" / "file")
    tree = folders.source / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "new").write_bytes(b"data")
    (tree / "file").write_bytes(b"data")
    sent = folders.send(tree, folders.receive())
    assert sent.returncode == 1
    assert "failed tree/sub: the receiver: something on the way is no folder" in sent.stderr
    assert "failed tree/sub/new: the receiver: " in sent.stderr
    assert sorted(os.listdir(outside)) == ["file"] and (outside / "file").read_bytes() == b"mine"
    # The link under a final name is replaced, not written through.
    assert not (folders.target / "tree" / "file").is_symlink()
    assert (folders.target / "tree" / "file").read_bytes() == b"data"


def test_what_is_in_the_way_is_told_on_both_sides(folders: Folders) -> None:
    (folders.source / "thing").write_bytes(b"data")
    (folders.target / "thing").mkdir()
    address = folders.receive("--once")
    sent = folders.send(folders.source / "thing", address)
    assert sent.returncode == 1
    assert "failed thing: the receiver: a folder of this name is there" in sent.stderr


def test_a_full_disk_is_told_on_both_sides(folders: Folders) -> None:
    huge = folders.source / "huge"
    huge.touch()
    # More than there is, and takes no room itself.
    os.truncate(huge, 8 << 40)
    (folders.source / "little").write_bytes(b"data")
    folders.receivers.append(
        Command(
            subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "clustercore_apps",
                    "receive",
                    str(folders.target),
                    *LOOPBACK,
                    "--once",
                ],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ),
            [],
        )
    )
    receiver = folders.receivers[0].process
    assert receiver.stdout is not None
    address = receiver.stdout.readline().split()[-1]
    sent = folders.send(folders.source, address)
    assert sent.returncode == 1
    assert re.search(
        r"failed source/huge: the receiver: 8796093022208 bytes are needed, \d+ are", sent.stderr
    )
    _, errors = receiver.communicate(timeout=30)
    assert receiver.returncode == 1
    assert re.search(r"failed source/huge: .*bytes are needed", errors)


def test_two_hosts_get_the_same(folders: Folders, tmp_path: Path) -> None:
    make_tree(folders.source / "tree")
    first = folders.receive()
    (tmp_path / "other").mkdir()
    other = Folders(tmp_path / "other")
    try:
        sent = folders.send(folders.source / "tree", first, other.receive(), "--quiet")
        assert (sent.returncode, sent.stdout, sent.stderr) == (0, "", "")
        assert picture(folders.target) == picture(other.target) == picture(folders.source)
        # One that is not there fails, and the others get it.
        (folders.source / "tree" / "new").write_bytes(b"data")
        other.receivers[0].end(signal.SIGKILL)
        gone = other.receivers[0].address
        sent = folders.send(folders.source / "tree", gone, first)
        assert sent.returncode == 1 and "nobody answers there" in sent.stderr
        assert picture(folders.target) == picture(folders.source)
    finally:
        other.end()


def keygen(path: Path) -> str:
    """A new key in a file; the public one."""
    made = run_command("keygen", "--out", str(path))
    path.with_suffix(".pub").write_text(made.stdout)
    return made.stdout.strip()


def test_with_keys_only_who_may_sends(folders: Folders, tmp_path: Path) -> None:
    ours, theirs, other = tmp_path / "ours", tmp_path / "theirs", tmp_path / "other"
    public = [keygen(path) for path in (ours, theirs, other)]
    (folders.source / "file").write_bytes(b"secret")
    address = folders.receive("--key", str(theirs), "--peer-key", str(ours.with_suffix(".pub")))
    path = folders.source / "file"
    for key, peer in ((other, public[1]), (ours, public[2])):
        sent = folders.send(path, address, "--key", str(key), "--peer-key", peer)
        assert sent.returncode == 1 and "the handshake was not right" in sent.stderr
    sent = folders.send(path, address, "--peer-key", public[1])
    assert sent.returncode == 1, "a key made for this time is nobody's"
    assert not (folders.target / "file").exists()
    sent = folders.send(path, address, "--key", str(ours), "--peer-key", str(theirs.with_suffix(".pub")))
    assert sent.returncode == 0, sent.stderr
    assert (folders.target / "file").read_bytes() == b"secret"
    anybody = folders.receive("--key", str(theirs), "--anybody")
    assert folders.send(path, anybody, "--peer-key", public[1]).returncode == 0


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["send", "FILE", "192.0.2.1"], "192.0.2.1 is another machine: give its public key with --peer-key"),
        (["send", "/no/such/thing", "127.0.0.1"], "/no/such/thing cannot be sent: No such file"),
        (["send", "/dev/null", "127.0.0.1"], "neither a file nor a folder"),
        (["send", "/", "127.0.0.1"], "has no name to be sent under"),
        (["send", "FILE", "127.0.0.1:port"], 'is "port"'),
        (
            ["send", "FILE", "127.0.0.1", "--peer-key", "/no/key"],
            "it is a file with a public key, or the key",
        ),
        (["send", "FILE", "127.0.0.1", "--peer-key", "clc-public-x25519 A"], "base64 of 32 bytes"),
        (["send", "FILE", "127.0.0.1", "--key", "/no/key"], "--key: read /no/key"),
        (["receive", "DIR", "--listen", "0.0.0.0:0"], "that others can reach: give a key with --key"),
        (["receive", "DIR", "--listen", "somewhere:0"], "--listen: "),
        (["receive", "/no/such/folder", "--listen", "127.0.0.1:0"], "cannot be used: No such file"),
        (["receive", "FILE", "--listen", "127.0.0.1:0"], "cannot be used: Not a directory"),
        (["receive", "DIR", "--peer-key", "KEY"], "--peer-key needs --key"),
        (["receive", "DIR", "--key", "PRIVATE"], "say who may send, with --peer-key, or --anybody"),
    ],
)
def test_what_an_operator_must_change_is_one_line(tmp_path: Path, words: list[str], text: str) -> None:
    key = clustercore.Key.generate()
    (tmp_path / "file").write_bytes(b"")
    key.save(tmp_path / "private")
    values = {"FILE": "file", "DIR": ".", "PRIVATE": "private"}
    words = [str(tmp_path / values[word]) if word in values else word for word in words]
    words = [key.public if word == "KEY" else word for word in words]
    result = run_command(*words)
    assert result.returncode == 2, (result.stdout, result.stderr)
    (line,) = result.stderr.strip().split("\n")
    assert line.startswith("clustercore: ") and text in line


class Hostile:
    """A peer that speaks what it wants."""

    def __init__(self, address: str) -> None:
        self.shard = clustercore.Shard()
        endpoint = self.shard.endpoint(
            "127.0.0.1:0", message_bytes_max=wire.MESSAGE_BYTES_MAX, window=4 << 20
        )
        self.connection = endpoint.connect(address)
        self.answers: list[wire.FromReceiver] = []
        self.gone: list[clustercore.ConnectionGone] = []
        self.is_connected = False
        self.until(lambda: self.is_connected)

    def until(self, done: Callable[[], object]) -> None:
        """Turns until it holds."""
        deadline = time.monotonic() + 20
        while not done():
            assert time.monotonic() < deadline, "not within twenty seconds"
            self.shard.turn(0.01)
            self.answers += [wire.from_receiver(message.payload) for message in self.shard.messages()]
            for event in self.shard.connection_events():
                self.is_connected |= isinstance(event, clustercore.Connected)
                if isinstance(event, clustercore.ConnectionGone):
                    self.gone.append(event)

    def say(self, *messages: wire.FromSender | bytes) -> None:
        """Sends them."""
        for message in messages:
            self.connection.send(message if isinstance(message, bytes) else message.encode())


HELLO = wire.Hello(wire.BLOCK_BYTES, b"hostile")


def test_a_hostile_sender_writes_nothing_outside_and_harms_nobody(folders: Folders, tmp_path: Path) -> None:
    address = folders.receive()
    make_tree(folders.source / "tree")
    beside = folders.begin(folders.source / "tree", address)
    hostile = Hostile(address)
    bad = [b"../escaped", str(tmp_path / "escaped").encode(), b"a/../../escaped", b".", b"a\0b"]
    hostile.say(HELLO, *(wire.File(number, 0o644, 4, 0, path) for number, path in enumerate(bad)))
    hostile.say(wire.Link(5, 0, b"link", b"../.."), wire.Link(6, 0, b"link", b"/etc"))
    hostile.until(lambda: len(hostile.answers) == 8)
    assert [type(answer) for answer in hostile.answers] == [wire.Ready, *[wire.Failed] * 7]
    assert all(isinstance(one, wire.Ready) or one.code == wire.Code.REFUSED for one in hostile.answers)  # type: ignore[union-attr]
    # Through a link of its own that stays inside: a folder is not opened by a link.
    hostile.say(wire.Directory(7, 0o755, b"real"), wire.Link(8, 0, b"way", b"real"))
    hostile.say(wire.File(9, 0o644, 4, 0, b"way/file"))
    hostile.until(lambda: len(hostile.answers) == 11)
    assert isinstance(hostile.answers[-1], wire.Failed)
    beside.communicate(timeout=60)
    assert beside.returncode == 0
    assert not list(tmp_path.rglob("escaped*"))
    assert picture(folders.target / "tree") == picture(folders.source / "tree")


@pytest.mark.parametrize(
    ("messages", "code", "text"),
    [
        ([b"\x99 nonsense"], wire.Close.MALFORMED, "malformed message: no message is of kind 0x99"),
        ([b""], wire.Close.MALFORMED, "an empty message"),
        ([b"GET / HTTP/1.1"], wire.Close.MALFORMED, "no message is of kind 0x47"),
        ([wire.Finish(0)], wire.Close.DISORDER, "the first message is no Hello"),
        ([HELLO, wire.Data(9, 0, 1), b"x"], wire.Close.DISORDER, "entry 9 was never told"),
        (
            [HELLO, wire.File(0, 0, 9, 0, b"f"), wire.End(0, bytes(32))] * 2,
            wire.Close.DISORDER,
            "a second Hello",
        ),
    ],
)
def test_a_broken_protocol_ends_that_transfer_with_words(
    folders: Folders, messages: list[wire.FromSender | bytes], code: int, text: str
) -> None:
    address = folders.receive()
    hostile = Hostile(address)
    hostile.say(*messages)
    hostile.until(lambda: hostile.gone)
    (gone,) = hostile.gone
    assert (gone.reason, gone.code) == ("closed_by_peer", code)
    assert text in gone.text
    (folders.source / "file").write_bytes(b"data")
    assert folders.send(folders.source / "file", address).returncode == 0


def test_a_receiver_that_is_stopped_says_so(folders: Folders) -> None:
    path, address = folders.long_file(), folders.receive()
    sender = folders.begin(path, address)
    folders.wait_for_half("long")
    assert folders.receivers[0].end(signal.SIGTERM) == 0
    _, errors = sender.communicate(timeout=45)
    assert sender.returncode == 1
    assert "the other side ended the transfer: the receiver is stopping" in errors
