"""What ends a command: SIGTERM, SIGINT, and, when asked for, the end of standard input."""

from __future__ import annotations

import asyncio
import os
import signal
import sys


def signal_event() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set; a second signal ends the program at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        if stop.is_set():
            sys.exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    return stop


def watch_input(stop: asyncio.Event) -> None:
    """Sets `stop` when standard input ends: whoever started this command is gone."""
    loop, descriptor = asyncio.get_running_loop(), sys.stdin.fileno()

    def on_readable() -> None:
        if not os.read(descriptor, 4096):
            loop.remove_reader(descriptor)
            stop.set()

    loop.add_reader(descriptor, on_readable)
