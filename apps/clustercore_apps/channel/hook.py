"""`clustercore channel hook`: a consumer that is an address."""

from __future__ import annotations

import argparse
from urllib.parse import urlsplit

import clustercore

from clustercore_apps.channel.client import ChannelClient
from clustercore_apps.channel.shown import shown
from clustercore_apps.errors import OperatorError
from clustercore_apps.service.security import read_token


def run_hook(client: ChannelClient, options: argparse.Namespace) -> int:
    """Makes a web hook. Whether the target agrees is told by `why` and `describe`."""
    hook = {"url": resolved(options.url), "mode": options.mode}
    if options.rate is not None:
        hook["rate"] = options.rate
    if options.hook_token_file is not None:
        hook["token"] = read_token(options.hook_token_file)
    spec = {"hook": hook}
    if options.filter is not None:
        spec["filter"] = options.filter
    client.ask("hook", channel=options.channel, name=options.name, spec=spec)
    print(f"web hook {shown(options.name)} is there: the target is being asked")
    return 0


def resolved(url: str) -> str:
    """The URL with an IP address for the name of its host: the server looks nothing up."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise OperatorError(f"URL is {url}: {error}") from None
    if parts.scheme != "http" or not host or "@" in parts.netloc or parts.fragment:
        raise OperatorError(f"URL is {url}; write http://HOST:PORT/PATH (https is not offered)")
    try:
        place = clustercore.resolve(host, port or 80)[0]
    except clustercore.ClusterError as error:
        raise OperatorError(f"URL is {url}: {error}") from None
    query = f"?{parts.query}" if parts.query else ""
    return f"http://{place}{parts.path or '/'}{query}"
