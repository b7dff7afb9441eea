"""What an operator did or met that this program cannot mend: one line, no traceback, exit code 2."""

from __future__ import annotations

from pathlib import Path


class OperatorError(Exception):
    """Says what is wrong and what to do. The command prints it as one line and ends with code 2."""


class ConfigError(OperatorError):
    """A fault in a configuration file.

    The text is `file:line: what is value, limit; what to do`, so that an editor can jump to it.
    """

    def __init__(self, path: Path | str, line: int | None, text: str) -> None:
        place = f"{path}:{line}" if line is not None else f"{path}"
        super().__init__(f"{place}: {text}")
        self.path = str(path)
        self.line = line
        self.text = text


class AgentError(Exception):
    """A node agent refused or failed; `code` is one of `wire.ERROR_CODES`, `text` is for a person."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
