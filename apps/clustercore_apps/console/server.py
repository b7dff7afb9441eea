"""Runs the console beside the front end, in the same asyncio loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn

from clustercore_apps.address import Address
from clustercore_apps.console.access import Access
from clustercore_apps.console.app import Console
from clustercore_apps.errors import OperatorError
from clustercore_apps.service.front import Front
from clustercore_apps.service.security import read_token

BACKLOG = 128
CONNECTIONS_MAX = 256
END_SECONDS = 2


class _Server(uvicorn.Server):
    """Leaves the signals to the command, which ends the front end in the right order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind(address: Address) -> socket.socket:
    """The console's socket, taken before anything else starts. Raises `OperatorError`."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address.host, address.port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise OperatorError(
            f"console cannot listen on {address}: {reason}; end what listens there or change front.console"
        ) from None
    listener.setblocking(False)
    return listener


@contextlib.asynccontextmanager
async def serve(front: Front, listener: socket.socket) -> AsyncIterator[None]:
    """Serves the console while the block runs."""
    config = front.config
    token = read_token(config.console_token_file) if config.console_token_file else None
    access = Access(token, config.console.is_loopback, config.console_certificate is not None)
    console = Console(front, access)
    server = _Server(
        uvicorn.Config(
            console.application(),
            log_level="warning",
            access_log=False,
            lifespan="off",
            limit_concurrency=CONNECTIONS_MAX,
            timeout_graceful_shutdown=END_SECONDS,
            ssl_certfile=config.console_certificate,
            ssl_keyfile=config.console_key,
            server_header=False,
        )
    )
    console.open()
    task = asyncio.create_task(server.serve(sockets=[listener]), name="console")
    try:
        yield
    finally:
        await console.close()
        server.should_exit = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(task, END_SECONDS + 2)
        listener.close()
