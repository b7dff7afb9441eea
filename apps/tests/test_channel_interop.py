"""A channel server over HTTP and software of others: CloudEvents SDKs of Python and JavaScript, and curl."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cloudevents.v1.conversion import to_binary, to_structured
from cloudevents.v1.http import CloudEvent, from_http
from conftest import start_command

LIMIT = 30
SDK_OF_JAVASCRIPT = "cloudevents@8.0.3"


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """A channel server that is open to everybody: where it listens for HTTP."""
    command = start_command(1, "channel", "serve", "--http", "127.0.0.1:0", "--open")
    try:
        yield command.lines[0].rsplit(" ", 1)[-1]
    finally:
        command.process.terminate()
        command.process.wait(LIMIT)


def ask(url: str, method: str, data: bytes = b"", headers: dict[str, str] | None = None) -> tuple[int, str]:
    request = urllib.request.Request(url, data or None, headers or {}, method=method)
    with urllib.request.urlopen(request, timeout=LIMIT) as answer:
        return answer.status, answer.read().decode()


def test_the_sdk_sends_in_both_modes_and_reads_what_comes_out() -> None:
    with serving() as base:
        assert ask(f"{base}/channels/default/consumers/sdk", "PUT", b"{}")[0] == 201
        sent = {}
        for name, convert in (("binary", to_binary), ("structured", to_structured)):
            attributes = {
                "type": "load.changed",
                "source": "/sdk",
                "id": name,
                "subject": "cpu",
                "zone": "east",
            }
            event = CloudEvent(attributes, {"load": 0.9, "of": name})
            headers, body = convert(event)
            assert ask(f"{base}/events", "POST", body, dict(headers)) == (202, "")
            sent[name] = event
        status, text = ask(f"{base}/channels/default/events?consumer=sdk&wait=5", "GET")
        assert status == 200
        for item in json.loads(text):
            headers = {"content-type": "application/cloudevents+json"}
            event = from_http(headers, json.dumps(item))
            expected = sent.pop(event["id"])
            assert event.data == expected.data
            for name in ("type", "source", "subject", "zone"):
                assert event[name] == expected[name]
        assert sent == {}


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_does_too() -> None:
    with serving() as base:
        assert ask(f"{base}/channels/default/consumers/c", "PUT", b'{"filter": "load > 0.5"}')[0] == 201
        for identity, load in (("1", "0.2"), ("2", "0.75")):
            words = ["curl", "--silent", "--show-error", "--fail", "--max-time", str(LIMIT)]
            head = {"specversion": "1.0", "id": identity, "source": "/curl", "type": "t", "load": load}
            head["fieldtypes"] = "load:float"
            for name, value in head.items():
                words += ["-H", f"ce-{name}: {value}"]
            subprocess.run([*words, "-d", "hello", f"{base}/events"], check=True, timeout=LIMIT)
        status, text = ask(f"{base}/channels/default/events?consumer=c&wait=5", "GET")
        assert status == 200
        assert [item["id"] for item in json.loads(text)] == ["2"]


def installed_with_npm(package: str) -> Path:
    """The folder where npm has put a package, which stays for later runs."""
    folder = Path(__file__).parents[2] / "target" / "npm"
    if not (folder / "node_modules" / package.split("@")[0]).is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        words = ["npm", "install", "--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--prefix"]
        subprocess.run([*words, str(folder), package], check=True, timeout=120, capture_output=True)
    return folder


@pytest.mark.skipif(
    shutil.which("node") is None or shutil.which("npm") is None,
    reason="node and npm are not installed (Debian: nodejs npm)",
)
def test_the_sdk_of_javascript_sends_in_all_modes_and_reads_what_comes_out() -> None:
    folder = installed_with_npm(SDK_OF_JAVASCRIPT)
    script = Path(__file__).with_name("channel_sdk.mjs")
    with serving() as base:
        words = ["node", str(script), str(folder), base]
        done = subprocess.run(words, capture_output=True, text=True, timeout=4 * LIMIT)
    assert done.returncode == 0, done.stderr
    events = json.loads(done.stdout)
    assert [event["id"] for event in events] == ["binary", "structured", "batch 1", "batch 2"]
    assert [event["data"]["of"] for event in events] == ["binary", "structured", 1, 2]
    assert {(event["source"], event["type"], event["zone"]) for event in events} == {
        ("/sdk", "load.changed", "east")
    }
