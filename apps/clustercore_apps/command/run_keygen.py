"""`clustercore keygen`: makes the key of an endpoint in secure mode."""

from __future__ import annotations

import sys
from pathlib import Path

import clustercore

from clustercore_apps.errors import OperatorError


def run_keygen(out: Path | None) -> int:
    """Makes a key. With `out` the private key goes to that new file and the public one is printed; else the
    private key is printed, for a program that keeps secrets, and the public one goes to standard error.

    Raises `OperatorError`.
    """
    key = clustercore.Key.generate()
    if out is None:
        print(key.to_private_text())
        print(key.public, file=sys.stderr)
        return 0
    try:
        key.save(out)
    except clustercore.ClusterError as error:
        raise OperatorError(f"--out: {error}") from None
    print(key.public)
    return 0
