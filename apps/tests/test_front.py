"""A front end with the real core in front of real services: alone, with borrowed back ends, with faults."""

from __future__ import annotations

import concurrent.futures
import os
import re
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import Agents, FrontEnd, config_text, get, is_alive, run_command, wait_until

pytestmark = pytest.mark.timeout(90)

EXAMPLE = Path(__file__).parent.parent / "examples" / "services.toml"
QUICK = """
[services.thresholds]
medium_per_core = 1
high_per_core = 2
[services.scaling]
hold_add = 0.05
hold_remove = 0.5
cool_down = 0.1
[services.deadlines]
drain = 5
"""
STEADY = QUICK.replace("hold_remove = 0.5", "hold_remove = 60")


class Pressure:
    """So many clients that ask again and again until told to stop."""

    def __init__(self, url: str, clients: int) -> None:
        self.answers: list[tuple[int, str]] = []
        self._url = url
        self._stop = threading.Event()
        self._pool = concurrent.futures.ThreadPoolExecutor(clients)
        self._work = [self._pool.submit(self._ask) for _ in range(clients)]

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                status, _, name = get(self._url)
            except (OSError, urllib.error.URLError) as error:
                status, name = 0, str(error)
            self.answers.append((status, name))

    def end(self) -> None:
        """Stops and raises what the clients met."""
        self._stop.set()
        self._pool.shutdown()
        for work in self._work:
            work.result()


@contextmanager
def pressure(url: str, clients: int = 8) -> Iterator[Pressure]:
    """Clients that go on while the block runs."""
    made = Pressure(url, clients)
    try:
        yield made
    finally:
        made.end()


def begin(front: FrontEnd, agents: Agents, nodes: int, text: str = QUICK, head: str = "") -> str:
    """A front end with one service over so many nodes; returns the service's address."""
    addresses = {
        f"slave{number}": agents.start(f"slave{number}", "--cores", "1").address for number in range(nodes)
    }
    front.start(config_text(front.folder, addresses, {"web": text}, head))
    wait_until(lambda: all(node["phase"] == "idle" for node in front.state()["nodes"]))
    return front.service_urls["web"]


def pid_of(agents: Agents, node: str) -> int:
    """The service process on a node."""
    return int(agents.state(node)["instance"]["pid"])


def active(front: FrontEnd, count: int, service: str = "web") -> list[str]:
    """The nodes of the service once it has so many active ones."""

    def nodes() -> list[str] | None:
        found = [node for node, state in front.children(service).items() if state == "active"]
        return found if len(found) == count else None

    return list(wait_until(nodes, 20)) if count else []


def test_front_end_serves_alone_while_load_is_low(front: FrontEnd, agents: Agents) -> None:
    url = begin(front, agents, 1)
    assert get(url) == (200, "served by web-local\n", "web-local")
    assert front.state()["services"][0]["serving"] == "local"
    assert front.decisions("add") == []


def test_back_ends_are_borrowed_under_load_and_given_back(front: FrontEnd, agents: Agents) -> None:
    url = begin(front, agents, 2)
    with pressure(url + "/wait/100") as clients:
        names = active(front, 2)
    wait_until(lambda: front.children() == {}, 30)
    assert {status for status, _ in clients.answers} == {200}
    assert set(names) <= {name for _, name in clients.answers}
    adds, stops = front.decisions("add"), front.decisions("stopped")
    assert len(adds) == len(stops) == 2
    assert all(one["reason"] for one in adds)
    order = [one["kind"] for kind in ("drain", "drained", "stopped") for one in front.decisions(kind)]
    assert order == ["drain", "drain", "drained", "drained", "stopped", "stopped"]
    assert all(agents.state(node)["instance"] is None for node in names)
    wait_until(lambda: get(url)[2] == "web-local")


SCALING = "[services.scaling]\nhold_add = 0.05\nhold_remove = 0.5\ncool_down = 0.1\n"


def test_latency_can_be_the_load(front: FrontEnd, agents: Agents) -> None:
    levels = 'load_signal = "latency"\n[services.thresholds]\nmedium_ms = 20\nhigh_ms = 60\n'
    url = begin(front, agents, 1, levels + SCALING)
    with pressure(url + "/wait/100", clients=2):
        active(front, 1)
        child = wait_until(lambda: [c for c in front.state()["services"][0]["children"] if c["load"] > 60])[0]
        assert child["level"] == "high", "as sampled, though the core is told a little less"
    wait_until(lambda: front.children() == {}, 30)
    (added,) = front.decisions("add")
    assert re.search(r"the front end has a response time of [\d.]+ ms, High from 60 ms", added["reason"])
    status = run_command("status", "--console", front.console)
    assert "load by latency: Medium from 20, High from 60 ms" in status.stdout


def test_cpu_use_can_be_the_load(front: FrontEnd, agents: Agents) -> None:
    levels = 'load_signal = "cpu"\n[services.thresholds]\nmedium_percent = 10\nhigh_percent = 30\n'
    url = begin(front, agents, 1, levels + SCALING)
    with pressure(url + "/wait/100", clients=8):
        # Many requests in flight that cost nothing are no load.
        wait_until(lambda: front.state()["services"][0]["local"]["in_flight"] == 8)
    with pressure(url + "/work/40", clients=2) as clients:
        active(front, 1)
        wait_until(lambda: front.state()["services"][0]["children"][0]["load"] > 10)
    assert {status for status, _ in clients.answers} == {200}
    wait_until(lambda: front.children() == {}, 30)
    added = front.decisions("add")[0]
    assert re.search(r"the front end has \d+ % of its CPU busy, High from 30 %", added["reason"])


def test_thresholds_are_learnt_and_the_change_is_logged(front: FrontEnd, agents: Agents) -> None:
    url = begin(front, agents, 1, 'thresholds = "auto"\n')
    with pressure(url + "/wait/20", clients=6):
        # Six at once take no longer than one: thresholds rise.
        learnt = wait_until(lambda: front.decisions("thresholds"), 30)[-1]
        service = front.state()["services"][0]
    assert learnt["reason"].startswith("learnt: Medium from ")
    assert learnt["figures"]["medium_per_core"] > 2
    assert service["thresholds"] == "auto"
    assert service["medium"] >= learnt["figures"]["medium_per_core"] or service["high"] > 8


def test_by_hand_add_drain_remove(front: FrontEnd, agents: Agents) -> None:
    begin(front, agents, 2, STEADY)
    added = run_command("add", "web", "--console", front.console)
    assert added.returncode == 0, added.stderr
    (node,) = active(front, 1)
    assert added.stdout.strip() == f"web is being started on {node}"
    assert get(front.service_urls["web"])[2] == node
    status = run_command("status", "--console", front.console)
    assert node in status.stdout
    assert "by hand" in status.stdout
    top = run_command("top", "--console", front.console, "--rounds", "2", "--interval", "0.1")
    assert (top.returncode, node in top.stdout) == (0, True)
    assert run_command("drain", "web", node, "--console", front.console).returncode == 0
    wait_until(lambda: front.children() == {})
    front.post("api/services/web/add", {})
    (node,) = active(front, 1)
    assert run_command("remove", "web", node, "--console", front.console).returncode == 0
    wait_until(lambda: front.children() == {})
    assert get(front.service_urls["web"])[2] == "web-local"


def test_by_hand_what_cannot_be_is_one_clear_line(front: FrontEnd, agents: Agents) -> None:
    begin(front, agents, 1, STEADY)
    for arguments, words in [
        (("drain", "web", "slave7"), 'has no back end on "slave7"; it has: none'),
        (("add", "mail"), 'there is no service "mail"; there are: web'),
    ]:
        result = run_command(*arguments, "--console", front.console)
        assert (result.returncode, result.stderr.count("\n")) == (2, 1)
        assert words in result.stderr
    assert run_command("add", "web", "--console", front.console).returncode == 0
    again = run_command("add", "web", "--console", front.console)
    assert (again.returncode, "gets no node" in again.stderr) == (2, True)


def test_killed_service_is_replaced_and_requests_go_on(front: FrontEnd, agents: Agents) -> None:
    url = begin(front, agents, 2, STEADY)
    front.post("api/services/web/add", {})
    (node,) = active(front, 1)
    with pressure(url + "/wait/20", 6) as clients:
        os.kill(pid_of(agents, node), signal.SIGKILL)
        wait_until(lambda: [one["node"] for one in front.decisions("failed")] == [node])
        wait_until(lambda: "active" in front.children().values(), 20)
    # Requests in flight at the moment of the kill may be retried elsewhere: they are idempotent.
    assert {status for status, _ in clients.answers} == {200}
    assert "killed by SIGKILL" in front.decisions("failed")[0]["reason"]


def test_agent_killed_and_restarted_does_not_touch_the_service(front: FrontEnd, agents: Agents) -> None:
    url = begin(front, agents, 1, STEADY)
    front.post("api/services/web/add", {})
    (node,) = active(front, 1)
    pid, address = pid_of(agents, node), agents.commands[node].address
    with pressure(url + "/wait/5", 2) as clients:
        agents.commands[node].end(signal.SIGKILL)
        wait_until(lambda: front.decisions("agent_lost"))
        agents.start(node, "--cores", "1", listen=address)
        wait_until(lambda: len(front.decisions("agent_connected")) == 2)
        asked = len(clients.answers)
        wait_until(lambda: len(clients.answers) > asked + 20)
    assert set(clients.answers) == {(200, node)}
    assert is_alive(pid)
    assert front.children() == {node: "active"}
    assert front.decisions("failed") == []


def test_back_end_is_given_up_before_its_lease_lapses(front: FrontEnd, agents: Agents) -> None:
    url = begin(front, agents, 1, STEADY, "lease_seconds = 2")
    front.post("api/services/web/add", {})
    (node,) = active(front, 1)
    with pressure(url + "/wait/5", 2) as clients:
        agents.commands[node].end(signal.SIGKILL)
        wait_until(lambda: front.children() == {}, 20)
        wait_until(lambda: clients.answers[-1] == (200, "web-local"))
    assert {status for status, _ in clients.answers} == {200}
    assert "lease could not be renewed" in front.decisions("drain")[0]["reason"]


def test_dead_front_end_loses_its_leases_and_nothing_is_left(front: FrontEnd, agents: Agents) -> None:
    begin(front, agents, 1, STEADY, "lease_seconds = 1")
    front.post("api/services/web/add", {})
    (node,) = active(front, 1)
    pid = pid_of(agents, node)
    assert front.command is not None
    front.command.end(signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), 20)
    wait_until(lambda: agents.state(node)["leases"]["lease"] is None)


def test_restarted_front_end_takes_its_nodes_back(front: FrontEnd, agents: Agents) -> None:
    begin(front, agents, 1, STEADY, "lease_seconds = 60")
    front.post("api/services/web/add", {})
    (node,) = active(front, 1)
    assert front.command is not None
    front.command.end(signal.SIGKILL)
    address = agents.commands[node].address
    front.start(config_text(front.folder, {node: address}, {"web": STEADY}))
    wait_until(lambda: front.decisions("reclaimed"))
    wait_until(lambda: front.state()["nodes"][0]["phase"] == "idle")
    assert front.post("api/services/web/add", {})[0] == 200
    active(front, 1)


def test_orderly_end_gives_everything_back(front: FrontEnd, agents: Agents) -> None:
    begin(front, agents, 1, STEADY)
    front.post("api/services/web/add", {})
    (node,) = active(front, 1)
    pids = [pid_of(agents, node), front.state()["services"][0]["local"]["pid"]]
    assert front.command is not None
    assert front.command.end() == 0
    assert not any(is_alive(pid) for pid in pids)
    assert agents.state(node)["leases"]["lease"] is None


@pytest.mark.skipif(not Path("/usr/sbin/nginx").exists(), reason="nginx is not installed")
def test_example_configuration_serves_with_nginx(front: FrontEnd, agents: Agents) -> None:
    text = (
        EXAMPLE.read_text()
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("127.0.0.1:8090", "127.0.0.1:0")
        .replace("127.0.0.1:7420", "127.0.0.1:0")
    )
    for number in (1, 2, 3):
        address = agents.start(f"slave{number}", listen=f"127.0.0.{number + 1}:0").address
        text = text.replace(f"127.0.0.{number + 1}:7400", address)
    front.start(text.replace("/tmp/cc/front", str(front.folder / "state")))
    wait_until(lambda: all(node["phase"] == "idle" for node in front.state()["nodes"]))
    assert get(front.service_urls["web"])[1] == "served by web-local\n"
    assert front.post("api/services/web/add", {})[0] == 200
    (node,) = active(front, 1)
    assert get(front.service_urls["web"])[1] == f"served by {node}\n"


def test_start_that_fails_is_told_and_the_node_waits(front: FrontEnd, agents: Agents) -> None:
    node = agents.start("slave0", "--allow-program", "/bin/true").address
    front.start(config_text(front.folder, {"slave0": node}, {"web": QUICK}))
    wait_until(lambda: front.state()["nodes"][0]["phase"] == "idle")
    front.post("api/services/web/add", {})
    wait_until(lambda: front.decisions("failed"))
    assert "not among the programs allowed" in front.decisions("failed")[0]["reason"]
    wait_until(lambda: front.children() == {})
    assert front.state()["nodes"][0]["back_off_seconds"] > 0
    assert get(front.service_urls["web"])[0] == 200


def test_local_instance_that_dies_is_started_again(front: FrontEnd, agents: Agents) -> None:
    url = begin(front, agents, 0)
    pid = front.state()["services"][0]["local"]["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: front.decisions("back"))
    assert get(url)[0] == 200
    assert front.state()["services"][0]["local"]["pid"] not in (0, pid)


def test_minimum_is_kept_without_load(front: FrontEnd, agents: Agents) -> None:
    addresses = {name: agents.start(name, "--cores", "1").address for name in ("slave0", "slave1")}
    front.start(config_text(front.folder, addresses, {"web": "minimum = 1\n" + QUICK}))
    (node,) = active(front, 1)
    assert get(front.service_urls["web"])[2] == node


def test_services_share_one_pool_by_weight(front: FrontEnd, agents: Agents) -> None:
    addresses = {name: agents.start(name, "--cores", "1").address for name in ("slave0", "slave1", "slave2")}
    services = {"big": "weight = 2\n" + STEADY, "small": "weight = 1\n" + STEADY}
    front.start(config_text(front.folder, addresses, services), services=2)
    wait_until(lambda: all(node["phase"] == "idle" for node in front.state()["nodes"]))
    with pressure(front.service_urls["small"] + "/wait/50", 12) as small:
        active(front, 3, "small")
        with pressure(front.service_urls["big"] + "/wait/50", 12) as big:
            active(front, 2, "big")
            active(front, 1, "small")
    assert front.decisions("revoke")
    assert {status for status, _ in small.answers + big.answers} == {200}


@pytest.fixture
def lone(front: FrontEnd, agents: Agents) -> FrontEnd:
    """A front end without nodes, for questions to its console."""
    begin(front, agents, 0)
    return front


def fetch(url: str, **headers: str) -> tuple[int, str, Any]:
    """Status, body and headers."""
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers


def test_console_answers_machines(lone: FrontEnd) -> None:
    assert fetch(lone.console_url + "healthz")[:2] == (200, '{"status":"ok"}')
    assert fetch(lone.console_url + "readyz")[:2] == (200, '{"status":"ready"}')
    status, text, headers = fetch(lone.console_url + "metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=")
    assert re.search(r'^clustercore_serving_local\{service="web"\} 1\.0$', text, re.M)
    with urllib.request.urlopen(lone.console_url + "api/stream", timeout=5) as stream:
        assert stream.readline().startswith(b'data: {"front":')


def test_console_is_closed_to_foreign_pages(lone: FrontEnd) -> None:
    path = "api/services/web/add"
    ok = {"Content-Type": "application/json", "X-Clustercore": "1"}
    assert lone.post(path, {}, {"Content-Type": "application/json"})[0] == 403
    assert lone.post(path, {}, {"Content-Type": "text/plain", "X-Clustercore": "1"})[0] == 415
    assert lone.post(path, {}, {**ok, "Origin": "http://evil.example"})[0] == 403
    assert lone.post(path, {}, {**ok, "Host": "evil.example"})[0] == 421
    assert fetch(lone.console_url + "api/state", Host="evil.example:80")[0] == 421
    assert fetch(lone.console_url + path)[0] == 405
    assert lone.post("api/services/web/dance", {})[0] == 400
    assert lone.post("api/services/web/drain", {"node": 7})[0] == 400
    assert lone.post("api/services/web/drain", ["x" * 5000])[0] == 400
    policy = fetch(lone.console_url)[2]["content-security-policy"]
    assert "default-src 'self'" in policy


def test_console_with_a_token_wants_it(front: FrontEnd, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a-token-of-enough-length\n")
    token.chmod(0o600)
    front.start(config_text(front.folder, {}, {"web": QUICK}, 'console_token_file = "token"'))
    assert fetch(front.console_url + "api/state")[0] == 401
    assert fetch(front.console_url + "healthz")[0] == 200
    assert fetch(front.console_url + "api/state", Authorization="Bearer wrong")[0] == 401
    assert fetch(front.console_url + "api/state", Authorization="Bearer a-token-of-enough-length")[0] == 200
    _, page, headers = fetch(front.console_url + "?token=a-token-of-enough-length")
    assert "<title>clustercore</title>" in page
    cookie = headers["set-cookie"].split(";")[0]
    assert "a-token" not in cookie
    assert fetch(front.console_url + "api/state", Cookie=cookie)[0] == 200
    assert run_command("status", "--console", front.console).returncode == 2
    with_token = run_command("status", "--console", front.console, "--token-file", str(token))
    assert with_token.returncode == 0
