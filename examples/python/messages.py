"""Two endpoints exchange messages over loopback, each exactly once and in order, and finish.

Both belong to one shard here; between two programs or machines nothing is different but the address.
"""

import clustercore


def main() -> None:
    """Prints what happens."""
    with clustercore.Shard() as shard:
        server = shard.endpoint("127.0.0.1:0")
        client = shard.endpoint("127.0.0.1:0")
        connection = client.connect(server.address)
        answers, gone = 0, 0
        while gone < 2:
            shard.turn(timeout=0.1)
            for event in shard.connection_events():
                who = "client" if event.connection.endpoint == client else "server"
                match event:
                    case clustercore.Connected():
                        print(f"{who}: connected")
                        for number in range(1, 4):
                            connection.send(b"question %d" % number)
                    case clustercore.ConnectionGone(_, reason, _, text):
                        if reason == "closed_by_peer":
                            print(f"{who}: closed by the peer: {text}")
                        gone += 1
            for message in shard.messages():
                text = message.payload.decode()
                if message.connection.endpoint == server:
                    print(f'server: message {message.sequence} is "{text}"')
                    message.connection.send(f"answer to {text}".encode())
                    continue
                print(f'client: message {message.sequence} is "{text}"')
                answers += 1
                if answers == 3:  # the last one: end when everything has arrived
                    connection.finish(256, "that is all")


if __name__ == "__main__":
    main()
