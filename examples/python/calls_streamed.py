"""A streamed call: words go one way while counts come the other, then what the handler says at the end.

The handler is a generator on a thread of the pool; whoever does not take parts makes the other side wait.
"""

import threading
from collections.abc import Generator

import clustercore


@clustercore.streamed
def read(
    context: clustercore.CallContext, arguments: bytes, parts: clustercore.CallParts
) -> Generator[bytes, None, bytes]:
    """Counts letters."""
    letters = 0
    for word in parts:
        letters += len(word)
        yield b"%d letters so far" % letters
    return b"read to the end"


def main() -> None:
    """Prints what comes back."""
    with clustercore.CallServer("127.0.0.1:0") as server:
        server.add("demo.Reader", {"Read": read})
        thread = threading.Thread(target=server.serve, args=(1.0,))
        thread.start()
        channel = clustercore.Channel(server.address)
        words = ["many", "a", "mickle"]
        stream = channel.stream("demo.Reader/Read", parts=(word.encode() for word in words), timeout=5)
        for word, count in zip(words, stream, strict=True):
            print(f"{word}: {count.decode()}")
        print(stream.results().decode())

        # Who wants no more says so; the handler, which waits for the next word, is let go.
        stream = channel.stream("demo.Reader/Read", timeout=5)
        stream.send(b"unfinished")
        next(stream)
        stream.cancel()
        try:
            stream.results()
        except clustercore.CallFailed as failed:
            print(failed.status)
        thread.join()


if __name__ == "__main__":
    main()
