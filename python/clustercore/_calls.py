"""How a call that has failed is told."""

from clustercore._errors import CallFailed


def failure(status: str, outcome: str, text: str, metadata: dict[str, bytes]) -> CallFailed:
    """A CallFailed with what is known of it."""
    error = CallFailed(f"{status} ({outcome}): {text}" if text else f"{status} ({outcome})")
    error.status, error.outcome, error.text, error.metadata = status, outcome, text, metadata
    return error


def call_failed(status: str, text: str) -> CallFailed:
    """What a handler raises: `raise call_failed("NOT_FOUND", "no such user")`.

    `status` is a name of google.rpc.Code.
    """
    return failure(status, "executed", text, {})
