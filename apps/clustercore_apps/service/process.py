"""Processes known beyond doubt: a pid is reused, a pid with its start time is not, a pidfd cannot be
mistaken.

The numbers come from `/proc/<pid>/stat`, proc_pid_stat(5): field 22 is the start time in clock ticks since
boot, field 6 the session, 14 and 15 the CPU time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
ESTABLISHED = "01"
"""The state in /proc/net/tcp."""
BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Identity:
    """One process of one boot: `start_ticks` since boot tells two users of one pid apart."""

    pid: int
    start_ticks: int
    boot_id: str

    def is_alive(self) -> bool:
        """True while exactly this process runs (a zombie does not)."""
        stat = read_stat(self.pid)
        return (
            stat is not None
            and stat.start_ticks == self.start_ticks
            and stat.state not in "ZX"
            and self.boot_id == boot_id()
        )


@dataclass(frozen=True, slots=True)
class Stat:
    """The fields of `/proc/<pid>/stat` in use here; `cpu_ticks` is user and system time."""

    pid: int
    state: str
    session: int
    cpu_ticks: int
    start_ticks: int


def boot_id() -> str:
    """The kernel's random name of this boot."""
    return BOOT_ID_FILE.read_text(encoding="ascii").strip()


def read_stat(pid: int) -> Stat | None:
    """The process's figures, `None` when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The command name is in parentheses and may contain anything, also parentheses: count from the last one.
    fields = text[text.rindex(")") + 2 :].split()
    return Stat(pid, fields[0], int(fields[3]), int(fields[11]) + int(fields[12]), int(fields[19]))


def identify(pid: int) -> Identity | None:
    """The identity of the process that has `pid` now."""
    stat = read_stat(pid)
    return Identity(pid, stat.start_ticks, boot_id()) if stat else None


def open_pidfd(identity: Identity) -> int | None:
    """A pidfd of exactly this process (readable when it ends), `None` when it is gone.

    The caller closes it.
    """
    try:
        descriptor = os.pidfd_open(identity.pid)
    except OSError:
        return None
    # Looked at after opening: if it is still the same process now, the descriptor is of that one.
    if not identity.is_alive():
        os.close(descriptor)
        return None
    return descriptor


def signal_process(identity: Identity, number: int) -> bool:
    """Sends the signal to exactly this process; false when it is gone."""
    descriptor = open_pidfd(identity)
    if descriptor is None:
        return False
    try:
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def session_members(leader: Identity) -> list[Stat]:
    """The living processes of the session that `leader` opened, also when the leader itself is gone.

    The kernel does not give a pid to a new process while a session of that number exists, so a session whose
    leader died is still ours; one whose leader is another process is not.
    """
    now = read_stat(leader.pid)
    if leader.boot_id != boot_id() or (now is not None and now.start_ticks != leader.start_ticks):
        return []
    members = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            stat = read_stat(int(entry.name))
            # A process cannot be older than the leader that opened its session.
            mine = stat is not None and stat.session == leader.pid and stat.start_ticks >= leader.start_ticks
            if stat is not None and mine and stat.state not in "ZX":
                members.append(stat)
    return members


def kill_session(leader: Identity) -> int:
    """SIGKILL to every process of the leader's session; returns how many there were."""
    members = session_members(leader)
    for member in members:
        with contextlib.suppress(ProcessLookupError):
            os.kill(member.pid, signal.SIGKILL)
    return len(members)


def count_connections(address: str, port: int) -> int:
    """Established TCP connections of this machine to `address` and `port`.

    A wildcard or IPv6 address counts every connection to the port.
    """
    wanted = ""
    with contextlib.suppress(OSError):
        # As /proc/net/tcp writes it: the four bytes as one number of this machine's byte order.
        octets = socket.inet_pton(socket.AF_INET, address)
        wanted = f"{int.from_bytes(octets, sys.byteorder):08X}" if any(octets) else ""
    count = 0
    for name in ("tcp",) if wanted else ("tcp", "tcp6"):
        with contextlib.suppress(OSError), open(f"/proc/net/{name}", encoding="ascii") as table:
            next(table, None)
            for line in table:
                fields = line.split()
                local, _, local_port = fields[1].rpartition(":")
                is_here = not wanted or local == wanted
                count += fields[3] == ESTABLISHED and is_here and int(local_port, 16) == port
    return count
