"""`clustercore send` and `clustercore receive`: a file or a tree over the network, verified end to end."""

from __future__ import annotations

import argparse
import ipaddress
import signal
from dataclasses import dataclass

import clustercore

from clustercore_apps.address import Address, is_loopback
from clustercore_apps.errors import OperatorError
from clustercore_apps.keys import load_key, one_key
from clustercore_apps.transfer.link import Link
from clustercore_apps.transfer.receiver import TRANSFERS_MAX, Receiver
from clustercore_apps.transfer.report import Report, shown_bytes, shown_files
from clustercore_apps.transfer.sender import Broken, Outcome, Sender
from clustercore_apps.transfer.source import Source


@dataclass(frozen=True, slots=True)
class Peer:
    """A receiver: as it was written, its address, its public key."""

    host: str
    address: str
    key: str | None


def run_send(options: argparse.Namespace) -> int:
    """Sends to each host in turn; 0 when everything is everywhere, else 1. Raises `OperatorError`."""
    source = Source(options.path)
    key = load_key(options.key)
    peers = _peers(options.hosts, options.port, [one_key(text) for text in options.peer_key])
    if key is None and any(peer.key for peer in peers):
        # The receiver lets in whom it wants; who has no key of his own gets one for this time.
        key = clustercore.Key.generate()
    failed = 0
    for peer in peers:
        if peer.key is None and not options.insecure and not _is_loopback(peer.address):
            raise OperatorError(
                f"{peer.host} is another machine: give its public key with --peer-key, or allow clear and "
                f"unproven messages with --insecure"
            )
    for peer in peers:
        failed += _send_to(peer, source, key, options)
    return 1 if failed else 0


def run_receive(options: argparse.Namespace) -> int:
    """Receives until SIGTERM or SIGINT. Raises `OperatorError`."""
    listen = _listen(options.listen, options.port)
    key = load_key(options.key)
    allow = [one_key(text) for text in options.peer_key]
    if key is None and allow:
        raise OperatorError("--peer-key needs --key: without a key of our own nobody is proven")
    if key is not None and not allow and not options.anybody:
        raise OperatorError("say who may send, with --peer-key, or --anybody for everybody who has our key")
    link = _open(
        str(listen),
        key=key,
        allow=allow or None,
        insecure=options.insecure,
        connections_max=2 * TRANSFERS_MAX,
        is_accepting=True,
    )
    try:
        receiver = Receiver(options.folder, link, is_quiet=options.quiet)
        stopped: list[int] = []

        def on_signal(number: int, _frame: object) -> None:
            stopped.append(number)
            link.wake()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, on_signal)
        if not options.quiet:
            print(f"receiving into {options.folder} on {link.endpoint.address}", flush=True)
        failed = receiver.run(lambda: bool(stopped), once=options.once)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        link.close()
    return 1 if failed else 0


def _send_to(peer: Peer, source: Source, key: clustercore.Key | None, options: argparse.Namespace) -> bool:
    """Sends to one host; whether something has failed."""
    version = ipaddress.ip_address(_host(peer.address)).version
    if _is_loopback(peer.address):
        bind = "127.0.0.1:0" if version == 4 else "[::1]:0"
    else:
        bind = "0.0.0.0:0" if version == 4 else "[::]:0"
    link = _open(bind, key=key if peer.key else None, insecure=options.insecure)
    report = Report(f"to {peer.host}", is_quiet=options.quiet)
    text = None
    try:
        outcome = Sender(source, link, report).run(peer.address, peer.key)
        text = _summary(peer.host, outcome, report.seconds())
    except Broken as error:
        report.fault(f"{peer.host}: {error}; the same command takes the transfer up again")
        return True
    except clustercore.ClusterError as error:
        raise OperatorError(f"{peer.host}: {error}") from None
    finally:
        report.end(text)
        link.close()
    return bool(outcome.failed)


def _summary(host: str, outcome: Outcome, seconds: float) -> str:
    parts = [shown_files(outcome.files), f"{shown_bytes(outcome.bytes_sent)} sent"]
    if outcome.bytes_kept:
        parts.append(f"{shown_bytes(outcome.bytes_kept)} were there")
    if outcome.failed:
        parts.append(f"{outcome.failed} failed")
    rate = shown_bytes((outcome.bytes_sent + outcome.bytes_kept) / max(seconds, 1e-6))
    return f"to {host}: {', '.join(parts)}, {seconds:.2f} s, {rate}/s"


def _peers(hosts: list[str], port: int, keys: list[str]) -> list[Peer]:
    if keys and len(keys) != len(hosts):
        raise OperatorError(
            f"--peer-key is given {len(keys)} times for {len(hosts)} hosts; a key belongs to one machine: "
            f"give each host its own, in their order"
        )
    peers = []
    for place, host in enumerate(hosts):
        try:
            name = Address.parse(host) if _has_port(host) else Address.parse(f"{_bracketed(host)}:{port}")
            address = clustercore.resolve(name.host, name.port)[0]
        except ValueError as error:
            raise OperatorError(f"host: {error}") from None
        except clustercore.Unreachable as error:
            raise OperatorError(str(error)) from None
        peers.append(Peer(host, address, keys[place] if keys else None))
    return peers


def _listen(text: str, port: int) -> Address:
    try:
        listen = Address.parse(text if _has_port(text) else f"{_bracketed(text)}:{port}", port_min=0)
        host = "127.0.0.1" if listen.host == "localhost" else listen.host
        ipaddress.ip_address(host)
    except ValueError as error:
        raise OperatorError(f"--listen: {error}") from None
    return Address(host, listen.port)


def _open(address: str, **how: object) -> Link:
    try:
        return Link(address, **how)  # type: ignore[arg-type]
    except clustercore.InsecureAddress:
        raise OperatorError(
            f"{address} is an address that others can reach: give a key with --key (clustercore keygen makes "
            f"one), or allow clear and unproven messages with --insecure"
        ) from None
    except clustercore.ClusterError as error:
        raise OperatorError(str(error)) from None


def _has_port(text: str) -> bool:
    """`host:port` or `[v6]:port`, and no bare address of IPv6."""
    return text.count(":") == 1 or "]:" in text


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _host(address: str) -> str:
    return address.rpartition(":")[0].strip("[]").partition("%")[0]


def _is_loopback(address: str) -> bool:
    return is_loopback(_host(address))
