"""The channel server of a front end that serves its channels itself, with a thread that turns it."""

from __future__ import annotations

import logging
import threading

import clustercore

from clustercore_apps.address import Address
from clustercore_apps.channel.access import Grant, parse_grants, read_grants
from clustercore_apps.errors import OperatorError
from clustercore_apps.service.channel.reach import Reach
from clustercore_apps.service.config import ChannelConfig
from clustercore_apps.service.security import make_token

log = logging.getLogger("clustercore.front")

TURN_SECONDS = 0.2
"""Longest wait of a turn, and so for the end."""
RIGHTS_OF_OURS = "emit consume administer"


class ChannelHost:
    """Serves from `__init__` on until `close`. Raises `OperatorError` when it cannot listen."""

    def __init__(self, config: ChannelConfig, front: str, driver: str) -> None:
        assert config.listen is not None
        token = make_token()
        tokens: dict[str, Grant] = {token: (f"front end {front}", RIGHTS_OF_OURS)}
        if config.tokens_file is not None:
            tokens |= parse_grants(read_grants(config.tokens_file), f"{config.tokens_file}: entry")
        listen = config.listen
        host = "127.0.0.1" if listen.host == "localhost" else listen.host
        try:
            self._server = clustercore.ChannelServer(
                tcp=str(Address(host, listen.port)),
                tokens=tokens,
                open=config.tokens_file is None,
                insecure=config.insecure,
                driver=driver,
            )
        except clustercore.ClusterError as error:
            raise OperatorError(
                f"event channel cannot listen on {listen}: {error}; end what listens there or change "
                f"front.channel"
            ) from None
        self.reach = Reach(f"tcp://{self._server.tcp_address}", token, None, config.insecure, driver)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._turn, name="channel server", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends it; waits for a turn at most."""
        self._is_over.set()
        self._thread.join()

    def _turn(self) -> None:
        try:
            while not self._is_over.is_set():
                self._server.turn(TURN_SECONDS)
        except clustercore.ClusterError as error:
            log.error("the event channel's server has ended: %s", error)
        finally:
            self._server.close()
