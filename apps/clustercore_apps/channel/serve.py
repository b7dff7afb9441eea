"""`clustercore channel serve`: a channel server until a signal ends it."""

from __future__ import annotations

import argparse
import ipaddress
import signal
import sys

import clustercore

from clustercore_apps.address import Address
from clustercore_apps.channel import PORT
from clustercore_apps.channel.access import Grant, parse_grants, read_grants
from clustercore_apps.errors import OperatorError
from clustercore_apps.keys import load_key, one_key

TURN_SECONDS = 0.5


def run_serve(options: argparse.Namespace) -> int:
    """Serves until SIGTERM or SIGINT. Raises `OperatorError`."""
    tokens = parse_grants(options.token, "--token")
    if options.tokens_file is not None:
        tokens |= parse_grants(read_grants(options.tokens_file), f"{options.tokens_file}: entry")
    if not tokens and not options.open:
        raise OperatorError(
            "nobody may come in: say who, with --token or --tokens-file, or --open for everybody"
        )
    faces = {name: _face(name, getattr(options, name)) for name in ("tcp", "udp", "rpc", "http")}
    if not any(faces.values()):
        faces["tcp"] = f"127.0.0.1:{PORT}"
    allow = [one_key(text) for text in options.peer_key]
    if options.key is None and allow:
        raise OperatorError("--peer-key needs --key: without a key of our own nobody is proven")
    if options.key is not None and not faces["udp"] and not faces["rpc"]:
        raise OperatorError(
            "--key is for --udp and --rpc: listen on one of them; TCP and HTTP are always clear"
        )
    server = _open(faces, tokens, allow, options)
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: stopped.append(number))
    try:
        for name in faces:
            address = getattr(server, f"{name}_address")
            if address is not None:
                print(f"channels on {name}://{address}", flush=True)
        is_well = True
        while not stopped:
            server.turn(TURN_SECONDS)
            if is_well and server.failure is not None:
                is_well = False
                print(f"clustercore: {server.failure}", file=sys.stderr, flush=True)
    except clustercore.ClusterError as error:
        raise OperatorError(str(error)) from None
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        server.close()
    return 0


def _open(
    faces: dict[str, str | None],
    tokens: dict[str, Grant],
    allow: list[str],
    options: argparse.Namespace,
) -> clustercore.ChannelServer:
    try:
        return clustercore.ChannelServer(
            tcp=faces["tcp"],
            udp=faces["udp"],
            rpc=faces["rpc"],
            http=faces["http"],
            tokens=tokens,
            open=options.open,
            key=load_key(options.key),
            allow=allow or None,
            insecure=options.insecure,
            linger=options.linger,
            journal=options.journal,
            hook_targets=options.hook_target,
        )
    except clustercore.InsecureAddress as error:
        raise OperatorError(
            f"{error}; others can reach that address and read what is said: listen on loopback, use "
            f"--udp or --rpc with --key, or allow it with --insecure where the network is trusted"
        ) from None
    except clustercore.ClusterError as error:
        raise OperatorError(str(error)) from None


def _face(name: str, text: str | None) -> str | None:
    """The address of a face as `ip:port`."""
    if text is None:
        return None
    try:
        address = Address.parse(text, port_min=0)
        host = "127.0.0.1" if address.host == "localhost" else address.host
        ipaddress.ip_address(host)
    except ValueError as error:
        raise OperatorError(f"--{name}: {error}") from None
    return str(Address(host, address.port))
