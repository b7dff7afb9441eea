"""`perf/bench.sh`: the command line of the runner."""

from __future__ import annotations

import argparse
import signal
import sys

from . import compare, place, results, tools
from .generator import Load


def main() -> int:
    """Runs what the command line asks for and returns the exit code."""
    arguments = parser().parse_args()
    # Ends like Ctrl-C, so that every `with` block stops its processes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if arguments.install_peers:
        tools.install_peers()
    if not arguments.no_build:
        tools.build()
    try:
        return arguments.action(arguments)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(prog="perf/bench.sh", description="Measures clustercore beside its floors and peers.")
    top.add_argument("--no-build", action="store_true", help="use the programs that are built already")
    top.add_argument("--install-peers", action="store_true", help="install HAProxy, nginx, wrk and httperf (Debian, root)")
    commands = top.add_subparsers(dest="command")
    add_ab(commands)
    return top


def add_ab(commands) -> None:
    """`ab`: a quick comparison of some proxies under one load."""
    ab = commands.add_parser("ab", help="compare proxies under one load, interleaved")
    ab.add_argument("--size", default="1k", help="file asked for: 1k 10k 100k 200k 300k 400k 500k")
    ab.add_argument("--connections", type=int, default=64)
    ab.add_argument("--rate", type=float, help="open loop at this rate; default: closed loop")
    ab.add_argument("--new-connections", action="store_true", help="a new connection per request")
    ab.add_argument("--runs", type=int, default=5)
    ab.add_argument("--seconds", type=float, default=1.5, help="measured seconds per run")
    ab.add_argument("--proxies", default="floor-uring,clustercore,haproxy", help="by commas; see perf/README.md")
    ab.add_argument("--options", default="", help='more words for clustercore, for example "--driver epoll"')
    ab.add_argument("--place", choices=("loopback", "slaves", "host"), default="loopback")
    ab.add_argument("--generator", choices=("load", "wrk"), default="load")
    ab.add_argument("--record", action="store_true", help="keep the rows in perf/results/ too")
    ab.set_defaults(action=run_ab)


def run_ab(arguments: argparse.Namespace) -> int:
    """Compares, prints a table, and writes the rows."""
    load = Load(
        uri=f"/{arguments.size}",
        connections=arguments.connections,
        rate=arguments.rate,
        num_calls=1 if arguments.new_connections else 0,
        seconds=arguments.seconds,
    )
    names = arguments.proxies.split(",")
    words = arguments.options.split()
    options = {name: words for name in names if name.startswith("clustercore")}
    with make_place(arguments.place) as where:
        comparison = compare.compare(
            "ab", load.describe(), names, load, arguments.runs, where, options, generator_name=arguments.generator
        )
    compare.print_comparison(comparison)
    results.save(comparison.rows(), "ab", arguments.record)
    return 0


def make_place(kind: str) -> place.Place:
    """The place that an option names."""
    return {"loopback": place.loopback, "slaves": place.slaves, "host": lambda: place.Place("host")}[kind]()


if __name__ == "__main__":
    sys.exit(main())
