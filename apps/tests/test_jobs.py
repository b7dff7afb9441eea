"""Message mode through the whole product: agents, job handlers, a front end, and what each survives."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Agents, FrontEnd, config_text, get, is_alive, wait_until

from clustercore_apps.errors import AgentError
from clustercore_apps.service.job_handler import find_program

pytestmark = pytest.mark.timeout(90)

SERVICE = """
transport = "messages"
local = false
minimum = 1
"""


@pytest.fixture(autouse=True)
def programs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Finds the program where it was built, when nobody says where."""
    built = Path(__file__).parents[2] / "target" / "release"
    if "CLUSTERCORE_PROGRAMS" not in os.environ:
        monkeypatch.setenv("CLUSTERCORE_PROGRAMS", str(built))
    yield


def serving(front: FrontEnd, agents: Agents, tmp_path: Path) -> dict[str, Any]:
    """A front end with one back end in message mode that has answered; the agent's state."""
    address = agents.start("slave1").address
    front.start(config_text(tmp_path, {"slave1": address}, {"web": SERVICE}))
    wait_until(lambda: front.children() == {"slave1": "active"}, 20)
    status, _, name = get(front.service_urls["web"])
    assert (status, name) == (200, "slave1")
    return agents.state("slave1")


def stats(front: FrontEnd) -> dict[str, int]:
    row = front.state()["services"][0]["stats"]
    return {key: int(value) for key, value in row.items()}


def test_requests_go_by_messages_and_an_agents_restart_loses_none(
    front: FrontEnd, agents: Agents, tmp_path: Path
) -> None:
    before = serving(front, agents, tmp_path)
    listen = agents.commands["slave1"].address
    agents.commands["slave1"].end(signal.SIGKILL)
    for _ in range(10):
        assert get(front.service_urls["web"])[0] == 200
    agents.start("slave1", listen=listen)
    after = agents.state("slave1")
    assert after["job"]["pid"] == before["job"]["pid"], "found again"
    for _ in range(10):
        assert get(front.service_urls["web"])[0] == 200
    wait_until(lambda: stats(front)["job_requests"] >= 21)
    assert stats(front)["job_fallbacks"] == 0 and stats(front)["backend_connects"] == 0


def test_a_job_handler_that_is_killed_is_replaced_and_tcp_serves_meanwhile(
    front: FrontEnd, agents: Agents, tmp_path: Path
) -> None:
    before = serving(front, agents, tmp_path)
    os.kill(before["job"]["pid"], signal.SIGKILL)
    for _ in range(5):
        assert get(front.service_urls["web"])[0] == 200
    wait_until(lambda: front.decisions("path_restored"), 20)
    assert front.decisions("path_broken")
    after = agents.state("slave1")["job"]
    assert after["pid"] != before["job"]["pid"] and after["port"] == before["job"]["port"]
    assert front.decisions("failed") == []


def test_the_job_handler_ends_with_its_service(front: FrontEnd, agents: Agents, tmp_path: Path) -> None:
    state = serving(front, agents, tmp_path)
    front.end()
    wait_until(lambda: not is_alive(state["job"]["pid"]) and not is_alive(state["instance"]["pid"]))
    assert agents.state("slave1")["job"] is None


def test_without_the_program_it_serves_by_tcp_and_says_so(
    front: FrontEnd, agents: Agents, tmp_path: Path
) -> None:
    address = agents.start("slave1", "--job-program", "/nowhere/clustercore-job").address
    front.start(config_text(tmp_path, {"slave1": address}, {"web": SERVICE}))
    wait_until(lambda: front.children() == {"slave1": "active"}, 20)
    assert get(front.service_urls["web"])[0] == 200
    broken = front.decisions("path_broken")
    assert len(broken) == 1 and "no job handler" in broken[0]["reason"]
    wait_until(lambda: stats(front)["backend_connects"] >= 1)


def test_the_program_is_found_where_it_is_said_to_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert find_program("/given/first") == "/given/first"
    program = tmp_path / "clustercore-job"
    program.touch()
    monkeypatch.setenv("CLUSTERCORE_PROGRAMS", str(tmp_path))
    assert find_program("") == str(program)
    monkeypatch.setenv("CLUSTERCORE_PROGRAMS", str(tmp_path / "nothing"))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(AgentError, match="not on PATH"):
        find_program("")
