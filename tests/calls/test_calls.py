"""One service in three languages, called from each of them by its stubs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
    """Messages and stubs of demo.proto in C and Python."""
    out = tmp_path_factory.mktemp("stubs")
    plugin = f"--plugin=protoc-gen-clustercore={PROGRAMS / 'protoc-gen-clustercore'}"
    for language, messages in (("c", "--c_out"), ("python", "--python_out")):
        command = [
            "protoc",
            plugin,
            f"-I{HERE}",
            f"{messages}={out}",
            f"--clustercore_out=lang={language}:{out}",
            "demo.proto",
        ]
        subprocess.run(command, check=True, timeout=LIMIT_SECONDS)
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
