"""Load signals and learnt thresholds, on a clock of the test's own."""

from __future__ import annotations

import math

import pytest

from clustercore_apps.service.learner import DECIDE_SECONDS, PARTS_PER_CORE, Learnt, ThresholdLearner
from clustercore_apps.service.load_signal import SIGNALS, LatencyReading, Served, to_be_told


def test_latency_is_the_mean_of_what_was_completed_lately() -> None:
    reading = LatencyReading()
    served = Served(done=1000, seconds_total=5.0, in_flight=3)
    assert reading.look(10.0, served) == 0.0, "one look says nothing"
    for number in range(1, 60):
        served = Served(1000 + 10 * number, 5.0 + 0.2 * number, 3)
        value = reading.look(10.0 + 0.05 * number, served)
    assert value == pytest.approx(20.0, rel=0.01)
    # Nothing to do: no load, soon.
    for number in range(1, 60):
        value = reading.look(13.0 + 0.05 * number, Served(served.done, served.seconds_total, 0))
    assert value < 0.1


def test_a_server_that_answers_nothing_is_as_slow_as_its_silence() -> None:
    reading = LatencyReading()
    reading.look(0.0, Served(10, 1.0, 2))
    reading.look(0.1, Served(20, 1.1, 2))
    assert reading.look(3.1, Served(20, 1.1, 2)) == pytest.approx(3000)


def test_when_all_are_high_by_a_sample_the_core_is_told_just_less() -> None:
    assert to_be_told([90.0, 20.0], 80.0) == [90.0, 20.0]
    told = to_be_told([90.0, 85.0], 80.0)
    assert all(50.0 < load < 80.0 for load in told)
    assert to_be_told([], 80.0) == []


def test_levels_begin_at_their_thresholds() -> None:
    signal = SIGNALS["cpu"]
    assert [signal.level(load, 50, 80) for load in (49.9, 50, 80)] == ["low", "medium", "high"]


class Server:
    """Answers in `service_seconds` while it has a free core, and in proportion beyond."""

    def __init__(self, cores: int, service_seconds: float) -> None:
        self.cores, self.service_seconds = cores, service_seconds
        self.done, self.seconds_total = 0.0, 0.0

    def work(self, seconds: float, in_flight: int) -> Served:
        """`in_flight` requests at each moment for so long."""
        latency = self.service_seconds * max(1.0, in_flight / self.cores)
        self.done += seconds * in_flight / latency
        self.seconds_total += seconds * in_flight
        return Served(
            math.floor(self.done), math.floor(self.done) * self.seconds_total / self.done, in_flight
        )


def learn(learner: ThresholdLearner, server: Server, loads: list[int], now: float = 0.0) -> list[Learnt]:
    """Drives each load for eight seconds, and returns what was learnt."""
    learnt = []
    for load in loads:
        for _ in range(80):
            now += 0.1001
            found = learner.look(now, {1: (server.cores, server.work(0.1001, load))})
            learnt += [found] if found is not None else []
    return learnt


def test_thresholds_are_learnt_at_the_knee_and_where_waiting_prevails() -> None:
    learner = ThresholdLearner(2, 8)
    learnt = learn(learner, Server(cores=2, service_seconds=0.01), [1, 2, 3, 4, 5, 6, 7, 8, 12])
    assert learnt, "something was learnt"
    assert learnt[-1].latency_min == pytest.approx(0.01, rel=0.05)
    # One per core has a core of its own; six on two cores take three times the least.
    assert 1.0 <= learnt[-1].medium < 1.5
    assert learnt[-1].high == pytest.approx(3.0, abs=2 / PARTS_PER_CORE)
    assert (learner.medium, learner.high) == (learnt[-1].medium, learnt[-1].high)


def test_a_service_that_only_waits_raises_the_thresholds() -> None:
    learner = ThresholdLearner(2, 8)
    learnt = learn(learner, Server(cores=64, service_seconds=0.02), [1, 8, 32])
    assert not learnt, "less than the start was seen to be harmless: the start holds"
    one_core = ThresholdLearner(2, 8)
    waiting = Server(cores=1000, service_seconds=0.02)
    waiting_on_one = [one_core.look(0.1001 * n, {1: (1, waiting.work(0.1001, 20))}) for n in range(1, 200)]
    last = [one for one in waiting_on_one if one is not None][-1]
    assert last.medium >= 18 and last.high >= 54


def test_thresholds_that_hardly_move_are_left_and_nothing_is_decided_too_often() -> None:
    learner = ThresholdLearner(2, 8)
    server = Server(cores=1, service_seconds=0.01)
    learnt = learn(learner, server, [1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4])
    seconds = 12 * 80 * 0.1001
    assert 1 <= len(learnt) < seconds / DECIDE_SECONDS / 2, learnt


def test_a_server_that_is_gone_is_forgotten() -> None:
    learner = ThresholdLearner(2, 8)
    learner.look(1.0, {1: (1, Served(1000, 10.0, 1))})
    learner.look(2.0, {})
    # The same key again with smaller figures is a new beginning, not a negative one.
    assert learner.look(20.0, {1: (1, Served(0, 0.0, 0))}) is None
