"""Keys as options of commands name them."""

from __future__ import annotations

from pathlib import Path

import clustercore

from clustercore_apps.errors import OperatorError

# How the text of a public key begins.
PUBLIC = "clc-public-"


def load_key(path: Path | None) -> clustercore.Key | None:
    """The private key in the file of `--key`, if there is one. Raises `OperatorError`."""
    try:
        return None if path is None else clustercore.Key.load(path)
    except clustercore.ClusterError as error:
        raise OperatorError(f"--key: {error}") from None


def one_key(text: str, option: str = "--peer-key") -> str:
    """The public key that is written there, or in the file of that name. Raises `OperatorError`."""
    try:
        if not text.startswith(PUBLIC):
            text = Path(text).read_text(encoding="utf-8")
        return clustercore.parse_public_key(text)
    except OSError as error:
        raise OperatorError(
            f"{option} {text}: {error.strerror}; it is a file with a public key, or the key itself"
        ) from None
    except (clustercore.BadKey, UnicodeDecodeError) as error:
        raise OperatorError(f"{option}: {error}") from None
