"""A node forwards on a thread of its own; the program waits for events and decides.

A back end dies, is ejected, comes back, and is drained. The client notices nothing: a second one serves
meanwhile.
"""

import http.server
import threading
import urllib.request
from collections.abc import Callable

import clustercore


class Answer(http.server.BaseHTTPRequestHandler):
    """Answers each request."""

    def do_GET(self) -> None:
        """With two letters, head and body in one piece."""
        self.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def log_message(self, *_: object) -> None:
        """Nothing: the output is the example's."""


def start_service(port: int = 0) -> http.server.ThreadingHTTPServer:
    """A service on a thread."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Answer)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


def stop_service(server: http.server.ThreadingHTTPServer) -> None:
    """Nothing listens afterwards."""
    server.shutdown()
    server.server_close()


def wait_for(node: clustercore.Node, kind: type[clustercore.Event], client: Callable[[], str]) -> None:
    """Prints events until one of the kind has come; the client goes on asking."""
    while True:
        assert client() == "ok"
        for event in node.poll(timeout=0.02):
            match event:
                case clustercore.BackendEjected(forwarder, backend, _, reason):
                    print(f"{forwarder}: back end {backend} is ejected: {reason}")
                case clustercore.BackendReturned(forwarder, backend):
                    print(f"{forwarder}: back end {backend} is trusted again")
                case clustercore.BackendDrained(forwarder, backend, finished):
                    print(f"{forwarder}: back end {backend} is drained, finished: {finished}")
                case _:
                    print(event)
            if isinstance(event, kind):
                return


def main() -> None:
    """Prints what happens."""
    one, two = start_service(), start_service()
    health = clustercore.HealthConfig(interval=0.05, fall=2, rise=1, ejection=0.1, ejection_max=0.1)
    with clustercore.Node() as node:
        web = node.forwarder("web", policy="round_robin", health=health)
        address = web.listen("127.0.0.1:0")
        key = web.add_backend(f"127.0.0.1:{one.server_port}", name="one")
        web.add_backend(f"127.0.0.1:{two.server_port}", name="two")

        def get() -> str:
            with urllib.request.urlopen(f"http://{address}/", timeout=5) as answer:
                return str(answer.read().decode())

        print("the client gets", get())
        stop_service(one)
        wait_for(node, clustercore.BackendEjected, get)
        print("the client gets", get())
        one = start_service(one.server_port)
        wait_for(node, clustercore.BackendReturned, get)
        web.drain_backend(key, deadline=5)
        wait_for(node, clustercore.BackendDrained, get)
        web.remove_backend(key)
        print("the client gets", get())
        stats = web.stats()
        print("every request was answered:", stats["requests"] == stats["responses_2xx"])
    stop_service(one)
    stop_service(two)


if __name__ == "__main__":
    main()
