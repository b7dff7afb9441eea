"""Which node is borrowed, and when it may be borrowed again."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from conftest import config_text

from clustercore_apps.service.config import parse_config
from clustercore_apps.service.decisions import EventLog
from clustercore_apps.service.nodes import BACK_OFF_SECONDS_MAX, Loan, Nodes


def make(tmp_path: Path, count: int, services: dict[str, str]) -> Nodes:
    """Nodes whose agents look connected and idle."""
    agents = {f"slave{number}": f"127.0.0.1:{7400 + number}" for number in range(count)}
    nodes = Nodes(
        parse_config(config_text(tmp_path, agents, services), tmp_path / "f"), EventLog(None, 65536)
    )
    for node in nodes.all.values():
        node.link.connected, node.phase = True, "idle"
    return nodes


def borrow(nodes: Nodes, service: str = "web") -> Loan:
    loan = nodes.borrow(time.monotonic(), service)
    assert isinstance(loan, Loan), loan
    return loan


def test_least_loaded_node_is_borrowed_first(tmp_path: Path) -> None:
    nodes = make(tmp_path, 3, {"web": ""})
    for name, cpu in (("slave0", 0.9), ("slave1", 0.1), ("slave2", 0.5)):
        nodes.all[name].load = {"cpu_node": cpu}
    assert [borrow(nodes).node.name for _ in range(3)] == ["slave1", "slave2", "slave0"]


def test_place_in_the_pool_follows_the_node(tmp_path: Path) -> None:
    nodes = make(tmp_path, 3, {"web": ""})
    nodes.all["slave2"].load = {"cpu_node": -1.0}
    loans = [borrow(nodes) for _ in range(3)]
    nodes.give_back(loans[0], failed=False)
    assert borrow(nodes).node.name == "slave2"
    assert len({node.place for node in nodes.all.values()}) == 3
    for loan in loans[1:]:
        nodes.renewed(loan, time.monotonic())
        nodes.give_back(loan, failed=False)
    assert {borrow(nodes).node.name for _ in range(2)} == {"slave0", "slave1"}


def test_node_that_cannot_be_used_is_not_borrowed(tmp_path: Path) -> None:
    nodes = make(tmp_path, 3, {"web": ""})
    nodes.all["slave0"].link.connected = False
    nodes.all["slave1"].held_by = "another front end"
    assert borrow(nodes).node.name == "slave2"
    assert isinstance(nodes.borrow(time.monotonic(), "web"), str)
    nodes.all["slave1"].held_by = ""
    assert borrow(nodes).node.name == "slave1"


def test_node_that_failed_waits_longer_each_time(tmp_path: Path) -> None:
    nodes = make(tmp_path, 1, {"web": ""})
    node = nodes.all["slave0"]
    pauses = []
    for _ in range(9):
        nodes.give_back(borrow(nodes), failed=True)
        assert isinstance(nodes.borrow(time.monotonic(), "web"), str)
        pauses.append(round(node.usable_from - time.monotonic()))
        node.usable_from = 0.0
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert pauses[-1] == BACK_OFF_SECONDS_MAX
    nodes.give_back(borrow(nodes), failed=False)
    assert node.failures == 0


def test_tokens_grow_beyond_those_that_agents_have_seen(tmp_path: Path) -> None:
    nodes = make(tmp_path, 1, {"web": ""})
    seen = nodes.next_fence() + 1000
    nodes._on_instance(nodes.all["slave0"], {"phase": "idle", "fence_highest": seen})
    assert nodes.next_fence() > seen


def test_maximum_is_the_pools_word(tmp_path: Path) -> None:
    nodes = make(tmp_path, 2, {"web": "maximum = 1"})
    borrow(nodes)
    assert isinstance(nodes.borrow(time.monotonic(), "web"), str)


@pytest.mark.parametrize(
    ("services", "expected"), [({"a": "", "b": ""}, 1), ({"a": "", "b": "minimum = 1"}, 1)]
)
def test_short_pool_is_called_back_for_the_one_with_less(
    tmp_path: Path, services: dict[str, str], expected: int
) -> None:
    nodes = make(tmp_path, 2, services)
    held = [nodes.borrow(time.monotonic(), "a") for _ in range(2)]
    loans = [loan for loan in held if isinstance(loan, Loan)]
    answer = nodes.borrow(time.monotonic(), "b")
    if isinstance(answer, tuple):
        other, name = answer
        assert other == "a"
        loan = nodes.loan_of(name)
        assert loan is not None
        nodes.give_back(loan, failed=False)
        loans.remove(loan)
        answer = nodes.borrow(time.monotonic(), "b")
    assert isinstance(answer, Loan)
    assert len(loans) == expected
