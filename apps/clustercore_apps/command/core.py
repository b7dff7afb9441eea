"""The native module, which some commands need and others do without."""

from __future__ import annotations

from clustercore_apps.errors import OperatorError


def need_core() -> None:
    """Raises `OperatorError` when the module cannot be loaded."""
    try:
        import clustercore  # noqa: F401
    except ImportError as error:
        raise OperatorError(
            f'module clustercore cannot be loaded ({error}); build it with "cargo xtask setup"'
        ) from None
