"""The programs of a run: where they are, how they are built, and what is missing."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / "perf" / "peers"
OUT = ROOT / "perf" / "out"
RESULTS = ROOT / "perf" / "results"
# Debian's packages of the peers and of what building Pingora takes, each with a program of it.
PACKAGES = {
    "haproxy": "haproxy",
    "nginx-light": "nginx",
    "wrk": "wrk",
    "httperf": "httperf",
    "iproute2": "ip",
    "rsync": "rsync",
    "redis-server": "redis-server",
    "nats-server": "nats-server",
    "mosquitto": "mosquitto",
    "cmake": "cmake",
}
# Those of libraries that peers are written against, each with a header of it.
HEADERS = {
    "libenet-dev": "/usr/include/enet/enet.h",
    "libzmq3-dev": "/usr/include/zmq.h",
    "libtirpc-dev": "/usr/include/tirpc/rpc/rpc.h",
}
# Names the folder of our programs, where they are not release programs.
PROGRAMS_VARIABLE = "CLUSTERCORE_PROGRAMS"
# Peers in C by their library, peers in Rust outside of the workspace.
C_PEERS = {"enet": "-lenet", "zeromq": "-lzmq"}
RUST_PEERS = ("pingora", "quinn")


def target_directory() -> Path:
    """Where our programs are: as the environment says, or where cargo puts release programs."""
    if given := os.environ.get(PROGRAMS_VARIABLE):
        return Path(given)
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"


def build() -> None:
    """Builds what a run uses, the product and its Python module included, and sets up what they need.

    Raises SystemExit with cargo's own words when a build fails.
    """
    command = ["cargo", "xtask", "build"]
    if subprocess.run(command, cwd=ROOT, timeout=3600).returncode != 0:
        sys.exit(f"{' '.join(command)} failed")


def program(name: str) -> str | None:
    """Path of one of our own programs, or None when it is not built."""
    path = target_directory() / name
    return str(path) if path.exists() else None


def need(name: str) -> str:
    """Path of one of our own programs; raises SystemExit with what to do when it is missing."""
    return program(name) or sys.exit(f"{name} is not in {target_directory()}: run without --no-build")


def system(name: str) -> str | None:
    """Path of a Debian program; /usr/sbin is not on every user's PATH."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def platform() -> str | None:
    """Path of the product's command, from the project's environment or from PATH."""
    local = ROOT / ".venv" / "bin" / "clustercore"
    return str(local) if local.exists() else shutil.which("clustercore")


def has_module(command: str) -> bool:
    """Whether the Python beside `command` has the product's module."""
    python = Path(command).with_name("python")
    words = [str(python) if python.exists() else sys.executable, "-c", "import clustercore; clustercore.Node"]
    return subprocess.run(words, cwd="/", capture_output=True, timeout=30).returncode == 0


@functools.cache
def version(name: str) -> str | None:
    """What a peer says of its version, or None when it is not installed."""
    path = system(name)
    if path is None:
        return None
    flag = {"nginx": "-v", "haproxy": "-v", "wrk": "-v", "httperf": "--version"}.get(name, "--version")
    outcome = subprocess.run([path, flag], capture_output=True, text=True, timeout=10)
    found = re.search(r"\d+\.\d+(\.\d+)?", outcome.stdout + outcome.stderr)
    return found.group(0) if found else "unknown"


def install_peers() -> None:
    """Installs the peers from Debian's packages and builds those that are programs of their own, some minutes
    the first time.

    Raises SystemExit: with the packages that lack when not root, and when an installation fails.
    """
    packages = [package for package, program in PACKAGES.items() if system(program) is None]
    packages += [package for package, header in HEADERS.items() if not Path(header).exists()]
    if packages:
        _install(packages)
    target = target_directory()
    target.mkdir(parents=True, exist_ok=True)
    for name, library in C_PEERS.items():
        command = ["cc", "-O2", "-Wall", "-Wextra", "-std=c11", "-D_GNU_SOURCE", str(PEERS / f"{name}.c")]
        _build_peer(name, [*command, "-o", str(target / f"peer-{name}"), library])
    for name in RUST_PEERS:
        command = ["cargo", "build", "--release", "--manifest-path", str(PEERS / name / "Cargo.toml")]
        _build_peer(name, [*command, "--target-dir", str(target.parent)])
    build_onc(target)
    make_peers_python()


def _build_peer(name: str, command: list[str]) -> None:
    if subprocess.run(command, cwd=ROOT, timeout=1800).returncode != 0:
        print(f"{name} could not be built: its rows will say that they are not measured", file=sys.stderr)


def build_onc(folder: Path) -> None:
    """Builds the ONC RPC peer; says so when that fails."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["cc", "-O2", "-I/usr/include/tirpc", str(PEERS / "onc_echo.c"), "-ltirpc"]
    if subprocess.run([*command, "-o", str(folder / "peer-onc-echo")], timeout=60).returncode != 0:
        print("ONC RPC could not be built: its rows will say that they are not measured", file=sys.stderr)


def peers_python() -> str | None:
    """The Python that has the peers' packages, if they were installed."""
    python = target_directory().parent / "peers-venv" / "bin" / "python"
    return str(python) if python.exists() else None


def make_peers_python() -> None:
    """A virtual environment with grpcio, apart from the project's; says so when that fails."""
    folder = target_directory().parent / "peers-venv"
    commands = (
        [sys.executable, "-m", "venv", str(folder)],
        [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "grpcio==1.85.3"],
    )
    for command in commands:
        if subprocess.run(command, timeout=600).returncode != 0:
            shutil.rmtree(folder, ignore_errors=True)
            print(
                "grpcio could not be installed: its rows will say that they are not measured", file=sys.stderr
            )
            return


def _install(packages: list[str]) -> None:
    if os.geteuid() != 0:
        sys.exit(f"not root: have these installed: apt-get install {' '.join(packages)}")
    # The packages start their servers on port 80; a measuring machine wants neither.
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive", RUNLEVEL="1")
    commands = (
        ["apt-get", "update", "-q"],
        ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages],
    )
    for command in commands:
        if subprocess.run(command, env=environment, timeout=900).returncode != 0:
            sys.exit(f"{' '.join(command)} failed")
