"""A small JSON file that is either the old or the new one, also after a crash or a power cut."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from clustercore_apps.errors import OperatorError


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Writes beside, syncs, renames, syncs the folder. Raises `OSError`."""
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(state, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_state(path: Path) -> dict[str, Any] | None:
    """What was written last, `None` when there is no file.

    Raises `OperatorError` when it cannot be understood.
    """
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OperatorError(f"state file {path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise OperatorError(
            f"state file {path} is damaged; end its service by hand, then remove the file"
        ) from None
    if not isinstance(state, dict):
        raise OperatorError(f"state file {path} is damaged; end its service by hand, then remove the file")
    return state
