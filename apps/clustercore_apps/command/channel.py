"""`clustercore channel ...`: what its commands are told."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from clustercore_apps.channel import PORT, SERVER_DEFAULT
from clustercore_apps.command.core import need_core
from clustercore_apps.errors import OperatorError

if TYPE_CHECKING:
    from clustercore_apps.channel.client import ChannelClient

    Run = Callable[[ChannelClient, argparse.Namespace], int]


def add_channel(parser: argparse.ArgumentParser) -> None:
    """Everything behind `clustercore channel`."""
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_serve(commands.add_parser("serve", help="run a channel server"))
    _add_client(commands.add_parser("list", help="the channels that one may do anything with"))
    create = commands.add_parser("create", help="make a channel")
    _add_client(create, "channel")
    create.add_argument("--config", metavar="JSON", help="what it is made with (docs/channel.md)")
    _add_client(commands.add_parser("delete", help="delete a channel with all in it"), "channel")
    _add_emit(commands.add_parser("emit", help="put an event into a channel, or one for each line"))
    _add_watch(commands.add_parser("watch", help="print the events of a channel as they come"))
    why = commands.add_parser("why", help="every reason why nothing is being delivered to a consumer")
    _add_client(why, "channel", "consumer")
    _add_hook(commands.add_parser("hook", help="send the events of a channel to an address by HTTP"))
    remove = commands.add_parser("remove", help="remove a consumer, such as a web hook, with its queue")
    _add_client(remove, "channel", "consumer")
    describe = commands.add_parser("describe", help="everything about a channel, as JSON")
    _add_client(describe, "channel")


def _add_serve(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    text = "listen for participants over {} (port 0: any)"
    add("--tcp", metavar="ADDRESS", help=f"{text.format('TCP')}; without any, 127.0.0.1:{PORT}")
    add("--udp", metavar="ADDRESS", help=text.format("reliable datagrams"))
    add("--rpc", metavar="ADDRESS", help=text.format("remote calls"))
    add("--http", metavar="ADDRESS", help="listen for HTTP: CloudEvents by POST and GET")
    add(
        "--key",
        type=Path,
        metavar="FILE",
        help="our private key (clustercore keygen --out FILE), which encrypts --udp and --rpc; "
        "TCP and HTTP are always clear",
    )
    add(
        "--peer-key",
        action="append",
        default=[],
        metavar="KEY",
        help="with --key: public key of who may connect, or a file with it; repeat for more (default: all)",
    )
    add(
        "--token",
        action="append",
        default=[],
        metavar="SECRET=NAME:RIGHTS[@CHANNEL]",
        help="who shows SECRET is NAME and may emit, consume, administer (some of them, with commas), in "
        "CHANNEL or everywhere; repeat for more. Others on this machine can read a command line",
    )
    add("--tokens-file", type=Path, metavar="FILE", help="the same, one a line, in a file of mode 0600")
    add("--open", action="store_true", help="who shows no secret may do everything")
    add("--insecure", action="store_true", help="listen in the clear outside loopback")
    add(
        "--linger",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="how long a consumer with a name stays without a connection (default %(default)g)",
    )
    add(
        "--journal",
        type=Path,
        metavar="FILE",
        help="keep persistent events, channels and durable consumers here, for the next start too; without "
        "it persistent events are lost",
    )
    add(
        "--hook-target",
        action="append",
        metavar="NETWORK",
        help="web hooks may lead there: IP/BITS, loopback, or anywhere; repeat for more (default: loopback, "
        "and nowhere when the server listens to others)",
    )
    parser.set_defaults(run=_serve)


def _add_emit(parser: argparse.ArgumentParser) -> None:
    _add_client(parser, "channel")
    add = parser.add_argument
    add("--type", default="note", help="type of the event (default %(default)s)")
    add("--source", help="who makes it (default: / and the name of this machine)")
    add("--id", help="its id, unique for its source (default: a random one); a line has its number behind")
    add("--name", default="", help="what it is about")
    add(
        "--field",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a field to filter by: number, true, false or text; repeat for more",
    )
    add("--priority", type=int, help="0 to 255 (default: the channel's)")
    add("--persistent", action="store_true", help="it counts when it is on disk; else the command fails")
    body = parser.add_mutually_exclusive_group()
    body.add_argument("--body", metavar="TEXT", help="its body")
    body.add_argument("--lines", action="store_true", help="an event for each line of standard input")


def _add_watch(parser: argparse.ArgumentParser) -> None:
    _add_client(parser, "channel")
    add = parser.add_argument
    add("--filter", metavar="CEL", help="only events for which this holds, such as: load > 0.5")
    add("--name", default="", help="a name, under which its queue stays for a while without a connection")
    add("--acknowledge", action="store_true", help="what was not printed is delivered again")
    add("--count", type=int, help="end after so many events")
    add("--json", action="store_true", help="print each event as a JSON object")


def _add_hook(parser: argparse.ArgumentParser) -> None:
    _add_client(parser, "channel", "name")
    add = parser.add_argument
    add("url", metavar="URL", help="http://HOST:PORT/PATH; HOST is looked up once, now. https is not offered")
    add(
        "--mode",
        choices=("binary", "structured", "batched"),
        default="binary",
        help="form of the events (CloudEvents 1.0; default %(default)s)",
    )
    add("--filter", metavar="CEL", help="only events for which this holds, such as: load > 0.5")
    add("--rate", type=int, metavar="N", help="ask the target for so many requests per minute")
    add("--hook-token-file", type=Path, metavar="FILE", help="the secret that the target is shown")


def _add_client(parser: argparse.ArgumentParser, *places: str) -> None:
    """A command that asks a server, and what it asks about."""
    for place in places:
        parser.add_argument(place, metavar=place.upper(), help=f"name of the {place}")
    add = parser.add_argument
    text = "tcp://HOST:PORT, udp://HOST:PORT or rpc://HOST:PORT (default %(default)s)"
    add("--server", default=SERVER_DEFAULT, help=text)
    add(
        "--server-key",
        metavar="KEY",
        help="public key that the server must have, or a file with it: over udp and rpc",
    )
    add(
        "--key",
        type=Path,
        metavar="FILE",
        help="our private key (clustercore keygen --out FILE; default: one made for this time)",
    )
    add("--token-file", type=Path, metavar="FILE", help="the secret that says who we are")
    add("--insecure", action="store_true", help="speak in the clear outside loopback")
    add("--timeout", type=float, default=5.0, help="seconds to wait for the server (default %(default)g)")
    verb = parser.prog.rpartition(" ")[2]
    parser.set_defaults(run=_ask, verb=verb)


def _serve(options: argparse.Namespace) -> int:
    need_core()
    from clustercore_apps.channel.serve import run_serve

    if options.linger < 0:
        raise OperatorError(f"--linger is {options.linger:g}, limit is 0 s")
    return run_serve(options)


def _ask(options: argparse.Namespace) -> int:
    need_core()
    from clustercore_apps.channel import emit, hook, manage, watch
    from clustercore_apps.channel.client import ChannelClient

    if options.timeout <= 0:
        raise OperatorError(f"--timeout is {options.timeout:g} s; give more than 0")
    runs: dict[str, Run] = {
        "list": manage.run_list,
        "create": manage.run_create,
        "delete": manage.run_delete,
        "why": manage.run_why,
        "describe": manage.run_describe,
        "hook": hook.run_hook,
        "remove": manage.run_remove,
        "emit": emit.run_emit,
        "watch": watch.run_watch,
    }
    if options.key is not None and options.server_key is None:
        raise OperatorError("--key needs --server-key: without the server's key nobody is proven")
    with ChannelClient(
        options.server,
        options.token_file,
        insecure=options.insecure,
        seconds=options.timeout,
        server_key=options.server_key,
        key=options.key,
    ) as client:
        return runs[options.verb](client, options)
