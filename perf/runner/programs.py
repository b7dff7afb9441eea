"""Back ends and proxies by name: their command lines and configurations."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from string import Template

from . import tools
from .place import Place, inside_thread, wait_for_port
from .processes import Process, ProcessSet, StartError

SIZES_KIB = (1, 10, 100, 200, 300, 400, 500)


@dataclass(frozen=True)
class Proxy:
    """A program between clients and back ends. `kind` is floor, peer, ours or direct."""

    name: str
    kind: str


PROXIES = {
    proxy.name: proxy
    for proxy in (
        Proxy("direct", "direct"),
        Proxy("floor-uring", "floor"),
        Proxy("floor-uring-own", "floor"),
        Proxy("floor-splice", "floor"),
        Proxy("floor-splice-64k", "floor"),
        Proxy("floor-splice-256k", "floor"),
        Proxy("floor-accept", "floor"),
        Proxy("clustercore", "ours"),
        Proxy("clustercore-epoll", "ours"),
        Proxy("clustercore-messages-mode", "ours"),
        Proxy("clustercore-linked", "ours"),
        Proxy("haproxy", "peer"),
        Proxy("haproxy-splice", "peer"),
        Proxy("nginx", "peer"),
        Proxy("pingora", "peer"),
    )
}

# Floors that are another floor with options.
VARIANTS = {
    "floor-uring-own": ("floor-uring", ["--own-buffer-kib", "256"]),
    "floor-splice-64k": ("floor-splice", ["--pipe-kib", "64"]),
    "floor-splice-256k": ("floor-splice", ["--pipe-kib", "256"]),
}

# What stands beside each back end of a front end in message mode.
JOB_PROGRAMS = {
    "clustercore-messages-mode": "clustercore-job",
    "clustercore-linked": "clustercore-linked-service",
}

Address = tuple[str, int]


class NotHere(RuntimeError):
    """A program is not installed or not built: its rows say "not measured"."""


def make_files(directory: Path) -> Path:
    """Writes the files that nginx serves: `/1k` to `/500k`, the same bytes on every back end."""
    root = directory / "files"
    root.mkdir(exist_ok=True)
    block = bytes((index * 167 + (index >> 8)) & 0xFF for index in range(1024))
    for kib in SIZES_KIB:
        (root / f"{kib}k").write_bytes(block * kib)
    root.chmod(0o755)
    return root


def start_backends(
    place: Place, processes: ProcessSet, count: int = 3, kind: str = "nginx", netns_of: str = "slaves"
) -> list[Address]:
    """Starts `count` back ends of `kind` (nginx or sample), one per slave, and waits until they accept.

    With `netns_of` "front" they run beside the front end. Of named hosts it only looks whether they accept.
    Raises NotHere when nginx is wanted and absent, StartError.
    """
    if place.remote_ports and netns_of == "slaves":
        remote = list(zip(place.slaves, place.remote_ports, strict=True))[:count]
        for host, port in remote:
            if not place.can_connect(host, port):
                raise StartError(f"{host}:{port} of --hosts does not accept: start the back end there")
        return remote
    addresses = []
    for index in range(count):
        is_front = netns_of == "front"
        host = place.front if is_front else place.slaves[index]
        netns = place.front_netns if is_front else place.slave_netns[index]
        port = place.port()
        name = f"backend-{kind}-{port}"
        if kind == "nginx":
            path = tools.system("nginx")
            if path is None:
                raise NotHere("nginx is not installed (perf/bench.sh --install-peers)")
            config = fill(
                "nginx-files.conf",
                processes.directory,
                name,
                listen=f"{host}:{port}",
                root=str(make_files(processes.directory)),
            )
            command = [path, "-p", str(processes.directory), "-c", str(config)]
        else:
            command = [tools.need("clustercore-sample-service"), "--listen", f"{host}:{port}"]
        wait_for_port(processes.start(name, command, netns), host, port, place)
        addresses.append((host, port))
    return addresses


def best_backend_kind() -> str:
    """nginx where it is installed, as in the figures of the targets, else the sample service."""
    return "nginx" if tools.system("nginx") else "sample"


def start_proxy(
    name: str, place: Place, processes: ProcessSet, backends: list[Address], options: list[str] | None = None
) -> tuple[Process, Address]:
    """Starts proxy `name` in front of `backends` and waits until it accepts.

    `options` go to our own programs and floors as they are. Raises NotHere when it cannot be started on this
    machine.
    """
    address = (place.front, place.port())
    options = list(options or [])
    if name in JOB_PROGRAMS:
        backends, jobs = start_jobs(name, place, processes, backends)
        options = [*jobs, *options]
    command = proxy_command(name, address, backends, processes.directory, options)
    process = processes.start(f"proxy-{name}-{address[1]}", command, place.front_netns)
    if name == "pingora":
        process.stop_signal = signal.SIGINT  # SIGTERM lets it wait for minutes
    wait_for_port(process, *address, place)
    return process, address


def start_jobs(
    name: str, place: Place, processes: ProcessSet, backends: list[Address]
) -> tuple[list[Address], list[str]]:
    """Starts what takes requests in messages, one beside each back end, for the front end called `name`.

    Returns the back ends for the command line (none: they are among the words), and the words.

    Raises NotHere, StartError.
    """
    words, program = [], _need(JOB_PROGRAMS[name])
    for index, backend in enumerate(backends):
        at_slave = backend[0] in place.slaves
        netns = place.slave_netns[place.slaves.index(backend[0])] if at_slave else place.front_netns
        at = f"{backend[0]}:{place.port()}"
        command = [program, "--listen", at]
        if name == "clustercore-messages-mode":
            command += ["--service", "{}:{}".format(*backend)]
        if not at.startswith("127."):
            command += ["--insecure", "yes"]  # a network of this run's own
            words += ["--job-insecure", "yes"]
        process = processes.start(f"job-{name}-{index}-{at.rpartition(':')[2]}", command, netns)
        _wait_for_words(process, "listening on")
        words += ["--backend", "{}:{}".format(*backend), "--job", at]
    return [], words


def _wait_for_words(process: Process, words: str, seconds_max: float = 10.0) -> None:
    """Waits until a process has said so: what listens for datagrams accepts nothing that could be tried."""
    deadline = time.monotonic() + seconds_max
    while words not in process.last_words():
        if not process.is_running() or time.monotonic() >= deadline:
            raise StartError(f"{process.name} does not say {words!r}: {process.last_words()}")
        time.sleep(0.02)


def proxy_command(
    name: str, listen: Address, backends: list[Address], directory: Path, options: list[str]
) -> list[str]:
    """The command line of proxy `name`; writes its configuration when it has one."""
    at = "{}:{}".format(*listen)
    targets = ["{}:{}".format(*backend) for backend in backends]
    repeated = [word for target in targets for word in ("--backend", target)]
    label = f"{name}-{listen[1]}"
    if name.startswith("floor-"):
        program, extra = VARIANTS.get(name, (name, []))
        return [_need(program), "--listen", at, *repeated, *extra, *options]
    if name.startswith("clustercore"):
        driver = ["--driver", "epoll"] if name == "clustercore-epoll" else []
        return [_need("clustercore-forward"), "--listen", at, *repeated, *driver, *options]
    if name.startswith("haproxy"):
        servers = "\n".join(f"    server s{index} {target}" for index, target in enumerate(targets))
        if name == "haproxy-splice":
            servers = "    option splice-response\n" + servers
        config = fill("haproxy.cfg", directory, label, listen=at, servers=servers, maxconn="4000")
        return [_need_system("haproxy"), "-db", "-f", str(config)]
    if name == "nginx":
        servers = "\n".join(f"        server {target};" for target in targets)
        config = fill("nginx-proxy.conf", directory, label, listen=at, servers=servers)
        return [_need_system("nginx"), "-p", str(directory), "-c", str(config)]
    if name == "pingora":
        return [_need("peer-pingora"), "--listen", at, *repeated]
    raise NotHere(f"no proxy is called {name}; known: {', '.join(PROXIES)}")


def fill(template: str, directory: Path, name: str, **values: str) -> Path:
    """Writes `perf/peers/<template>` with its places filled in and returns the path."""
    user = "user root;" if os.geteuid() == 0 else ""
    text = Template((tools.PEERS / template).read_text())
    path = directory / f"{name}.conf"
    path.write_text(text.safe_substitute(values, user=user, directory=str(directory), name=name))
    return path


def _need(name: str) -> str:
    path = tools.program(name)
    if path is None:
        raise NotHere(f"{name} is not built")
    return path


def _need_system(name: str) -> str:
    path = tools.system(name)
    if path is None:
        raise NotHere(f"{name} is not installed")
    return path


def answer_bytes(backend: Address, uri: str, place: Place) -> int:
    """Bytes of the whole answer, head and body, that a back end gives for `uri`."""
    return inside_thread(place.front_netns, lambda: _answer_bytes(backend, uri))


def _answer_bytes(backend: Address, uri: str) -> int:
    with socket.create_connection(backend, timeout=5) as connection:
        # The bytes are counted as they come, so that the head is as long as the back end really makes it.
        host = "{}:{}".format(*backend)
        connection.sendall(f"GET {uri} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        received = b""
        while b"\r\n\r\n" not in received:
            piece = connection.recv(65536)
            if not piece:
                break
            received += piece
    head = received.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)\r\n", head)
    if length is None:
        raise StartError(f"{host} gives no length for {uri}: {head[:200]!r}")
    return len(head) + int(length.group(1))
