"""`perf/bench.sh`: the command line of the runner."""

from __future__ import annotations

import argparse
import os
import signal
import sys

from . import check, compare, place, results, suite, tools
from .experiments import Effort
from .generator import Load
from .programs import PROXIES

PAPER_REQUESTS = 100
QUICK = Effort(runs=1, seconds=0.4, warmup_seconds=0.1, is_quick=True)


def main() -> int:
    """Runs what the command line asks for and returns the exit code."""
    arguments = parser().parse_args()
    # Ends like Ctrl-C, so that every `with` block stops its processes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if getattr(arguments, "record", False) and tools.PROGRAMS_VARIABLE in os.environ:
        sys.exit(f"--record keeps figures of release programs: unset {tools.PROGRAMS_VARIABLE}")
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
    top = argparse.ArgumentParser(
        prog="perf/bench.sh",
        description="Measures clustercore beside its floors and peers. Without a command: the paper's "
        "experiments, the overhead breakdown, rise and fall of load, the study of policies, and one HTML "
        "report in perf/out/.",
    )
    top.add_argument("--no-build", action="store_true", help="use the programs that are built already")
    top.add_argument(
        "--install-peers",
        action="store_true",
        help="first install HAProxy, nginx, wrk, httperf, rsync, Redis, NATS, Mosquitto, ENet, ZeroMQ and "
        "ONC RPC (Debian, root), Pingora, quinn and grpcio",
    )
    top.add_argument(
        "--quick", action="store_true", help="a smoke run of everything within two minutes; judges no time"
    )
    top.add_argument("--runs", type=int, default=5, help="runs per figure (default %(default)s)")
    top.add_argument(
        "--seconds", type=float, default=2.0, help="measured seconds per run (default %(default)s)"
    )
    top.add_argument(
        "--slow-requests",
        type=int,
        default=15,
        help="requests of each cell of experiment 2, at the paper's one a second (default %(default)s)",
    )
    top.add_argument(
        "--paper", action="store_true", help="experiment 2 with the paper's 100 requests: 80 minutes more"
    )
    top.add_argument(
        "--ours", default="clustercore", choices=PROXIES, help="the program that is measured as ours"
    )
    top.add_argument(
        "--hosts", help="three back ends that run already, host:port by commas, instead of local slaves"
    )
    top.add_argument("--record", action="store_true", help="keep the figures in perf/results/ too")
    top.set_defaults(action=run_suite)
    commands = top.add_subparsers(dest="command")
    add_ab(commands)
    judged = commands.add_parser(
        "check", help="measure and judge the targets of an area; exit 1 when one falls short"
    )
    judged.add_argument("area", help="for example service")
    judged.add_argument("--only", help="ids of targets, by commas")
    judged.set_defaults(action=run_check)
    commands.add_parser("udp", help="the floors of UDP").set_defaults(action=run_udp)
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
    ab.add_argument(
        "--proxies", default="floor-uring,clustercore,haproxy", help=f"by commas: {', '.join(PROXIES)}"
    )
    ab.add_argument("--options", default="", help='more words for clustercore, for example "--policy rr"')
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
        expect_bytes=1024 * int(arguments.size.removesuffix("k")),
    )
    names = arguments.proxies.split(",")
    words = arguments.options.split()
    options = {name: words for name in names if name.startswith("clustercore")}
    makers = {"loopback": place.loopback, "slaves": place.slaves, "host": place.host}
    with makers[arguments.place]() as where:
        comparison = compare.compare(
            "ab",
            load.describe(),
            names,
            load,
            arguments.runs,
            where,
            options,
            generator_name=arguments.generator,
        )
    compare.print_comparison(comparison)
    results.save(comparison.rows(), "ab", arguments.record)
    return 0


def effort_of(arguments: argparse.Namespace) -> Effort:
    """How much to measure, by the command line."""
    if arguments.quick:
        return Effort(QUICK.runs, QUICK.seconds, QUICK.warmup_seconds, True, arguments.ours)
    slow = PAPER_REQUESTS if arguments.paper else max(1, arguments.slow_requests)
    return Effort(arguments.runs, arguments.seconds, ours=arguments.ours, slow_requests=slow)


def run_check(arguments: argparse.Namespace) -> int:
    """Judges the targets of an area."""
    only = arguments.only.split(",") if arguments.only else None
    return check.run(arguments.area, effort_of(arguments), arguments.record, only)


def run_suite(arguments: argparse.Namespace) -> int:
    """Everything, and the report."""
    return suite.run(
        effort_of(arguments), arguments.record, arguments.hosts.split(",") if arguments.hosts else None
    )


def run_udp(arguments: argparse.Namespace) -> int:
    """The UDP floors."""
    return suite.run_udp(effort_of(arguments), arguments.record)


if __name__ == "__main__":
    sys.exit(main())
