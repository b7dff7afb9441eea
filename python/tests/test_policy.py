"""The pure machines: time goes in, decisions come out."""

from __future__ import annotations

import clustercore
import pytest


def test_the_scaler_adds_when_the_front_end_stays_high() -> None:
    scaler = clustercore.Scaler(hold_add=0.1, cool_down=1, medium_per_core=1, high_per_core=2)
    assert scaler.step(10.0, local=(4, 2), children=[], pool_idle=3) is None
    decision = scaler.step(10.1, local=(5, 2), children=[], pool_idle=3)
    assert decision is not None and decision[0] == "add"
    assert decision[1] == "the front end has 2.5 requests per core, High from 2, for 0.10 s"
    assert scaler.step(10.5, (5, 2), [(1, 0, 1, "starting")], 2) is None
    assert scaler.decisions == 1 and "1 decisions" in repr(scaler)


def test_the_scaler_gives_back_the_idle_one_that_came_last() -> None:
    scaler = clustercore.Scaler(hold_remove=1, cool_down=0, medium_per_core=1, high_per_core=2)
    children = [(1, 0, 1, "active"), (2, 0, 1, "active"), (3, 0, 1, "draining")]
    assert scaler.step(0.0, (0, 1), children, 0) is None
    decision = scaler.step(1.0, (0, 1), children, 0)
    assert decision is not None and decision[:2] == ("remove", 2)
    reason = "idle, and all 2 back ends have at most 0 requests per core, Low below 1, for 1.00 s"
    assert decision[-1] == reason


def test_the_scaler_fills_the_minimum_and_keeps_the_maximum() -> None:
    scaler = clustercore.Scaler(backends_min=1, backends_max=1, cool_down=0)
    assert scaler.step(0, (0, 1), [], 1) == ("add", "0 back ends are fewer than the minimum of 1")
    both = [(1, 2, 1, "active"), (2, 2, 1, "active")]
    assert scaler.step(1, (0, 1), both, 1) == ("remove", 2, "2 back ends are more than the maximum of 1")


def test_the_scaler_goes_by_the_signal_that_it_was_told() -> None:
    scaler = clustercore.Scaler(signal="cpu", hold_add=0, cool_down=0)
    both = [(1, 500, 1, "active"), (2, 0, 1, "active")]
    assert scaler.step(0, (500, 1), both, 1, (0.0, [0.85, 0.79])) is None
    decision = scaler.step(1, (500, 1), both, 1, (0.0, [0.85, 0.9]))
    assert decision == (
        "add",
        "all 2 back ends have at least 85 % of its CPU busy, High from 80 %, for 0.00 s",
    )
    scaler = clustercore.Scaler(
        signal="latency", hold_add=0, cool_down=0, medium_per_core=20, high_per_core=50.5
    )
    decision = scaler.step(0, (9, 1), [], 1, (62.25, []))
    assert decision == (
        "add",
        "the front end has a response time of 62.25 ms, High from 50.5 ms, for 0.00 s",
    )
    scaler.set_thresholds(medium_per_core=20, high_per_core=70)
    assert scaler.step(1, (9, 1), [], 1, (62.25, [])) is None
    with pytest.raises(clustercore.BadConfiguration, match="medium_per_core is 9; it must not be above"):
        scaler.set_thresholds(medium_per_core=9, high_per_core=8)
    with pytest.raises(clustercore.InvalidArgument, match="readings is -1"):
        scaler.step(2, (9, 1), [], 1, (-1, []))


def test_thresholds_have_one_default_for_all() -> None:
    both = clustercore.default_thresholds()
    assert both is not None and both == clustercore.AutoThresholds().thresholds()
    scaler = clustercore.Scaler(hold_add=0)
    assert scaler.step(0, (int(both[1]) - 1, 1), [], 1) is None
    decision = scaler.step(1, (int(both[1]), 1), [], 1)
    assert decision is not None and decision[0] == "add" and f"High from {both[1]:g}," in decision[1]
    assert clustercore.default_thresholds("cpu") == (0.5, 0.8)
    assert clustercore.default_thresholds("latency") is None


def test_the_scaler_refuses_nonsense() -> None:
    with pytest.raises(clustercore.BadConfiguration, match="backends_min is 3; it must not be above"):
        clustercore.Scaler(backends_min=3, backends_max=2)
    with pytest.raises(clustercore.BadConfiguration, match="medium_per_core is 3; it must not be above"):
        clustercore.Scaler(medium_per_core=3, high_per_core=2)
    scaler = clustercore.Scaler()
    with pytest.raises(clustercore.InvalidArgument, match='state is "ended"; it must be "starting"'):
        scaler.step(0, (0, 1), [(1, 0, 1, "ended")], 0)
    with pytest.raises(clustercore.InvalidArgument, match="in_flight is -1"):
        scaler.step(0, (-1, 1), [], 0)
    with pytest.raises(clustercore.InvalidArgument, match="now is -1 s"):
        scaler.step(-1, (0, 1), [], 0)


def pool_of(*names: str, token: int = 0) -> clustercore.Pool:
    pool = clustercore.Pool(lease=5, guard=1, token=token)
    for name in names:
        pool.add_node(name)
    return pool


def test_the_pool_grants_by_minimum_and_maximum() -> None:
    pool = pool_of("a", "b", token=100)
    pool.add_service("web", minimum=1, maximum=1)
    pool.add_service("batch")
    assert pool.idle_for("batch") == 1
    assert pool.request(0, "batch") == ("granted", "a", 101)
    assert pool.request(0, "batch") == ("refused", "the 1 idle nodes are kept for minima of others")
    assert pool.request(0, "web") == ("granted", "b", 102)
    assert pool.request(0, "web") == ("refused", "it holds 1 nodes, its maximum is 1")
    assert pool.token == 102
    assert [(lease.node, lease.service, lease.token, lease.expires) for lease in pool.leases()] == [
        ("a", "batch", 101, 5.0),
        ("b", "web", 102, 5.0),
    ]
    assert repr(pool) == "<clustercore.Pool of 2 nodes for 2 services, 2 leased>"


def test_the_pool_revokes_from_who_has_more_than_is_fair() -> None:
    pool = pool_of("a", "b")
    pool.add_service("one")
    pool.add_service("two")
    assert pool.request(0, "one")[0] == pool.request(0, "one")[0] == "granted"
    assert pool.request(1, "two") == ("revoke", "one", "b")
    assert pool.renew(2, "b", 2) == (7.0, 31.0), "may drain until then"
    pool.release("b", 2)
    assert pool.request(3, "one")[0] == "refused", "kept for who it was taken for"
    assert pool.request(3, "two") == ("granted", "b", 3)


def test_leases_end_unless_renewed() -> None:
    pool = pool_of("a")
    pool.add_service("web")
    assert pool.next_expiry() is None
    assert pool.request(0, "web") == ("granted", "a", 1)
    assert pool.renew(4, "a", 1) == (9.0, None)
    assert pool.next_expiry() == 10.0
    with pytest.raises(clustercore.StaleToken, match="leased under token 1, not 9"):
        pool.renew(5, "a", 9)
    with pytest.raises(clustercore.StaleToken, match="ended at 9 s"):
        pool.release("a", 1, now=9)
    assert pool.expire(9.9) == []
    (ended,) = pool.expire(10)
    assert (ended.node, ended.service, ended.token) == ("a", "web", 1)
    assert repr(ended) == "Lease(node='a', service='web', token=1, expires=9)"
    with pytest.raises(clustercore.StaleToken, match="not leased"):
        pool.renew(11, "a", 1)


def test_nodes_come_and_go() -> None:
    pool = pool_of("a")
    with pytest.raises(clustercore.AlreadyExists, match='"a"'):
        pool.add_node("a")
    pool.add_service("web")
    pool.request(0, "web")
    lease = pool.remove_node("a")
    assert lease is not None and lease.service == "web"
    with pytest.raises(clustercore.NoSuchNode, match='"a"'):
        pool.remove_node("a")
    with pytest.raises(clustercore.NoSuchNode):
        pool.renew(1, "a", 1)
    pool.add_node("a")
    assert pool.remove_node("a") is None


def test_services_come_and_go() -> None:
    pool = pool_of("a")
    with pytest.raises(clustercore.NoSuchService, match='"web"'):
        pool.request(0, "web")
    with pytest.raises(clustercore.BadConfiguration, match="minima sum up to 2; the pool has 1 nodes"):
        pool.add_service("web", minimum=2)
    with pytest.raises(clustercore.BadConfiguration, match="minimum is 1; it must not be above maximum"):
        pool.add_service("web", minimum=1, maximum=0)
    with pytest.raises(clustercore.NoSuchService):
        pool.idle_for("web")
    pool.add_service("web", minimum=1)
    pool.add_service("web", minimum=0)
    pool.remove_service("web")
    with pytest.raises(clustercore.NoSuchService):
        pool.remove_service("web")


def test_thresholds_are_learnt_from_latency() -> None:
    learner = clustercore.AutoThresholds(cores=2, medium_per_core=4, high_per_core=16, samples_min=10)
    assert learner.thresholds() == (4.0, 16.0) and learner.latency_min() is None
    for round_ in range(20):
        for in_flight in range(1, 17):
            # Two cores: time grows in proportion from three requests on.
            learner.observe(round_, in_flight, 0.010 * max(1.0, in_flight / 2))
    medium, high = learner.thresholds()
    assert medium == 1.0, "the knee: two requests on two cores"
    assert high == 3.0, "three times the least time"
    assert learner.latency_min() == pytest.approx(0.010)
    with pytest.raises(clustercore.InvalidArgument, match="in_flight is 0"):
        learner.observe(0, 0, 1)
    with pytest.raises(clustercore.BadConfiguration, match="must not be above high_per_core"):
        clustercore.AutoThresholds(medium_per_core=4, high_per_core=2)
