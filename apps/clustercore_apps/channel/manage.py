"""`clustercore channel list`, `create`, `delete`, `why`, `remove`, `describe`: questions to a server."""

from __future__ import annotations

import argparse
import json
from typing import Any

from clustercore_apps.channel.client import ChannelClient
from clustercore_apps.channel.shown import shown
from clustercore_apps.errors import OperatorError


def run_list(client: ChannelClient, _options: argparse.Namespace) -> int:
    """Prints the channels that one may do anything with, one a line."""
    for name in client.ask("list")["channels"]:
        print(shown(str(name)))
    return 0


def run_create(client: ChannelClient, options: argparse.Namespace) -> int:
    """Makes a channel."""
    client.ask("create", channel=options.channel, config=_config(options.config))
    print(f"channel {shown(options.channel)} is there")
    return 0


def run_delete(client: ChannelClient, options: argparse.Namespace) -> int:
    """Deletes a channel with everything in it."""
    client.ask("delete", channel=options.channel)
    print(f"channel {shown(options.channel)} is deleted")
    return 0


def run_why(client: ChannelClient, options: argparse.Namespace) -> int:
    """Prints every reason why nothing is being delivered to a consumer, one a line."""
    answer = client.ask("why", channel=options.channel, consumer=options.consumer)
    reasons = answer["reasons"]
    for reason in reasons:
        print(shown(str(reason["text"])))
    hook = answer.get("hook_state")
    if hook is not None:
        print(shown(f"web hook: {hook['state']}" + (f": {hook['why']}" if hook["why"] else "")))
    if not reasons:
        print("nothing holds it up: events are being delivered")
    return 0


def run_remove(client: ChannelClient, options: argparse.Namespace) -> int:
    """Removes a consumer with its queue."""
    client.ask("remove", channel=options.channel, consumer=options.consumer)
    print(f"consumer {shown(options.consumer)} is removed")
    return 0


def run_describe(client: ChannelClient, options: argparse.Namespace) -> int:
    """Prints everything about a channel as JSON."""
    print(json.dumps(client.ask("describe", channel=options.channel), indent=2))
    return 0


def _config(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        config = json.loads(text)
    except ValueError as error:
        raise OperatorError(f"--config is no JSON: {error}") from None
    if not isinstance(config, dict):
        raise OperatorError(f'--config is {text}; write an object, for example {{"repeats_window": 1000}}')
    return config
