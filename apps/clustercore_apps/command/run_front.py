"""`clustercore front`: runs a front end until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

from clustercore_apps.command.signals import signal_event, watch_input
from clustercore_apps.console import server
from clustercore_apps.errors import OperatorError
from clustercore_apps.service.config import load_config
from clustercore_apps.service.front import Front

log = logging.getLogger("clustercore.front")


async def run_front(path: Path, *, until_input_ends: bool = False) -> int:
    """Serves until SIGTERM or SIGINT, or until standard input ends. Raises `OperatorError`."""
    config = load_config(path)
    stop = signal_event()
    if until_input_ends:
        watch_input(stop)
    listener = server.bind(config.console)
    with contextlib.closing(listener):
        async with Front(config) as front, server.serve(front, listener):
            for name, manager in front.managers.items():
                print(f"service {name} on {', '.join(manager.listening)}", flush=True)
            if front.publisher is not None and config.channel is not None:
                print(
                    f"events in channel {config.channel.name} on {front.publisher.reach.server}", flush=True
                )
            host, port = listener.getsockname()[:2]
            scheme = "https" if config.console_certificate else "http"
            print(f"console on {scheme}://{f'[{host}]' if ':' in host else host}:{port}/", flush=True)
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), 1)
                if (failed := front.failed_task()) is not None:
                    log.error("%s has ended", failed.get_name(), exc_info=failed.exception())
                    raise OperatorError(
                        f"{failed.get_name()} has failed; the log above says why; please report it"
                    )
    return 0
