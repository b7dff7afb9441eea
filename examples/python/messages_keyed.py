"""Messages in secure mode: both ends are proven by their keys, and a stranger is not let in.

A key is made once, with `clustercore keygen --out FILE`, and loaded with `Key.load`; here all are made anew.
"""

import clustercore


def main() -> None:
    """Prints what happens."""
    server_key, client_key = clustercore.Key.generate(), clustercore.Key.generate()
    with clustercore.Shard() as shard:
        server = shard.endpoint("127.0.0.1:0", key=server_key, allow=[client_key.public])
        client = shard.endpoint("127.0.0.1:0", key=client_key)
        stranger = shard.endpoint("127.0.0.1:0", key=clustercore.Key.generate())
        names = {server: "server", client: "client", stranger: "stranger"}
        # Whoever connects says whom he expects.
        client.connect(server.address, server_key.public)
        gone = 0
        while gone < 3:
            shard.turn(timeout=0.1)
            for event in shard.connection_events():
                who = names[event.connection.endpoint]
                match event:
                    case clustercore.Connected(identity=identity):
                        print(f"{who}: the server is proven: {identity == server_key.public_bytes}")
                    case clustercore.Accepted(identity=identity):
                        print(f"{who}: the client is proven: {identity == client_key.public_bytes}")
                        event.connection.send(b"a secret")
                    case clustercore.ConnectionGone(reason="refused", text=text):
                        print(f"{who}: refused: {text}")
                        gone += 1
                    case clustercore.ConnectionGone():
                        gone += 1
                        if who == "client":
                            stranger.connect(server.address, server_key.public)
            for message in shard.messages():
                print(f'client: message {message.sequence} is "{message.payload.decode()}"')
                message.connection.finish(256, "that is all")


if __name__ == "__main__":
    main()
