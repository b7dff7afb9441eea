"""Reliable messages over a wire that loses, doubles, delays and ends, between programs that die and freeze.

Everything owed arrives exactly once, in order on ordered streams, with its content; what may not have arrived
is named.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest
from pair import Pair, Program

COUNT = 1500
FOREVER = str(10**9)
DONE = 300
KINDS = ("ordered", "unordered")

uring_only = pytest.mark.parametrize("pair", ["uring"], indirect=True)
epoll_only = pytest.mark.parametrize("pair", ["epoll"], indirect=True)


@pytest.fixture(params=["uring", "epoll"])
def pair(request: pytest.FixtureRequest, has_namespaces: None) -> Iterator[Pair]:
    """Two namespaces; programs on each kernel driver."""
    pair = Pair(request.param)
    try:
        pair.build()
        yield pair
    finally:
        pair.close()


def all_was_heard(caller: Program, listener: Program, count: int = COUNT, ends: int = 0) -> tuple[dict, dict]:
    """Both ended well, and each has heard all that the other one said."""
    called, listened = caller.expect("gone"), listener.expect("gone", ends)
    whole = dict.fromkeys(KINDS, count)
    assert (called["reason"], called["unconfirmed"]) == ("closed", [])
    assert (listened["reason"], listened["code"]) == ("closed_by_peer", DONE)
    assert called["heard"] == listened["heard"] == called["sent"] == listened["sent"] == whole
    caller.end()
    listener.end()
    return called, listened


@pytest.mark.parametrize("per_cent", [1, 10])
def test_all_arrives_though_trains_are_lost(pair: Pair, per_cent: int) -> None:
    # In turn, not by chance: a train is up to 63 KB, so that few of them pass.
    pair.lose(10 * per_cent, in_turn=True)
    listener, caller = pair.listen(), pair.call()
    called, _ = all_was_heard(caller, listener)
    assert pair.counted("b", "lost") > 0
    assert pair.counted("b", "seen") < called["stats"]["packets_sent"], "they came in trains"
    assert called["stats"]["packets_lost"] > 0


@pytest.mark.parametrize("per_cent", [1, 10])
def test_all_arrives_though_packets_are_lost(pair: Pair, per_cent: int) -> None:
    pair.segments()
    pair.lose(10 * per_cent)
    listener, caller = pair.listen(), pair.call()
    called, listened = all_was_heard(caller, listener)
    for side, peer in (("a", listened), ("b", called)):
        seen, lost = pair.counted(side, "seen"), pair.counted(side, "lost")
        assert seen >= peer["stats"]["packets_sent"], "packets passed one by one"
        assert seen * per_cent / 300 < lost < seen * per_cent / 33, (seen, lost)
    assert called["stats"]["packets_lost"] > 0 and listened["stats"]["packets_lost"] > 0


def test_what_comes_twice_is_heard_once(pair: Pair) -> None:
    pair.duplicate(300)
    listener, caller = pair.listen(), pair.call()
    called, listened = all_was_heard(caller, listener)
    assert called["stats"]["packets_repeated"] > 0 and listened["stats"]["packets_repeated"] > 0


def test_a_narrow_path_with_a_short_queue_carries_all(pair: Pair) -> None:
    pair.limit(30)
    listener, caller = pair.listen(), pair.call()
    called, _ = all_was_heard(caller, listener)
    assert pair.dropped("a") > 0, "the queue was full at times"
    assert called["stats"]["packets_lost"] > 0


def test_a_path_that_goes_away_and_returns(pair: Pair) -> None:
    pair.limit(10)
    listener, caller = pair.listen(), pair.call()
    caller.expect("open")
    listener.expect("open")
    time.sleep(0.5)
    pair.set_path(up=False)
    time.sleep(1.5)
    pair.set_path(up=True)
    time.sleep(0.5)
    pair.lose(1000)
    time.sleep(1.5)
    assert pair.counted("b", "lost") > 0, "it was still under way"
    pair.heal()
    all_was_heard(caller, listener)


@uring_only
def test_of_a_killed_peer_all_is_named_that_it_has_not_heard(pair: Pair) -> None:
    listener = pair.listen("--freeze-after", "2000", "--count", "0")
    caller = pair.call("--count", FOREVER, "--gone-after", "2")
    frozen = listener.expect("frozen")
    listener.kill()
    gone = caller.expect("gone")
    assert gone["reason"] == "silent"
    named = {kind: set() for kind in KINDS}
    for stream, kind, first, last in gone["unconfirmed"]:
        assert stream == 0 and last < gone["sent"][kind]
        named[kind].update(range(first, last + 1))
    heard = {"ordered": set(range(frozen["heard"]["ordered"])), "unordered": set(frozen["numbers"])}
    for kind in KINDS:
        sent = set(range(gone["sent"][kind]))
        assert heard[kind] and heard[kind] < sent, "some was heard, and some not"
        assert sent - heard[kind] <= named[kind], "all is named that was not heard"
        assert sent - named[kind], "and not simply everything"
    caller.end()


@epoll_only
def test_a_peer_that_is_killed_and_started_again_is_told_as_restarted(pair: Pair) -> None:
    listener, caller = pair.listen("--count", "0"), pair.call("--count", FOREVER)
    listener.expect("open")
    time.sleep(0.3)
    listener.kill()
    again = pair.listen("--count", "0")
    gone = caller.expect("gone")
    assert gone["reason"] == "restarted"
    for kind in KINDS:
        last = max(last for _, of, _, last in gone["unconfirmed"] if of == kind)
        assert last == gone["sent"][kind] - 1, "nobody is left who could have heard the last one"
    caller.end()
    # What was under way to the one before does not reach the new one.
    assert [told["event"] for told in again.told] == ["bound"]


@uring_only
def test_a_caller_that_is_killed_and_started_again_begins_anew(pair: Pair) -> None:
    listener, first = pair.listen("--ends", "2", "--count", str(COUNT)), pair.call("--count", FOREVER)
    listener.expect("open")
    time.sleep(0.3)
    first.kill()
    second = pair.call("--count", str(COUNT))
    gone = listener.expect("gone")
    assert gone["reason"] == "restarted"
    assert gone["heard"]["ordered"] > 0
    all_was_heard(second, listener, ends=1)


@epoll_only
def test_a_caller_that_is_killed_is_missed(pair: Pair) -> None:
    listener, caller = pair.listen("--idle-timeout", "2", "--count", "10"), pair.call("--count", "10000")
    listener.expect("open")
    time.sleep(0.3)
    caller.kill()
    gone = listener.expect("gone")
    assert gone["reason"] == "silent"
    listener.end()


@uring_only
def test_a_listener_that_stands_still_is_waited_for(pair: Pair) -> None:
    pair.limit(30)
    listener, caller = pair.listen(), pair.call()
    listener.expect("open")
    time.sleep(0.2)
    listener.signal(signal.SIGSTOP)
    time.sleep(2)
    assert not any(told["event"] == "gone" for told in caller.told)
    listener.signal(signal.SIGCONT)
    all_was_heard(caller, listener)


@epoll_only
def test_a_caller_that_stands_still_goes_on_where_it_was(pair: Pair) -> None:
    pair.limit(30)
    listener, caller = pair.listen(), pair.call()
    caller.expect("open")
    time.sleep(0.2)
    caller.signal(signal.SIGSTOP)
    time.sleep(2)
    assert not any(told["event"] == "gone" for told in listener.told)
    caller.signal(signal.SIGCONT)
    all_was_heard(caller, listener)


@uring_only
def test_who_was_given_up_learns_of_it_when_it_goes_on(pair: Pair) -> None:
    # The listener outlives its first connection, so that somebody can say that it is not known any more.
    listener, caller = pair.listen("--ends", "2", "--gone-after", "2"), pair.call("--count", FOREVER)
    caller.expect("open")
    time.sleep(0.3)
    caller.signal(signal.SIGSTOP)
    assert listener.expect("gone")["reason"] == "silent"
    caller.signal(signal.SIGCONT)
    assert caller.expect("gone")["reason"] == "restarted"
    caller.end()
