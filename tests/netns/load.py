"""A client for one namespace: connections that ask again and again and look at every byte.

Prints what it saw as JSON.
"""

from __future__ import annotations

import collections
import hashlib
import http.client
import json
import sys
import threading
import time


def worker(
    address: str, path: str, digest: str, until: float, seen: collections.Counter[str], lock: threading.Lock
) -> None:
    """Asks until the time is over."""
    host, port = address.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    while time.monotonic() < until:
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            # The client knows that it has no answer: an error, not a lie.
            outcome = f"error {type(error).__name__}"
            connection.close()
        else:
            if response.status != 200:
                outcome = f"status {response.status}"
            elif hashlib.sha256(body).hexdigest() == digest:
                outcome = "whole"
                with lock:
                    seen[f"from {response.getheader('X-Slave')}"] += 1
            else:
                outcome = "wrong"
        with lock:
            seen[outcome] += 1


def main() -> None:
    """ADDRESS PATH SHA256 SECONDS CONNECTIONS"""
    address, path, digest, seconds, connections = sys.argv[1:]
    seen: collections.Counter[str] = collections.Counter()
    lock = threading.Lock()
    until = time.monotonic() + float(seconds)
    arguments = (address, path, digest, until, seen, lock)
    threads = [threading.Thread(target=worker, args=arguments) for _ in range(int(connections))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(seen))


main()
