"""Where a front end publishes what it does: the keys `channel` and `channel_*` of `[front]`."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from clustercore_apps.address import Address
from clustercore_apps.errors import ConfigError
from clustercore_apps.service.config.reader import Reader

SCHEMES = ("tcp", "udp")
KEPT_MAX = 1 << 20
EXTRA_KEYS = ("channel_name", "channel_token_file", "channel_tokens_file", "channel_kept")


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """Either `listen`, where the front end serves channels itself, or `server`, which exists.

    `kept` is how many decisions and node states the channel remembers for those who come late.
    """

    listen: Address | None
    server: str
    name: str
    token_file: Path | None
    tokens_file: Path | None
    kept: int
    insecure: bool

    @property
    def loads(self) -> str:
        """The channel for what is reported again and again."""
        return f"{self.name}.load"


def read_channel(front: Reader, insecure: bool) -> ChannelConfig | None:
    """Reads them from the table of the front end; `None` without `channel`. Raises `ConfigError`."""
    if not front.has("channel"):
        for key in EXTRA_KEYS:
            if front.has(key):
                raise front.error(
                    key, f'"front.{key}" is of no use without "front.channel"; add channel = "127.0.0.1:7420"'
                )
        return None
    text = front.string("channel")
    scheme, mark, place = text.partition("://")
    address = _address(front, text, scheme, place) if mark else front.address("channel", port_min=0)
    config = ChannelConfig(
        listen=None if mark else address,
        server=text if mark else "",
        name=front.name("channel_name", "service"),
        token_file=front.file("channel_token_file"),
        tokens_file=front.file("channel_tokens_file"),
        kept=front.integer("channel_kept", 4096, 1, KEPT_MAX),
        insecure=insecure,
    )
    _check_keys(front, config)
    if not address.is_loopback and not insecure:
        raise front.error(
            "channel",
            f'"front.channel" is {text}, which others can reach or read on the way, in the clear; stay on '
            f"loopback, or say insecure = true in so many words",
        )
    return config


def _address(front: Reader, text: str, scheme: str, place: str) -> Address:
    if scheme not in SCHEMES:
        raise _not_a_channel(front, text)
    try:
        return Address.parse(place)
    except ValueError as error:
        raise front.error("channel", f'"front.channel": {error}') from None


def _not_a_channel(front: Reader, text: str) -> ConfigError:
    return front.error(
        "channel",
        f'"front.channel" is "{text}"; write "host:port" to serve channels there, or "tcp://host:port" or '
        f'"udp://host:port" of a server that exists',
    )


def _check_keys(front: Reader, config: ChannelConfig) -> None:
    if config.listen is None:
        if config.tokens_file is not None:
            raise front.error(
                "channel_tokens_file",
                f'"front.channel_tokens_file" says who may come in here, but "front.channel" is '
                f"{config.server}, a server that exists; give our own secret there as channel_token_file",
            )
        return
    if config.token_file is not None:
        raise front.error(
            "channel_token_file",
            '"front.channel_token_file" is for a server that exists, but "front.channel" is served here; '
            "say who may come in with channel_tokens_file",
        )
    try:
        host = "127.0.0.1" if config.listen.host == "localhost" else config.listen.host
        ipaddress.ip_address(host)
    except ValueError:
        raise front.error(
            "channel",
            f'"front.channel" is {config.listen}, which has no address to listen on; write for example '
            f'"127.0.0.1:7420"',
        ) from None
    if not config.listen.is_loopback and config.tokens_file is None:
        raise front.error(
            "channel",
            f'"front.channel" is {config.listen}, where others could administer it; say who may what with '
            f"channel_tokens_file, or stay on loopback",
        )
