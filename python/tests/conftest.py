"""Services on threads, drivers that run here, and a client."""

from __future__ import annotations

import http.server
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import clustercore
import pytest

DRIVERS = ["uring", "epoll"] if clustercore.probe()["driver"] == "uring" else ["epoll"]


class Service(http.server.ThreadingHTTPServer):
    """Answers every request with its name; `hold` makes it wait first."""

    daemon_threads = True

    def __init__(self, name: str, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.name = name
        self.hold = threading.Event()
        self.hold.set()
        self.entered = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def address(self) -> str:
        """`ip:port`."""
        return f"127.0.0.1:{self.server_port}"

    def stop(self) -> None:
        """Nothing listens afterwards."""
        self.hold.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """A connection that ends early is no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Service

    def do_GET(self) -> None:
        self.server.entered.set()
        self.server.hold.wait(20)
        body = self.server.name.encode()
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Callable[[str], Service]]:
    """Starts services; stops them."""
    started: list[Service] = []

    def start(name: str) -> Service:
        started.append(Service(name))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    """Each driver that runs here."""
    return str(request.param)


@pytest.fixture
def node(driver: str) -> Iterator[clustercore.Node]:
    """A node with one shard."""
    with clustercore.Node(driver=driver) as made:
        yield made


def get(address: str, timeout: float = 10) -> tuple[int, str]:
    """Status and body."""
    try:
        with urllib.request.urlopen(f"http://{address}/", timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def wait_for(condition: Callable[[], object], seconds: float = 10) -> None:
    """Until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.005)


def events_until(
    node: clustercore.Node, kind: type[clustercore.Event], seconds: float = 10
) -> list[clustercore.Event]:
    """All events up to one of the kind."""
    seen: list[clustercore.Event] = []
    deadline = time.monotonic() + seconds
    while not any(isinstance(event, kind) for event in seen):
        assert time.monotonic() < deadline, f"no {kind.__name__} within {seconds} s, but {seen}"
        seen += node.poll(timeout=0.1)
    return seen
