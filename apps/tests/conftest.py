"""Agents and front ends as real processes, each in a folder of its own, all ended by their pid."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from clustercore_apps.service import process

READY_SECONDS = 20.0

# How long an input takes says something about the machine, not about the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def wait_until(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """The first true value of `condition`, which is asked until the deadline."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {condition}"
        time.sleep(0.02)
    return value


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Command:
    """A running `clustercore` command."""

    process: subprocess.Popen[str]
    lines: list[str]

    @property
    def address(self) -> str:
        """What the last line that was read ends with."""
        return self.lines[-1].rsplit(" ", 1)[-1]

    def end(self, number: int = signal.SIGTERM) -> int:
        """Sends the signal and waits."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.communicate(timeout=30)
        return self.process.returncode


def start_command(lines: int, *arguments: str) -> Command:
    """Starts `clustercore` and reads so many lines of its output."""
    child = subprocess.Popen(
        [sys.executable, "-m", "clustercore_apps", *arguments], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    read = [child.stdout.readline().strip() for _ in range(lines)]
    if not all(read):
        child.kill()
        child.communicate()
        pytest.fail(f"clustercore {' '.join(arguments)} said {read}")
    return Command(child, read)


def run_command(*arguments: str, seconds: float = 30) -> subprocess.CompletedProcess[str]:
    """Runs `clustercore` to its end."""
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", "clustercore_apps", *arguments],
        capture_output=True,
        text=True,
        timeout=seconds,
        env=environment,
    )


SAMPLE = [
    sys.executable,
    "-m",
    "clustercore_apps.demo.sample_service",
    "{address}",
    "{port}",
    "{name}",
]
PYTHON_PATH = os.pathsep.join(entry for entry in sys.path if entry)


class Agents:
    """Agents of one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commands: dict[str, Command] = {}

    def start(self, name: str, *arguments: str, listen: str = "127.0.0.1:0") -> Command:
        """Starts (or, with the same name, restarts over the same state) an agent."""
        state = ("--state-dir", str(self.folder / name))
        fixed = ("--name", name, "--listen", listen, "--report-interval", "0.1", *state)
        self.commands[name] = start_command(1, "node", *fixed, *arguments)
        return self.commands[name]

    def state(self, name: str) -> dict[str, Any]:
        """Its state file."""
        return dict(json.loads((self.folder / name / "agent.json").read_text()))

    def end_all(self) -> None:
        """Ends the agents, then whatever they left running."""
        for command in self.commands.values():
            command.end(signal.SIGKILL)
        for path in self.folder.glob("*/agent.json"):
            state = json.loads(path.read_text())
            end_instance(state.get("job"))
            end_instance(state["instance"])


def end_instance(instance: dict[str, Any] | None) -> None:
    """Ends the session of a service that a state file names."""
    if instance is not None:
        identity = process.Identity(instance["pid"], instance["start_ticks"], instance["boot_id"])
        process.kill_session(identity)


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[Agents]:
    """Makes agents; ends them and their services."""
    made = Agents(tmp_path / "agents")
    made.folder.mkdir()
    try:
        yield made
    finally:
        made.end_all()


class FrontEnd:
    """A front end with its own configuration, and ways to look at it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.command: Command | None = None
        self.service_urls: dict[str, str] = {}
        self.console_url = ""
        self.channel_server = ""

    def start(self, text: str, services: int = 1) -> None:
        """Starts with the configuration `text`."""
        path = self.folder / "services.toml"
        path.write_text(text)
        has_channel = "\nchannel = " in text
        self.command = start_command(services + has_channel + 1, "front", "--config", str(path))
        for line in self.command.lines[:services]:
            _, name, _, address = line.split(" ", 3)
            self.service_urls[name] = f"http://{address}"
        if has_channel:
            self.channel_server = self.command.lines[services].rsplit(" ", 1)[-1]
        self.console_url = self.command.address

    @property
    def console(self) -> str:
        """`host:port` of the console."""
        return self.console_url.removeprefix("http://").rstrip("/")

    def state(self) -> dict[str, Any]:
        """The console's snapshot."""
        with urllib.request.urlopen(self.console_url + "api/state", timeout=5) as answer:
            return dict(json.load(answer))

    def decisions(self, kind: str) -> list[dict[str, Any]]:
        """All decisions of one kind."""
        with urllib.request.urlopen(self.console_url + "api/decisions?count=1000", timeout=5) as answer:
            return [one for one in json.load(answer) if one["kind"] == kind]

    def children(self, service: str = "web") -> dict[str, str]:
        """State by node."""
        row = next(one for one in self.state()["services"] if one["name"] == service)
        return {child["node"]: child["state"] for child in row["children"]}

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Status and answer; the headers of the page unless others are given."""
        fixed = {"Content-Type": "application/json", "X-Clustercore": "test"} if headers is None else headers
        request = urllib.request.Request(
            self.console_url + path, data=json.dumps(body).encode(), headers=fixed, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def end(self) -> None:
        """Ends it in order, then what it may have left."""
        if self.command is not None:
            self.command.end()
        for path in self.folder.glob("state/local-*.json"):
            end_instance(json.loads(path.read_text())["instance"])


@pytest.fixture
def front(tmp_path: Path, agents: Agents) -> Iterator[FrontEnd]:
    """Makes a front end; ends it before the agents that it borrows from."""
    made = FrontEnd(tmp_path)
    try:
        yield made
    finally:
        made.end()


def get(url: str, seconds: float = 10) -> tuple[int, str, str]:
    """Status, body and who served it."""
    try:
        with urllib.request.urlopen(url, timeout=seconds) as answer:
            return answer.status, answer.read().decode(), answer.headers.get("X-Served-By", "")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(errors="replace"), ""


def config_text(folder: Path, agents: dict[str, str], services: dict[str, str], front: str = "") -> str:
    """A configuration: `agents` by name with their address, `services` by name with their own lines."""
    lines = ["[front]", 'console = "127.0.0.1:0"', f"state_dir = {json.dumps(str(folder / 'state'))}", front]
    for name, address in agents.items():
        lines += ["[[nodes]]", f'name = "{name}"', f'agent = "{address}"']
    for name, text in services.items():
        lines += [
            "[[services]]",
            f'name = "{name}"',
            'listen = "127.0.0.1:0"',
            f"command = {json.dumps(SAMPLE)}",
            "cores_local = 1",
            text,
            "[services.environment]",
            f"PYTHONPATH = {json.dumps(PYTHON_PATH)}",
        ]
    return "\n".join(lines) + "\n"


def is_alive(pid: int) -> bool:
    """True while the process runs."""
    stat = process.read_stat(pid)
    return stat is not None and stat.state not in "ZX"


@contextlib.contextmanager
def taken_port(host: str = "127.0.0.1") -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.create_server((host, 0)) as server:
        yield int(server.getsockname()[1])
