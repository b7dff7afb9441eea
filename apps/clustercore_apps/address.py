"""Addresses as an operator writes them: `127.0.0.1:8080`, `[::1]:8080`, `name:80`."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

PORT_MAX = 65535


@dataclass(frozen=True, slots=True)
class Address:
    """A host (name or literal, no brackets) and a TCP port, 0..=65535."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, *, port_min: int = 1) -> Address:
        """Reads `host:port` or `[v6]:port`.

        Raises `ValueError` with a sentence that names value and limit.
        """
        host, colon, port_text = text.rpartition(":")
        if not colon or not host:
            raise ValueError(f'"{text}" is not host:port; write for example "127.0.0.1:8080" or "[::1]:8080"')
        if host.startswith("[") != host.endswith("]"):
            raise ValueError(f'"{text}" has one bracket only; write "[::1]:8080"')
        bracketed = host.startswith("[")
        host = host[1:-1] if bracketed else host
        if ":" in host and not bracketed:
            raise ValueError(f'"{text}" is an IPv6 address without brackets; write "[{host}]:{port_text}"')
        if not host or any(character.isspace() or character in "/@[]" for character in host):
            raise ValueError(f'"{text}" has no usable host; write for example "127.0.0.1:8080"')
        if not (port_text.isascii() and port_text.isdigit()) or not port_min <= int(port_text) <= PORT_MAX:
            raise ValueError(f'port of "{text}" is "{port_text}", limit is {port_min}..{PORT_MAX}')
        return cls(host, int(port_text))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """True for 127.0.0.0/8, ::1 and the name `localhost`; a name is not looked up."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """True when `host` can only be this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
