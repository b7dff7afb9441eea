"""How this process reaches the channel server that it publishes to and reads from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clustercore_apps.channel.client import ChannelClient

ASK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Reach:
    """`server` is `tcp://HOST:PORT` or `udp://HOST:PORT`; `token` or the file is what we show there."""

    server: str
    token: str
    token_file: Path | None
    insecure: bool
    driver: str = "auto"

    def open(self, name: str) -> ChannelClient:
        """A participant for the calling thread; `name` is for people. Raises `OperatorError`."""
        return ChannelClient(
            self.server,
            self.token_file,
            insecure=self.insecure,
            seconds=ASK_SECONDS,
            token=self.token,
            name=name,
            driver=self.driver,
            advice="start it, or change front.channel; it is tried again",
        )
