"""One participant for one command."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import clustercore

from clustercore_apps.address import Address
from clustercore_apps.errors import OperatorError
from clustercore_apps.keys import load_key, one_key
from clustercore_apps.service.security import read_token


class ChannelClient:
    """A participant, and what goes wrong with it in words for an operator."""

    def __init__(
        self,
        server: str,
        token_file: Path | None,
        *,
        insecure: bool,
        seconds: float,
        token: str = "",
        name: str = "clustercore channel",
        driver: str = "auto",
        advice: str = 'start one with "clustercore channel serve" or name it with --server',
        server_key: str | None = None,
        key: Path | None = None,
    ) -> None:
        self.server = server
        self.seconds = seconds
        self._advice = advice
        token = read_token(token_file) if token_file is not None else token
        try:
            self.participant = clustercore.Participant(
                _resolved(server),
                token=token,
                name=name,
                server_key=None if server_key is None else one_key(server_key, "--server-key"),
                key=load_key(key),
                insecure=insecure,
                driver=driver,
            )
        except clustercore.InsecureAddress as error:
            raise OperatorError(
                f"{error}; on the command line: --server-key, or --insecure where the network is trusted"
            ) from None
        except clustercore.ClusterError as error:
            raise OperatorError(f"--server: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.participant.close()

    def ask(self, op: str, **members: Any) -> dict[str, Any]:
        """The answer to a question; members that are `None` are left out. Raises `OperatorError`."""
        question = {"op": op, **{name: value for name, value in members.items() if value is not None}}
        try:
            return dict(self.participant.ask(question, self.seconds))
        except clustercore.CallFailed as error:
            # Who is sent away is told why before the link ends.
            self.check()
            raise OperatorError(f"channel server {self.server}: {_words(str(error))}") from None
        except clustercore.Timeout:
            trouble = self.participant.trouble
            raise OperatorError(
                f"channel server {self.server} does not answer within {self.seconds:g} s"
                + (f": {trouble}" if trouble else "")
                + f"; {self._advice}"
            ) from None

    def settle(self) -> None:
        """Waits until the server has seen everything that was said so far. Raises `OperatorError`."""
        self.ask("ping")
        self.check()

    def check(self) -> list[dict[str, Any]]:
        """What happened. Raises `OperatorError` when that ends the command."""
        news = list(self.participant.news())
        for one in news:
            if one["what"] in ("gone", "bye"):
                raise OperatorError(f"channel server {self.server}: {_words(one['message'])}")
        return news


def _words(text: str) -> str:
    """The sentence in an answer of the server, which is JSON with `message`, or words already."""
    _, brace, rest = text.partition("{")
    try:
        return str(json.loads(brace + rest)["message"])
    except (ValueError, KeyError, TypeError):
        return text


def _resolved(server: str) -> str:
    """`scheme://ip:port` of a server that may be given by its name."""
    scheme, mark, place = server.partition("://")
    if not mark or scheme not in ("tcp", "udp", "rpc"):
        raise OperatorError(
            f'--server is "{server}"; write tcp://HOST:PORT, udp://HOST:PORT or rpc://HOST:PORT'
        )
    try:
        address = Address.parse(place)
        return f"{scheme}://{clustercore.resolve(address.host, address.port)[0]}"
    except (ValueError, clustercore.Unreachable) as error:
        raise OperatorError(f"--server: {error}") from None
