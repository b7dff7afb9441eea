"""Event channels: a server, a supplier of performance reports, two consumers who do not know it.

Server and participants are in one program here; between machines nothing is different but the address.
"""

import threading

import clustercore
from clustercore import ChannelEvent, ChannelServer, Participant


def serve(server: ChannelServer, is_over: threading.Event) -> None:
    while not is_over.is_set():
        server.turn(0.02)
    server.close()


def report(number: int, load: float) -> ChannelEvent:
    return ChannelEvent(str(number), f"/node/{number % 2}", "load.changed", fields={"load": load})


def collect(participant: Participant, count: int) -> list[clustercore.Delivery]:
    taken: list[clustercore.Delivery] = []
    while len(taken) < count:
        taken += participant.take(timeout=5.0)
    return taken


def main() -> None:
    server = ChannelServer(tcp="127.0.0.1:0", udp="127.0.0.1:0", rpc="127.0.0.1:0", open=True)
    is_over = threading.Event()
    thread = threading.Thread(target=serve, args=(server, is_over))
    thread.start()
    try:
        admin = Participant(f"tcp://{server.tcp_address}")
        admin.ask({"op": "create", "channel": "load"})

        # One wants all, over reliable datagrams; the other what is urgent, and says when it is done.
        everything = Participant(f"udp://{server.udp_address}")
        everything.consume("load")
        alarms = Participant(f"tcp://{server.tcp_address}")
        alarm = alarms.consume(
            "load", name="alarms", spec={"filter": "load > 0.8", "qos": {"acknowledgement": "explicit"}}
        )
        for consumer in (everything, alarms):
            consumer.ask({"op": "ping"})
        # A link may be exchanged for one of another kind while events flow: a queue with a name stays.
        alarms.relink(f"rpc://{server.rpc_address}")
        alarms.ask({"op": "ping"})

        supplier = Participant(f"tcp://{server.tcp_address}")
        handle = supplier.supply("load")
        supplier.emit(handle, [report(number, 0.3 * number) for number in range(1, 5)])
        supplier.flush(handle)

        for delivery in collect(everything, 4):
            event = delivery.event
            print(f"{event.type} of {event.source}: {float(event.fields['load']):.1f}")
        urgent = collect(alarms, 2)
        print("alarms:", ", ".join(delivery.event.id for delivery in urgent))
        alarms.acknowledge(alarm, [delivery.delivery for delivery in urgent if delivery.delivery is not None])
        (why,) = alarms.ask({"op": "why", "handle": alarm})["reasons"]
        print("why nothing more:", why["text"])
    finally:
        is_over.set()
        thread.join()


if __name__ == "__main__":
    main()
