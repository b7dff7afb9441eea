"""One end of a transfer between two programs; what is sent is described in
examples/rust/src/bin/clustercore-peer.rs.
"""

import sys
import time
from collections.abc import Iterator

import clustercore

MESSAGES = 500
LIMIT_SECONDS = 30
FNV_OFFSET = 0xCBF29CE484222325
FNV_PRIME = 0x100000001B3


def payload(number: int) -> bytes:
    """Message `number`."""
    length = 100_000 if number % 100 == 99 else number * number % 3000
    return bytes((number * 31 + place * 7) & 255 for place in range(length))


def add(total: int, data: bytes) -> int:
    """FNV-1a."""
    for byte in data:
        total = (total ^ byte) * FNV_PRIME & (1 << 64) - 1
    return total


def turns(shard: clustercore.Shard) -> Iterator[None]:
    """Turns until the limit."""
    limit = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < limit:
        shard.turn(0.1)
        yield
    sys.exit("the end did not come")


def receive(shard: clustercore.Shard, endpoint: clustercore.Endpoint) -> None:
    """Prints the address, then what came."""
    print(endpoint.address, flush=True)
    received: list[bytes] = []
    for _ in turns(shard):
        for message in shard.messages():
            if message.sequence != len(received):
                sys.exit(f"message {message.sequence} came in the place of {len(received)}")
            received.append(message.payload)
        for event in shard.connection_events():
            match event:
                case clustercore.ConnectionGone(_, "closed_by_peer", code, text):
                    total = add(FNV_OFFSET, b"".join(received))
                    print(f"{len(received)} messages, sum {total:016x}, end {code} {text}")
                    return
                case clustercore.ConnectionGone():
                    sys.exit(repr(event))


def send(shard: clustercore.Shard, endpoint: clustercore.Endpoint, address: str) -> None:
    """Prints what was sent."""
    payloads = [payload(number) for number in range(MESSAGES)]
    connection = endpoint.connect(address)
    connected, sent = False, 0
    for _ in turns(shard):
        for event in shard.connection_events():
            match event:
                case clustercore.Connected():
                    connected = True
                case clustercore.ConnectionGone(_, "closed") if not event.unconfirmed:
                    print(f"{sent} messages, sum {add(FNV_OFFSET, b''.join(payloads)):016x}")
                    return
                case clustercore.ConnectionGone():
                    sys.exit(repr(event))
        while connected and sent < MESSAGES:
            try:
                connection.send(payloads[sent])
            except clustercore.WouldBlock:
                break
            sent += 1
            if sent == MESSAGES:
                connection.finish(300, "done")


def main() -> None:
    """peer.py receive | send IP:PORT"""
    with clustercore.Shard() as shard, shard.endpoint("127.0.0.1:0") as endpoint:
        match sys.argv[1:]:
            case ["receive"]:
                receive(shard, endpoint)
            case ["send", address]:
                send(shard, endpoint, address)
            case _:
                sys.exit("usage: peer.py receive | send IP:PORT")


if __name__ == "__main__":
    main()
