"""The front end's side of one agent: connects, reconnects with back-off, asks, hears.

The link keeps no decision: it tells its owner what it saw (`on_welcome`, `on_load`, `on_instance`,
`on_lost`).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable
from typing import Any

from clustercore_apps.errors import AgentError
from clustercore_apps.service import security, wire
from clustercore_apps.service.config import NodeConfig

log = logging.getLogger("clustercore.front")

CONNECT_SECONDS = 3.0
REPLY_SECONDS = 5.0
RECONNECT_SECONDS_MIN = 0.1
RECONNECT_SECONDS_MAX = 5.0

Tell = Callable[[wire.Message], None]


class AgentLink:
    """One agent. `connected` and `welcome` say how things stand; `request` asks."""

    def __init__(
        self,
        config: NodeConfig,
        front: str,
        on_welcome: Tell,
        on_load: Tell,
        on_instance: Tell,
        on_lost: Tell,
    ) -> None:
        self.config = config
        self.connected = False
        self.fault = "not yet connected"
        self._front = front
        self._tell: dict[str, Tell] = {"load": on_load, "instance": on_instance}
        self._on_welcome = on_welcome
        self._on_lost = on_lost
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[wire.Message]] = {}
        self._writer: asyncio.StreamWriter | None = None
        # Read once at start, so that a missing file is the operator's first line and not a later surprise.
        self._token = security.read_token(config.token_file) if config.token_file else None
        self._tls = security.client_context(config.certificate) if config.certificate else None

    async def run(self) -> None:
        """Stays connected until cancelled."""
        pause = RECONNECT_SECONDS_MIN
        while True:
            try:
                await self._session()
                pause = RECONNECT_SECONDS_MIN
                self.fault = "the agent closed the connection"
            except AgentError as error:
                self.fault = str(error)
            except TimeoutError:
                self.fault = f"{self.config.agent} does not answer"
            except OSError as error:
                self.fault = f"{self.config.agent}: {error.strerror or error}"
            except (KeyError, TypeError, ValueError) as error:
                # Whatever an agent says is input: it may cost the connection, never the front end.
                self.fault = f"{self.config.agent} said what makes no sense: {error}"
            finally:
                was_connected, self.connected, self._writer = self.connected, False, None
                for waiting in self._waiting.values():
                    if not waiting.done():
                        waiting.set_exception(AgentError("DISCONNECTED", f"{self.config.name}: {self.fault}"))
                self._waiting.clear()
            if was_connected:
                pause = RECONNECT_SECONDS_MIN
                self._on_lost({"type": "lost", "text": self.fault})
            await asyncio.sleep(pause)
            pause = min(pause * 2, RECONNECT_SECONDS_MAX)

    async def request(self, verb: str, *, wait: float = REPLY_SECONDS, **fields: Any) -> wire.Message:
        """Asks and returns the reply, for which it waits so many seconds.

        Raises `AgentError` (the agent's own code, DISCONNECTED or TIMEOUT).
        """
        if self._writer is None:
            raise AgentError("DISCONNECTED", f"{self.config.name}: {self.fault}")
        number = next(self._ids)
        reply: asyncio.Future[wire.Message] = asyncio.get_running_loop().create_future()
        self._waiting[number] = reply
        try:
            self._writer.write(wire.encode({"type": "request", "id": number, "verb": verb, **fields}))
            async with asyncio.timeout(wait):
                answer = await reply
        except TimeoutError:
            raise AgentError(
                "TIMEOUT", f"{self.config.name} did not answer {verb} within {wait:g} s"
            ) from None
        except OSError as error:
            raise AgentError("DISCONNECTED", f"{self.config.name}: {error}") from None
        finally:
            self._waiting.pop(number, None)
        if answer.get("ok") is not True:
            raise AgentError(str(answer.get("code", "INTERNAL")), str(answer.get("text", "no reason given")))
        return answer

    async def _session(self) -> None:
        address = self.config.agent
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(
                address.host, address.port, limit=wire.LINE_BYTES_MAX, ssl=self._tls
            )
        try:
            hello = {"type": "hello", "protocol": wire.PROTOCOL, "front": self._front}
            if self._token is not None:
                hello["token"] = self._token
            writer.write(wire.encode(hello))
            welcome = await wire.receive(reader, CONNECT_SECONDS)
            if welcome is None:
                raise AgentError("DISCONNECTED", "closed before its welcome")
            self._refuse_error(welcome)
            if welcome["type"] != "welcome" or welcome.get("protocol") != wire.PROTOCOL:
                raise AgentError("PROTOCOL", f'expected a "welcome" of protocol {wire.PROTOCOL}')
            self._writer, self.connected, self.fault = writer, True, ""
            self._on_welcome(welcome)
            # The agent reports its load by itself; one that says nothing for so long is gone.
            while (message := await wire.receive(reader, wire.IDLE_SECONDS / 4)) is not None:
                self._hear(message)
        finally:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await writer.wait_closed()

    def _hear(self, message: wire.Message) -> None:
        self._refuse_error(message)
        if message["type"] == "reply":
            waiting = self._waiting.get(message.get("id", -1))
            if waiting is not None and not waiting.done():
                waiting.set_result(message)
        elif tell := self._tell.get(message["type"]):
            tell(message)

    def _refuse_error(self, message: wire.Message) -> None:
        if message["type"] == "error":
            raise AgentError(str(message.get("code", "INTERNAL")), str(message.get("text", "")))
