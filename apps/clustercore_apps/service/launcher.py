"""How a declared program becomes a running one. No shell is involved anywhere.

`ProcessLauncher` starts a plain process in a session of its own, so that signals to the agent do not reach it
and it outlives the agent. A launcher for transient systemd units would be a second class with the same three
methods.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from clustercore_apps.errors import AgentError
from clustercore_apps.service import process

OUTPUT_BYTES_MAX = 4 << 20
"""A service's output file is cut when it is larger; what was there is kept once, as `output.log.1`."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run: arguments, files and environment with all substitutions made."""

    arguments: tuple[str, ...]
    files: Mapping[str, str]
    environment: Mapping[str, str]
    workdir: Path

    @classmethod
    def declared(
        cls,
        arguments: list[str],
        files: Mapping[str, str],
        environment: Mapping[str, str],
        places: Mapping[str, str],
        workdir: Path,
    ) -> Program:
        """Puts `places` (`port`, `address`, `name`, `cores`) and `workdir` in for `{port}` and so on.

        Only these words in braces are replaced, so that configuration files with braces of their own stay as
        they are.
        """
        all_places = {**places, "workdir": str(workdir)}

        def put(text: str) -> str:
            for word, value in all_places.items():
                text = text.replace("{" + word + "}", value)
            return text

        return cls(
            tuple(put(argument) for argument in arguments),
            {name: put(content) for name, content in files.items()},
            {name: put(value) for name, value in environment.items()},
            workdir,
        )


class Launcher(Protocol):
    """Starts a program, says when it ended, bounds its output."""

    def start(self, program: Program) -> process.Identity:
        """Raises `AgentError` BAD_PROGRAM."""

    def exit_code(self, identity: process.Identity) -> int | None:
        """The exit code of an ended program when it is known: negative is a signal, `None` unknown or
        running.
        """

    def bound_output(self, workdir: Path) -> None:
        """Cuts the output file when it has grown above its bound."""


class ProcessLauncher:
    """Plain processes, each the leader of its own session."""

    def __init__(self, output_bytes_max: int = OUTPUT_BYTES_MAX) -> None:
        self._children: dict[process.Identity, subprocess.Popen[bytes]] = {}
        self._output_bytes_max = output_bytes_max

    def start(self, program: Program) -> process.Identity:
        """See `Launcher.start`. Output goes to `output.log` in the working folder."""
        try:
            program.workdir.mkdir(parents=True, exist_ok=True, mode=0o755)
            for name, content in program.files.items():
                (program.workdir / name).write_text(content, encoding="utf-8")
            output = os.open(
                program.workdir / "output.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644
            )
        except OSError as error:
            raise AgentError(
                "BAD_PROGRAM", f"working folder {program.workdir} is no use: {error.strerror}"
            ) from None
        environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin:/usr/sbin:/sbin"), "LANG": "C.UTF-8"}
        environment.update(program.environment)
        try:
            child = subprocess.Popen(
                program.arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=program.workdir,
                env=environment,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise AgentError("BAD_PROGRAM", f'"{program.arguments[0]}" cannot be started: {reason}') from None
        finally:
            os.close(output)
        identity = process.identify(child.pid)
        # An unreaped child keeps its entry in /proc, so there is always one to read.
        assert identity is not None
        self._children[identity] = child
        return identity

    def exit_code(self, identity: process.Identity) -> int | None:
        """See `Launcher.exit_code`; also reaps. Programs started by an earlier agent end with `None`."""
        child = self._children.get(identity)
        if child is None:
            return None
        code = child.poll()
        if code is not None:
            del self._children[identity]
        return code

    def bound_output(self, workdir: Path) -> None:
        """See `Launcher.bound_output`.

        The file was opened for appending, so the writer goes on at the new end.
        """
        path = workdir / "output.log"
        try:
            if path.stat().st_size <= self._output_bytes_max:
                return
            with open(path, "rb+") as file:
                file.seek(-self._output_bytes_max // 2, os.SEEK_END)
                path.with_suffix(".log.1").write_bytes(file.read(self._output_bytes_max // 2))
                file.truncate(0)
        except OSError:
            # A full or vanished disk must not end the agent; the next round tries again.
            return
