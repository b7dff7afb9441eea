"""What the configuration file declares: one front end, its nodes, its services."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clustercore_apps.address import Address
from clustercore_apps.errors import ConfigError
from clustercore_apps.service.config import positions
from clustercore_apps.service.config.channel import ChannelConfig, read_channel
from clustercore_apps.service.config.reader import Reader
from clustercore_apps.service.config.thresholds import ThresholdConfig, read_thresholds

CONFIG_BYTES_MAX = 1 << 20
NODES_MAX = 1024
SERVICES_MAX = 256
FILES_BYTES_MAX = 64 * 1024
"""All `files` of one service together; they travel in one message to the agent."""


@dataclass(frozen=True, slots=True)
class HealthConfig:
    """Active probes of one service: `GET path` (TCP connect when the service is no HTTP)."""

    path: str
    interval: float
    timeout: float
    rise: int
    fall: int


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """One node that can be borrowed: where its agent listens and how to trust it."""

    name: str
    agent: Address
    token_file: Path | None
    certificate: Path | None
    insecure: bool


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """One declared service. Durations are in seconds."""

    name: str
    listen: tuple[Address, ...]
    command: tuple[str, ...]
    files: dict[str, str]
    environment: dict[str, str]
    port: int
    stop_signal: str
    mode: str
    transport: str
    local: bool
    local_port: int
    cores_local: int
    minimum: int
    maximum: int
    weight: int
    policy: str
    thresholds: ThresholdConfig
    hold_add: float
    hold_remove: float
    cool_down: float
    start_deadline: float
    drain_deadline: float
    stop_deadline: float
    forwarding: dict[str, Any]
    health: HealthConfig | None


@dataclass(frozen=True, slots=True)
class FrontConfig:
    """Everything in the file. `path` is the file itself."""

    path: Path
    name: str
    console: Address
    console_token_file: Path | None
    console_certificate: Path | None
    console_key: Path | None
    insecure: bool
    job_key_file: Path | None
    state_dir: Path
    event_log: Path | None
    event_log_bytes_max: int
    driver: str
    shards: int
    spin_us: int
    connections_max: int
    sample_interval: float
    lease_seconds: float
    channel: ChannelConfig | None
    nodes: tuple[NodeConfig, ...]
    services: tuple[ServiceConfig, ...] = field(default=())


def load_config(path: Path) -> FrontConfig:
    """Reads and checks the file at `path`. Raises `ConfigError`."""
    try:
        if path.stat().st_size > CONFIG_BYTES_MAX:
            raise ConfigError(
                path, None, f"has {path.stat().st_size} bytes, limit is {CONFIG_BYTES_MAX}; split it"
            )
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            path, None, f"cannot be read: {error.strerror}; give another with --config"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(path, None, f"is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    return parse_config(text, path)


def parse_config(text: str, path: Path) -> FrontConfig:
    """Checks `text`; `path` names it in complaints and anchors relative paths. Raises `ConfigError`."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        line = int(found[1]) if found else max(1, text.count("\n"))
        what = re.sub(r" \(at .*\)$", "", str(error))
        raise ConfigError(path, line, f"is not TOML: {what}; mend this line") from None
    root = Reader(path, positions.key_lines(text), (), document)
    front = _front(root.table("front"), path)
    nodes = [_node(reader, front["insecure"]) for reader in root.tables("nodes")]
    readers = root.tables("services")
    if not readers:
        raise root.error(None, "declares no service; add a [[services]] table")
    _count(root, "nodes", len(nodes), NODES_MAX)
    _count(root, "services", len(readers), SERVICES_MAX)
    services = [_service(reader, len(nodes)) for reader in readers]
    root.finish()
    _unique(root.tables("nodes"), [node.name for node in nodes], "nodes.name")
    _unique(root.tables("services"), [service.name for service in services], "services.name")
    _unique_listeners(readers, services, _owners(root.table("front"), front))
    minima = sum(service.minimum for service in services)
    if minima > len(nodes):
        raise readers[-1].error(
            "minimum",
            f'"services.minimum" of all services is {minima} in sum, limit is {len(nodes)} nodes; lower one',
        )
    return FrontConfig(path=path, nodes=tuple(nodes), services=tuple(services), **front)


def _front(reader: Reader, path: Path) -> dict[str, Any]:
    console = reader.address("console", "127.0.0.1:8090", port_min=0)
    state_dir = reader.file("state_dir") or (path.parent / "clustercore-state").absolute()
    front = {
        "name": reader.name("name", "front"),
        "console": console,
        "console_token_file": reader.file("console_token_file"),
        "console_certificate": reader.file("console_certificate"),
        "console_key": reader.file("console_key"),
        "insecure": reader.boolean("insecure", False),
        "job_key_file": reader.file("job_key_file"),
        "state_dir": state_dir,
        "event_log": reader.file("event_log") or state_dir / "events.jsonl",
        "event_log_bytes_max": reader.integer("event_log_bytes_max", 16 << 20, 64 << 10, 1 << 32),
        "driver": reader.choice("driver", ("auto", "uring", "epoll"), "auto"),
        "shards": reader.integer("shards", 1, 1, 256),
        "spin_us": reader.integer("spin_us", 0, 0, 1_000_000),
        "connections_max": reader.integer("connections_max", 16384, 16, 1 << 20),
        "sample_interval": reader.number("sample_interval", 0.05, 0.01, 60),
        "lease_seconds": reader.number("lease_seconds", 10, 1, 3600),
        "channel": read_channel(reader, reader.boolean("insecure", False)),
    }
    secured = front["console_token_file"] is not None and front["console_certificate"] is not None
    if not console.is_loopback and not secured and not front["insecure"]:
        raise reader.error(
            "console",
            f'"front.console" is {console}, which others can reach; set console_token_file, '
            f"console_certificate and "
            "console_key, or say insecure = true in so many words",
        )
    if (front["console_certificate"] is None) != (front["console_key"] is None):
        raise reader.error(
            "console_certificate", '"front.console_certificate" and "front.console_key" go together'
        )
    reader.finish()
    return front


def _node(reader: Reader, insecure_front: bool) -> NodeConfig:
    node = NodeConfig(
        name=reader.name("name"),
        agent=reader.address("agent"),
        token_file=reader.file("token_file"),
        certificate=reader.file("certificate"),
        insecure=reader.boolean("insecure", insecure_front),
    )
    secured = node.token_file is not None and node.certificate is not None
    if not node.agent.is_loopback and not secured and not node.insecure:
        raise reader.error(
            "agent",
            f'"nodes.agent" is {node.agent}, which is not loopback; set certificate and token_file '
            f"(make them with "
            '"clustercore node keygen"), or say insecure = true in so many words',
        )
    reader.finish()
    return node


def _service(reader: Reader, nodes: int) -> ServiceConfig:
    scaling, deadlines = reader.table("scaling"), reader.table("deadlines")
    mode = reader.choice("mode", ("http", "tcp"), "http")
    service = ServiceConfig(
        name=reader.name("name"),
        listen=tuple(reader.addresses("listen")),
        command=tuple(reader.strings("command")),
        files=_files(reader),
        environment=reader.string_table("environment"),
        port=reader.integer("port", 0, 0, 65535),
        stop_signal=reader.choice("stop_signal", ("TERM", "QUIT", "INT", "HUP", "USR1", "USR2"), "TERM"),
        mode=mode,
        transport=reader.choice("transport", ("tcp", "messages"), "tcp"),
        local=reader.boolean("local", True),
        local_port=reader.integer("local_port", 0, 0, 65535),
        cores_local=reader.integer("cores_local", 0, 0, 4096),
        minimum=reader.integer("minimum", 0, 0, NODES_MAX),
        maximum=reader.integer("maximum", nodes, 0, NODES_MAX),
        weight=reader.integer("weight", 1, 1, 1000),
        policy=reader.choice("policy", ("levels", "round_robin", "least_requests", "power_of_two"), "levels"),
        thresholds=read_thresholds(reader),
        hold_add=scaling.number("hold_add", 0.05, 0, 3600),
        hold_remove=scaling.number("hold_remove", 5, 0, 86400),
        cool_down=scaling.number("cool_down", 0.25, 0, 3600),
        start_deadline=deadlines.number("start", 10, 0.1, 3600),
        drain_deadline=deadlines.number("drain", 10, 0, 3600),
        stop_deadline=deadlines.number("stop", 5, 0, 3600),
        forwarding=_forwarding(reader.table("forwarding")),
        health=_health(reader, mode),
    )
    for table in (scaling, deadlines):
        table.finish()
    if service.transport == "messages" and (mode == "tcp" or service.forwarding["proxy_out"] != "off"):
        raise reader.error(
            "transport",
            '"services.transport" is "messages", which carries HTTP requests only; set mode = "http" and '
            'proxy_out = "off", or transport = "tcp"',
        )
    if service.minimum > service.maximum:
        raise reader.error(
            "minimum",
            f'"services.minimum" is {service.minimum}, limit is maximum ({service.maximum}); lower it',
        )
    if service.maximum > nodes:
        raise reader.error(
            "maximum",
            f'"services.maximum" is {service.maximum}, limit is {nodes} (nodes declared); add [[nodes]]',
        )
    if not service.local and service.minimum == 0:
        raise reader.error(
            "local",
            '"services.local" is false and "minimum" is 0, so nobody would serve at low load; set '
            "minimum = 1 or "
            "local = true",
        )
    reader.finish()
    return service


_FORWARDING_NUMBERS: dict[str, tuple[float, float, float]] = {
    "queue_timeout": (5, 0.001, 3600),
    "head_timeout": (10, 0.01, 3600),
    "idle_timeout": (60, 0.01, 86400),
    "response_timeout": (60, 0.01, 86400),
    "connect_timeout": (2, 0.01, 3600),
    "body_timeout": (30, 0.01, 86400),
}
_FORWARDING_INTEGERS: dict[str, tuple[int, int, int]] = {
    "queue_max": (1024, 0, 1 << 20),
    "retry_after": (1, 0, 86400),
    "retries_max": (2, 0, 16),
    "head_bytes_max": (32768, 256, 1 << 20),
    "headers_max": (100, 1, 10_000),
}


def _forwarding(reader: Reader) -> dict[str, Any]:
    """The options of `Node.forwarder` under their own names."""
    options: dict[str, Any] = {}
    for key, (default, least, most) in _FORWARDING_NUMBERS.items():
        options[key] = reader.number(key, default, least, most)
    for key, (default_count, least_count, most_count) in _FORWARDING_INTEGERS.items():
        options[key] = reader.integer(key, default_count, least_count, most_count)
    options["proxy_in"] = reader.choice("proxy_in", ("off", "v1v2"), "off")
    options["proxy_out"] = reader.choice("proxy_out", ("off", "v1", "v2"), "off")
    options["trust_forwarded"] = reader.boolean("trust_forwarded", False)
    reader.finish()
    return options


def _health(reader: Reader, mode: str) -> HealthConfig | None:
    if not reader.has("health"):
        return None
    table = reader.table("health")
    path = table.string("path", "/")
    if not path.startswith("/") or any(character <= " " or character > "~" for character in path):
        raise table.error(
            "path", f'"services.health.path" is "{path}", must start with "/" and have no spaces'
        )
    if mode == "tcp" and table.has("path"):
        raise table.error("path", '"services.health.path" is for mode = "http"; leave it out for "tcp"')
    health = HealthConfig(
        path=path,
        interval=table.number("interval", 1, 0.05, 3600),
        timeout=table.number("timeout", 1, 0.01, 3600),
        rise=table.integer("rise", 2, 1, 100),
        fall=table.integer("fall", 3, 1, 100),
    )
    table.finish()
    return health


def _files(reader: Reader) -> dict[str, str]:
    files = reader.string_table("files")
    for name in files:
        if "/" in name or name in ("", ".", ".."):
            raise reader.table("files").error(
                name, f'"services.files" names "{name}"; give a plain file name'
            )
    size = sum(len(content.encode()) for content in files.values())
    if size > FILES_BYTES_MAX:
        raise reader.error("files", f'"services.files" has {size} bytes in sum, limit is {FILES_BYTES_MAX}')
    return files


def _count(root: Reader, key: str, count: int, most: int) -> None:
    if count > most:
        raise root.error(key, f'"{key}" has {count} entries, limit is {most}')


def _unique(readers: list[Reader], names: list[str], title: str) -> None:
    seen: set[str] = set()
    for reader, name in zip(readers, names, strict=True):
        if name in seen:
            raise reader.error("name", f'"{title}" is "{name}" twice; names must differ')
        seen.add(name)


def _owners(reader: Reader, front: dict[str, Any]) -> dict[Address, str]:
    """Who of the front end itself listens where."""
    owners = {front["console"]: "the console"}
    channel: ChannelConfig | None = front["channel"]
    if channel is not None and channel.listen is not None and channel.listen.port != 0:
        if channel.listen in owners:
            raise reader.error(
                "channel", f'"front.channel" is {channel.listen}, which the console has; change one'
            )
        owners[channel.listen] = "the event channel"
    return owners


def _unique_listeners(
    readers: list[Reader], services: list[ServiceConfig], owners: dict[Address, str]
) -> None:
    for reader, service in zip(readers, services, strict=True):
        for address in service.listen:
            if address.port != 0 and address in owners:
                raise reader.error(
                    "listen", f'"services.listen" is {address}, which {owners[address]} has; change one'
                )
            owners[address] = f'service "{service.name}"'
