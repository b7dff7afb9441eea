"""The command `clustercore`.

Exit codes: 0 done, 1 failed on the way, 2 the operator must change something.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from clustercore_apps import __version__
from clustercore_apps.channel import PORT
from clustercore_apps.command import run_node
from clustercore_apps.command.channel import add_channel
from clustercore_apps.command.client import CONSOLE_DEFAULT, CONSOLE_VARIABLE, ConsoleClient
from clustercore_apps.command.core import need_core
from clustercore_apps.errors import OperatorError

STATE_DIR_DEFAULT = "/var/lib/clustercore/node"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO if getattr(options, "verbose", False) else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    try:
        return int(options.run(options))
    except OperatorError as error:
        print(f"clustercore: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output went away, for example `| head`: nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="clustercore",
        description="A front end that serves alone while load is low and borrows back ends while it is high.",
    )
    parser.add_argument("--version", action="version", version=f"clustercore {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_front(commands.add_parser("front", help="run a front end: forwarders, load manager, console"))
    _add_node(commands.add_parser("node", help="run a node agent, or make its keys (node keygen)"))
    status = commands.add_parser("status", help="print services, child lists, nodes and decisions once")
    _add_console(status)
    status.set_defaults(run=_status)
    top = commands.add_parser("top", help="the same, live in the terminal")
    _add_console(top)
    top.add_argument(
        "--interval", type=float, default=0.5, help="seconds between two pictures (default %(default)s)"
    )
    top.add_argument("--rounds", type=int, help="end after so many pictures")
    top.set_defaults(run=_top)
    _add_by_hand(commands)
    doctor = commands.add_parser("doctor", help="tell what this machine offers and what to change")
    doctor.set_defaults(run=_doctor)
    keygen = commands.add_parser("keygen", help="make the key of an endpoint in secure mode")
    keygen.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="new file for the private key, which only its owner can read; the public key is printed "
        "(default: the private key is printed, the public one to standard error)",
    )
    keygen.set_defaults(run=_keygen)
    _add_send(commands.add_parser("send", help="send a file or a tree, verified end to end"))
    _add_receive(commands.add_parser("receive", help="receive what others send, into a folder"))
    add_channel(commands.add_parser("channel", help="event channels: a server, and what is asked of one"))
    _add_demo(commands.add_parser("demo", help="bring up a whole cluster on this machine"))
    return parser


def _add_front(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, required=True, help="the file that declares nodes and services"
    )
    parser.add_argument("--check", action="store_true", help="check the file and end")
    parser.add_argument("--until-input-ends", action="store_true", help="end when standard input is closed")
    parser.add_argument("--verbose", action="store_true", help="log decisions to standard error too")
    parser.set_defaults(run=_front)


def _add_node(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "action",
        nargs="?",
        choices=["run", "keygen"],
        default="run",
        help="run the agent (default) or make its keys",
    )
    add("--listen", default="127.0.0.1:7400", help="address for front ends (default %(default)s)")
    add("--name", help="the node's name (default: host name)")
    add(
        "--state-dir",
        type=Path,
        default=Path(STATE_DIR_DEFAULT),
        help="what the agent must remember (default %(default)s)",
    )
    add("--service-host", help="address that services listen on (default: that of --listen)")
    add("--cores", type=int, default=0, help="cores to report (default: those usable)")
    add(
        "--report-interval",
        type=float,
        default=0.5,
        help="seconds between two load reports (default %(default)s)",
    )
    add(
        "--on-lapse",
        choices=["stop", "keep"],
        default="stop",
        help="what becomes of the service when the lease lapses",
    )
    add("--drain-deadline", type=float, default=5.0, help="seconds for connections to end after a lapse")
    add("--stop-deadline", type=float, default=5.0, help="seconds between the stop signal and SIGKILL")
    add(
        "--allow-program",
        action="append",
        default=[],
        metavar="PATH",
        help="run only this program; repeat for more",
    )
    add("--stop-services", action="store_true", help="end the service with the agent (default: it goes on)")
    add("--token-file", type=Path, help="front ends must know this token")
    add("--certificate", type=Path, help="serve TLS with this certificate")
    add("--key", type=Path, help="key of the certificate")
    add("--insecure", action="store_true", help="allow an open port without TLS and token")
    add("--job-program", default="", help="the job handler of message mode (default: clustercore-job)")
    add("--job-key", type=Path, help="private key of the job handler (see clustercore keygen)")
    add("--job-peers", type=Path, help="public keys of front ends that may send it requests, one a line")
    add("--until-input-ends", action="store_true", help="end when standard input is closed")
    add("--verbose", action="store_true", help="log every change to standard error")
    add("--directory", type=Path, default=Path("clustercore-node"), help="keygen: where to write")
    add("--host", default="localhost", help="keygen: name or address of the node")
    parser.set_defaults(run=_node)


def _add_by_hand(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    texts = {
        "add": "borrow one more back end for a service",
        "drain": "give a back end back when its requests are done",
        "remove": "give a back end back at once, cutting its requests",
    }
    for verb, text in texts.items():
        parser = commands.add_parser(verb, help=text)
        _add_console(parser)
        parser.add_argument("service", help="name of the service")
        if verb != "add":
            parser.add_argument("node", help="name of the node")
        parser.set_defaults(run=_by_hand, verb=verb)


def _add_console(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--console", help=f"host:port (default ${CONSOLE_VARIABLE} or {CONSOLE_DEFAULT})")
    parser.add_argument("--token-file", type=Path, help="token of the console")
    parser.add_argument("--certificate", type=Path, help="certificate of the console; the connection is TLS")


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--front", default="127.0.0.1:8080", help="address for clients (default %(default)s)")
    parser.add_argument(
        "--console", default="127.0.0.1:8090", help="address of the console (default %(default)s)"
    )
    parser.add_argument(
        "--channel",
        default=f"127.0.0.1:{PORT}",
        help="address of the event channel (default %(default)s)",
    )
    parser.add_argument("--demo", action="store_true", help="drive a load that rises and falls")
    parser.add_argument("--seconds", type=float, help="end by itself after so long and print a summary")
    parser.add_argument(
        "--program", choices=["auto", "nginx", "lighttpd", "sample"], default="auto", help="what serves"
    )
    parser.add_argument(
        "--driver", choices=["auto", "uring", "epoll"], default="auto", help="the core's driver"
    )
    parser.add_argument("--verbose", action="store_true", help="show what the parts say")
    parser.set_defaults(run=_demo)


def _add_send(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("path", type=Path, metavar="PATH", help="file or folder; what arrives has its last component as name")
    add("hosts", nargs="+", metavar="HOST", help="host or host:port of a receiver; one after the other")
    _add_transfer(parser)
    add(
        "--key",
        type=Path,
        metavar="FILE",
        help="our private key (clustercore keygen --out FILE; default: one made for this time)",
    )
    add(
        "--peer-key",
        action="append",
        default=[],
        metavar="KEY",
        help="public key of the receiver, or a file with it; repeat for more hosts, in their order",
    )
    parser.set_defaults(run=_send)


def _add_receive(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR", help="folder to receive into; it must be there")
    text = "address or address:port (default %(default)s)"
    add("--listen", default="127.0.0.1", metavar="ADDRESS", help=text)
    _add_transfer(parser)
    add("--key", type=Path, metavar="FILE", help="our private key (clustercore keygen --out FILE)")
    add(
        "--peer-key",
        action="append",
        default=[],
        metavar="KEY",
        help="public key of who may send, or a file with it; repeat for more",
    )
    add("--anybody", action="store_true", help="with --key: everybody who knows our public key may send")
    add("--once", action="store_true", help="end after one transfer, with code 1 if it is not whole")
    parser.set_defaults(run=_receive)


def _add_transfer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=7410, help="UDP port (default %(default)s)")
    parser.add_argument(
        "--insecure", action="store_true", help="allow clear and unproven messages outside loopback"
    )
    parser.add_argument("--quiet", action="store_true", help="say only what goes wrong")


def _client(options: argparse.Namespace) -> ConsoleClient:
    return ConsoleClient(options.console, options.token_file, options.certificate)


def _front(options: argparse.Namespace) -> int:
    # Imported where it is needed, so that the other commands work without the native module.
    from clustercore_apps.service.config import load_config

    if options.check:
        config = load_config(options.config)
        print(f"{options.config}: {len(config.services)} services, {len(config.nodes)} nodes, no fault found")
        return 0
    need_core()
    from clustercore_apps.command.run_front import run_front

    return asyncio.run(run_front(options.config, until_input_ends=options.until_input_ends))


def _node(options: argparse.Namespace) -> int:
    if options.action == "keygen":
        return run_node.run_keygen(options.directory, options.host)
    settings = run_node.options_from(options)
    return asyncio.run(run_node.run_node(settings, until_input_ends=options.until_input_ends))


def _status(options: argparse.Namespace) -> int:
    from clustercore_apps.command.view import show_status

    show_status(_client(options))
    return 0


def _top(options: argparse.Namespace) -> int:
    from clustercore_apps.command.view import show_top

    if options.interval < 0.05:
        raise OperatorError(f"--interval is {options.interval:g}, limit is 0.05 s; give more")
    show_top(_client(options), options.interval, options.rounds)
    return 0


def _by_hand(options: argparse.Namespace) -> int:
    wish = {"node": options.node} if options.verb != "add" else {}
    answer = _client(options).change(options.service, options.verb, wish)
    texts = {"add": "is being started on", "drain": "is being drained on", "remove": "is being removed from"}
    print(f"{options.service} {texts[options.verb]} {answer['node']}")
    return 0


def _doctor(_options: argparse.Namespace) -> int:
    from clustercore_apps.command.doctor import run_doctor

    return run_doctor()


def _keygen(options: argparse.Namespace) -> int:
    need_core()
    from clustercore_apps.command.run_keygen import run_keygen

    return run_keygen(options.out)


def _send(options: argparse.Namespace) -> int:
    need_core()
    from clustercore_apps.command.run_send import run_send

    return run_send(options)


def _receive(options: argparse.Namespace) -> int:
    need_core()
    from clustercore_apps.command.run_send import run_receive

    return run_receive(options)


def _demo(options: argparse.Namespace) -> int:
    need_core()
    from clustercore_apps.demo.cluster import run_demo

    return asyncio.run(
        run_demo(
            front=options.front,
            console=options.console,
            channel=options.channel,
            with_load=options.demo,
            seconds=options.seconds,
            program=options.program,
            driver=options.driver,
            verbose=options.verbose,
        )
    )
