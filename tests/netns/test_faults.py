"""Slaves that die, freeze and come back, and wires that lose packets: an answer taken for whole is whole."""

from __future__ import annotations

import signal
import time

from conftest import SLAVES, Net, seen


def test_everything_is_served_by_all(net: Net) -> None:
    small, large = net.load("small", 2), net.load("large", 2)
    for load in (small, large):
        outcome = seen(load)
        whole = outcome.pop("whole")
        shares = [outcome.pop(f"from {address}") for address in SLAVES]
        assert outcome == {}
        assert sum(shares) == whole
        assert min(shares) > whole // 6, "in turn"


def test_a_killed_slave_costs_no_get_that_had_not_begun(net: Net) -> None:
    load = net.load("small", 4)
    time.sleep(1)
    net.signal(SLAVES[0], signal.SIGKILL)
    time.sleep(1)
    net.start_slave(SLAVES[0])
    outcome = seen(load)
    assert outcome["whole"] > 100
    assert "wrong" not in outcome
    # A small answer comes in one piece: either nothing of it came, and it was asked for elsewhere, or all.
    assert {name for name in outcome if not name.startswith("from ")} == {"whole"}, outcome
    again = seen(net.load("small", 1))
    assert again[f"from {SLAVES[0]}"] > 0, "it is used again"


def test_death_within_a_large_answer_is_never_taken_for_its_end(net: Net) -> None:
    load = net.load("large", 5, connections=16)
    for _ in range(3):
        time.sleep(0.7)
        net.signal(SLAVES[1], signal.SIGKILL)
        time.sleep(0.3)
        net.start_slave(SLAVES[1])
    outcome = seen(load)
    assert outcome["whole"] > 100
    assert "wrong" not in outcome
    # Sixteen connections, three deaths: no more were cut than could be within an answer.
    assert sum(count for name, count in outcome.items() if name.startswith("error")) <= 48, outcome
    assert not any(name.startswith("status 2") for name in outcome)


def test_a_frozen_slave_answers_when_it_is_awake_again(net: Net) -> None:
    load = net.load("small", 4, connections=32)
    time.sleep(1)
    net.signal(SLAVES[2], signal.SIGSTOP)
    time.sleep(1.5)
    net.signal(SLAVES[2], signal.SIGCONT)
    outcome = seen(load)
    assert {name for name in outcome if not name.startswith("from ")} == {"whole"}, outcome
    assert outcome[f"from {SLAVES[2]}"] > 0


def test_one_per_cent_loss_loses_no_answer(net: Net) -> None:
    for address in SLAVES:
        net.lose(address, 1)
    small, large = net.load("small", 3), net.load("large", 3)
    for load in (small, large):
        outcome = seen(load)
        assert {name for name in outcome if not name.startswith("from ")} == {"whole"}, outcome
        assert outcome["whole"] > 20


def test_a_path_that_goes_away_and_returns(net: Net) -> None:
    load = net.load("small", 8, connections=16)
    time.sleep(1)
    net.set_path(SLAVES[0], up=False)
    time.sleep(3)
    net.set_path(SLAVES[0], up=True)
    outcome = seen(load)
    assert "wrong" not in outcome
    assert outcome["whole"] > 100
    assert {name for name in outcome if not name.startswith("from ")} == {"whole"}, outcome
    again = seen(net.load("small", 1))
    assert all(again.get(f"from {address}", 0) > 0 for address in SLAVES), again
