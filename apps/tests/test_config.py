"""Faults in a configuration are told with file, line, value, limit and advice; nothing else is."""

from __future__ import annotations

from pathlib import Path

import clustercore
import pytest

from clustercore_apps.errors import ConfigError
from clustercore_apps.service.config import ThresholdConfig, load_config, parse_config
from clustercore_apps.service.config.positions import key_lines

EXAMPLE = Path(__file__).parent.parent / "examples" / "services.toml"

GOOD = """\
[front]
console = "127.0.0.1:8090"

[[nodes]]
name = "slave1"
agent = "127.0.0.2:7400"

[[services]]
name = "web"
listen = "127.0.0.1:8080"
command = ["/bin/true"]
"""


def complaint(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, Path("services.toml"))
    return caught.value


def test_example_file_is_accepted() -> None:
    config = load_config(EXAMPLE)
    assert [node.name for node in config.nodes] == ["slave1", "slave2", "slave3"]
    assert config.services[0].maximum == 3
    assert "listen {address}:{port};" in config.services[0].files["nginx.conf"]


def test_messages_are_a_transport_of_http_services() -> None:
    assert parse_config(GOOD, Path("services.toml")).services[0].transport == "tcp"
    asked = GOOD + 'transport = "messages"\n'
    assert parse_config(asked, Path("services.toml")).services[0].transport == "messages"
    for more in ('mode = "tcp"\n', '[services.forwarding]\nproxy_out = "v1"\n'):
        found = complaint(asked + more)
        assert "carries HTTP requests only" in str(found) and found.line == 12


def test_defaults_are_those_of_the_reference() -> None:
    service = parse_config(GOOD, Path("services.toml")).services[0]
    thresholds = service.thresholds
    assert (thresholds.medium, thresholds.high) == clustercore.default_thresholds() == (2, 8)
    assert (thresholds.signal.name, thresholds.is_learnt, thresholds.in_flight_per_core_max) == (
        "in_flight",
        False,
        0,
    )
    assert (service.minimum, service.maximum, service.weight) == (0, 1, 1)
    assert service.forwarding["queue_max"] == 1024


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        (('name = "web"', 'name = "web" x'), 9, ["is not TOML"]),
        (
            ('listen = "127.0.0.1:8080"', "listen = 8080"),
            10,
            ['"services.listen"', "8080", "array of strings"],
        ),
        (('listen = "127.0.0.1:8080"', 'listen = "127.0.0.1"'), 10, ["is not host:port"]),
        (('listen = "127.0.0.1:8080"', 'listen = "127.0.0.1:99999"'), 10, ['"99999"', "0..65535"]),
        (('listen = "127.0.0.1:8080"', 'listen = "127.0.0.1:8090"'), 10, ["which the console has"]),
        (('command = ["/bin/true"]', 'command = "run me"'), 11, ['"services.command"', "array of strings"]),
        (('command = ["/bin/true"]', "command = []"), 11, ["is empty"]),
        (('command = ["/bin/true"]', ""), 8, ['"services.command" is missing', "add command"]),
        (('command = ["/bin/true"]', 'comand = ["/bin/true"]'), 8, ['"services.command" is missing']),
        (('name = "slave1"', 'name = "slave1"\nagnet = 3'), 6, ['"nodes.agnet"', 'did you mean "agent"?']),
        (
            ('agent = "127.0.0.2:7400"', 'agent = "10.0.0.2:7400"'),
            6,
            ["not loopback", "keygen", "insecure = true"],
        ),
        (
            ('console = "127.0.0.1:8090"', 'console = "0.0.0.0:8090"'),
            2,
            ["others can reach", "insecure = true"],
        ),
        (('name = "web"', 'name = "a/b"'), 9, ['"a/b"', "letters"]),
        (('name = "web"', 'name = "web"\nmaximum = 4'), 10, ["is 4", "limit is 1 (nodes declared)"]),
        (('name = "web"', 'name = "web"\nminimum = 1\nmaximum = 0'), 10, ["is 1", "limit is maximum (0)"]),
        (('name = "web"', 'name = "web"\nmode = "htp"'), 10, ['"htp"', "http, tcp"]),
        (('name = "web"', 'name = "web"\nweight = 0'), 10, ["is 0", "limit is 1..1000"]),
        (('name = "web"', 'name = "web"\nlocal = false'), 10, ["minimum = 1"]),
        (('name = "web"', 'name = "web"\nlocal = "no"'), 10, ["true or false"]),
    ],
)
def test_fault_is_told_with_its_line(change: tuple[str, str], line: int, words: list[str]) -> None:
    error = complaint(GOOD.replace(*change))
    assert error.line == line, str(error)
    assert str(error).startswith(f"services.toml:{line}: ")
    for word in words:
        assert word in str(error), str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("table", "line", "word"),
    [
        ("[services.thresholds]\nmedium_per_core = 9\nhigh_per_core = 3", 14, "below medium_per_core (9)"),
        (
            "[services.thresholds]\n\nlow = 9",
            14,
            "known: high_per_core, in_flight_per_core_max, medium_per_core",
        ),
        ('[services.thresholds]\nmode = "learnt"', 13, "must be one of: fixed, auto"),
        ("[services.thresholds]\nmedium_percent = 9", 13, 'belongs to load_signal = "cpu"'),
        ("[services.thresholds]\nhigh_ms = 9", 13, "write high_per_core, in requests per core"),
        ("[services.scaling]\nhold_add = -1", 13, "limit is 0..3600"),
        ("[services.health]\npath = 'x y'", 13, 'must start with "/"'),
        ("[services.forwarding]\nqueue_max = 1.5", 13, "whole number"),
        ('[services.files]\n"../x" = ""', 13, "plain file name"),
        ("[services]\nx = 1", 12, "is not TOML"),
    ],
)
def test_fault_in_a_table_of_a_service_is_told_with_its_line(table: str, line: int, word: str) -> None:
    error = complaint(GOOD + table)
    assert (error.line, word in str(error)) == (line, True), str(error)


@pytest.mark.parametrize(
    ("keys", "table", "line", "word"),
    [
        ('load_signal = "memory"', "", 12, "must be one of: in_flight, cpu, latency"),
        ('load_signal = "latency"', "", 12, "add [services.thresholds] with medium_ms and high_ms"),
        ('load_signal = "latency"', "[services.thresholds]\nmedium_ms = 9", 12, "needs thresholds"),
        ('load_signal = "cpu"\nthresholds = "auto"', "", 12, "learns requests in flight"),
        ('thresholds = "learnt"', "", 12, "must be one of: fixed, auto"),
        ("thresholds = 3", "", 12, "must be a table"),
        ('load_signal = "cpu"', "[services.thresholds]\nhigh_percent = 101", 14, "limit is 1..100"),
        ('load_signal = "cpu"', "[services.thresholds]\nhigh_percent = 40", 14, "medium_percent (50)"),
        ('load_signal = "cpu"', "[services.thresholds]\nmedium_per_core = 4", 14, "write medium_percent"),
        (
            'load_signal = "latency"',
            "[services.thresholds]\nmedium_ms = 9\nhigh_ms = 8",
            15,
            "must not be below medium_ms (9)",
        ),
    ],
)
def test_fault_about_load_is_told_with_its_line(keys: str, table: str, line: int, word: str) -> None:
    error = complaint(f"{GOOD}{keys}\n{table}\n")
    assert (error.line, word in str(error)) == (line, True), str(error)


def test_thresholds_are_in_the_unit_of_the_signal() -> None:
    def thresholds(text: str) -> ThresholdConfig:
        return parse_config(GOOD + text, Path("services.toml")).services[0].thresholds

    cpu = thresholds('load_signal = "cpu"\n')
    assert (cpu.medium, cpu.high, cpu.high_of_core) == (50, 80, 0.8)
    assert cpu.in_flight_per_core_max > 0, "a burst between two samples is bounded"
    latency = thresholds('load_signal = "latency"\n[services.thresholds]\nmedium_ms = 20\nhigh_ms = 60.5\n')
    assert (latency.medium_of_core, latency.high_of_core, latency.is_learnt) == (20, 60.5, False)
    short = thresholds('thresholds = "auto"\n')
    assert (short.is_learnt, short.medium, short.high) == (True, 2, 8)
    table = thresholds('[services.thresholds]\nmode = "auto"\nmedium_per_core = 1\nhigh_per_core = 3\n')
    assert (table.is_learnt, table.medium, table.high) == (True, 1, 3), "the start"


def test_second_service_is_found_behind_arrays_and_long_strings() -> None:
    text = GOOD.replace('["/bin/true"]', '[\n  "/bin/sh", # ]\n  """[[services]]\nname = 1""",\n]')
    text += '[[services]]\nname = "b"\nlisten = "127.0.0.1:8081"\ncommand = ["x"]\nweight = 5000\n'
    error = complaint(text)
    assert error.line is not None
    assert text.splitlines()[error.line - 1] == "weight = 5000"


def test_duplicate_names_are_refused_at_the_second() -> None:
    error = complaint(GOOD + '[[services]]\nname = "web"\nlisten = "127.0.0.1:1"\ncommand = ["x"]\n')
    assert error.line == 13
    assert "twice" in str(error)


def test_minima_beyond_the_nodes_are_refused() -> None:
    text = GOOD.replace('name = "web"', 'name = "web"\nminimum = 1')
    text += '[[services]]\nname = "b"\nlisten = "127.0.0.1:1"\ncommand = ["x"]\nminimum = 1\n'
    assert "is 2 in sum, limit is 1 nodes" in str(complaint(text))


def test_no_service_is_refused() -> None:
    assert "declares no service" in str(complaint(GOOD.split("[[services]]")[0]))


def test_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_config(tmp_path / "absent.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not UTF-8 at byte 0"):
        load_config(tmp_path / "binary.toml")


def test_lines_of_dotted_quoted_and_inline_keys() -> None:
    found = key_lines(
        "a.b = 1\n[t.\"x y\"]\nk = { z = [1,\n2] }\n'q' = '''\n[no]\n'''\n[[l]]\n[[l]]\nm = 1\n"
    )
    assert found["a", "b"] == 1
    assert found["t", "x y", "k"] == 3
    assert found["t", "x y", "q"] == 5
    assert ("no",) not in found
    assert found["l", 1, "m"] == 10


def with_channel(*lines: str) -> str:
    return GOOD.replace("[[nodes]]", "\n".join([*lines, "[[nodes]]"]), 1)


def test_channel_is_an_address_of_ours_or_a_server_that_exists() -> None:
    assert parse_config(GOOD, Path("services.toml")).channel is None
    ours = parse_config(with_channel('channel = "127.0.0.1:7420"'), Path("services.toml")).channel
    assert ours is not None and str(ours.listen) == "127.0.0.1:7420" and ours.server == ""
    assert (ours.name, ours.loads, ours.kept) == ("service", "service.load", 4096)
    text = with_channel('channel = "tcp://localhost:7420"', 'channel_name = "web"', "channel_kept = 10")
    other = parse_config(text, Path("services.toml")).channel
    assert other is not None and other.listen is None and other.server == "tcp://localhost:7420"
    assert (other.name, other.loads, other.kept) == ("web", "web.load", 10)


@pytest.mark.parametrize(
    ("lines", "line", "words"),
    [
        (['channel = "here"'], 4, "is not host:port"),
        (['channel = "http://127.0.0.1:7420"'], 4, 'is "http://127.0.0.1:7420"; write'),
        (['channel = "tcp://127.0.0.1"'], 4, "is not host:port"),
        (['channel = "tcp://127.0.0.1:0"'], 4, "limit is 1..65535"),
        (["channel = 7420"], 4, "must be a string"),
        (['channel = "front.example:7420"'], 4, "has no address to listen on"),
        (['channel = "10.0.0.1:7420"'], 4, "channel_tokens_file"),
        (['channel = "10.0.0.1:7420"', 'channel_tokens_file = "t"'], 4, "say insecure = true"),
        (['channel = "tcp://10.0.0.1:7420"'], 4, "say insecure = true"),
        (['channel = "127.0.0.1:8090"'], 4, "which the console has"),
        (['channel = "127.0.0.1:8080"'], 11, "which the event channel has"),
        (['channel = "127.0.0.1:7420"', 'channel_token_file = "t"'], 5, "is for a server that exists"),
        (['channel = "tcp://127.0.0.1:7420"', 'channel_tokens_file = "t"'], 5, "who may come in here"),
        (['channel = "127.0.0.1:7420"', 'channel_name = "a b"'], 5, "a name is"),
        (['channel = "127.0.0.1:7420"', "channel_kept = 0"], 5, "limit is 1.."),
        (['channel_name = "events"'], 4, "of no use without"),
        (['channell = "127.0.0.1:7420"'], 4, 'did you mean "channel"?'),
    ],
)
def test_faults_of_the_channel_are_told(lines: list[str], line: int, words: str) -> None:
    found = complaint(with_channel(*lines))
    assert words in str(found)
    assert found.line == line
