"""Messages between programs in each two of the three languages."""

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
COMPILE = ("cc", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-std=c11", "-D_GNU_SOURCE", "-pthread")
SYSTEM_LIBRARIES = ("-lm", "-ldl")


@pytest.fixture(scope="session")
def peers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """How to start the program in each language."""
    program = tmp_path_factory.mktemp("matrix") / "peer"
    library = PROGRAMS / "libclustercore_ffi.a"
    command = [*COMPILE, f"-I{ROOT / 'c-include'}", str(HERE / "peer.c"), str(library), *SYSTEM_LIBRARIES]
    subprocess.run([*command, "-o", str(program)], check=True, timeout=LIMIT_SECONDS)
    return {
        "rust": [str(PROGRAMS / "clustercore-peer")],
        "c": [str(program)],
        "python": [sys.executable, "-W", "error", str(HERE / "peer.py")],
    }


@pytest.mark.parametrize("receiver", LANGUAGES)
@pytest.mark.parametrize("sender", LANGUAGES)
def test_what_one_language_sends_another_receives(
    peers: dict[str, list[str]], sender: str, receiver: str
) -> None:
    with subprocess.Popen([*peers[receiver], "receive"], stdout=subprocess.PIPE, text=True) as receiving:
        try:
            assert receiving.stdout is not None
            address = receiving.stdout.readline().strip()
            assert address.startswith("127.0.0.1:")
            sent = subprocess.run(
                [*peers[sender], "send", address], stdout=subprocess.PIPE, text=True, timeout=LIMIT_SECONDS
            )
            received, _ = receiving.communicate(timeout=LIMIT_SECONDS)
        finally:
            receiving.kill()
    assert sent.returncode == 0 and receiving.returncode == 0
    assert sent.stdout.startswith("500 messages, sum ")
    assert received == sent.stdout.rstrip() + ", end 300 done\n"
