"""Namespaces on a bridge: the front end and its clients in one, an nginx in each of the others."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FRONT = "10.77.0.1"
SLAVES = ("10.77.0.11", "10.77.0.12", "10.77.0.13")
START_SECONDS = 10.0
NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000;
    server {{ listen {address}:80; root {content}; add_header X-Slave {address}; }}
}}
"""


def run(*command: str) -> str:
    """Runs a command that has to go well."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


class Net:
    """The namespaces and what runs in them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"clc{os.getpid()}"
        self.front_process: subprocess.Popen[str] | None = None
        self.slaves: dict[str, subprocess.Popen[bytes]] = {}
        self.content = folder / "content"
        self.digests: dict[str, str] = {}
        self.namespaces: list[str] = []

    def build(self) -> None:
        """Lays the wires and writes the files that are served."""
        front = self.namespace("f")
        inside = ("ip", "-n", front)
        run(*inside, "link", "add", "bridge", "type", "bridge")
        run(*inside, "address", "add", f"{FRONT}/24", "dev", "bridge")
        run(*inside, "link", "set", "bridge", "up")
        for number, address in enumerate(SLAVES):
            slave = self.namespace(f"s{number}")
            run(*inside, "link", "add", f"to{number}", "type", "veth", "peer", "name", "eth0", "netns", slave)
            run(*inside, "link", "set", f"to{number}", "master", "bridge", "up")
            run("ip", "-n", slave, "address", "add", f"{address}/24", "dev", "eth0")
            run("ip", "-n", slave, "link", "set", "eth0", "up")
        self.content.mkdir()
        for name, size in {"small": 1000, "large": 400_000}.items():
            data = random.Random(size).randbytes(size)
            (self.content / name).write_bytes(data)
            self.digests[name] = hashlib.sha256(data).hexdigest()
        self.folder.chmod(0o755)

    def namespace(self, suffix: str) -> str:
        """A new one, with its loopback up."""
        name = f"{self.name}{suffix}"
        run("ip", "netns", "add", name)
        self.namespaces.append(name)
        run("ip", "-n", name, "link", "set", "lo", "up")
        return name

    def start_slave(self, address: str) -> None:
        """An nginx on that address."""
        folder = self.folder / address
        folder.mkdir(exist_ok=True)
        config = folder / "nginx.conf"
        config.write_text(NGINX.format(folder=folder, address=address, content=self.content))
        slave = f"{self.name}s{SLAVES.index(address)}"
        command = ["ip", "netns", "exec", slave, "nginx", "-c", str(config), "-e", str(folder / "error.log")]
        self.slaves[address] = subprocess.Popen(command)
        self.wait_for(f"http://{address}/small")

    def wait_for(self, url: str) -> None:
        """Until the front's namespace gets an answer from there."""
        deadline = time.monotonic() + START_SECONDS
        probe = f"import urllib.request as r; r.urlopen({url!r}, timeout=2).read()"
        command = ["ip", "netns", "exec", f"{self.name}f", sys.executable, "-c", probe]
        while subprocess.run(command, capture_output=True).returncode != 0:
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.05)

    def start_front(self, driver: str) -> None:
        """The forwarder before all slaves."""
        programs = Path(os.environ.get("CLUSTERCORE_PROGRAMS", ROOT / "target/release"))
        program = programs / "clustercore-forward"
        assert program.exists(), f"{program} is not built: cargo build --release -p clustercore-examples"
        command = ["ip", "netns", "exec", f"{self.name}f", str(program), "--listen", f"{FRONT}:8080"]
        command += ["--driver", driver, "--policy", "rr"]
        for address in SLAVES:
            command += ["--backend", f"{address}:80"]
        self.front_process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.front_process.stdout is not None
        assert self.front_process.stdout.readline().startswith("listening on")

    def signal(self, address: str, number: signal.Signals) -> None:
        """To one slave's nginx: `ip netns exec` has become it."""
        self.slaves[address].send_signal(number)
        if number == signal.SIGKILL:
            self.slaves[address].wait(timeout=5)

    def set_path(self, address: str, up: bool) -> None:
        """Takes the wire to a slave away, or brings it back."""
        state = "up" if up else "down"
        run("ip", "-n", f"{self.name}f", "link", "set", f"to{SLAVES.index(address)}", state)

    def lose(self, address: str, per_cent: int) -> None:
        """Drops so many of the packets that come to a slave."""
        drop = f"numgen random mod 100 < {per_cent} drop"
        rules = f"table inet loss {{\n chain input {{\n type filter hook input priority 0;\n {drop}\n }}\n}}"
        slave = f"{self.name}s{SLAVES.index(address)}"
        run("ip", "netns", "exec", slave, "nft", rules)

    def load(self, path: str, seconds: float, connections: int = 8) -> subprocess.Popen[str]:
        """Starts clients; `seen` waits for them."""
        command = ["ip", "netns", "exec", f"{self.name}f", sys.executable, str(ROOT / "tests/netns/load.py")]
        command += [f"{FRONT}:8080", f"/{path}", self.digests[path], str(seconds), str(connections)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def close(self) -> None:
        """Ends everything, whatever happened."""
        for process in (self.front_process, *self.slaves.values()):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait(timeout=5)
        for name in self.namespaces:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, timeout=20)


def seen(load: subprocess.Popen[str]) -> dict[str, int]:
    """What the clients saw: outcomes and how often."""
    output, _ = load.communicate(timeout=60)
    assert load.returncode == 0
    result: dict[str, int] = json.loads(output)
    return result


@pytest.fixture(scope="session")
def has_namespaces() -> None:
    """Says what lacks where none can be made."""
    for program in ("ip", "nft", "tc"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    if os.geteuid() != 0:
        pytest.skip("namespaces need root")


@pytest.fixture(params=["uring", "epoll"])
def net(request: pytest.FixtureRequest, has_namespaces: None) -> Iterator[Net]:
    """Three slaves and a front end with each kernel driver."""
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed")
    with tempfile.TemporaryDirectory() as folder:
        net = Net(Path(folder))
        try:
            net.build()
            for address in SLAVES:
                net.start_slave(address)
            net.start_front(request.param)
            yield net
            assert net.front_process is not None
            assert net.front_process.poll() is None, "the front end is still there"
        finally:
            net.close()
