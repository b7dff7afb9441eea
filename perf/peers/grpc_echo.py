"""A peer of calls in Python: grpcio, bytes there and back.

`grpc_echo.py serve`, or `grpc_echo.py call PORT OUTSTANDING SECONDS`.
"""

import json
import sys
import time
from concurrent import futures

import grpc

METHOD = "/clustercore.perf.Echo/Echo"


def serve() -> None:
    """Prints the port and serves until stdin ends."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    handler = grpc.unary_unary_rpc_method_handler(lambda arguments, _context: arguments)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("clustercore.perf.Echo", {"Echo": handler}),)
    )
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(None)


def call(port: str, outstanding: int, seconds: float) -> None:
    """Keeps so many calls under way, and prints a JSON line."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        echo = channel.unary_unary(METHOD)
        arguments = bytes(32)
        assert echo(arguments, timeout=10) == arguments
        calls, start, cpu = 0, time.monotonic(), time.process_time()
        if outstanding == 1:
            while time.monotonic() - start < seconds:
                assert len(echo(arguments, timeout=10)) == 32
                calls += 1
        else:
            under_way = [echo.future(arguments, timeout=10) for _ in range(outstanding)]
            place = 0
            while time.monotonic() - start < seconds:
                assert len(under_way[place].result()) == 32
                under_way[place] = echo.future(arguments, timeout=10)
                place = (place + 1) % outstanding
                calls += 1
        took = time.monotonic() - start
        cpu_ns = (time.process_time() - cpu) * 1e9 / calls
        print(json.dumps({"calls_per_second": calls / took, "client_cpu_ns": cpu_ns}))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        call(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
