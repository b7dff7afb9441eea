"""Endpoints in secure mode: both ends proven, strangers and wrong keys refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import clustercore
import pytest

SERVER, CLIENT = clustercore.Key.generate(), clustercore.Key.generate()
HANDSHAKE_SECONDS = 0.4


class Ends:
    """A server that lets the client in, and whoever else connects to it, in one shard."""

    def __init__(self, driver: str) -> None:
        self.shard = clustercore.Shard(driver=driver)
        self.server = self.open(key=SERVER, allow=[CLIENT.public])
        self.events: list[clustercore.ConnectionEvent] = []
        self.messages: list[clustercore.Message] = []

    def open(
        self, key: clustercore.Key | None, allow: str | list[str | bytes] | None = None
    ) -> clustercore.Endpoint:
        """Another endpoint."""
        return self.shard.endpoint("127.0.0.1:0", key=key, allow=allow, handshake_timeout=HANDSHAKE_SECONDS)

    def until(self, done: Callable[[], object]) -> None:
        """Turns until it holds."""
        deadline = time.monotonic() + 20
        while not done():
            assert time.monotonic() < deadline, f"not within twenty seconds: {self.events}"
            self.shard.turn(timeout=0.01)
            self.messages += self.shard.messages()
            self.events += self.shard.connection_events()

    def gone(self, connection: clustercore.Connection) -> clustercore.ConnectionGone:
        """How that connection ended."""

        def found() -> list[clustercore.ConnectionGone]:
            ends = (event for event in self.events if isinstance(event, clustercore.ConnectionGone))
            return [event for event in ends if event.connection == connection]

        self.until(found)
        return found()[0]

    def accepted(self) -> list[bytes | None]:
        """Whom the server has let in."""
        return [event.identity for event in self.events if isinstance(event, clustercore.Accepted)]


@pytest.fixture
def ends(driver: str) -> Iterator[Ends]:
    """A server."""
    made = Ends(driver)
    yield made
    made.shard.close()


@pytest.mark.parametrize("expected", [SERVER.public, SERVER.public_bytes])
def test_both_ends_are_proven_and_messages_arrive(ends: Ends, expected: str | bytes) -> None:
    connection = ends.open(CLIENT).connect(ends.server.address, expected)
    ends.until(lambda: len(ends.events) == 2)
    identities = {type(event).__name__: event.identity for event in ends.events}  # type: ignore[union-attr]
    assert identities == {"Connected": SERVER.public_bytes, "Accepted": CLIENT.public_bytes}
    assert clustercore.public_key_text(CLIENT.public_bytes) == CLIENT.public
    connection.send(bytes(range(256)) * 1000)
    ends.until(lambda: ends.messages)
    assert ends.messages[0].payload == bytes(range(256)) * 1000


def test_a_stranger_is_refused(ends: Ends) -> None:
    stranger = ends.open(clustercore.Key.generate())
    gone = ends.gone(stranger.connect(ends.server.address, SERVER.public))
    assert (gone.reason, gone.text) == ("refused", "the handshake was not right")
    assert ends.accepted() == []


def test_a_server_with_another_key_is_not_believed(ends: Ends) -> None:
    gone = ends.gone(ends.open(CLIENT).connect(ends.server.address, clustercore.Key.generate().public))
    assert gone.reason == "refused"
    assert ends.accepted() == []


def test_a_clear_client_is_not_let_in(ends: Ends) -> None:
    gone = ends.gone(ends.open(None).connect(ends.server.address))
    assert gone.reason in ("refused", "unreachable")
    assert ends.accepted() == []


def test_a_list_lets_in_who_stands_on_it(ends: Ends) -> None:
    for allow in (f"# clients\n{CLIENT.public}  # one\n", [CLIENT.public_bytes], None):
        server = ends.open(SERVER, allow)  # type: ignore[arg-type]
        before = len(ends.accepted())
        ends.open(CLIENT).connect(server.address, SERVER.public)
        ends.until(lambda before=before: len(ends.accepted()) == before + 1)  # type: ignore[misc]
        assert ends.accepted()[-1] == CLIENT.public_bytes
    for allow in ("", "# nobody", []):
        server = ends.open(SERVER, allow)
        assert ends.gone(ends.open(CLIENT).connect(server.address, SERVER.public)).reason == "refused"


def test_outside_loopback_a_key_is_wanted(ends: Ends) -> None:
    with pytest.raises(
        clustercore.InsecureAddress, match=r"0\.0\.0\.0:0 is outside loopback: give a key, or say"
    ):
        ends.shard.endpoint("0.0.0.0:0")
    ends.shard.endpoint("0.0.0.0:0", key=SERVER).close()
    ends.shard.endpoint("0.0.0.0:0", insecure=True).close()


def test_keys_that_make_no_sense_are_refused(ends: Ends) -> None:
    client = ends.open(CLIENT)
    with pytest.raises(clustercore.NoKey, match="no public key was given"):
        client.connect(ends.server.address)
    with pytest.raises(clustercore.BadKey, match="nobody can have"):
        client.connect(ends.server.address, bytes(32))
    with pytest.raises(clustercore.BadKey, match="key: this is a private key"):
        client.connect(ends.server.address, CLIENT.to_private_text())
    with pytest.raises(clustercore.InvalidArgument, match="key is 31 bytes; it must be 32"):
        client.connect(ends.server.address, bytes(31))
    with pytest.raises(TypeError):
        client.connect(ends.server.address, 7)  # type: ignore[arg-type]
    with pytest.raises(clustercore.BadConfiguration, match="allow is given, and key is not"):
        ends.open(None, [CLIENT.public])
    with pytest.raises(clustercore.BadKey, match="allow: line 2: "):
        ends.open(SERVER, f"{CLIENT.public}\nnobody\n")
    with pytest.raises(clustercore.BadKey, match="allow: this is no public key"):
        ends.open(SERVER, ["nobody"])
    with pytest.raises(clustercore.BadKey, match="allow has a key that nobody can have"):
        ends.open(SERVER, [bytes(32)])
    with pytest.raises(TypeError):
        ends.shard.endpoint("127.0.0.1:0", key=CLIENT.to_private_text())  # type: ignore[arg-type]
    with pytest.raises(clustercore.BadKey):
        clustercore.public_key_text(bytes(32))
