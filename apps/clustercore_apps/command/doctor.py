"""What this machine offers and what to change: `clustercore doctor`."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from clustercore_apps.errors import OperatorError
from clustercore_apps.service.node_load import cores_usable

FILES_MIN = 16384
MEMORY_LOCK_MIN = 64 << 20
BACKLOG_MIN = 1024
RECEIVE_MIN = 4 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: `advice` is empty when nothing needs changing."""

    what: str
    value: str
    advice: str = ""


def run_doctor() -> int:
    """Prints what was found; 0 always, because advice is no fault.

    Raises `OperatorError` without the core.
    """
    table = Table(box=None, pad_edge=False)
    for column in ("", "what", "value", "what to change"):
        table.add_column(column)
    findings = [*core_findings(), *host_findings()]
    for finding in findings:
        mark = Text("!", style="yellow") if finding.advice else Text("✓", style="green")
        table.add_row(mark, finding.what, finding.value, finding.advice)
    Console().print(table)
    return 0


def core_findings() -> Iterator[Finding]:
    """What the core says about kernel and driver."""
    try:
        import clustercore
    except ImportError as error:
        raise OperatorError(
            f'module clustercore cannot be loaded ({error}); build it with "cargo xtask setup"'
        ) from None
    found = clustercore.probe()
    advice = found.pop("kernel_advice")
    for key, value in found.items():
        yield Finding(str(key), _flat(value), str(advice or "") if key == "kernel_release" else "")


def host_findings() -> Iterator[Finding]:
    """Limits and settings of this host that matter for speed or capacity."""
    yield Finding("cores usable", str(cores_usable()))
    yield _limit("open files", resource.RLIMIT_NOFILE, FILES_MIN, "ulimit -n, or LimitNOFILE= in the unit")
    yield _limit(
        "locked memory", resource.RLIMIT_MEMLOCK, MEMORY_LOCK_MIN, "ulimit -l, or LimitMEMLOCK= in the unit"
    )
    yield _setting(
        "kernel/io_uring_disabled",
        lambda value: value == "0",
        "set 0 for the faster driver; epoll serves meanwhile",
    )
    yield _setting(
        "net/core/somaxconn",
        lambda value: int(value) >= BACKLOG_MIN,
        f"at least {BACKLOG_MIN} for bursts of connections",
    )
    yield _setting(
        "net/core/rmem_max", lambda value: int(value) >= RECEIVE_MIN, f"at least {RECEIVE_MIN} for datagrams"
    )
    yield _setting(
        "net/core/wmem_max", lambda value: int(value) >= RECEIVE_MIN, f"at least {RECEIVE_MIN} for datagrams"
    )
    yield _setting(
        "net/ipv4/tcp_congestion_control",
        lambda value: value != "bbr" or _has_fq(),
        "bbr wants the fq queue; the core sets cubic on its own sockets",
    )
    yield _setting(
        "net/ipv4/ip_local_port_range", _has_ports, "widen to 10000 65000 for many back-end connections"
    )
    halt = Path("/sys/module/haltpoll/parameters/guest_halt_poll_ns")
    if halt.exists():
        yield Finding("guest_halt_poll_ns", halt.read_text().strip(), "")
    for program in ("openssl", "nginx", "lighttpd"):
        found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin")
        optional = "for node keygen: apt-get install openssl" if program == "openssl" else ""
        yield Finding(program, found or "not installed", "" if found else optional)


def _limit(what: str, number: int, least: int, how: str) -> Finding:
    soft, hard = resource.getrlimit(number)
    shown = "/".join("unlimited" if one == resource.RLIM_INFINITY else str(one) for one in (soft, hard))
    is_enough = soft == resource.RLIM_INFINITY or soft >= least
    return Finding(f"{what} (soft/hard)", shown, "" if is_enough else f"at least {least}: {how}")


def _setting(name: str, is_good: Any, advice: str) -> Finding:
    try:
        value = Path("/proc/sys", name).read_text(encoding="ascii").strip()
    except OSError:
        return Finding(name.replace("/", "."), "not there")
    good = bool(is_good(value))
    return Finding(name.replace("/", "."), " ".join(value.split()), "" if good else advice)


def _has_ports(value: str) -> bool:
    low, high = value.split()
    return int(high) - int(low) >= 20000


def _has_fq() -> bool:
    return Path("/proc/sys/net/core/default_qdisc").read_text(encoding="ascii").strip() == "fq"


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_flat(one)}" for key, one in value.items())
    if isinstance(value, list | tuple | set):
        return ", ".join(str(one) for one in value)
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
