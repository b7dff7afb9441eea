"""The node agent with real processes: what it starts, ends, refuses, finds again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from conftest import PYTHON_PATH, SAMPLE, Agents, get, is_alive, run_command, taken_port, wait_until

from clustercore_apps.address import Address
from clustercore_apps.errors import AgentError
from clustercore_apps.service import wire
from clustercore_apps.service.agent_link import AgentLink
from clustercore_apps.service.config import NodeConfig

LEAVES_A_WORKER = """
import os, signal, socket, time
listener = socket.create_server(("{address}", {port}))
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)
time.sleep(60)
"""
IGNORES_SIGTERM = """
import signal, socket, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
listener = socket.create_server(("{address}", {port}))
time.sleep(60)
"""


class Peer:
    """A front end's link to one agent, with what it heard."""

    def __init__(self, address: str, name: str = "front", **trust: Path) -> None:
        self.heard: list[wire.Message] = []
        self.lost = asyncio.Event()
        config = NodeConfig(
            "n", Address.parse(address), trust.get("token_file"), trust.get("certificate"), insecure=False
        )
        hear = self.heard.append
        self.link = AgentLink(config, name, hear, hear, hear, lambda _message: self.lost.set())

    async def ask(self, verb: str, **fields: Any) -> wire.Message:
        return await self.link.request(verb, wait=20, **fields)

    async def lease(self, fence: int, seconds: float = 30.0) -> wire.Message:
        return await self.ask("lease", front="front", service="web", fence=fence, seconds=seconds)

    async def start(self, fence: int, command: list[str] | None = None, **fields: Any) -> wire.Message:
        order: dict[str, Any] = {
            "command": SAMPLE if command is None else command,
            "files": {},
            "environment": {"PYTHONPATH": PYTHON_PATH},
            "port": 0,
            "stop_signal": "TERM",
            "deadline": 10.0,
        }
        return await self.ask("start", fence=fence, **{**order, **fields})


@contextlib.asynccontextmanager
async def peer(address: str, name: str = "front", **trust: Path) -> AsyncIterator[Peer]:
    """A peer that is connected, or was refused once."""
    made = Peer(address, name, **trust)
    task = asyncio.create_task(made.link.run())
    try:
        for _ in range(500):
            if made.link.connected or made.link.fault != "not yet connected":
                break
            await asyncio.sleep(0.01)
        yield made
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def test_service_is_started_reported_and_stopped(agents: Agents) -> None:
    async def steps() -> None:
        async with peer(agents.start("n").address) as front:
            assert front.heard[0]["phase"] == "idle"
            await front.lease(1)
            instance = (await front.start(1))["instance"]
            url = f"http://{instance['address']}:{instance['port']}"
            assert (await asyncio.to_thread(get, url))[0] == 200
            load = await front.ask("load")
            assert 0 <= load["cpu_node"] <= 1
            assert load["connections"] >= 0
            assert (await front.ask("stop", fence=1, deadline=5))["orderly"] is True
            assert not is_alive(instance["pid"])
            await front.ask("release", fence=1)
            phases = [message["phase"] for message in front.heard if message["type"] == "instance"]
            assert [phase for phase in phases if phase != "idle"] == ["starting", "active", "stopping"]
            assert any(message["type"] == "load" for message in front.heard)

    asyncio.run(steps())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_service_survives_its_agent_and_is_found_again(agents: Agents, number: int) -> None:
    async def begin(address: str) -> dict[str, Any]:
        async with peer(address) as front:
            await front.lease(1)
            return dict((await front.start(1))["instance"])

    async def go_on(address: str) -> None:
        async with peer(address) as front:
            assert front.heard[0]["phase"] == "active"
            assert front.heard[0]["instance"]["pid"] == instance["pid"]
            await front.ask("renew", fence=1, seconds=30)
            await front.ask("stop", fence=1, deadline=5)

    first = agents.start("n")
    instance = asyncio.run(begin(first.address))
    first.end(number)
    url = f"http://{instance['address']}:{instance['port']}"
    assert get(url)[0] == 200
    asyncio.run(go_on(agents.start("n").address))
    wait_until(lambda: not is_alive(instance["pid"]))


def test_service_that_died_with_its_agent_away_is_not_taken_for_running(agents: Agents) -> None:
    async def begin(address: str) -> dict[str, Any]:
        async with peer(address) as front:
            await front.lease(1)
            return dict((await front.start(1))["instance"])

    async def look(address: str) -> None:
        async with peer(address) as front:
            assert front.heard[0]["phase"] == "idle"
            assert "nobody watched" in front.heard[0]["detail"]

    first = agents.start("n")
    instance = asyncio.run(begin(first.address))
    first.end(signal.SIGKILL)
    os.kill(instance["pid"], signal.SIGKILL)
    wait_until(lambda: not is_alive(instance["pid"]))
    asyncio.run(look(agents.start("n").address))


def test_stop_services_ends_the_service_with_the_agent(agents: Agents) -> None:
    async def begin(address: str) -> int:
        async with peer(address) as front:
            await front.lease(1)
            return int((await front.start(1))["instance"]["pid"])

    agent = agents.start("n", "--stop-services")
    pid = asyncio.run(begin(agent.address))
    assert agent.end() == 0
    assert not is_alive(pid)
    assert agents.state("n")["instance"] is None


@pytest.mark.parametrize(
    ("fields", "code", "word"),
    [
        ({"command": ["/no/such/program"]}, "BAD_PROGRAM", "No such file"),
        ({"command": ["/etc/passwd"]}, "BAD_PROGRAM", "Permission denied"),
        (
            {"command": ["/bin/sh", "-c", "echo wrong option >&2; exit 3"]},
            "START_FAILED",
            'exit code 3; it said: "wrong option"',
        ),
        ({"command": ["/bin/sleep", "60"], "deadline": 0.3}, "START_DEADLINE", "did not answer within 0.3 s"),
        ({"command": []}, "BAD_MESSAGE", '"command" must be an array of 1 to 256 strings'),
        ({"files": {"../x": ""}}, "BAD_MESSAGE", "plain names"),
        ({"stop_signal": "KILL"}, "BAD_MESSAGE", "stop_signal"),
        ({"port": 70000}, "BAD_MESSAGE", '"port" must be a whole number 0..65535'),
    ],
)
def test_start_that_fails_says_why_and_leaves_nothing(
    agents: Agents, fields: dict[str, Any], code: str, word: str
) -> None:
    async def steps() -> None:
        async with peer(agents.start("n").address) as front:
            await front.lease(1)
            with pytest.raises(AgentError) as caught:
                await front.start(1, **fields)
            assert caught.value.code == code
            assert word in caught.value.text
            assert (await front.ask("describe"))["instance"] is None
            # The node can be used at once for a better order.
            await front.start(1)

    asyncio.run(steps())


def test_taken_port_is_told(agents: Agents) -> None:
    async def steps() -> None:
        async with peer(agents.start("n").address) as front:
            await front.lease(1)
            with taken_port() as port, pytest.raises(AgentError, match=f"PORT_TAKEN.*{port}"):
                await front.start(1, port=port)

    asyncio.run(steps())


def test_program_that_is_not_allowed_is_refused(agents: Agents) -> None:
    async def steps() -> None:
        async with peer(agents.start("n", "--allow-program", sys.executable).address) as front:
            await front.lease(1)
            with pytest.raises(AgentError, match="not among the programs allowed"):
                await front.start(1, command=["/bin/sleep", "1"])
            await front.start(1)

    asyncio.run(steps())


@pytest.mark.parametrize(("code", "orderly"), [(IGNORES_SIGTERM, False), (LEAVES_A_WORKER, True)])
def test_stop_leaves_no_process_behind(agents: Agents, code: str, orderly: bool) -> None:
    async def steps() -> None:
        async with peer(agents.start("n").address) as front:
            await front.lease(1)
            instance = (await front.start(1, command=[sys.executable, "-c", code]))["instance"]
            assert (await front.ask("stop", fence=1, deadline=0.5))["orderly"] is orderly
            assert not is_alive(instance["pid"])
            # The port is free again: the worker that held it is gone as well.
            await front.start(1, port=instance["port"])

    asyncio.run(steps())


def test_service_that_ends_by_itself_is_told_at_once(agents: Agents) -> None:
    async def steps() -> None:
        async with peer(agents.start("n").address) as front:
            await front.lease(1)
            instance = (await front.start(1))["instance"]
            os.kill(instance["pid"], signal.SIGKILL)
            for _ in range(500):
                if front.heard[-1].get("phase") == "exited":
                    break
                await asyncio.sleep(0.01)
            told = [message for message in front.heard if message.get("phase") == "exited"]
            assert "killed by SIGKILL" in told[0]["detail"]
            assert agents.state("n")["instance"] is None

    asyncio.run(steps())


def test_lapsed_lease_ends_the_service(agents: Agents) -> None:
    async def begin(address: str) -> int:
        async with peer(address) as front:
            await front.lease(1, seconds=0.5)
            return int((await front.start(1))["instance"]["pid"])

    pid = asyncio.run(begin(agents.start("n").address))
    wait_until(lambda: not is_alive(pid))
    wait_until(lambda: agents.state("n")["instance"] is None)
    assert agents.state("n")["leases"] == {"fence_highest": 1, "lease": None}


def test_lapsed_lease_may_leave_the_service_alone(agents: Agents) -> None:
    async def steps() -> None:
        async with peer(agents.start("n", "--on-lapse", "keep").address) as front:
            await front.lease(1, seconds=0.3)
            pid = (await front.start(1))["instance"]["pid"]
            await asyncio.to_thread(wait_until, lambda: agents.state("n")["leases"]["lease"] is None)
            assert is_alive(pid)

    asyncio.run(steps())


def test_second_front_end_and_old_tokens_are_refused(agents: Agents) -> None:
    async def steps() -> None:
        address = agents.start("n").address
        async with peer(address) as front, peer(address, "other") as other:
            await front.lease(5)
            with pytest.raises(AgentError, match="LEASE_HELD"):
                await other.ask("lease", front="other", service="web", fence=6, seconds=5)
            with pytest.raises(AgentError, match="STALE_TOKEN"):
                await front.start(4)
            with pytest.raises(AgentError, match="NO_LEASE"):
                await front.start(9)
            await front.lease(7)
            with pytest.raises(AgentError, match="STALE_TOKEN"):
                await front.ask("renew", fence=5, seconds=5)

    asyncio.run(steps())


async def exchange(address: str, data: bytes, messages: int) -> list[wire.Message]:
    """Sends bytes as they are and reads so many messages, then expects the end of the stream."""
    target = Address.parse(address)
    reader, writer = await asyncio.open_connection(target.host, target.port, limit=wire.LINE_BYTES_MAX)
    writer.write(data)
    lines = [json.loads(await asyncio.wait_for(reader.readline(), 10)) for _ in range(messages)]
    while True:
        rest = await asyncio.wait_for(reader.readline(), 10)
        if not rest:
            break
        # An agent also reports its load by itself.
        assert json.loads(rest)["type"] == "load"
    writer.close()
    return lines


HELLO = b'{"type":"hello","protocol":1,"front":"f"}\n'


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "BAD_MESSAGE"),
        (b"\x16\x03\x01\x02\x00\n", "BAD_MESSAGE"),
        (b"[]\n", "BAD_MESSAGE"),
        (b"{}\n", "BAD_MESSAGE"),
        (b"[" * 100_000 + b"\n", "BAD_MESSAGE"),
        (b'{"type":"request","id":1,"verb":"load"}\n', "BAD_MESSAGE"),
        (b'{"type":"hello","protocol":2,"front":"f"}\n', "PROTOCOL"),
        (b'{"type":"hello","protocol":1}\n', "BAD_MESSAGE"),
        (b"x" * (wire.LINE_BYTES_MAX + 10), "TOO_LARGE"),
    ],
)
def test_bad_greeting_gets_a_clear_error_and_the_end(agents: Agents, data: bytes, code: str) -> None:
    (error,) = asyncio.run(exchange(agents.start("n").address, data, 1))
    assert (error["type"], error["code"]) == ("error", code)
    assert error["text"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b'{"type":"load"}\n', "BAD_MESSAGE"),
        (b'{"type":"request","verb":"load"}\n', "BAD_MESSAGE"),
        (b'{"type":"request","id":-1,"verb":"load"}\n', "BAD_MESSAGE"),
        (b'{"type":"request","id":true,"verb":"load"}\n', "BAD_MESSAGE"),
        (b"\xff\n", "BAD_MESSAGE"),
    ],
)
def test_bad_request_gets_a_clear_error_and_the_end(agents: Agents, data: bytes, code: str) -> None:
    welcome, error = asyncio.run(exchange(agents.start("n").address, HELLO + data, 2))
    assert welcome["type"] == "welcome"
    assert (error["type"], error["code"]) == ("error", code)


def test_unknown_verb_and_missing_fields_are_replies(agents: Agents) -> None:
    async def steps() -> None:
        async with peer(agents.start("n").address) as front:
            for verb, fields in [
                ("dance", {"fence": 1}),
                ("lease", {}),
                ("lease", {"fence": 1}),
                ("renew", {"fence": 0}),
            ]:
                with pytest.raises(AgentError, match="BAD_MESSAGE"):
                    await front.ask(verb, **fields)
            assert (await front.ask("describe"))["phase"] == "idle"

    asyncio.run(steps())


def test_tls_and_token_are_asked_for_and_checked(agents: Agents, tmp_path: Path) -> None:
    for name in ("n", "stranger"):
        made = run_command("node", "keygen", "--directory", str(tmp_path / name), "--host", "127.0.0.1")
        assert made.returncode == 0, made.stderr
    mine, strange = tmp_path / "n", tmp_path / "stranger"
    secured = ("--certificate", str(mine / "node.crt"), "--key", str(mine / "node.key"))
    agent = agents.start("n", *secured, "--token-file", str(mine / "token"))

    async def fault(**trust: Path) -> str:
        async with peer(agent.address, **trust) as front:
            return front.link.fault

    async def steps() -> None:
        async with peer(agent.address, certificate=mine / "node.crt", token_file=mine / "token") as front:
            await front.lease(1)

    asyncio.run(steps())
    assert "DENIED" in asyncio.run(fault(certificate=mine / "node.crt", token_file=strange / "token"))
    assert "DENIED" in asyncio.run(fault(certificate=mine / "node.crt"))
    assert "CERTIFICATE_VERIFY" in asyncio.run(
        fault(certificate=strange / "node.crt", token_file=mine / "token")
    )


def test_silent_connections_are_bounded(agents: Agents) -> None:
    async def steps(address: Address) -> None:
        silent = [await asyncio.open_connection(address.host, address.port) for _ in range(32)]
        (error,) = await exchange(str(address), HELLO, 1)
        assert error["code"] == "BUSY"
        for _, writer in silent:
            writer.close()

    asyncio.run(steps(Address.parse(agents.start("n").address)))
