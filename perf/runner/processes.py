"""Processes of a run: started, known by pid, and ended by this module alone."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
from pathlib import Path

PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class StartError(RuntimeError):
    """A process did not come up; the text says which and what it printed last."""


def _die_with_parent() -> None:
    # A runner that is killed takes its processes along instead of leaving them on the machine.
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Process:
    """One running program, in the network namespace `netns` when given."""

    def __init__(self, name: str, command: list[str], log: Path, netns: str | None = None) -> None:
        self.name = name
        self.command = command
        self.stop_signal = signal.SIGTERM
        self.log = log
        prefix = ["ip", "netns", "exec", netns] if netns else []
        with open(log, "ab") as output:
            self.popen = subprocess.Popen(
                prefix + command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=_die_with_parent,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process id; `ip netns exec` replaces itself by the program, so it is the program's."""
        return self.popen.pid

    def pids(self) -> list[int]:
        """The process and its children, as nginx has a worker below its master."""
        found, todo = [], [self.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            try:
                todo += [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
            except FileNotFoundError:
                continue
        return found

    def is_running(self) -> bool:
        """Whether the process has not ended yet."""
        return self.popen.poll() is None

    def stop(self, seconds_max: float = 5.0) -> None:
        """Asks it to end, insists after `seconds_max`, and waits."""
        if self.is_running():
            self.popen.send_signal(self.stop_signal)
            try:
                self.popen.wait(seconds_max)
                return
            except subprocess.TimeoutExpired:
                self.popen.kill()
        self.popen.wait()

    def last_words(self) -> str:
        """The end of what it printed, for error messages."""
        try:
            return self.log.read_text(errors="replace")[-600:].strip()
        except FileNotFoundError:
            return ""


class ProcessSet:
    """All processes of a run; leaving the `with` block ends every one of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.running: list[Process] = []

    def __enter__(self) -> ProcessSet:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_all()

    def start(self, name: str, command: list[str], netns: str | None = None) -> Process:
        """Starts `command`; its output goes to `<name>.log` in the run's directory."""
        process = Process(name, command, self.directory / f"{name}.log", netns)
        self.running.append(process)
        return process

    def stop(self, process: Process) -> None:
        """Ends one process and forgets it."""
        process.stop()
        self.running.remove(process)

    def stop_all(self) -> None:
        """Ends all, last started first."""
        while self.running:
            self.running.pop().stop()


def connects(address: str, port: int) -> bool:
    """Whether a TCP connection from here to `address:port` is accepted."""
    try:
        with socket.create_connection((address, port), timeout=1.0):
            return True
    except OSError:
        return False


def cpu_ns(pids: list[int]) -> int:
    """CPU time of the processes so far: the scheduler's account, nanoseconds, living threads."""
    total = 0
    for pid in pids:
        for thread in os.listdir(f"/proc/{pid}/task"):
            try:
                total += int(Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()[0])
            except FileNotFoundError:
                continue  # ended between the two reads
    return total


def user_and_system_ticks(pid: int) -> tuple[int, int]:
    """User and system time of a process in clock ticks, for the share of each."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]), int(fields[12])


def memory_bytes(pids: list[int]) -> int:
    """User memory that the processes hold: anonymous and shared pages in RAM."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(("RssAnon:", "RssShmem:")):
                total += int(line.split()[1]) * 1024
    return total
