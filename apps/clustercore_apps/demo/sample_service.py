"""A small HTTP server in the standard library: what the demonstration and the tests serve with when no other
is there.

`/` answers at once, `/paced` after 150 ms, `/wait/<milliseconds>` after so long, `/work/<milliseconds>`
after so much CPU time, `/bytes/<count>` with so many bytes, anything else with 404.

Usage: `python -m clustercore_apps.demo.sample_service ADDRESS PORT NAME`.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time

from clustercore_apps.demo.programs import PACED_SECONDS

HEAD_BYTES_MAX = 16384
BYTES_MAX = 64 << 20


async def answer(path: str, name: str) -> tuple[int, bytes]:
    """Status and body for one path."""
    if path == "/":
        return 200, f"served by {name}\n".encode()
    if path == "/paced":
        await asyncio.sleep(PACED_SECONDS)
        return 200, b"paced\n"
    kind, _, number = path[1:].partition("/")
    if kind == "wait" and number.isdigit() and int(number) <= 60_000:
        await asyncio.sleep(int(number) / 1000)
        return 200, f"served by {name}\n".encode()
    if kind == "work" and number.isdigit() and int(number) <= 60_000:
        until = time.process_time() + int(number) / 1000
        while time.process_time() < until:
            pass
        return 200, f"served by {name}\n".encode()
    if kind == "bytes" and number.isdigit() and int(number) <= BYTES_MAX:
        return 200, b"x" * int(number)
    return 404, b"not found\n"


async def serve_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> None:
    """Requests without bodies, one after the other, until the client closes."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            request_line, *fields = head.decode("latin-1").split("\r\n")
            parts = request_line.split(" ")
            status, body = await answer(parts[1].partition("?")[0], name) if len(parts) == 3 else (400, b"")
            closes = any(field.lower().replace(" ", "") == "connection:close" for field in fields)
            reply = f"HTTP/1.1 {status} -\r\nContent-Length: {len(body)}\r\nX-Served-By: {name}\r\n"
            reply += "Connection: close\r\n\r\n" if closes else "\r\n"
            writer.write(reply.encode() + (body if parts[0] != "HEAD" else b""))
            await writer.drain()
            if closes:
                break
    writer.close()


async def run(address: str, port: int, name: str) -> None:
    """Serves until SIGTERM; then requests in flight get a moment to end."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = await asyncio.start_server(
        lambda reader, writer: serve_connection(reader, writer, name), address, port, limit=HEAD_BYTES_MAX
    )
    await stop.wait()
    server.close()
    await asyncio.sleep(PACED_SECONDS)


def main() -> None:
    """The program."""
    _, address, port, name = sys.argv
    # Connections that stay open are cut by the end of the process; that is no fault worth a traceback.
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(run(address, int(port), name))


if __name__ == "__main__":
    main()
