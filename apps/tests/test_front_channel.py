"""A front end, its event channel and its console as real processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import (
    Agents,
    Command,
    FrontEnd,
    config_text,
    free_port,
    run_command,
    start_command,
    taken_port,
    wait_until,
)

pytestmark = pytest.mark.timeout(90)

STEADY = "[services.scaling]\nhold_remove = 60\n"
SECRET = "secret-of-an-operator-0123"


def begin(front: FrontEnd, agents: Agents, channel: str, *head: str) -> None:
    """A front end over one node, which publishes at `channel`."""
    addresses = {"slave1": agents.start("slave1", "--cores", "1").address}
    lines = "\n".join([f"channel = {json.dumps(channel)}", *head])
    front.start(config_text(front.folder, addresses, {"web": STEADY}, lines))
    wait_until(lambda: all(node["phase"] == "idle" for node in front.state()["nodes"]))


def streamed(front: FrontEnd, path: str = "api/stream", seconds: float = 20) -> Iterator[dict[str, Any]]:
    """What a page is sent, one after the other."""
    deadline = time.monotonic() + seconds
    with urllib.request.urlopen(front.console_url + path, timeout=seconds) as answer:
        for line in answer:
            assert time.monotonic() < deadline
            if line.startswith(b"data: "):
                yield json.loads(line[len(b"data: ") :])


def live(front: FrontEnd) -> dict[str, Any]:
    """What a page that is opened now is sent first."""
    states = streamed(front)
    try:
        return next(states)
    finally:
        states.close()  # type: ignore[attr-defined]


def kinds(state: dict[str, Any]) -> list[str]:
    """Of its decisions, oldest first."""
    return [one["kind"] for one in state["decisions"]]


@contextmanager
def watching(front: FrontEnd, *words: str) -> Iterator[subprocess.Popen[str]]:
    """`clustercore channel watch` on the front end's server."""
    command = [sys.executable, "-m", "clustercore_apps", "channel", "watch", *words, "--json"]
    child = subprocess.Popen([*command, "--server", front.channel_server], stdout=subprocess.PIPE, text=True)
    try:
        yield child
    finally:
        Command(child, []).end(signal.SIGKILL)


def channels(front: FrontEnd, chosen: str = "") -> dict[str, Any]:
    """What the page of channels is told."""
    url = f"{front.console_url}api/channels?channel={chosen}"
    with urllib.request.urlopen(url, timeout=20) as answer:
        return dict(json.load(answer))


def metric(front: FrontEnd, name: str) -> float:
    """The value of one without other labels than the channel."""
    with urllib.request.urlopen(front.console_url + "metrics", timeout=5) as answer:
        text = answer.read().decode()
    (line,) = [line for line in text.splitlines() if line.startswith(name + "{")]
    return float(line.rsplit(" ", 1)[1])


@pytest.mark.parametrize("driver", ["auto", "epoll"])
def test_decisions_go_through_the_channel_to_page_and_terminal(
    front: FrontEnd, agents: Agents, driver: str
) -> None:
    begin(front, agents, "127.0.0.1:0", f'driver = "{driver}"')
    with watching(front, "service", "--filter", 'kind == "add"', "--count", "1") as watch:
        wait_until(lambda: len(channels(front)["chosen"]["consumer_list"]) == 2)
        assert front.post("api/services/web/add", {})[0] == 200
        text, _ = watch.communicate(timeout=30)
    told = json.loads(text)
    assert (told["type"], told["source"], told["name"]) == (
        "clustercore.decision.add",
        "/front/front",
        "slave1",
    )
    assert told["fields"] == {"front": "front", "kind": "add", "service": "web", "node": "slave1"}
    wait_until(lambda: "active" in kinds(live(front)))
    state = live(front)
    assert state["live"]["channel"] == "service" and state["live"]["fault"] == ""
    assert state["live"]["server"] == front.channel_server
    assert kinds(state) == [one["kind"] for one in front.state()["decisions"]], "what the log has"
    wait_until(lambda: live(front)["nodes"][0]["service"] == "web")
    status = run_command("status", "--console", front.console).stdout
    assert f"events in channel service on {front.channel_server}: " in status and " published" in status
    wait_until(lambda: metric(front, "clustercore_channel_waiting") == 0)
    assert metric(front, "clustercore_channel_published_total") > len(kinds(state))
    assert metric(front, "clustercore_channel_discarded_total") == 0


def test_loads_are_reported_again_and_again(front: FrontEnd, agents: Agents) -> None:
    begin(front, agents, "127.0.0.1:0")
    with watching(front, "service.load", "--filter", 'node == "slave1"', "--count", "2") as watch:
        text, _ = watch.communicate(timeout=30)
    for line in text.splitlines():
        told = json.loads(line)
        assert (told["type"], told["source"]) == ("clustercore.node.load", "/front/front/node/slave1")
        assert 0 <= told["fields"]["cpu"] <= 1


def test_page_of_channels_sees_rates_queues_and_why(front: FrontEnd, agents: Agents) -> None:
    begin(front, agents, "127.0.0.1:0")
    emit = ("channel", "emit", "default", "--server", front.channel_server)
    with watching(front, "default", "--name", "auditor", "--acknowledge"):
        states = streamed(front, "api/channels/stream?channel=default")
        wait_until(lambda: next(states)["chosen"]["consumers"] == 1)
        assert run_command(*emit, "--body", "x").returncode == 0
        moved = wait_until(lambda: (one := next(states)["chosen"])["rate_in"] and one)
        assert moved["consumer_list"][0]["name"] == "auditor"
        assert moved["consumer_list"][0]["why"]
        assert moved["supplier_list"][0]["taken"] == 1
        names = [one["name"] for one in next(states)["channels"]]
        assert names == ["default", "service", "service.load"]


def test_server_that_exists_may_go_and_come_back(front: FrontEnd, agents: Agents, tmp_path: Path) -> None:
    port = free_port()
    tokens, token = tmp_path / "tokens", tmp_path / "token"
    tokens.write_text(f"{SECRET}=front:emit,consume,administer\n")
    token.write_text(SECRET)
    for path in (tokens, token):
        path.chmod(0o600)
    serve = ("channel", "serve", "--tcp", f"127.0.0.1:{port}", "--tokens-file", str(tokens))
    server = start_command(1, *serve)
    try:
        begin(front, agents, f"tcp://127.0.0.1:{port}", f'channel_token_file = "{token}"')
        wait_until(lambda: "agent_connected" in kinds(live(front)))
        server.end()
        wait_until(lambda: "127.0.0.1" in live(front)["live"]["fault"])
        assert metric(front, "clustercore_channel_linked") == 0
        assert channels(front)["fault"] != ""
        assert "is lost" in run_command("status", "--console", front.console).stdout
        assert front.post("api/services/web/add", {})[0] == 200, "the front end goes on"
        wait_until(lambda: front.decisions("active"))
        assert "active" not in kinds(live(front)), "the page was not told"
        server = start_command(1, *serve)
        wait_until(lambda: "active" in kinds(live(front)), 30)
        assert live(front)["live"]["fault"] == ""
    finally:
        server.end()


def test_without_a_channel_the_page_has_the_front_ends_own_list(front: FrontEnd, agents: Agents) -> None:
    addresses = {"slave1": agents.start("slave1", "--cores", "1").address}
    front.start(config_text(front.folder, addresses, {"web": STEADY}))
    wait_until(lambda: "agent_connected" in kinds(live(front)))
    assert live(front)["live"] is None
    answer = channels(front)
    assert "no event channel is set" in answer["fault"] and answer["channels"] == []


def test_channels_are_shown_to_whom_the_console_is(front: FrontEnd, agents: Agents, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(SECRET)
    token.chmod(0o600)
    address = agents.start("slave1", "--cores", "1").address
    lines = f'channel = "127.0.0.1:0"\nconsole_token_file = "{token}"'
    front.start(config_text(front.folder, {"slave1": address}, {"web": STEADY}, lines))
    for path in ("api/channels", "api/channels/stream", "channels.js"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(front.console_url + path, timeout=5)
        assert refused.value.code == 401
        refused.value.close()
    request = urllib.request.Request(
        front.console_url + "api/channels", headers={"Authorization": f"Bearer {SECRET}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.load(answer)["fault"] == ""


def test_channel_of_ours_can_have_secrets(front: FrontEnd, agents: Agents, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{SECRET}=ann:consume@service\n")
    tokens.chmod(0o600)
    begin(front, agents, "127.0.0.1:0", f'channel_tokens_file = "{tokens}"')
    ask = ("channel", "list", "--server", front.channel_server)
    assert run_command(*ask).returncode == 2
    token = tmp_path / "token"
    token.write_text(SECRET)
    token.chmod(0o600)
    assert run_command(*ask, "--token-file", str(token)).stdout.split() == ["service"]
    wait_until(lambda: kinds(live(front)), 10)


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "services.toml"
    with taken_port() as port:
        path.write_text(config_text(tmp_path, {}, {"web": ""}, f'channel = "127.0.0.1:{port}"'))
        result = run_command("front", "--config", str(path))
    assert result.returncode == 2
    assert f"event channel cannot listen on 127.0.0.1:{port}" in result.stderr
    assert "change front.channel" in result.stderr and "Traceback" not in result.stderr


def test_front_end_ends_while_a_page_is_open_and_the_last_decision_is_told(
    front: FrontEnd, agents: Agents, tmp_path: Path
) -> None:
    server = start_command(1, "channel", "serve", "--tcp", "127.0.0.1:0", "--open")
    try:
        begin(front, agents, server.address)
        pages = [streamed(front), streamed(front, "api/channels/stream")]
        for page in pages:
            next(page)
        with watching(front, "service", "--filter", 'kind == "ended"', "--count", "1") as watch:
            wait_until(lambda: len(channels(front)["chosen"]["consumer_list"]) == 2)
            assert front.command is not None and front.command.end() == 0
            text, _ = watch.communicate(timeout=30)
        assert json.loads(text)["fields"]["kind"] == "ended"
    finally:
        server.end()
