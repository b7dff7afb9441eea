"""The network of a transfer: one endpoint of one shard, turned by the thread that owns it."""

from __future__ import annotations

import math
import os
import select
from collections.abc import Sequence

import clustercore

from clustercore_apps.transfer.paths import shown_name
from clustercore_apps.transfer.wire import MESSAGE_BYTES_MAX, TEXT_BYTES_MAX

# Bytes of a connection on their way or waiting; what the system grants the socket bounds it.
WINDOW_BYTES = 16 << 20
# A disk that takes this long with one write is taken for a dead peer.
GONE_AFTER_SECONDS = 30.0
KEEP_ALIVE_SECONDS = 5.0


class Link:
    """Messages in and out. Only `wake` may be called on another thread."""

    def __init__(
        self,
        address: str,
        *,
        key: clustercore.Key | None = None,
        allow: Sequence[str] | None = None,
        insecure: bool = False,
        connections_max: int = 1,
        is_accepting: bool = False,
    ) -> None:
        """Binds `address`, "ip:port". Raises `ClusterError`."""
        self.shard = clustercore.Shard()
        try:
            self.endpoint = self.shard.endpoint(
                address,
                key=key,
                allow=allow,
                insecure=insecure,
                window=WINDOW_BYTES,
                send_buffer=WINDOW_BYTES,
                message_bytes_max=MESSAGE_BYTES_MAX,
                connections_max=connections_max,
                accepting=is_accepting,
                streams_max=4,
                gone_after=GONE_AFTER_SECONDS,
                keep_alive=KEEP_ALIVE_SECONDS,
            )
        except BaseException:
            self.shard.close()
            raise
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poller = select.poll()
        self._poller.register(self._bell, select.POLLIN)
        self._poller.register(self.shard.fileno(), select.POLLIN)

    def turn(self, seconds: float) -> None:
        """One turn, after waiting for something to do, at most so long."""
        due = self.shard.next_timeout()
        wait = seconds if due is None else min(seconds, due)
        # Rounded up: a wait that ends too early turns for nothing.
        for descriptor, _ in self._poller.poll(math.ceil(wait * 1000)):
            if descriptor == self._bell:
                os.eventfd_read(self._bell)
        self.shard.turn()

    def wake(self) -> None:
        """Ends the wait of `turn`. Any thread may call this."""
        os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Ends everything at once."""
        self.shard.close()
        os.close(self._bell)


def send(connection: clustercore.Connection, payload: bytes) -> bool:
    """Sends, unless there is no room: then an event Writable tells when to go on.

    Raises `NotConnected` when the connection is over.
    """
    try:
        connection.send(payload)
    except clustercore.WouldBlock:
        return False
    return True


def why_gone(gone: clustercore.ConnectionGone) -> str:
    """The end of a connection for people."""
    text = shown_name(gone.text.encode(), TEXT_BYTES_MAX)
    key = "; is its key the one of --peer-key, and may ours send?" if "handshake" in text else ""
    words = {
        "closed": "the connection was closed",
        "closed_by_peer": f"the other side ended the transfer: {text or f'code {gone.code}'}",
        "unreachable": "nobody answers there; is a receiver running, and is the address right?",
        "refused": f"the receiver refuses: {text}{key}",
        "no_common_version": "the other side speaks no version of ours",
        "silent": "the other side has fallen silent",
        "restarted": "the program on the other side was started anew",
        "violation": f"the other side broke the protocol ({text})",
    }
    return words.get(gone.reason, gone.reason)
