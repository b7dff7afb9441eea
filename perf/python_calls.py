"""Calls in Python, bytes there and back. `python_calls.py serve`, or `call ADDRESS OUTSTANDING SECONDS`."""

import json
import sys
import threading
import time

import clustercore

METHOD = "clustercore.perf.Echo/Echo"


def serve() -> None:
    """Prints the address and serves until stdin ends."""
    server = clustercore.CallServer("127.0.0.1:0", spin_us=20)
    server.add("clustercore.perf.Echo", {"Echo": lambda _context, arguments: arguments}, place="loop")
    print(server.address, flush=True)
    is_over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), is_over.set()), daemon=True).start()
    while not is_over.is_set():
        server.serve(0.2)


def call(address: str, outstanding: int, seconds: float) -> None:
    """Keeps so many calls under way, and prints a JSON line."""
    channel = clustercore.Channel(address, spin_us=20)
    arguments = bytes(32)
    assert channel.call(METHOD, arguments, timeout=10) == arguments
    calls, start, cpu = 0, time.monotonic(), time.process_time()
    if outstanding == 1:
        while time.monotonic() - start < seconds:
            assert len(channel.call(METHOD, arguments, timeout=10)) == 32
            calls += 1
    else:
        for number in range(outstanding):
            channel.submit(METHOD, arguments, number, timeout=10)
        while time.monotonic() - start < seconds:
            channel.turn(1.0)
            for number, results in channel.ended():
                assert len(results) == 32
                channel.submit(METHOD, arguments, number, timeout=10)
                calls += 1
    took = time.monotonic() - start
    print(
        json.dumps(
            {"calls_per_second": calls / took, "client_cpu_ns": (time.process_time() - cpu) * 1e9 / calls}
        )
    )


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        call(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
