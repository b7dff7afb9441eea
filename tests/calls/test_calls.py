"""One service in three languages, called from each of them by its stubs."""

from __future__ import annotations

import importlib
import os
import struct
import subprocess
import sys
import threading
from pathlib import Path

import clustercore
import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PROGRAMS = Path(os.environ.get("CLUSTERCORE_PROGRAMS", ROOT / "target" / "release"))
LANGUAGES = ("rust", "c", "python")
LIMIT_SECONDS = 60
COMPILE = ("cc", "-Wall", "-Wextra", "-Werror", "-std=c11", "-D_GNU_SOURCE", "-pthread")
LIBRARIES = ("-lprotobuf-c", "-lm", "-ldl")
EXPECTED = """\
sum 5050
3 leaves, 100003 bytes: a b c, aaac
NOT_FOUND true: nothing for you
many 39800
running 1 3 6 10 15: ok
total 20000
each 20000 in 20000: ok
"""


@pytest.fixture(scope="session")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Messages and stubs of demo.proto in C and Python, and of channels.proto in Python."""
    out = tmp_path_factory.mktemp("stubs")
    protocols = ROOT / "docs" / "protocol"
    for folder, language, messages, name in (
        (HERE, "c", "--c_out", "demo.proto"),
        (HERE, "python", "--python_out", "demo.proto"),
        (protocols, "python", "--python_out", "channels.proto"),
    ):
        plugin = f"--plugin=protoc-gen-clustercore={PROGRAMS / 'protoc-gen-clustercore'}"
        options = [f"-I{folder}", f"{messages}={out}", f"--clustercore_out=lang={language}:{out}"]
        subprocess.run(["protoc", plugin, *options, name], check=True, timeout=LIMIT_SECONDS)
    return out


@pytest.fixture(scope="session")
def peers(stubs: Path) -> dict[str, list[str]]:
    """How to start the program in each language."""
    program = stubs / "peer"
    sources = [HERE / "peer.c", stubs / "demo.clc.c", stubs / "demo.pb-c.c"]
    library = PROGRAMS / "libclustercore_ffi.a"
    includes = [f"-I{ROOT / 'c-include'}", f"-I{stubs}"]
    command = [*COMPILE, *includes, *map(str, sources), str(library), *LIBRARIES, "-o", str(program)]
    subprocess.run(command, check=True, timeout=LIMIT_SECONDS)
    return {
        "rust": [str(PROGRAMS / "clustercore-call-peer")],
        "c": [str(program)],
        "python": [sys.executable, "-W", "error", str(HERE / "peer.py")],
    }


@pytest.mark.parametrize("server", LANGUAGES)
@pytest.mark.parametrize("client", LANGUAGES)
def test_what_one_language_serves_another_calls(
    peers: dict[str, list[str]], stubs: Path, client: str, server: str
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(stubs)}
    with subprocess.Popen(
        [*peers[server], "serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as serving:
        try:
            assert serving.stdout is not None and serving.stdin is not None
            address = serving.stdout.readline().strip()
            assert address.startswith("127.0.0.1:")
            called = subprocess.run(
                [*peers[client], "call", address],
                capture_output=True,
                text=True,
                timeout=LIMIT_SECONDS,
                env=environment,
            )
            serving.stdin.close()
            assert serving.wait(LIMIT_SECONDS) == 0
        finally:
            serving.kill()
    assert called.returncode == 0, called.stderr
    assert called.stdout == EXPECTED
    assert called.stderr == f"added by {server}\n"


def frame(kind: int, content: bytes) -> bytes:
    """A frame of docs/protocol/channel.md."""
    return struct.pack("<IB", 1 + len(content), kind) + content


def test_who_has_the_stubs_of_channels_speaks_to_a_channel_server(
    stubs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(stubs))
    messages = importlib.import_module("channels_pb2")
    calls = importlib.import_module("channels_clustercore")
    server = clustercore.ChannelServer(rpc="127.0.0.1:0", open=True)
    is_over = threading.Event()

    def serve() -> None:
        while not is_over.is_set():
            server.turn(0.02)
        server.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert server.rpc_address is not None
        client = calls.ChannelsClient(clustercore.Channel(server.rpc_address))
        # Version 1, no token, a name; then a question, cut in its middle.
        said = frame(1, b"\x01\x00\x04stub") + frame(2, b'\x07{"op":"ping"}')
        pieces = [messages.Piece(frames=part) for part in (said[:9], said[9:])]
        heard = b"".join(reply.frames for reply in client.Connect(iter(pieces), timeout=LIMIT_SECONDS))
    finally:
        is_over.set()
        thread.join()
    # Welcome as everybody, and the answer to question 7.
    assert heard[4] == 0x81
    assert heard.endswith(frame(0x82, b"\x07\x01{}"))
