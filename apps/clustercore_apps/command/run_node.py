"""`clustercore node`: runs a node agent, or makes its keys."""

from __future__ import annotations

import argparse
import asyncio
import socket
from pathlib import Path

from clustercore_apps.address import Address
from clustercore_apps.command.signals import signal_event, watch_input
from clustercore_apps.errors import OperatorError
from clustercore_apps.service.agent import Agent, AgentOptions
from clustercore_apps.service.security import keygen, read_token


def options_from(arguments: argparse.Namespace) -> AgentOptions:
    """Checks the command line. Raises `OperatorError`."""
    try:
        listen = Address.parse(arguments.listen, port_min=0)
    except ValueError as error:
        raise OperatorError(f"--listen: {error}") from None
    if (arguments.certificate is None) != (arguments.key is None):
        raise OperatorError("--certificate and --key go together; give both or none")
    if arguments.report_interval < 0.05:
        raise OperatorError(f"--report-interval is {arguments.report_interval:g}, limit is 0.05 s; give more")
    return AgentOptions(
        name=arguments.name or socket.gethostname(),
        listen=listen,
        state_dir=arguments.state_dir,
        service_host=arguments.service_host or listen.host,
        token=read_token(arguments.token_file) if arguments.token_file else None,
        certificate=arguments.certificate,
        key=arguments.key,
        insecure=arguments.insecure,
        report_interval=arguments.report_interval,
        on_lapse=arguments.on_lapse,
        drain_deadline=arguments.drain_deadline,
        stop_deadline=arguments.stop_deadline,
        cores=arguments.cores,
        allowed_programs=tuple(arguments.allow_program),
        stop_services=arguments.stop_services,
        job_program=arguments.job_program,
        job_key=arguments.job_key,
        job_peers=arguments.job_peers,
    )


async def run_node(options: AgentOptions, *, until_input_ends: bool) -> int:
    """Serves until SIGTERM or SIGINT, or until standard input ends. Raises `OperatorError`."""
    stop, ready = signal_event(), asyncio.Event()
    if until_input_ends:
        watch_input(stop)
    agent = Agent(options)
    serving = asyncio.create_task(agent.run(stop, ready))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if ready.is_set():
        print(f"node {options.name} on {agent.address}", flush=True)
    waiting.cancel()
    await serving
    return 0


def run_keygen(directory: Path, host: str) -> int:
    """Makes certificate, key and token of a node and says where to put them."""
    certificate, key, token = keygen(directory, host)
    print(f"made {certificate}, {key}, {token}")
    print(f"node:  clustercore node --certificate {certificate} --key {key} --token-file {token} ...")
    print(
        f'front: copy {certificate.name} and {token.name} there; in [[nodes]] set certificate = "..." '
        f'and token_file = "..."'
    )
    return 0
