"""Event channels on the command line: a server and its participants as real processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import clustercore
import pytest
from conftest import Command, free_port, run_command, start_command, taken_port, wait_until
from hypothesis import given
from hypothesis import strategies as st

from clustercore_apps.channel.access import parse_grant, parse_grants
from clustercore_apps.channel.emit import LINE_BYTES_MAX, Lines, parse_fields
from clustercore_apps.channel.shown import shown
from clustercore_apps.errors import OperatorError

SECRET_ANN, SECRET_BOB = "secret-of-ann-0123456789", "secret-of-bob-0123456789"


class Server:
    """A channel server of one test, and commands that ask it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commands: list[Command] = []
        self.url = ""

    def start(self, *arguments: str, faces: tuple[str, ...] = ("--tcp", "127.0.0.1:0")) -> Command:
        """Starts it; with more than one face `url` is the first."""
        command = start_command(len(faces) // 2, "channel", "serve", *faces, *arguments)
        self.commands.append(command)
        self.url = command.lines[0].rsplit(" ", 1)[-1]
        return command

    def run(self, *words: str, token: str = "", typed: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end, with `typed` on its standard input."""
        command = [sys.executable, "-m", "clustercore_apps", "channel", *words, "--server", self.url]
        command += self.token(token) if token else []
        return subprocess.run(command, capture_output=True, text=True, input=typed or "", timeout=30)

    def say(self, *words: str, **how: Any) -> str:
        """What a command that does well prints."""
        result = self.run(*words, **how)
        assert result.returncode == 0, (words, result.stdout, result.stderr)
        return result.stdout

    def fault(self, *words: str, **how: Any) -> str:
        """The one line that a command ends with."""
        result = self.run(*words, **how)
        assert result.returncode == 2, (words, result.stdout, result.stderr)
        (line,) = result.stderr.strip().split("\n")
        return line

    def begin(self, *words: str, token: str = "") -> subprocess.Popen[str]:
        """Starts a command that goes on."""
        command = [sys.executable, "-m", "clustercore_apps", "channel", *words, "--server", self.url]
        command += self.token(token) if token else []
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.commands.append(Command(child, []))
        return child

    def watch(self, name: str, *words: str) -> subprocess.Popen[str]:
        """A consumer of the default channel that the server knows already."""
        child = self.begin("watch", "default", "--name", name, *words)
        wait_until(lambda: any(one["name"] == name for one in self.consumers()), 20)
        return child

    def consumers(self) -> list[dict[str, Any]]:
        """What the server says of each consumer of the default channel."""
        return list(json.loads(self.say("describe", "default"))["consumers"])

    def token(self, secret: str) -> list[str]:
        """The options that show a secret."""
        path = self.folder / f"token-{secret}"
        path.write_text(secret)
        path.chmod(0o600)
        return ["--token-file", str(path)]

    def end(self) -> None:
        """Ends what runs."""
        for command in reversed(self.commands):
            command.end(signal.SIGKILL)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Makes a server; ends it and its commands."""
    made = Server(tmp_path)
    try:
        yield made
    finally:
        made.end()


def output(child: subprocess.Popen[str]) -> list[str]:
    """What a command that ends by itself has printed."""
    text, _ = child.communicate(timeout=30)
    assert child.returncode == 0
    return text.splitlines()


def test_every_command_has_its_help() -> None:
    text = run_command("channel", "--help").stdout
    commands = ("serve", "list", "create", "delete", "emit", "watch", "why", "hook", "remove", "describe")
    for command in commands:
        assert f"\n    {command} " in text
        assert run_command("channel", command, "--help").returncode == 0


def test_what_is_emitted_is_watched_by_who_wants_it(server: Server) -> None:
    server.start("--open")
    everything = server.watch("everything", "--count", "2", "--json")
    high = server.watch("high", "--count", "1", "--filter", "load > 0.5")
    emitted = server.say("emit", "default", "--type", "load.changed", "--source", "/node/7", "--id", "1")
    assert emitted == "1 of 1 events taken\n"
    words = (
        "--type",
        "load.changed",
        "--id",
        "2",
        "--name",
        "cpu",
        "--field",
        "load=0.75",
        "--body",
        "hello",
    )
    server.say("emit", "default", "--source", "/node/7", "--priority", "7", *words)
    first, second = (json.loads(line) for line in output(everything))
    assert (first["id"], first["type"], first["source"]) == ("1", "load.changed", "/node/7")
    assert "body" not in first
    assert second["offset"] == first["offset"] + 1
    kept = {"id": "2", "name": "cpu", "priority": 7, "fields": {"load": 0.75}, "body": "hello"}
    assert {name: second[name] for name in kept} == kept
    (line,) = output(high)
    assert "  load.changed  /node/7  2  name=cpu  load=0.75  | hello" in line


def test_each_line_is_an_event_in_order(server: Server) -> None:
    server.start("--open")
    watching = server.watch("lines", "--count", "300", "--json", "--acknowledge")
    typed = "".join(f"line {number}\n" for number in range(299)) + "the end"
    said = server.say("emit", "default", "--lines", "--id", "run", typed=typed)
    assert said == "300 of 300 events taken\n"
    events = [json.loads(line) for line in output(watching)]
    assert [event["body"] for event in events] == typed.split("\n")
    assert [event["id"] for event in events] == [f"run-{number}" for number in range(1, 301)]


def test_a_line_goes_before_the_next_is_written(server: Server) -> None:
    server.start("--open")
    watching = server.watch("live", "--count", "1")
    emitting = server.begin("emit", "default", "--lines")
    assert emitting.stdin is not None
    emitting.stdin.write("now\n")
    emitting.stdin.flush()
    assert output(watching)[0].endswith("| now")
    assert output(emitting) == ["1 of 1 events taken"]


def test_a_consumer_that_acknowledges_gets_the_rest_when_it_comes_back(server: Server) -> None:
    server.start("--open")
    watching = server.watch("steady", "--acknowledge", "--count", "2", "--json")
    server.say("emit", "default", "--lines", "--id", "e", typed="1\n2\n3\n")
    assert [json.loads(line)["body"] for line in output(watching)] == ["1", "2"]
    wait_until(lambda: not any(one["is_connected"] for one in server.consumers()), 20)
    again = server.begin("watch", "default", "--name", "steady", "--count", "1", "--json")
    assert [json.loads(line)["body"] for line in output(again)] == ["3"]


class Target(ThreadingHTTPServer):
    """Where a web hook leads: grants unless told otherwise, and keeps what it gets."""

    daemon_threads = True

    def __init__(self, *, grants: bool = True, secret: str = "") -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.grants = grants
        self.secret = secret
        self.got: list[tuple[str, str, bytes]] = []
        self.url = f"http://localhost:{self.server_address[1]}/in"


class Handler(BaseHTTPRequestHandler):
    """Answers for a `Target`."""

    protocol_version = "HTTP/1.1"
    server: Target

    def do_OPTIONS(self) -> None:
        """The handshake."""
        self.send_response(200)
        if self.server.grants and self.headers["WebHook-Request-Origin"] == "clustercore":
            self.send_header("WebHook-Allowed-Origin", "clustercore")
            self.send_header("WebHook-Allowed-Rate", "6000")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        """An event, or a batch."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        shown = self.headers.get("Authorization", "")
        is_known = shown == (f"Bearer {self.server.secret}" if self.server.secret else "")
        if is_known:
            self.server.got.append((self.headers["Content-Type"], self.headers.get("ce-id", ""), body))
        self.send_response(204 if is_known else 401)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextlib.contextmanager
def target(**how: Any) -> Iterator[Target]:
    """A target while the block runs."""
    with Target(**how) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield made
        finally:
            made.shutdown()
            thread.join(20)


def test_an_address_gets_the_events_that_it_agreed_to(server: Server) -> None:
    server.start("--open")
    secret = server.folder / "hook-secret"
    secret.write_text(SECRET_ANN)
    secret.chmod(0o600)
    with target() as plain, target(secret=SECRET_ANN) as batched, target(grants=False) as other:
        said = server.say("hook", "default", "plain", plain.url, "--filter", "load > 0.5")
        assert said == "web hook plain is there: the target is being asked\n"
        words = ("--mode", "batched", "--rate", "3000", "--hook-token-file", str(secret))
        server.say("hook", "default", "batched", batched.url, *words)
        server.say("hook", "default", "other", other.url)
        for number, load in enumerate(("0.25", "0.75")):
            server.say("emit", "default", "--id", f"e{number}", "--field", f"load={load}", "--body", "hello")
        wait_until(lambda: len(plain.got) == 1 and b"e1" in b"".join(one[2] for one in batched.got), 20)
        assert plain.got == [("text/plain", "e1", b"hello")]
        assert {one[0] for one in batched.got} == {"application/cloudevents-batch+json"}
        wait_until(lambda: "web hook: withheld: the target" in server.say("why", "default", "other"), 20)
        assert other.got == []
        assert server.say("remove", "default", "other") == "consumer other is removed\n"
        assert sorted(one["name"] for one in server.consumers()) == ["batched", "plain"]
        assert SECRET_ANN not in server.say("describe", "default")


def test_hooks_lead_only_where_the_server_lets_them(server: Server) -> None:
    server.start("--open")
    assert "hook_targets" in server.fault("hook", "default", "far", "http://192.0.2.1/")
    for url in ("https://127.0.0.1/", "127.0.0.1:80", "http://", "http://a@127.0.0.1/", "http://[::1"):
        assert "URL is" in server.fault("hook", "default", "h", url), url
    server.end()
    server.start("--open", "--hook-target", "192.0.2.0/24")
    server.say("hook", "default", "far", "http://192.0.2.1/")
    assert "hook_targets" in server.fault("hook", "default", "near", "http://127.0.0.1/")
    result = run_command("channel", "serve", "--open", "--hook-target", "192.0.2.0/33")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "192.0.2.0/33" in result.stderr


def test_why_says_what_holds_a_consumer_up(server: Server) -> None:
    server.start("--open")
    server.watch("picky", "--filter", "load > 0.5")
    server.say("emit", "default", "--field", "load=0.25")
    wait_until(lambda: "filters rejected 1 events" in server.say("why", "default", "picky"))
    line = server.fault("why", "default", "nobody")
    assert 'there is no consumer "nobody"' in line


def test_channels_come_and_go(server: Server) -> None:
    server.start("--open")
    assert server.say("list") == "default\n"
    config = '{"repeats_window": 10, "qos": {"length_max": 5}}'
    assert server.say("create", "load", "--config", config) == "channel load is there\n"
    assert sorted(server.say("list").split()) == ["default", "load"]
    described = json.loads(server.say("describe", "load"))
    assert (described["channel"], described["config"]["repeats_window"]) == ("load", 10)
    assert "load" in server.fault("create", "load")
    watching = server.begin("watch", "load", "--name", "w")
    wait_until(lambda: '"w"' in server.say("describe", "load"), 20)
    server.say("delete", "load")
    assert watching.wait(30) == 2
    assert server.say("list") == "default\n"
    assert "there is no channel" in server.fault("emit", "load")
    assert "is no JSON" in server.fault("create", "other", "--config", "{")
    assert "repeats_windw" in server.fault("create", "other", "--config", '{"repeats_windw": 1}')


def test_rights_are_those_of_the_secret(server: Server) -> None:
    ann, bob = f"{SECRET_ANN}=ann:emit,consume@default", f"{SECRET_BOB}=bob:administer"
    server.start("--token", ann, "--token", bob)
    assert server.say("list", token=SECRET_ANN) == "default\n"
    assert server.say("emit", "default", token=SECRET_ANN) == "1 of 1 events taken\n"
    assert "may not administer" in server.fault("describe", "default", token=SECRET_ANN)
    server.say("create", "load", token=SECRET_BOB)
    assert "may not put events into" in server.fault("emit", "load", token=SECRET_ANN)
    for how in ({}, {"token": "a-secret-that-nobody-has"}):
        assert "the secret is not known here" in server.fault("list", **how)


def test_secrets_may_be_in_a_file(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"# who\n\n{SECRET_ANN}=ann:emit\n")
    path.chmod(0o644)
    line = run_command("channel", "serve", "--tokens-file", str(path)).stderr
    assert f"chmod 600 {path}" in line
    path.chmod(0o600)
    server.start("--tokens-file", str(path))
    assert server.say("emit", "default", token=SECRET_ANN) == "1 of 1 events taken\n"
    assert "may not get events out of" in server.fault("watch", "default", token=SECRET_ANN)


def test_all_faces_meet_in_one_channel(server: Server) -> None:
    names = ("tcp", "udp", "rpc", "http")
    faces = tuple(word for name in names for word in (f"--{name}", "127.0.0.1:0"))
    lines = server.start("--open", faces=faces).lines
    assert [line.split("://")[0] for line in lines] == [f"channels on {it}" for it in names]
    http = lines[3].rsplit(" ", 1)[-1]
    watching = server.watch("all", "--count", "3", "--json")
    server.url = lines[2].rsplit(" ", 1)[-1]
    server.say("emit", "default", "--id", "by-rpc")
    server.url = lines[1].rsplit(" ", 1)[-1]
    server.say("emit", "default", "--id", "by-udp")
    headers = {"ce-specversion": "1.0", "ce-id": "by-http", "ce-source": "/s", "ce-type": "t"}
    request = urllib.request.Request(f"{http}/channels/default/events", headers=headers, data=b"x")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 202
    assert [json.loads(line)["id"] for line in output(watching)] == ["by-rpc", "by-udp", "by-http"]


def test_links_with_keys_are_encrypted_and_proven(server: Server, tmp_path: Path) -> None:
    public = {}
    for name in ("server", "client"):
        made = run_command("keygen", "--out", str(tmp_path / name))
        public[name] = tmp_path / f"{name}.public"
        public[name].write_text(made.stdout)
    faces = ("--udp", "127.0.0.1:0", "--rpc", "127.0.0.1:0")
    keys = ("--key", str(tmp_path / "server"), "--peer-key", str(public["client"]))
    lines = server.start("--open", *keys, faces=faces).lines
    own = ("--key", str(tmp_path / "client"))
    for line in lines:
        server.url = line.rsplit(" ", 1)[-1]
        assert server.say("list", "--server-key", str(public["server"]), *own) == "default\n"
        wrong = ("--server-key", public["client"].read_text().strip(), *own)
        assert "it has another key" in server.fault("list", "--timeout", "1", *wrong)
        assert "lets our key not in" in server.fault(
            "list", "--timeout", "1", "--server-key", str(public["server"])
        )
        assert "--key needs --server-key" in server.fault("list", *own)
        assert "--server-key none" in server.fault("list", "--server-key", "none")


def test_a_persistent_event_is_lost_without_a_disk(server: Server) -> None:
    server.start("--open")
    server.watch("w")
    result = server.run("emit", "default", "--persistent")
    assert (result.returncode, result.stdout) == (1, "0 of 1 events taken\n")
    assert "event 1: NotWritten" in result.stderr


def test_a_server_ends_by_a_signal(server: Server) -> None:
    command = server.start("--open")
    watching = server.watch("w")
    assert command.end() == 0
    watching.send_signal(signal.SIGTERM)
    assert watching.wait(30) == 0


def test_faults_are_one_line(server: Server, tmp_path: Path) -> None:
    server.url = f"tcp://127.0.0.1:{free_port()}"
    assert "does not answer within 0.2 s" in server.fault("list", "--timeout", "0.2")
    for url in ("127.0.0.1:1", "http://127.0.0.1:1", "tcp://127.0.0.1"):
        server.url = url
        assert "--server" in server.fault("list")
    server.url = "tcp://192.0.2.1:7420"
    assert "--insecure" in server.fault("list")
    with taken_port() as port:
        faults = {
            ("--tcp", "127.0.0.1:0"): "nobody may come in",
            ("--open", "--tcp", f"127.0.0.1:{port}"): f"127.0.0.1:{port}",
            ("--open", "--tcp", "0.0.0.0:0"): "--insecure",
            ("--open", "--http", "name:0"): "--http",
            ("--open", "--key", "k"): "--key is for --udp and --rpc",
            ("--open", "--udp", "127.0.0.1:0", "--key", str(tmp_path / "none")): "--key: ",
            ("--open", "--udp", "127.0.0.1:0", "--peer-key", f"clc-public-x25519 {'A' * 44}"): "--peer-key",
            ("--token", "short=ann:emit"): "at least 16 are needed",
            ("--token", f"{SECRET_ANN}=ann:emitt"): 'right is "emitt"',
            ("--tokens-file", str(tmp_path / "none")): "cannot be read",
        }
        for words, part in faults.items():
            result = run_command("channel", "serve", *words)
            assert (result.returncode, result.stderr.count("\n")) == (2, 1), (words, result.stderr)
            assert part in result.stderr
            assert SECRET_ANN not in result.stderr


def test_wrong_events_are_one_line(server: Server) -> None:
    server.start("--open")
    for words, part in {
        ("--field", "load"): "name=value",
        ("--field", "Load=1"): "field name",
        ("--field", "id=1"): "that of an attribute",
        ("--field", "a=1", "--field", "a=2"): "given twice",
        ("--priority", "256"): "256",
        ("--type", ""): "type",
    }.items():
        assert part in server.fault("emit", "default", *words)
    assert "filter" in server.fault("watch", "default", "--filter", "load >")
    assert "--count is 0" in server.fault("watch", "default", "--count", "0")


def test_fields_have_the_type_that_they_show() -> None:
    texts = ["a=1", "b=0.5", "c=true", "d=word", 'e="1"', "f=", "g=[1]", "h=NaN", "i=x=y", "j=null"]
    expected = [1, 0.5, True, "word", "1", "", "[1]", "NaN", "x=y", "null"]
    found = list(parse_fields(texts).values())
    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


def test_grants_are_read() -> None:
    assert parse_grant(f"{SECRET_ANN}=ann:emit", "p") == (SECRET_ANN, ("ann", "emit"))
    assert parse_grant(f"{SECRET_ANN}=ann:emit,consume@a:b@c", "p")[1] == ("ann", "emit consume", "a:b@c")
    with pytest.raises(OperatorError, match="given twice"):
        parse_grants([f"{SECRET_ANN}=ann:emit", f"{SECRET_ANN}=bob:emit"], "--token")


@given(st.text(max_size=60) | st.text(max_size=20).map(lambda text: f"{SECRET_ANN}={text}"))
def test_any_text_is_a_grant_or_a_sentence(text: str) -> None:
    try:
        secret, grant = parse_grant(text, "--token 1")
    except OperatorError as error:
        assert SECRET_ANN not in str(error)
    else:
        assert text.startswith(f"{secret}={grant[0]}:")


@given(st.lists(st.text(max_size=20), max_size=5))
def test_any_texts_are_fields_or_a_sentence(texts: list[str]) -> None:
    with contextlib.suppress(OperatorError):
        assert list(parse_fields(texts)) == [text.partition("=")[0] for text in texts]


@given(st.text())
def test_a_terminal_is_shown_nothing_that_it_obeys(text: str) -> None:
    assert shown(text).isprintable() or not text


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_lines_are_whole_however_they_are_cut(pieces: list[bytes]) -> None:
    reader, writer = os.pipe()
    with open(reader, "rb", buffering=0), open(writer, "wb", buffering=0) as pipe:
        lines, found = Lines(reader), []
        for piece in filter(None, pieces):
            pipe.write(piece)
            found += lines.read()
        pipe.close()
        while lines.is_open:
            found += lines.read()
    whole = b"".join(pieces)
    assert found == (whole.removesuffix(b"\n").split(b"\n") if whole else [])


def test_a_line_without_end_is_refused() -> None:
    reader, writer = os.pipe()
    with open(reader, "rb", buffering=0), open(writer, "wb", buffering=0) as pipe:
        lines = Lines(reader)
        with pytest.raises(OperatorError, match="longer than"):
            for _ in range(LINE_BYTES_MAX // 1024 + 2):
                pipe.write(b"x" * 1024)
                lines.read()


def test_what_was_confirmed_is_there_after_the_server_was_killed(server: Server, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    first = server.start("--open", "--journal", str(journal))
    config = json.dumps({"retention_events_max": 1000, "repeats_window": 100})
    server.say("create", "load", "--config", config)
    server.say("emit", "load", "--persistent", "--lines", "--id", "n", typed="one\ntwo\nthree\n")
    result = run_command("channel", "serve", "--tcp", "127.0.0.1:0", "--open", "--journal", str(journal))
    assert result.returncode == 2
    assert "cannot lock journal" in result.stderr
    first.end(signal.SIGKILL)
    server.start("--open", "--journal", str(journal))
    assert server.say("list").split() == ["default", "load"]
    described = json.loads(server.say("describe", "load"))
    assert described["is_durable"] is True
    assert described["config"]["retention_events_max"] == 1000
    reader = clustercore.Participant(server.url)
    reader.consume("load", spec={"start": "earliest"})
    bodies: list[bytes] = []
    while len(bodies) < 3:
        taken = reader.take(timeout=20.0)
        assert taken, bodies
        bodies += [bytes(delivery.event.body or b"") for delivery in taken]
    assert bodies == [b"one", b"two", b"three"]
