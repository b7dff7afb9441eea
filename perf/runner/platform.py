"""The whole platform under load that rises and falls: time to add, errors, latency, reconfigurations;
policies.

A front end and three node agents of the product are started by its own command line; the load manager then
borrows and gives back by itself. What happened is read from the console's interface.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import tempfile
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import generator, tools
from .generator import Load
from .place import Place, inside_thread, wait_for_port
from .processes import Process, ProcessSet, StartError
from .programs import Address, NotHere

POLICIES = ("levels", "round_robin", "least_requests", "power_of_two")
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Setting:
    """One way to run the platform. Equal thresholds are the one-threshold policy."""

    policy: str = "levels"
    medium_per_core: float = 2.0
    high_per_core: float = 4.0
    hold_add: float = 0.05
    hold_remove: float = 1.0
    cool_down: float = 0.25

    def describe(self) -> str:
        """A name for tables."""
        if self.policy != "levels":
            return self.policy
        if self.medium_per_core == self.high_per_core:
            return f"levels, one threshold at {self.high_per_core:g}"
        return f"levels, two thresholds at {self.medium_per_core:g} and {self.high_per_core:g}"

    def without_holds(self) -> Setting:
        """The same, deciding at once and at any time."""
        return replace(self, hold_add=0.0, hold_remove=0.0, cool_down=0.0)


ONE_THRESHOLD = Setting(medium_per_core=4.0, high_per_core=4.0)
LOW_THRESHOLD = Setting(medium_per_core=2.0, high_per_core=2.0)


@dataclass
class Shape:
    """Load in stages: (requests per second, seconds) in turn; every request takes `cpu_ms` and `wait_ms`."""

    stages: list[tuple[float, float]]
    cpu_ms: float = 10.0
    wait_ms: float = 0.0
    settle_seconds: float = 4.0


RISE_AND_FALL = Shape([(15, 2.0), (110, 5.0), (15, 5.0), (110, 5.0), (15, 5.0)])


def hover(around: float, away: float, stages: int = 6, seconds: float = 2.5) -> Shape:
    """Requests in flight that change between `around + away` and `around - away`, each for longer than the
    hold times.

    A request waits 20 ms and costs next to nothing, so that as many are in flight as the rate says.
    """
    wait_ms = 20.0
    rates = [(around + away) * 1e3 / wait_ms, (around - away) * 1e3 / wait_ms]
    turns = [(rates[index % 2], seconds) for index in range(stages)]
    return Shape(turns, cpu_ms=0.0, wait_ms=wait_ms, settle_seconds=0.0)


HOVERS = {"around 4": hover(4.0, 1.0), "around 2": hover(2.0, 0.6)}
QUICK_HOVER = hover(4.0, 1.0, stages=2, seconds=1.0)
QUICK_SHAPE = Shape([(15, 0.5), (110, 2.0), (15, 1.0)], settle_seconds=0.5)


@dataclass
class Outcome:
    """What one run of the platform showed."""

    setting: Setting
    requests: int = 0
    errors: int = 0
    adds: int = 0
    removes: int = 0
    # From the step of the load to the first request that a new back end was given, less its start; ms.
    add_ms_without_start: float | None = None
    start_ms: float | None = None
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    decisions: list[dict] = field(default_factory=list)

    @property
    def reconfigurations(self) -> int:
        """Adds and removes."""
        return self.adds + self.removes


class Platform:
    """A front end with a console and three agents, in `place`."""

    def __init__(self, place: Place, processes: ProcessSet, setting: Setting) -> None:
        command = tools.platform()
        if command is None:
            raise NotHere("the command clustercore is not installed (cargo xtask setup)")
        if not tools.has_module(command):
            raise NotHere("the Python module clustercore is not built (cargo xtask build)")
        self.place, self.processes, self.command = place, processes, command
        self.front: Address = (place.front, place.port())
        self.console: Address = ("127.0.0.1", place.port())
        agents = [self._start_agent(index) for index in range(3)]
        config = processes.directory / "services.toml"
        config.write_text(self._config(setting, agents))
        front = self._start("front", ["front", "--config", str(config)])
        wait_for_port(front, *self.console, place, from_front=True)
        wait_for_port(front, *self.front, place, seconds_max=20)
        self._wait_until_ready()

    def state(self) -> dict:
        """The console's view of everything; call it inside the front end's namespace."""
        return self._get("/api/state")

    def decisions(self) -> list[dict]:
        """All decisions so far; call it inside the front end's namespace."""
        return self._get("/api/decisions?count=1000")

    def _start_agent(self, index: int) -> Address:
        address = (self.place.slaves[index], self.place.port())
        name = f"slave{index + 1}"
        words = [
            "node",
            "--name",
            name,
            "--listen",
            "{}:{}".format(*address),
            "--cores",
            "1",
            "--stop-services",
        ]
        words += ["--state-dir", str(self.processes.directory / name)]
        if not address[0].startswith("127."):
            words.append("--insecure")  # a network of this run's own
        agent = self._start(name, words, self.place.slave_netns[index])
        wait_for_port(agent, *address, self.place)
        return address

    def _start(self, name: str, words: list[str], netns: str | None = None) -> Process:
        return self.processes.start(name, [self.command, *words], netns or self.place.front_netns)

    def _config(self, setting: Setting, agents: list[Address]) -> str:
        # JSON strings are TOML strings as well.
        at = ["{}:{}".format(*agent) for agent in agents]
        service = [tools.need("clustercore-sample-service"), "--listen", "{address}:{port}"]
        lines = [
            "[front]",
            f"console = {json.dumps('{}:{}'.format(*self.console))}",
            f"state_dir = {json.dumps(str(self.processes.directory / 'front-state'))}",
        ]
        for index, agent in enumerate(at):
            lines += ["[[nodes]]", f'name = "slave{index + 1}"', f"agent = {json.dumps(agent)}"]
            lines += [] if agent.startswith("127.") else ["insecure = true"]
        lines += [
            "[[services]]",
            'name = "web"',
            f"listen = {json.dumps('{}:{}'.format(*self.front))}",
            f"command = {json.dumps(service)}",
            f'policy = "{setting.policy}"',
            "cores_local = 1",
            "[services.thresholds]",
            f"medium_per_core = {setting.medium_per_core}",
            f"high_per_core = {setting.high_per_core}",
            "[services.scaling]",
            f"hold_add = {setting.hold_add}",
            f"hold_remove = {setting.hold_remove}",
            f"cool_down = {setting.cool_down}",
        ]
        return "\n".join(lines) + "\n"

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if inside_thread(self.place.front_netns, self._is_ready):
                return
            time.sleep(0.05)
        raise StartError("the front end did not become ready in 20 s")

    def _is_ready(self) -> bool:
        try:
            self._get("/readyz")
            state = self.state()
        except (OSError, http.client.HTTPException, StartError):
            return False
        return all(node.get("connected", True) for node in state.get("nodes", []))

    def _get(self, path: str):
        return get_json(self.console, path)


def get_json(address: Address, path: str):
    """What `http://address/path` answers.

    Raises StartError for another status than 200, OSError without an answer.
    """
    connection = http.client.HTTPConnection(*address, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        text = response.read()
        if response.status != 200:
            raise StartError(f"{address[0]}:{address[1]} answered {response.status} for {path}")
        return json.loads(text)
    finally:
        connection.close()


class _Watcher:
    """Looks after the back ends while the load runs: when did each get its first request?"""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.first_request_unix: dict[str, float] = {}
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> _Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        inside_thread(self.platform.place.front_netns, self._poll)

    def _poll(self) -> None:
        while not self._is_over.wait(POLL_SECONDS):
            with contextlib.suppress(OSError, http.client.HTTPException, StartError):
                for service in self.platform.state()["services"]:
                    for child in service["children"]:
                        if child["state"] == "active" and child["node"] not in self.first_request_unix:
                            self._ask(child)

    def _ask(self, child: dict) -> None:
        """The service on the back end knows best when its first request came."""
        host, _, port = child["address"].rpartition(":")
        first = get_json((host, int(port)), "/stats")["first_file_unix"]
        if first > 0:
            self.first_request_unix[child["node"]] = first


def run(place: Place, setting: Setting, shape: Shape = RISE_AND_FALL) -> Outcome:
    """Brings the platform up, drives `shape`, and reads what it did.

    Raises NotHere, StartError, LoadError.
    """
    outcome = Outcome(setting)
    with tempfile.TemporaryDirectory(prefix="clustercore-perf-") as directory:
        Path(directory).chmod(0o755)
        with ProcessSet(Path(directory)) as processes:
            platform = Platform(place, processes, setting)
            first_step = None
            with _Watcher(platform) as watcher:
                for rate, seconds in shape.stages:
                    if first_step is None and rate > shape.stages[0][0]:
                        first_step = time.time()
                    load = Load(
                        uri=f"/1k?cpu_ms={shape.cpu_ms:g}&wait_ms={shape.wait_ms:g}",
                        rate=rate,
                        seconds=seconds,
                        connections=512,
                        warmup_seconds=0.0,
                        timeout=15,
                        expect_bytes=1024,
                    )
                    _count(outcome, generator.run(load, platform.front, place))
                time.sleep(shape.settle_seconds)
            outcome.decisions = inside_thread(place.front_netns, platform.decisions)
            judge_decisions(outcome, watcher.first_request_unix, first_step)
    return outcome


def _count(outcome: Outcome, report: dict) -> None:
    outcome.requests += report["requests"]
    outcome.errors += report["failed"]
    latency = report["last_byte_us"]
    if latency:
        outcome.p50_ms.append(latency["p50"] / 1e3)
        outcome.p99_ms.append(latency["p99"] / 1e3)


def judge_decisions(outcome: Outcome, first_request_unix: dict[str, float], step_unix: float | None) -> None:
    """Counts adds and removes in the decisions, and times the first add after the step of the load.

    High is reached a little after the step, so the time from the step is an upper bound of the time from
    High.
    """
    kinds = [decision["kind"] for decision in outcome.decisions]
    outcome.adds, outcome.removes = kinds.count("add"), kinds.count("drain")
    active = [decision for decision in outcome.decisions if decision["kind"] == "active"]
    active = [decision for decision in active if step_unix is None or decision["time_unix"] >= step_unix]
    if not active or step_unix is None:
        return
    start_ms = 1e3 * float(active[0].get("figures", {}).get("start_seconds", 0.0))
    outcome.start_ms = start_ms
    first = first_request_unix.get(active[0]["node"])
    if first is not None:
        outcome.add_ms_without_start = 1e3 * (first - step_unix) - start_ms


def rise_and_fall(place: Place) -> dict[str, float]:
    """The figures of the target: the product's policy as load rises and falls, and two thresholds against one
    as it hovers.
    """
    two = run(place, Setting())
    hovering = {setting: run(place, setting, HOVERS["around 4"]) for setting in (Setting(), ONE_THRESHOLD)}
    figures = {
        "errors": two.errors + sum(outcome.errors for outcome in hovering.values()),
        "requests": two.requests,
        "adds": two.adds,
        "removes": two.removes,
        "reconfigurations": two.reconfigurations,
        "hover_reconfigurations_two_thresholds": hovering[Setting()].reconfigurations,
        "hover_reconfigurations_one_threshold": hovering[ONE_THRESHOLD].reconfigurations,
        "add_ms_without_start": two.add_ms_without_start
        if two.add_ms_without_start is not None
        else float("inf"),
    }
    if two.start_ms is not None:
        figures["start_ms"] = two.start_ms
    return figures


@dataclass
class Hovering:
    """Reconfigurations by threshold setting (rows) and load (columns)."""

    columns: list[str]
    rows: dict[str, dict[str, Outcome]] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """The table as text: adds and removes together."""
        width = max(len(column) for column in self.columns) + 2
        lines = [f"{'reconfigurations':<42}" + "".join(f"{column:>{width}}" for column in self.columns)]
        for name, cells in self.rows.items():
            counts = [cells[column].reconfigurations if column in cells else "" for column in self.columns]
            lines.append(f"{name:<42}" + "".join(f"{count:>{width}}" for count in counts))
        return lines


def study_hovering(place_of, is_quick: bool) -> Hovering:
    """Load that hovers around each threshold, hold times the same for all; then once with none.

    `place_of()` makes the place of one run.
    """
    bare = "around 4, no hold"
    settings = [Setting(), ONE_THRESHOLD] if is_quick else [Setting(), ONE_THRESHOLD, LOW_THRESHOLD]
    shapes = {"around 4": QUICK_HOVER} if is_quick else {**HOVERS, bare: HOVERS["around 4"]}
    hovering = Hovering(list(shapes))
    for setting in settings:
        cells = hovering.rows.setdefault(setting.describe(), {})
        for column, shape in shapes.items():
            with place_of() as where:
                cells[column] = run(where, setting.without_holds() if column == bare else setting, shape)
    return hovering


def settings_of_study() -> list[Setting]:
    """One threshold against two, then the other policies."""
    return [Setting(), ONE_THRESHOLD, *(Setting(policy=policy) for policy in POLICIES[1:])]
