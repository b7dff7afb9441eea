"""What is refused names the argument, its value and the limit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import clustercore
import pytest


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"shards": 0}, "shards is 0; it must be 1 to 256"),
        ({"shards": 257}, "shards is 257; it must be 1 to 256"),
        ({"shards": -1}, "shards is -1"),
        ({"driver": "kqueue"}, 'driver is "kqueue"; it must be "auto", "uring" or "epoll"'),
        ({"spin_us": -5}, "spin_us is -5; it must be 0 to 1000000"),
        ({"connections_max": 1}, "connections_max is 1; it must be 16 to"),
    ],
)
def test_of_a_node(options: dict[str, Any], text: str) -> None:
    with pytest.raises(clustercore.InvalidArgument, match=text) as caught:
        clustercore.Node(**options)
    assert isinstance(caught.value, ValueError)
    assert str(caught.value).startswith(text)


@pytest.fixture(scope="module")
def node() -> Iterator[clustercore.Node]:
    with clustercore.Node(driver="epoll") as made:
        yield made


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"mode": "udp"}, 'mode is "udp"; it must be "http", "tcp"'),
        ({"policy": "random"}, 'policy is "random"; it must be "levels", "round_robin"'),
        ({"medium_per_core": -1}, "medium_per_core is -1; it must be 0 to"),
        ({"high_per_core": float("nan")}, "high_per_core is NaN"),
        ({"signal": "memory"}, 'signal is "memory"; it must be "in_flight", "cpu", "latency"'),
        (
            {"signal": "latency", "medium_per_core": 5},
            'high_per_core must be given with the signal "latency"',
        ),
        ({"queue_max": -1}, "queue_max is -1"),
        ({"queue_timeout": -0.5}, "queue_timeout is -0.5 s; it must be 0 to"),
        ({"idle_timeout": float("inf")}, "idle_timeout is inf s"),
        ({"head_bytes_max": 10}, "head_bytes_max is 10; it must be 256 to 1048576"),
        ({"proxy_in": "v1"}, 'proxy_in is "v1"; it must be "off", "v1v2"'),
        ({"proxy_out": "v3"}, 'proxy_out is "v3"; it must be "off", "v1", "v2"'),
        ({"health": "on"}, 'health is "on"; it must be "off"'),
    ],
)
def test_of_a_forwarder(node: clustercore.Node, options: dict[str, Any], text: str) -> None:
    with pytest.raises(clustercore.InvalidArgument) as caught:
        node.forwarder("web", **options)
    assert str(caught.value).startswith(text)
    with clustercore.Shard(driver="epoll") as shard, pytest.raises(clustercore.InvalidArgument):
        shard.forwarder("web", **options)


def test_thresholds_must_be_in_order(node: clustercore.Node) -> None:
    with pytest.raises(clustercore.BadConfiguration, match="above the high one"):
        node.forwarder("web", medium_per_core=5, high_per_core=4)


def test_unknown_options_are_type_errors(node: clustercore.Node) -> None:
    with pytest.raises(TypeError, match="colour"):
        node.forwarder("web", colour="red")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="HealthConfig"):
        node.forwarder("web", health=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        clustercore.Forwarder(object(), "web")  # type: ignore[arg-type]


@pytest.mark.parametrize("address", ["localhost:80", "127.0.0.1", ":80", "127.0.0.1:99999", ""])
def test_of_an_address(node: clustercore.Node, address: str) -> None:
    with node.forwarder("web") as web:
        for call in (web.listen, web.add_backend, web.set_local):
            with pytest.raises(clustercore.BadAddress, match="names are not resolved") as caught:
                call(address)
            assert f'"{address}"' in str(caught.value)


def test_of_a_back_end(node: clustercore.Node) -> None:
    with node.forwarder("web") as web:
        with pytest.raises(clustercore.InvalidArgument, match="weight is 0; it must be 1 to"):
            web.add_backend("127.0.0.1:9", weight=0)
        with pytest.raises(clustercore.InvalidArgument, match="cores is 0; it must be 1 to"):
            web.add_backend("127.0.0.1:9", cores=0)
        with pytest.raises(clustercore.InvalidArgument, match="in_flight_max is 0"):
            web.add_backend("127.0.0.1:9", in_flight_max=0)
        assert web.backends() == []
        key = web.add_backend("127.0.0.1:9")
        with pytest.raises(clustercore.InvalidArgument, match="weight is -3"):
            web.set_backend(key, weight=-3)
        with pytest.raises(clustercore.InvalidArgument, match="deadline is -1 s"):
            web.drain_backend(key, deadline=-1)


def test_of_a_poll(node: clustercore.Node) -> None:
    with pytest.raises(clustercore.InvalidArgument, match="timeout is -1 s; it must be 0 to"):
        node.poll(timeout=-1)
    with pytest.raises(clustercore.InvalidArgument, match="max is 0; it must be 1 to"):
        node.poll(timeout=0, max=0)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"interval": 0}, "interval is 0 s; it must be above 0"),
        ({"interval": 1, "rise": 0}, "rise is 0; it must be 1 to 1000"),
        ({"error_ratio_max": 50}, "error_ratio_max is 50; it must be 0 to 1"),
        ({"ejection": 9, "ejection_max": 3}, "ejection is 9 s; it must not be above ejection_max (3 s)"),
    ],
)
def test_of_health_checks(options: dict[str, Any], text: str) -> None:
    with pytest.raises(clustercore.InvalidArgument) as caught:
        clustercore.HealthConfig(**options)
    assert str(caught.value) == text


def test_health_configurations_compare() -> None:
    one = clustercore.HealthConfig(path="/live", interval=0.5)
    assert one == clustercore.HealthConfig(path="/live", interval=0.5)
    assert one != clustercore.HealthConfig()
    assert repr(one) == "HealthConfig(path='/live', interval=0.5)"
