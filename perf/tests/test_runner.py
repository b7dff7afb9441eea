"""Tests of the runner's own reasoning: parsing, medians, ratios, verdicts. Nothing here measures time."""

from __future__ import annotations

import sys
import tempfile
import time
import unittest
from pathlib import Path
from typing import ClassVar
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from runner import (
    __main__,
    brokers,
    channels,
    check,
    compare,
    events,
    experiments,
    generator,
    place,
    platform,
    programs,
    report,
    results,
    tools,
)
from runner.processes import Process, ProcessSet, StartError

WRK = """Running 2s test @ http://127.0.0.1:8080/1k
  Latency Distribution
     50%  661.00us
     90%    1.20ms
     99%    1.01s
  192064 requests in 2.00s, 230.77MB read
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 5
"""

HTTPERF = """Total: connections 100 requests 100 replies 98 test-duration 0.991 s
Request rate: 101.0 req/s (9.9 ms/req)
Reply time [ms]: response 0.5 transfer 0.2
Errors: total 2 client-timo 0 socket-timo 0 connrefused 0 connreset 2
"""


def report_of(cpu: float, rate: float = 1000.0, failed: int = 0, p50: float = 100.0) -> dict:
    """A generator's report with what the tests look at."""
    return {
        "watched_cpu_us_per_request": cpu,
        "rate": rate,
        "failed": failed,
        "last_byte_us": {"p50": p50, "p99": 2 * p50},
    }


class Parsing(unittest.TestCase):
    def test_wrk_units_and_errors(self) -> None:
        read = generator.parse_wrk(WRK, cpu_used_ns=192_064_000, seconds=2.0)
        self.assertEqual(read["answered_in_window"], 192064)
        self.assertEqual(read["failed"], 15)
        self.assertEqual(read["last_byte_us"], {"p50": 661.0, "p90": 1200.0, "p99": 1_010_000.0})
        self.assertAlmostEqual(read["watched_cpu_us_per_request"], 1.0)

    def test_httperf_adds_transfer_to_response(self) -> None:
        read = generator.parse_httperf(HTTPERF)
        self.assertEqual((read["answered_in_window"], read["failed"], read["rate"]), (98, 2, 101.0))
        self.assertAlmostEqual(read["first_byte_us"]["mean"], 500.0)
        self.assertAlmostEqual(read["last_byte_us"]["mean"], 700.0)

    def test_other_text_is_an_error(self) -> None:
        for parse in (
            lambda: generator.parse_wrk("unable to connect", 0, 1.0),
            lambda: generator.parse_httperf(""),
        ):
            with self.assertRaises(generator.LoadError):
                parse()


class Rows(unittest.TestCase):
    KINDS: ClassVar = {"floor-uring": "floor", "haproxy": "peer", "nginx": "peer", "clustercore": "ours"}

    def rows(self, reports: dict[str, list[dict]]) -> dict[tuple[str, str], results.Row]:
        return {(row.subject, row.metric): row for row in results.rows_of("b", "c", reports, self.KINDS)}

    def test_medians_and_ratios_are_of_the_best_peer(self) -> None:
        rows = self.rows(
            {
                "clustercore": [report_of(9), report_of(100), report_of(8)],
                "floor-uring": [report_of(6)],
                "haproxy": [report_of(18)],
                "nginx": [report_of(12, rate=5000)],
            }
        )
        row = rows["clustercore", "cpu_us"]
        self.assertEqual((row.median, row.min, row.max, row.runs), (9, 8, 100, 3))
        self.assertEqual((row.floor, row.peer, row.peer_name), (6, 12, "nginx"))
        self.assertEqual(row.ratio, {"floor-uring": 1.5, "nginx": 0.75})
        self.assertEqual(rows["haproxy", "rate"].peer, 5000)

    def test_an_absent_peer_says_not_measured(self) -> None:
        row = self.rows({"clustercore": [report_of(9)]})["clustercore", "cpu_us"]
        self.assertEqual((row.floor, row.peer, row.ratio), (results.NOT_MEASURED, results.NOT_MEASURED, {}))

    def test_a_metric_that_a_report_lacks_makes_no_row(self) -> None:
        rows = self.rows({"direct": [{"rate": 5.0, "failed": 0, "last_byte_us": None}]})
        self.assertEqual(set(rows), {("direct", "rate"), ("direct", "failed")})

    def test_lines_are_kept_with_their_surroundings(self) -> None:
        rows = list(self.rows({"clustercore": [report_of(9)]}).values())
        with tempfile.TemporaryDirectory() as directory:
            before, results.tools.OUT = results.tools.OUT, Path(directory)
            try:
                results.save(rows, "x", has_record=False)
            finally:
                results.tools.OUT = before
            lines = results.read_rows(Path(directory) / "x.jsonl")
        self.assertEqual(len(lines), len(rows))
        wanted = {
            "bench",
            "case",
            "unit",
            "median",
            "min",
            "max",
            "runs",
            "floor",
            "peer",
            "ratio",
            "command",
            "commit",
            "kernel",
        }
        self.assertLessEqual(wanted, set(lines[0]))


class Verdicts(unittest.TestCase):
    TARGET: ClassVar = {
        "id": "t",
        "limits": [
            {"metric": "cpu_us", "of": ["floor-uring"], "at_most": 1.2},
            {"metric": "cpu_us", "of": ["haproxy", "nginx"], "at_most": 0.65},
        ],
    }

    def outcomes(self, medians: dict[str, float], **more: object) -> list[str]:
        by_metric = {name: {"cpu_us": value} for name, value in medians.items()}
        return [
            verdict.outcome for verdict in check.judge(self.TARGET, check.Measured(medians=by_metric, **more))
        ]

    def test_limits_are_judged_one_by_one(self) -> None:
        self.assertEqual(
            self.outcomes({"clustercore": 9, "floor-uring": 8, "haproxy": 12}),
            [check.HOLDS, check.FALLS_SHORT],
        )
        self.assertEqual(
            self.outcomes({"clustercore": 10, "floor-uring": 8, "haproxy": 20}),
            [check.FALLS_SHORT, check.HOLDS],
        )

    def test_the_best_peer_counts(self) -> None:
        medians = {"clustercore": 9, "floor-uring": 8, "haproxy": 20, "nginx": 12}
        self.assertEqual(self.outcomes(medians), [check.HOLDS, check.FALLS_SHORT])

    def test_what_is_absent_never_holds(self) -> None:
        self.assertEqual(
            self.outcomes({"clustercore": 9, "floor-uring": 8}), [check.HOLDS, check.NOT_MEASURED]
        )
        self.assertEqual(
            self.outcomes({"floor-uring": 8, "haproxy": 12}), [check.NOT_MEASURED, check.NOT_MEASURED]
        )
        self.assertEqual(
            self.outcomes({}, problem="no such program"), [check.NOT_MEASURED, check.NOT_MEASURED]
        )

    def test_failed_requests_fall_short_whatever_the_speed(self) -> None:
        medians = {
            "clustercore": {"cpu_us": 1.0, "failed": 1.0},
            "floor-uring": {"cpu_us": 8.0},
            "haproxy": {"cpu_us": 9.0},
        }
        outcomes = [verdict.outcome for verdict in check.judge(self.TARGET, check.Measured(medians=medians))]
        self.assertEqual(outcomes, [check.FALLS_SHORT, check.HOLDS, check.HOLDS])

    def test_figures_are_judged_as_they_are(self) -> None:
        target = {
            "id": "t",
            "limits": [{"figure": "ratio", "at_least": 0.95}, {"figure": "lost", "at_most": 0}],
        }
        verdicts = check.judge(target, check.Measured(figures={"ratio": 0.96, "lost": 1}))
        self.assertEqual([verdict.outcome for verdict in verdicts], [check.HOLDS, check.FALLS_SHORT])
        verdicts = check.judge(target, check.Measured(figures={"ratio": float("inf")}))
        self.assertEqual([verdict.outcome for verdict in verdicts], [check.HOLDS, check.NOT_MEASURED])

    def test_the_file_of_targets_is_sound(self) -> None:
        document = check.load_targets()
        areas = [target for target in document["target"] if target["area"] == "service"]
        self.assertEqual(len(areas), 10)
        self.assertTrue(all(case["kind"] in check.KINDS for case in document["case"].values()))

    def test_a_mistake_in_the_file_is_named(self) -> None:
        text = """
            case.a.kind = "compare"
            [[target]]
            area = "s"
            id = "x"
            case = "a"
            limits = [{ metric = "cpu_us", of = ["nobody"], at_most = 1 }]
        """
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(text)
            file.flush()
            with self.assertRaisesRegex(ValueError, "x: unknown .*nobody"):
                check.load_targets(Path(file.name))


class Experiments(unittest.TestCase):
    def table(self, local: dict[int, float], slaves: dict[int, float], carried: float) -> experiments.Table:
        table = experiments.Table("experiment3", "t", "requests/s", columns=["local", "3 slaves"])
        for rate in local:
            cells = table.cells.setdefault(rate, {})
            for column, values in (("local", local), ("3 slaves", slaves)):
                figures = dict.fromkeys(("first_p50_us", "last_p50_us", "last_p99_us"), values[rate])
                figures["rate"] = min(rate, carried)
                cells[column] = {
                    name: results.Row("e", "c", column, name, "", value, value, value, 1)
                    for name, value in figures.items()
                }
        return table

    def test_overload_does_not_count_against_steadiness(self) -> None:
        local = {1: 10.0, 80: 50.0, 150: 900.0, 250: 999.0}
        slaves = {1: 11.0, 80: 12.0, 150: 15.0, 250: 800.0}
        judged = experiments.judge_experiment_3(self.table(local, slaves, carried=190))
        self.assertEqual((judged["carried"], judged["crossover_rate"]), (190, 80))
        self.assertAlmostEqual(judged["steady_ratio"], 15 / 11)

    def test_experiment_2_asks_exactly_what_was_said_at_one_a_second(self) -> None:
        for runs, requests in ((5, 100), (5, 15), (3, 10), (5, 7), (1, 1)):
            effort = experiments.Effort(runs=runs, slow_requests=requests)
            taken, each = experiments.runs_of_slow(effort)
            self.assertEqual(taken * each, requests)
            self.assertLessEqual(taken, runs)
        arguments = __main__.parser().parse_args(["--paper"])
        self.assertEqual(__main__.effort_of(arguments).slow_requests, 100)
        self.assertLess(__main__.effort_of(__main__.parser().parse_args([])).slow_requests, 100)

    def test_no_crossover_is_infinite(self) -> None:
        judged = experiments.judge_experiment_3(self.table({1: 1.0, 80: 1.0}, {1: 2.0, 80: 2.0}, carried=100))
        self.assertEqual(judged["crossover_rate"], float("inf"))

    def test_cells_show_the_papers_figure(self) -> None:
        table = self.table({80: 5000.0}, {80: 6000.0}, carried=80)
        table.paper, table.paper_columns = {80: (48.7, 15.9)}, ("local", "3 slaves")
        self.assertEqual(experiments.cell_text(table, 80, "3 slaves"), "6.00/6.00 [15.9]")
        self.assertEqual(experiments.cell_text(table, 81, "3 slaves"), results.NOT_MEASURED)

    def test_the_report_says_what_was_not_measured(self) -> None:
        table = self.table({1: 5000.0, 80: 5000.0}, {1: 6000.0, 80: 6000.0}, carried=80)
        table.absent = {"pingora, 3 slaves": "peer-pingora is not built"}
        with tempfile.TemporaryDirectory() as directory:
            text = report.write(
                [table], [], [platform.Outcome(platform.Setting())], ["a <note>"], Path(directory)
            ).read_text()
        for part in ("peer-pingora is not built", "a &lt;note&gt;", "5.00 / 5.00", "levels, two thresholds"):
            self.assertIn(part, text)


class Platform(unittest.TestCase):
    def test_the_first_add_after_the_step_is_timed_without_its_start(self) -> None:
        outcome = platform.Outcome(platform.Setting())
        outcome.decisions = [
            {"kind": "active", "node": "old", "time_unix": 90.0, "figures": {"start_seconds": 9}},
            {"kind": "add", "node": "slave1", "time_unix": 100.1},
            {"kind": "active", "node": "slave1", "time_unix": 100.4, "figures": {"start_seconds": 0.3}},
            {"kind": "drain", "node": "slave1", "time_unix": 120.0},
        ]
        platform.judge_decisions(outcome, {"slave1": 100.45, "old": 91.0}, step_unix=100.0)
        self.assertEqual((outcome.adds, outcome.removes, outcome.reconfigurations), (1, 1, 2))
        self.assertAlmostEqual(outcome.add_ms_without_start, 150.0, places=3)

    def test_without_an_add_nothing_is_timed(self) -> None:
        outcome = platform.Outcome(platform.Setting())
        platform.judge_decisions(outcome, {}, step_unix=100.0)
        self.assertIsNone(outcome.add_ms_without_start)


class Hover(unittest.TestCase):
    def test_load_hovers_around_where_it_is_told_for_longer_than_the_hold_times(self) -> None:
        for name, around in (("around 4", 4.0), ("around 2", 2.0)):
            shape = platform.HOVERS[name]
            in_flight = [rate * shape.wait_ms / 1e3 for rate, _ in shape.stages]
            self.assertTrue(
                all(
                    above > around > below
                    for above, below in zip(in_flight[::2], in_flight[1::2], strict=True)
                )
            )
            holds = max(platform.Setting().hold_remove, platform.Setting().hold_add)
            self.assertTrue(all(seconds > 2 * holds for _, seconds in shape.stages))

    def test_all_settings_have_the_same_hold_times(self) -> None:
        settings = (platform.Setting(), platform.ONE_THRESHOLD, platform.LOW_THRESHOLD)
        self.assertEqual(len({(one.hold_add, one.hold_remove, one.cool_down) for one in settings}), 1)
        bare = platform.ONE_THRESHOLD.without_holds()
        self.assertEqual((bare.hold_add, bare.hold_remove, bare.cool_down), (0, 0, 0))
        self.assertEqual(bare.describe(), platform.ONE_THRESHOLD.describe())

    def test_counts_stand_side_by_side(self) -> None:
        two, one = (platform.Outcome(setting, adds=2, removes=1) for setting in (platform.Setting(),) * 2)
        one.adds = 9
        hovering = platform.Hovering(["a", "b"], {"two": {"a": two, "b": one}, "one": {"a": one}})
        lines = [line.split() for line in hovering.lines()]
        self.assertEqual(lines, [["reconfigurations", "a", "b"], ["two", "3", "10"], ["one", "10"]])


class Programs(unittest.TestCase):
    def test_templates_leave_no_place_open(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            for template, values in (
                ("haproxy.cfg", {"listen": "a:1", "servers": "    server s a:2", "maxconn": "10"}),
                ("nginx-proxy.conf", {"listen": "a:1", "servers": "server a:2;"}),
                ("nginx-files.conf", {"listen": "a:1", "root": "/r"}),
            ):
                text = programs.fill(template, Path(directory), "name", **values).read_text()
                self.assertNotIn("$", text, template)

    def test_unknown_proxies_are_not_here(self) -> None:
        with self.assertRaisesRegex(programs.NotHere, "no proxy is called x"):
            programs.proxy_command("x", ("a", 1), [("b", 2)], Path("."), [])

    def test_hosts_must_be_three_with_ports(self) -> None:
        self.assertEqual(place.remote(["a:1", "b:2", "c:3"]).remote_ports, [1, 2, 3])
        for hosts in (["a:1"], ["a", "b", "c"], ["a:1", "b:2", ":3"]):
            with self.assertRaises(place.PlaceError):
                place.remote(hosts)

    def test_a_named_host_that_does_not_accept_is_told(self) -> None:
        where = place.remote(["127.0.0.1:1", "127.0.0.1:1", "127.0.0.1:1"])
        with (
            tempfile.TemporaryDirectory() as directory,
            ProcessSet(Path(directory)) as processes,
            self.assertRaisesRegex(StartError, "127.0.0.1:1 of --hosts does not accept"),
        ):
            programs.start_backends(where, processes)

    def test_runs_visit_there_and_back(self) -> None:
        visited = []
        standing = [compare.Standing(name, None, ("a", 1)) for name in "ab"]
        compare.interleave(standing, 3, lambda proxy: visited.append(proxy.name) or {})
        self.assertEqual("".join(visited), "abbaab")


class Peers(unittest.TestCase):
    def test_an_ordinary_user_is_told_what_lacks_and_nothing_else(self) -> None:
        def system(name: str) -> str | None:
            return None if name == "wrk" else f"/usr/bin/{name}"

        with (
            mock.patch.object(tools, "system", system),
            mock.patch.dict(tools.HEADERS, {"libenet-dev": __file__, "libzmq3-dev": "/nowhere/zmq.h"}),
            mock.patch.object(tools.os, "geteuid", lambda: 1000),
            self.assertRaisesRegex(
                SystemExit, "not root: have these installed: apt-get install wrk libzmq3-dev$"
            ),
        ):
            tools.install_peers()


class Events(unittest.TestCase):
    SHAPE: ClassVar = events.Shape(50, 64)

    def outcome(self, **cpu: list[float]) -> events.FanOut:
        def report(value: float) -> dict:
            return dict.fromkeys(events.METRICS, 100.0) | {"server_cpu_ns": value}

        reports = {
            name.replace("_", "-"): [report(value) for value in values] for name, values in cpu.items()
        }
        return events.FanOut("fan-out-64", self.SHAPE, reports)

    def test_ratios_are_of_the_cheaper_floor_and_the_best_peer(self) -> None:
        outcome = self.outcome(
            clustercore=[90, 80, 500],
            floor_fan_out=[70],
            floor_fan_out_uring=[60],
            redis=[120],
            nats=[180],
        )
        rows = {(row.subject, row.metric): row for row in outcome.rows()}
        row = rows["clustercore", "server_cpu_ns"]
        self.assertEqual((row.median, row.min, row.max, row.runs), (90, 80, 500, 3))
        self.assertEqual((row.floor_name, row.peer_name), ("floor-fan-out-uring", "redis"))
        self.assertEqual(row.ratio, {"floor-fan-out-uring": 1.5, "redis": 0.75})
        self.assertEqual(rows["nats", "server_cpu_ns"].ratio["redis"], 1.5)

    def test_a_channel_server_that_is_not_there_never_holds_and_says_so(self) -> None:
        document = check.load_targets()
        targets = [target for target in document["target"] if target["case"] == "fan-out-64"]
        outcome = self.outcome(floor_fan_out=[70], redis=[120])
        reason = "clustercore-channel-server is not built"
        measured = check.Measured(
            medians=outcome.medians(), absent={"clustercore": reason}, rows=outcome.rows()
        )
        verdicts = [verdict for target in targets for verdict in check.judge(target, measured)]
        self.assertEqual([verdict.outcome for verdict in verdicts], [check.NOT_MEASURED] * 2)
        self.assertEqual({verdict.figure for verdict in verdicts}, {reason})

    def test_limits_of_ours_are_judged_beside_those_that_were_measured(self) -> None:
        document = check.load_targets()
        (target,) = [target for target in document["target"] if target["id"] == "fan-out-64"]
        outcome = self.outcome(clustercore=[90], floor_fan_out=[70], redis=[120])
        measured = check.Measured(medians=outcome.medians(), absent={"nats": "not installed"})
        outcomes = [verdict.outcome for verdict in check.judge(target, measured)]
        self.assertEqual(outcomes, [check.HOLDS, check.FALLS_SHORT])

    def test_a_server_that_loses_events_makes_no_row_and_the_others_do(self) -> None:
        def drive(server: compare.Standing, shape: events.Shape, *_: object) -> dict:
            if server.name == "mosquitto":
                raise events.LoadError("mosquitto: 9 of 10 deliveries came within 10s")
            return dict.fromkeys(events.METRICS, float(shape.subscribers))

        standing = [compare.Standing(name, None, ("a", 1)) for name in ("floor-fan-out", "mosquitto")]
        with (
            mock.patch.object(events, "drive", drive),
            mock.patch.object(events, "stand_up", lambda *_: standing),
        ):
            shapes = [self.SHAPE, events.Shape(500, 64)]
            outcomes, multiples = events.wider("w", shapes, experiments.Effort(runs=2), place.host())
        self.assertEqual(multiples, {"floor-fan-out": 10.0})
        for outcome in outcomes:
            self.assertEqual(
                {name: len(runs) for name, runs in outcome.reports.items()}, {"floor-fan-out": 2}
            )
            self.assertEqual(outcome.absent, {"mosquitto": "mosquitto: 9 of 10 deliveries came within 10s"})

    def test_every_server_has_a_command_or_says_what_lacks(self) -> None:
        with tempfile.TemporaryDirectory() as directory, ProcessSet(Path(directory)) as processes:
            for name, broker in {**brokers.BROKERS, "durable": brokers.DURABLE}.items():
                with mock.patch.multiple(
                    tools, system=lambda name: f"/{name}", program=lambda name: f"/{name}"
                ):
                    command = brokers.command_of(broker, ("127.0.0.1", 7777), processes, name)
                told = " ".join(command) + "".join(
                    Path(word).read_text() for word in command if word.endswith(".conf")
                )
                self.assertIn("7777", told, name)
                self.assertNotIn("$", told, name)
                with (
                    mock.patch.multiple(tools, system=lambda _: None, program=lambda _: None),
                    self.assertRaises(programs.NotHere),
                ):
                    brokers.command_of(broker, ("127.0.0.1", 7777), processes, name)

    def test_a_pace_is_told_to_the_load_driver_only_where_there_is_one(self) -> None:
        self.assertNotIn("--rate", self.SHAPE.words())
        self.assertEqual(events.Shape(rate=500).words()[-2:], ["--rate", "500"])

    def test_events_that_wait_for_one_another_are_told(self) -> None:
        outcome = self.outcome(redis=[1], nats=[1])
        outcome.reports["nats"][0]["latency_p50_us"] = 2001.0
        self.assertEqual(events.out_of_pace(outcome), [])
        outcome.shape = events.Shape(50, 1, rate=500)
        self.assertEqual(events.out_of_pace(outcome), ["nats"])

    def test_benches_are_read_by_their_lines(self) -> None:
        text = (
            '{"case":"1_to_3_three_filters_batch_64","median":190.5,"events_per_second":5250000}\n'
            '{"case":"1_to_3_one_filter_batch_64","median":111.1,"events_per_second":9000000}\n'
            '{"case":"1_to_3_three_filters_batch_512","median":153.8,"events_per_second":6500000}\n'
        )
        self.assertEqual(channels.parse_channel(text), {64: 5_250_000.0, 512: 6_500_000.0})
        report = channels.parse_journal(
            'warming up\n{"bench":"journal","median":9,"min":8,"max":10,"runs":5}\n'
        )
        self.assertEqual(report["median"], 9)
        for parse in (channels.parse_channel, channels.parse_journal):
            with self.assertRaisesRegex(channels.ChannelError, "prints no"):
                parse("something else")

    def test_bare_appends_write_what_they_are_told(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "file"
            self.assertEqual(len(channels.append(path, 4, 3)), 3)
            self.assertEqual(path.stat().st_size, 4 * 3 * channels.RECORD_BYTES)


class Processes(unittest.TestCase):
    def test_a_set_leaves_no_process_behind(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            with ProcessSet(Path(directory)) as processes:
                sleeper = processes.start("sleeper", ["sleep", "60"])
                self.assertEqual(sleeper.pids(), [sleeper.pid])
                self.assertTrue(sleeper.is_running())
            self.assertFalse(sleeper.is_running())

    def test_one_that_ignores_the_signal_is_killed(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            stubborn = Process(
                "stubborn", ["sh", "-c", "trap '' TERM; echo ready; sleep 60"], Path(directory) / "log"
            )
            for _ in range(1000):
                if "ready" in stubborn.last_words():
                    break
                stubborn.popen.poll()
                time.sleep(0.005)
            stubborn.stop(seconds_max=0.1)
            self.assertEqual(stubborn.popen.returncode, -9)

    def test_a_program_that_ends_at_once_is_told_with_its_words(self) -> None:
        with tempfile.TemporaryDirectory() as directory, ProcessSet(Path(directory)) as processes:
            failing = processes.start("failing", ["sh", "-c", "echo no such port >&2; exit 3"])
            with self.assertRaisesRegex(StartError, "failing ended with 3: no such port"):
                place.wait_for_port(failing, "127.0.0.1", 9, place.host())


if __name__ == "__main__":
    unittest.main()
