"""A server and its caller: results, a failure in words, and many calls at a time.

Both are in one program here; between two programs or machines nothing is different but the address.
"""

import threading

import clustercore


def shout(context: clustercore.CallContext, arguments: bytes) -> bytes:
    """The arguments in capitals."""
    if not arguments:
        raise clustercore.call_failed("INVALID_ARGUMENT", "there is nothing to shout")
    return arguments.upper()


def main() -> None:
    """Prints what comes back."""
    with clustercore.CallServer("127.0.0.1:0") as server:
        server.add("demo.Voice", {"Shout": shout})
        thread = threading.Thread(target=server.serve, args=(1.0,))
        thread.start()
        channel = clustercore.Channel(server.address)
        print(channel.call("demo.Voice/Shout", b"hello", timeout=5).decode())
        try:
            channel.call("demo.Voice/Shout", b"", timeout=5)
        except clustercore.CallFailed as failed:
            print(f"{failed.status}, {failed.outcome}: {failed.text}")
        for number in range(100):
            channel.submit("demo.Voice/Shout", b"call %d" % number, number, timeout=5)
        ended = 0
        while channel.outstanding > 0:
            channel.turn(0.1)
            ended += len(channel.ended())
        print(f"{ended} calls have ended")
        thread.join()


if __name__ == "__main__":
    main()
