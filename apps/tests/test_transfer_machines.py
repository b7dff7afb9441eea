"""Sender and receiver as pure machines, joined by queues and a disk that is a dictionary."""

from __future__ import annotations

import contextlib
import random
from collections import deque
from dataclasses import dataclass, field

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from test_transfer_words import FROM_RECEIVER

from clustercore_apps.transfer import receiving, sending, wire
from clustercore_apps.transfer.receiving import Disorder, Receiving
from clustercore_apps.transfer.sending import Sending
from clustercore_apps.transfer.wire import Code

BLOCK = 4096


def content(size: int, seed: int) -> bytes:
    """So many bytes, other ones for each seed."""
    return random.Random(seed).randbytes(size)


@dataclass
class Disk:
    """What the receiver has: temporary files, final ones, and faults that come once each."""

    temporary: dict[bytes, bytearray] = field(default_factory=dict)
    final: dict[bytes, bytes] = field(default_factory=dict)
    full_at: int = 1 << 60
    # Blocks that go bad on the disk when a file is checked: (path, block), each once.
    rot: list[tuple[bytes, int]] = field(default_factory=list)
    written: int = 0


class Pair:
    """Both machines; `random` decides what happens next."""

    def __init__(self, files: dict[bytes, bytes], disk: Disk, seed: int) -> None:
        self.files, self.disk, self.random = files, disk, random.Random(seed)
        self.sending, self.receiving = Sending(b"x", BLOCK), Receiving()
        self.to_receiver: deque[bytes] = deque()
        self.to_sender: deque[bytes] = deque()
        self.offers = deque(files)
        self.names: dict[int, bytes] = {}
        self.open: dict[int, tuple[bytes, int, bool]] = {}
        self.changed: set[bytes] = set()
        self.sizes = {name: len(data) for name, data in files.items()}

    def run(self) -> None:
        """Until Done has come."""
        for _ in range(100_000):
            if self.sending.is_done:
                return
            steps = [self.offer, self.deliver, self.answer, self.read, self.obey_sender, self.obey_receiver]
            self.random.choice(steps)()
            self.sending.check_invariants()
            self.receiving.check_invariants()
        pytest.fail(f"not done: {self.sending.unsettled} and {self.receiving.unsettled} unsettled")

    def flush(self) -> None:
        """Messages leave in their order."""
        self.to_receiver += self.sending.messages
        self.sending.messages.clear()
        self.to_sender += self.receiving.messages
        self.receiving.messages.clear()

    def offer(self) -> None:
        """The next entry, or the end."""
        if self.sending.wants_entry and self.offers:
            name, number = self.offers.popleft(), self.sending.entry_next
            self.names[number] = name
            if name.endswith(b"/"):
                self.sending.offer(wire.Directory(number, 0o755, name[:-1]))
            elif name.endswith(b"/."):
                self.sending.offer(wire.DirectoryEnd(number, 0o755, 0, name[:-2]))
            else:
                self.sending.offer(wire.File(number, 0o644, len(self.files[name]), 7, name))
        elif (not self.offers or self.sending.is_stopped) and not self.sending.has_finished:
            # Ready has come when something was offered, or may come later.
            self.sending.finish()

    def deliver(self) -> None:
        """One message to the receiver."""
        self.flush()
        if self.to_receiver:
            self.receiving.handle(self.to_receiver.popleft())

    def answer(self) -> None:
        """One message to the sender."""
        self.flush()
        if self.to_sender:
            self.sending.handle(self.to_sender.popleft())

    def read(self) -> None:
        """The sender reads a block and sends it."""
        self.flush()
        if (block := self.sending.next_block()) is not None:
            data = self.files[self.names[block.entry]]
            self.to_receiver.append(wire.Data(block.entry, block.offset, block.length).encode())
            self.to_receiver.append(data[block.offset : block.offset + block.length])
            self.sending.on_block_sent(block.entry)

    def obey_sender(self) -> None:
        """One order."""
        if not self.sending.orders:
            return
        match self.sending.orders.popleft():
            case sending.HashFile(number):
                self.sending.on_digest(number, blake3(self.files[self.names[number]]).digest())
            case sending.HashBlocks(number, first, count):
                data = self.files[self.names[number]]
                blocks = (data[place * BLOCK :][:BLOCK] for place in range(first, first + count))
                self.sending.on_block_digests(number, tuple(blake3(block).digest() for block in blocks))
            case sending.Confirm(number):
                if self.names[number] in self.changed:
                    self.sending.on_failed(number, Code.CHANGED, "changed")
                else:
                    self.sending.on_confirmed(number)

    def obey_receiver(self) -> None:
        """One order, by the dictionary."""
        if not self.receiving.orders:
            return
        disk, machine = self.disk, self.receiving
        match self.receiving.orders.popleft():
            case receiving.MakeDirectory(number) | receiving.EndDirectory(number):
                machine.on_made(number)
            case receiving.OpenFile(number, path, size):
                name = b"/".join(path)
                is_final = name not in disk.temporary and len(disk.final.get(name, b"")) == size > 0
                if not is_final:
                    del disk.temporary.setdefault(name, bytearray())[size:]
                self.open[number] = name, size, is_final
                present = size if is_final else len(disk.temporary[name])
                machine.on_opened(number, present, is_final=is_final)
            case receiving.WriteBlock(number, offset, data):
                self.write(number, offset, data)
            case receiving.Compare(number, first, digests, _):
                stored = self.stored(number)
                blocks = (stored[place * BLOCK :][:BLOCK] for place in range(first, first + len(digests)))
                found = [blake3(block).digest() for block in blocks]
                machine.on_compared(number, first, tuple(a != b for a, b in zip(found, digests, strict=True)))
            case receiving.Restart(number):
                name, size, _ = self.open[number]
                disk.temporary[name] = bytearray()
                self.open[number] = name, size, False
            case receiving.Check(number):
                self.check(number)
            case receiving.Place(number):
                name, _, is_final = self.open.pop(number)
                if not is_final:
                    disk.final[name] = bytes(disk.temporary.pop(name))
                machine.on_made(number)
            case receiving.Drop(number):
                del self.open[number]
            case receiving.SyncFolder():
                machine.on_synced()

    def stored(self, number: int) -> bytes:
        """What is compared and checked."""
        name, _, is_final = self.open[number]
        return self.disk.final[name] if is_final else bytes(self.disk.temporary[name])

    def write(self, number: int, offset: int, data: bytes) -> None:
        """Into the temporary file."""
        self.disk.written += len(data)
        if self.disk.written > self.disk.full_at:
            self.receiving.on_failed(number, Code.FULL, "no space left on device")
            return
        stored = self.disk.temporary[self.open[number][0]]
        stored.extend(bytes(max(0, offset - len(stored))))
        stored[offset : offset + len(data)] = data

    def check(self, number: int) -> None:
        """Reads back; some blocks have gone bad."""
        name, _, is_final = self.open[number]
        for fault in [one for one in self.disk.rot if one[0] == name and not is_final]:
            self.disk.rot.remove(fault)
            stored = self.disk.temporary[name]
            if fault[1] * BLOCK < len(stored):
                stored[fault[1] * BLOCK] ^= 0x10
                break
        self.receiving.on_checked(number, blake3(self.stored(number)).digest())


FILES = st.dictionaries(
    st.sampled_from([b"a", b"b", b"d/a", b"d/b", b"e"]),
    st.tuples(st.integers(0, 5 * BLOCK), st.integers(0, 9)),
    max_size=5,
)


@settings(max_examples=100)
@given(FILES, st.integers(0, 1 << 32))
def test_everything_arrives_whatever_the_order_of_events(
    sizes: dict[bytes, tuple[int, int]], seed: int
) -> None:
    files = {name: content(*how) for name, how in sizes.items()}
    pair = Pair(files, Disk(), seed)
    pair.run()
    assert pair.disk.final == files and pair.disk.temporary == {}
    assert pair.sending.bytes_sent == pair.disk.written == sum(map(len, files.values()))
    assert pair.sending.bytes_covered == pair.sending.bytes_sent
    assert (pair.sending.settled, pair.sending.failed) == (len(files), 0)
    assert pair.receiving.is_done and not pair.open


@settings(max_examples=150)
@given(
    st.integers(1, 12 * BLOCK),
    st.integers(0, 12 * BLOCK),
    st.sets(st.integers(0, 11)),
    st.integers(0, 1 << 32),
)
def test_what_was_there_is_not_sent_again_and_what_was_wrong_there_is(
    size: int, present: int, damaged: set[int], seed: int
) -> None:
    data, present = content(size, 1), min(present, size)
    temporary = bytearray(data[:present])
    for block in damaged:
        if block * BLOCK < present:
            temporary[block * BLOCK] ^= 1
    pair = Pair({b"a": data}, Disk(temporary={b"a": temporary}), seed)
    pair.run()
    assert pair.disk.final == {b"a": data}
    whole = -(-size // BLOCK) if present == size else present // BLOCK
    kept = [block for block in range(whole) if block not in damaged]
    kept_bytes = sum(min(BLOCK, size - block * BLOCK) for block in kept)
    assert pair.sending.bytes_kept == kept_bytes
    assert pair.sending.bytes_sent == size - kept_bytes


def test_more_blocks_than_one_question_holds_are_compared() -> None:
    data = content(600 * BLOCK + 1, 1)
    temporary = bytearray(data)
    temporary[300 * BLOCK + 5] ^= 1
    pair = Pair({b"a": data}, Disk(temporary={b"a": temporary}), 1)
    pair.run()
    assert (pair.sending.bytes_sent, pair.disk.final) == (BLOCK, {b"a": data})


@given(st.integers(1, 3 * BLOCK), st.booleans(), st.integers(0, 1 << 32))
def test_a_file_that_is_in_place_is_left_or_replaced_as_a_whole(size: int, is_same: bool, seed: int) -> None:
    data = content(size, 1)
    old = data if is_same else content(size, 2)
    pair = Pair({b"a": data}, Disk(final={b"a": old}), seed)
    pair.run()
    assert pair.disk.final == {b"a": data} and pair.disk.temporary == {}
    assert pair.sending.bytes_sent == (0 if is_same else size)
    assert pair.sending.bytes_kept == (size if is_same else 0)


@given(st.integers(1, 5 * BLOCK), st.integers(0, 4), st.integers(1, 2), st.integers(0, 1 << 32))
def test_a_block_that_goes_bad_on_the_disk_is_found_and_sent_again(
    size: int, block: int, times: int, seed: int
) -> None:
    data = content(size, 1)
    block = min(block, (size - 1) // BLOCK)
    pair = Pair({b"a": data}, Disk(rot=[(b"a", block)] * times), seed)
    pair.run()
    assert pair.disk.final == {b"a": data}
    assert pair.sending.bytes_sent == size + times * min(BLOCK, size - block * BLOCK)
    assert pair.sending.bytes_covered == size


def test_a_disk_that_never_holds_is_an_error_of_that_file_alone() -> None:
    files = {b"a": content(9000, 1), b"b": content(9000, 2)}
    pair = Pair(files, Disk(rot=[(b"a", 1)] * 3), 1)
    pair.run()
    assert pair.disk.final == {b"b": files[b"b"]}
    (failure,) = pair.receiving.failures
    assert (failure.path, failure.code) == (b"a", Code.UNVERIFIED)
    (failure,) = pair.sending.failures
    assert failure.text.startswith("the receiver: read back from the disk it has another digest")
    assert (pair.sending.settled, pair.sending.failed) == (1, 1)


@settings(max_examples=40)
@given(st.integers(0, 6 * BLOCK), st.integers(0, 1 << 32))
def test_a_full_disk_ends_the_offers_and_leaves_what_fits(full_at: int, seed: int) -> None:
    files = {bytes([65 + n]): content(BLOCK + n, n) for n in range(26)}
    pair = Pair(files, Disk(full_at=full_at), seed)
    pair.run()
    assert pair.sending.failed >= 1 and pair.sending.is_stopped
    for name, data in pair.disk.final.items():
        assert data == files[name]
    assert {failure.code for failure in pair.sending.failures} == {Code.FULL}


@settings(max_examples=100)
@given(st.sets(st.sampled_from([b"a", b"b", b"c"])), st.integers(0, 1 << 32))
def test_a_file_that_changed_is_withdrawn_and_never_placed(changed: set[bytes], seed: int) -> None:
    files = {name: content(3 * BLOCK, 1) for name in (b"a", b"b", b"c")}
    pair = Pair(files, Disk(), seed)
    pair.changed = changed
    pair.run()
    assert set(pair.disk.final) == set(files) - changed
    assert {failure.path for failure in pair.receiving.failures} == changed
    assert pair.receiving.failed == pair.sending.failed == len(changed)


@settings(max_examples=20)
@given(st.integers(0, 100), st.integers(0, 1 << 32))
def test_a_directory_ends_after_all_that_is_in_it(count: int, seed: int) -> None:
    names = [b"d/%03d" % number for number in range(count)]
    files = {b"d/": b"", **{name: content(10, 1) for name in names}, b"d/.": b""}
    pair = Pair(files, Disk(), seed)
    ends: list[int] = []
    obey = pair.obey_receiver

    def watch() -> None:
        if pair.receiving.orders and isinstance(pair.receiving.orders[0], receiving.EndDirectory):
            ends.append(len(pair.disk.final))
        obey()

    pair.obey_receiver = watch  # type: ignore[method-assign]
    pair.run()
    assert ends == [count]
    assert len(pair.disk.final) == count


def test_a_path_that_leads_out_fails_and_the_rest_goes_on() -> None:
    machine = Receiving()
    machine.handle(wire.Hello(BLOCK, b"x").encode())
    bad = [b"../a", b"/a", b"a/../../b", b"a\0"]
    for number, path in enumerate(bad):
        machine.handle(wire.File(number, 0o644, 5, 0, path).encode())
    machine.handle(wire.Link(4, 0, b"l", b"../../etc").encode())
    machine.handle(wire.Directory(5, 0o755, b"..").encode())
    machine.handle(wire.File(6, 0o644, 5, 0, b"good").encode())
    machine.check_invariants()
    assert list(machine.orders) == [receiving.OpenFile(6, [b"good"], 5)]
    assert [failure.code for failure in machine.failures] == [Code.REFUSED] * 6
    assert "could lead out of the folder" in machine.failures[0].text


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([wire.Finish(0)], "the first message is no Hello"),
        ([wire.Hello(BLOCK, b""), wire.Hello(BLOCK, b"")], "a second Hello"),
        ([wire.Hello(BLOCK, b"", 9)], "speaks version 9"),
        ([wire.Hello(BLOCK, b""), wire.File(1, 0, 0, 0, b"a")], "entry 1 comes in the place of 0"),
        ([wire.Hello(BLOCK, b""), wire.Data(0, 0, 5)], "entry 0 was never told"),
        ([wire.Hello(BLOCK, b""), wire.Finish(3)], "Finish after 3 entries; 0 came"),
        ([wire.Hello(BLOCK, b""), wire.Finish(0), wire.Finish(0)], "a second Finish"),
        ([wire.Hello(BLOCK, b""), wire.Finish(0), wire.Directory(0, 0, b"a")], "after Finish"),
        ([wire.Hello(BLOCK, b""), wire.Directory(0, 0, b"a"), wire.End(0, bytes(32))], "entry 0 is no file"),
    ],
)
def test_messages_out_of_turn_are_named(messages: list[wire.FromSender], words: str) -> None:
    machine = Receiving()
    with pytest.raises(Disorder, match=words):
        for message in messages:
            machine.handle(message.encode())


def wanted(size: int, present: int = 0) -> Receiving:
    """A receiver that waits for a file's data."""
    machine = Receiving()
    machine.handle(wire.Hello(BLOCK, b"").encode())
    machine.handle(wire.File(0, 0o644, size, 0, b"a").encode())
    machine.on_opened(0, present, is_final=False)
    return machine


def test_data_that_cannot_be_is_named() -> None:
    for data, words in (
        (wire.Data(0, 0, 100), "no block of 10000 bytes is 100 long at 0"),
        (wire.Data(0, 5, BLOCK), "long at 5"),
        (wire.Data(0, 2 * BLOCK, BLOCK), "is 4096 long at 8192"),
        (wire.Data(0, 4 * BLOCK, 1), "long at 16384"),
    ):
        with pytest.raises(Disorder, match=words):
            wanted(10000).handle(data.encode())
    machine = wanted(10000)
    machine.handle(wire.Data(0, BLOCK, BLOCK).encode())
    with pytest.raises(Disorder, match="a block of 4096 bytes was announced, 9 came"):
        machine.handle(bytes(9))
    machine = wanted(10000)
    machine.handle(wire.Data(0, BLOCK, BLOCK).encode())
    machine.handle(bytes(BLOCK))
    with pytest.raises(Disorder, match="at 0, behind 8192"):
        machine.handle(wire.Data(0, 0, BLOCK).encode())
    machine = wanted(10000, present=BLOCK + 1)
    with pytest.raises(Disorder, match="Blocks up to 2 for entry 0, of which 1 are present"):
        machine.handle(wire.Blocks(0, 0, (bytes(32),) * 2).encode())
    machine.handle(wire.Blocks(0, 0, (bytes(32),)).encode())
    with pytest.raises(Disorder, match="Data for entry 0 in state COMPARING"):
        machine.handle(wire.Data(0, 0, BLOCK).encode())


def test_more_entries_than_allowed_end_the_transfer() -> None:
    machine = Receiving()
    machine.handle(wire.Hello(BLOCK, b"").encode())
    for number in range(receiving.UNSETTLED_MAX):
        machine.handle(wire.Directory(number, 0, b"d").encode())
    with pytest.raises(Disorder, match="while 64 are unsettled"):
        machine.handle(wire.Directory(receiving.UNSETTLED_MAX, 0, b"d").encode())


SMALL = st.integers(0, 3)
SMALL_SENDER = st.one_of(
    st.builds(wire.Directory, SMALL, st.just(0o755), st.sampled_from([b"d", b"..", b""])),
    st.builds(wire.File, SMALL, st.just(0o644), st.integers(0, 2 * BLOCK), st.just(0), st.just(b"a")),
    st.builds(wire.DirectoryEnd, SMALL, st.just(0o755), st.just(0), st.just(b"d")),
    st.builds(wire.Blocks, SMALL, SMALL, st.just((bytes(32),))),
    st.builds(wire.Data, SMALL, st.sampled_from([0, BLOCK]), st.sampled_from([1, BLOCK])),
    st.builds(wire.End, SMALL, st.just(bytes(32))),
    st.builds(wire.Withdraw, SMALL, st.sampled_from(Code), st.just(b"")),
    st.builds(wire.Finish, SMALL),
)


@settings(max_examples=200)
@given(st.lists(SMALL_SENDER.map(lambda it: it.encode()) | st.binary(max_size=9), max_size=40), st.data())
def test_no_sequence_of_messages_harms_a_receiver(messages: list[bytes], data: st.DataObject) -> None:
    pair = Pair({}, Disk(), 0)
    pair.receiving.handle(wire.Hello(BLOCK, b"").encode())
    # The worst that a peer reaches is the end of its own transfer.
    with contextlib.suppress(Disorder, wire.WireError):
        for message in messages:
            pair.receiving.handle(message)
            pair.receiving.check_invariants()
            if data.draw(st.booleans()):
                pair.obey_receiver()
                pair.receiving.check_invariants()
    assert pair.receiving.unsettled <= receiving.UNSETTLED_MAX


SMALL_RECEIVER = st.one_of(
    st.builds(wire.Want, SMALL, st.sampled_from([0, 1, BLOCK, 3 * BLOCK])),
    st.builds(wire.Missing, SMALL, SMALL, st.lists(st.booleans(), min_size=1, max_size=3).map(tuple)),
    st.builds(wire.Again, SMALL),
    st.builds(wire.Settled, SMALL),
    st.builds(wire.Failed, SMALL, st.sampled_from(Code), st.just(b"no")),
    st.builds(wire.Done, SMALL, SMALL),
    FROM_RECEIVER,
)


@settings(max_examples=200)
@given(st.lists(SMALL_RECEIVER, max_size=40), st.integers(0, 1 << 32))
def test_no_sequence_of_messages_harms_a_sender(messages: list[wire.FromReceiver], seed: int) -> None:
    pair = Pair({name: content(3 * BLOCK, 1) for name in (b"a", b"b", b"c")}, Disk(), seed)
    pair.sending.handle(wire.Ready(2).encode())
    blocks = 0
    with contextlib.suppress(Disorder):
        for message in messages:
            pair.offer()
            pair.sending.handle(message.encode())
            pair.sending.check_invariants()
            for _ in range(3):
                pair.obey_sender()
                if (block := pair.sending.next_block()) is not None:
                    assert block.offset + block.length <= 3 * BLOCK
                    blocks += 1
                    pair.sending.on_block_sent(block.entry)
            pair.sending.check_invariants()
    # What was there already may be asked for again, a bounded number of times.
    assert blocks <= 3 * 3 * (receiving.ROUNDS_MAX + 1)
