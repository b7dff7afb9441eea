"""Servers that distribute events, by name: their command lines and configurations."""

from __future__ import annotations

from dataclasses import dataclass

from . import tools
from .place import Place, wait_for_port
from .processes import Process, ProcessSet
from .programs import Address, NotHere, fill

# Our channel server, with nothing but TCP.
OUR_PROGRAM = "clustercore-channel-server"


@dataclass(frozen=True)
class Broker:
    """A server between one publisher and its subscribers. `kind` is floor, peer or ours.

    `protocol` is what the load driver calls its language; `words` follow the program's name, `environment` is
    set for it.
    """

    name: str
    kind: str
    protocol: str
    program: str
    template: str | None = None
    words: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()


BROKERS = {
    broker.name: broker
    for broker in (
        Broker("floor-fan-out", "floor", "bare", "floor-fan-out"),
        Broker("floor-fan-out-uring", "floor", "bare", "floor-fan-out", words=("--form", "uring")),
        Broker("clustercore", "ours", "clustercore", OUR_PROGRAM),
        Broker("redis", "peer", "redis", "redis-server", "redis.conf"),
        # On one processor, where it spends least.
        Broker("nats", "peer", "nats", "nats-server", "nats.conf", ("-c",), ("GOMAXPROCS=1",)),
        Broker("mosquitto", "peer", "mqtt", "mosquitto", "mosquitto.conf", ("-c",)),
    )
}


# A peer that has every event on disk before it acknowledges it. (NATS acknowledges before it syncs, Mosquitto
# writes its queues now and then.)
DURABLE = Broker("redis-durable", "peer", "redis", "redis-server", "redis-durable.conf")


def start(broker: Broker, place: Place, processes: ProcessSet) -> tuple[Process, Address]:
    """Starts a server on a port of its own and waits until it accepts.

    Raises NotHere when this machine does not have it, StartError.
    """
    address = (place.front, place.port())
    label = f"{broker.name}-{address[1]}"
    command = command_of(broker, address, processes, label)
    process = processes.start(label, command, place.front_netns)
    wait_for_port(process, *address, place)
    return process, address


def command_of(broker: Broker, address: Address, processes: ProcessSet, label: str) -> list[str]:
    """The command line; writes the configuration when there is one. Raises NotHere."""
    host, port = address
    if broker.kind == "peer":
        path = tools.system(broker.program)
        if path is None:
            raise NotHere(f"{broker.program} is not installed (perf/bench.sh --install-peers)")
        assert broker.template is not None
        config = fill(broker.template, processes.directory, label, host=host, port=str(port))
        # `env` replaces itself by the program, so that the process is the program's.
        prefix = ["env", *broker.environment] if broker.environment else []
        return [*prefix, path, *broker.words, str(config)]
    path = tools.program(broker.program)
    if path is None:
        raise NotHere(f"{broker.program} is not built")
    return [path, "--listen", f"{host}:{port}", *broker.words]
