"""`clustercore channel watch`: prints what a consumer gets."""

from __future__ import annotations

import argparse
import signal
from typing import Any

from clustercore_apps.channel.client import ChannelClient
from clustercore_apps.channel.shown import event_json, event_line
from clustercore_apps.errors import OperatorError

TAKE_MAX = 256
TAKE_SECONDS = 0.5


def run_watch(client: ChannelClient, options: argparse.Namespace) -> int:
    """Prints events, one a line, until SIGTERM, SIGINT or `--count`. Raises `OperatorError`."""
    if options.count is not None and options.count < 1:
        raise OperatorError(f"--count is {options.count}, limit is 1; leave it out to watch on")
    spec: dict[str, Any] = {}
    if options.filter is not None:
        spec["filter"] = options.filter
    if options.acknowledge:
        spec["qos"] = {"acknowledgement": "explicit"}
        if options.count is not None:
            # What will not be printed is not handed out: it would count as a try.
            spec["qos"]["in_flight_max"] = options.count
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: stopped.append(number))
    handle = client.participant.consume(options.channel, name=options.name, spec=spec or None)
    client.settle()
    left, has_acknowledged = options.count, False
    while not stopped and left != 0:
        deliveries = client.participant.take(min(TAKE_MAX, left or TAKE_MAX), TAKE_SECONDS)
        for delivery in deliveries:
            print(event_json(delivery) if options.json else event_line(delivery), flush=True)
        # Only what was printed is done with.
        done = [one.delivery for one in deliveries if one.delivery is not None]
        if done:
            client.participant.acknowledge(handle, done)
            has_acknowledged = True
        if left is not None:
            left -= len(deliveries)
        client.check()
    if has_acknowledged:
        # They have arrived when this is answered.
        client.settle()
    return 0
