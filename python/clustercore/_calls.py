"""How a call that has failed is told, and what handlers of streamed calls are made of."""

from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, TypeVar

from clustercore._errors import CallFailed

if TYPE_CHECKING:
    from clustercore._native import CallContext, CallParts

_Handler = TypeVar("_Handler", bound=Callable[..., object])


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


def streamed(handler: _Handler) -> _Handler:
    """Makes a handler of streamed calls.

    It is a generator that is given the parts of the arguments and yields those of the results.

    @clustercore.streamed
    def echo(context, arguments, parts):
        for part in parts:
            yield part

    What it returns goes behind the parts. One that yields nothing may be a function that returns bytes. For
    `aio.serve` it is an asynchronous generator, or a coroutine function that returns bytes.
    """
    handler.__clustercore_streamed__ = True  # type: ignore[attr-defined]
    return handler


def run_streamed(
    handler: Callable[["CallContext", bytes, "CallParts"], Iterable[bytes] | bytes | None],
    context: "CallContext",
    arguments: bytes,
    parts: "CallParts",
) -> bytes:
    """Runs a handler on a thread of the pool: sends what it yields, and returns what it returns."""
    answer = handler(context, arguments, parts)
    if answer is None:
        return b""
    if isinstance(answer, bytes | bytearray | memoryview):
        return bytes(answer)
    if not isinstance(answer, Generator):
        for part in answer:
            parts.send(part)
        return b""
    try:
        while True:
            try:
                part = next(answer)
            except StopIteration as end:
                return end.value or b""
            parts.send(part)
    finally:
        answer.close()
