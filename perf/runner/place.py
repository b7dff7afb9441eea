"""Where a run happens: the addresses of front end, generator and three slaves, and how programs get there.

- `loopback`: one private network namespace with its own loopback, so that ports and kernel settings are the
  run's own.
- `slaves`: a namespace each for the client, the front end and three slaves, joined by a bridge: the paper's
  network.
- `host`: 127.0.0.1 to .4 of the machine itself, for users without root.
- `remote`: back ends that run already on named hosts.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from .processes import Process, StartError, connects

# Many ports, none of them among those that `Place.port` gives out, and reuse of waiting ones: a run with one
# connection per request needs more than the default.
SETTINGS = {
    "net.ipv4.ip_local_port_range": "30000 65535",
    "net.ipv4.tcp_tw_reuse": "1",
}


T = TypeVar("T")


class PlaceError(RuntimeError):
    """The namespaces cannot be made."""


@dataclass
class Place:
    """Addresses and namespaces of one run."""

    kind: str
    front: str = "127.0.0.1"
    slaves: list[str] = field(default_factory=lambda: ["127.0.0.2", "127.0.0.3", "127.0.0.4"])
    front_netns: str | None = None
    client_netns: str | None = None
    slave_netns: list[str | None] = field(default_factory=lambda: [None, None, None])
    namespaces: list[str] = field(default_factory=list)
    next_port: int = 20000
    remote_ports: list[int] = field(default_factory=list)
    router_netns: str | None = None

    def port(self) -> int:
        """A port that nothing of this run uses yet."""
        while True:
            self.next_port += 1
            if self.front_netns is not None or _is_free(self.next_port):
                return self.next_port

    def inside(self, netns: str | None, *command: str) -> str:
        """Runs a command in a namespace of the run. Raises PlaceError."""
        return _ip("netns", "exec", str(netns), *command)

    def can_connect(self, address: str, port: int, from_front: bool = False) -> bool:
        """Whether `address:port` accepts, seen from the client, or from the front end when asked."""
        netns = self.front_netns if from_front else self.client_netns
        return bool(inside_thread(netns, lambda: connects(address, port)))

    def congestion_control(self) -> str:
        """What the socket of a program gets that chooses nothing."""
        return inside_thread(self.front_netns, lambda: _congestion_control_to(self.front))

    def close(self) -> None:
        """Removes the namespaces; the bridge and the cables go with them."""
        while self.namespaces:
            _ip("netns", "delete", self.namespaces.pop())

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def loopback() -> Place:
    """One namespace when this user may make one, else the machine's own loopback."""
    if not can_make_namespaces():
        return Place("host")
    place = Place("loopback")
    name = f"clcperf{os.getpid()}"
    try:
        _add_namespace(place, name)
        _choose_cubic(name)
    except BaseException:
        place.close()
        raise
    place.front_netns = place.client_netns = name
    place.slave_netns = [name] * 3
    return place


def slaves() -> Place:
    """Client, front end and three slaves in namespaces on one bridge; the machine's loopback without root."""
    if not can_make_namespaces():
        return Place("host")
    base = f"clcperf{os.getpid()}"
    names = [f"{base}{suffix}" for suffix in ("front", "client", "s1", "s2", "s3")]
    place = Place("slaves", front="10.77.0.1", slaves=[f"10.77.0.{10 + index}" for index in (1, 2, 3)])
    try:
        for name in names:
            _add_namespace(place, name)
        front = names[0]
        _ip("-n", front, "link", "add", "bridge0", "type", "bridge")
        _ip("-n", front, "addr", "add", "10.77.0.1/24", "dev", "bridge0")
        _ip("-n", front, "link", "set", "bridge0", "up")
        for index, (name, address) in enumerate(zip(names[1:], ["10.77.0.2", *place.slaves], strict=True)):
            port = f"port{index}"
            _ip("-n", front, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("-n", front, "link", "set", port, "master", "bridge0", "up")
            _ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
        for name in names:
            _choose_cubic(name)
    except BaseException:
        place.close()
        raise
    place.front_netns, place.client_netns, *place.slave_netns = names
    return place


def bottleneck(megabits: int, queue_ms: int, has_trains: bool = True) -> Place:
    """Sender (the client), router and receiver (the front end) in namespaces.

    What leaves the router for the receiver leaves at that rate, packet by packet, from a queue of so many
    milliseconds. Without trains packets come one by one to the router too.

    Raises PlaceError, also without root.
    """
    if not can_make_namespaces():
        raise PlaceError("a bottleneck needs namespaces, and these need root")
    base = f"clcperf{os.getpid()}"
    sender, router, receiver = (f"{base}{suffix}" for suffix in ("send", "route", "receive"))
    place = Place("bottleneck", front="10.79.2.2")
    try:
        for name in (sender, router, receiver):
            _add_namespace(place, name)
        _ip("netns", "exec", router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        for number, name in ((1, sender), (2, receiver)):
            port = f"port{number}"
            _ip("-n", router, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("-n", router, "addr", "add", f"10.79.{number}.1/24", "dev", port)
            _ip("-n", router, "link", "set", port, "up")
            _ip("-n", name, "addr", "add", f"10.79.{number}.2/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "route", "add", "default", "via", f"10.79.{number}.1")
            if not has_trains:
                # The kernel cuts what is longer before it leaves.
                _ip("-n", name, "link", "set", "eth0", "gso_max_segs", "1")
        # A burst that no train fits into: the queue takes and drops packets.
        burst = str(max(5000, megabits * 125))
        bucket = ("tbf", "rate", f"{megabits}mbit", "burst", burst, "latency", f"{queue_ms}ms")
        _ip("netns", "exec", router, "tc", "qdisc", "add", "dev", "port2", "root", *bucket)
        for name in (sender, receiver):
            _choose_cubic(name)
    except BaseException:
        place.close()
        raise
    place.client_netns, place.router_netns, place.front_netns = sender, router, receiver
    return place


def wait_for_port(
    process: Process,
    address: str,
    port: int,
    place: Place,
    seconds_max: float = 10.0,
    from_front: bool = False,
) -> None:
    """Waits until something accepts on `address:port`, seen from the client, or from the front end when
    asked.

    Raises StartError when the process ends or the time is over.
    """
    deadline = time.monotonic() + seconds_max
    while time.monotonic() < deadline:
        if not process.is_running():
            raise StartError(f"{process.name} ended with {process.popen.returncode}: {process.last_words()}")
        if place.can_connect(address, port, from_front):
            return
        time.sleep(0.02)
    raise StartError(f"{process.name} does not accept on {address}:{port}: {process.last_words()}")


def host() -> Place:
    """The machine's own loopback, for a look at what the namespace changes."""
    return Place("host")


def remote(backends: list[str]) -> Place:
    """Back ends that run already, `host:port`; front end and generator run here.

    Raises PlaceError for what is not three of that form.
    """
    pairs = [backend.rpartition(":") for backend in backends]
    if len(pairs) != 3 or not all(name and port.isdigit() for name, _, port in pairs):
        raise PlaceError(f"--hosts {','.join(backends)}: three of the form host:port are needed")
    place = Place("remote", front="127.0.0.1", slaves=[name for name, _, _ in pairs])
    place.remote_ports = [int(port) for _, _, port in pairs]
    return place


def can_make_namespaces() -> bool:
    """Root with iproute2."""
    return os.geteuid() == 0 and shutil.which("ip") is not None


def _add_namespace(place: Place, name: str) -> None:
    _ip("netns", "add", name)
    place.namespaces.append(name)
    _ip("-n", name, "link", "set", "lo", "up")
    for key, value in SETTINGS.items():
        path = "/proc/sys/" + key.replace(".", "/")
        command = ["ip", "netns", "exec", name, "sh", "-c", 'echo "$1" > "$2"', "sh", value, path]
        subprocess.run(command, check=True, capture_output=True)


def _choose_cubic(name: str) -> None:
    """Makes every route of the namespace use cubic, so that programs that choose nothing use it too.

    By route, because a namespace may take as its default only what the whole machine allows every user.
    """
    for table in ("local", "main"):
        for route in _ip("-n", name, "route", "show", "table", table).splitlines():
            if route.strip() and not route.startswith("broadcast"):
                _ip("-n", name, "route", "replace", *route.split(), "table", table, "congctl", "cubic")


def _ip(*arguments: str) -> str:
    outcome = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if outcome.returncode != 0:
        raise PlaceError(f"ip {' '.join(arguments)}: {outcome.stderr.strip()}")
    return outcome.stdout


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def inside_thread(netns: str | None, action: Callable[[], T]) -> T:
    """Calls `action` on a thread that has entered `netns`, so that the caller stays where it is.

    Returns what it returned; what it raised is raised here.
    """
    if netns is None:
        return action()

    def enter():
        libc = ctypes.CDLL(None, use_errno=True)
        with open(f"/run/netns/{netns}") as handle:
            if libc.setns(handle.fileno(), 0x40000000) != 0:  # CLONE_NEWNET
                raise OSError(ctypes.get_errno(), "setns")
        return action()

    # The thread ends with the pool: no other work ever runs in the namespace by mistake.
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(enter).result()


def _congestion_control_to(address: str) -> str:
    """Connects to itself through a listener of its own, and asks the kernel what it chose."""
    listener = socket.create_server(("", 0))
    with listener, socket.create_connection((address, listener.getsockname()[1]), timeout=1.0) as probe:
        return probe.getsockopt(socket.IPPROTO_TCP, 13, 16).rstrip(b"\0").decode()  # 13: TCP_CONGESTION
