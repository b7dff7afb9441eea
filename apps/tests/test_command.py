"""The command line: what goes wrong is one line that says what and what to do, with exit code 2."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import clustercore
import pytest
from conftest import SAMPLE, Agents, config_text, free_port, is_alive, run_command, taken_port, wait_until

from clustercore_apps.command import doctor
from clustercore_apps.service import process

EXAMPLE = Path(__file__).parent.parent / "examples" / "services.toml"


def fault(*arguments: str) -> str:
    """The one line that a command ends with."""
    result = run_command(*arguments)
    assert result.returncode == 2, (result.stdout, result.stderr)
    lines = result.stderr.strip().split("\n")
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("clustercore: ")
    return lines[0]


def test_help_names_every_command() -> None:
    text = run_command("--help").stdout
    service = ("front", "node", "status", "top", "add", "drain", "remove", "doctor", "demo")
    for command in (*service, "keygen", "send", "receive", "channel"):
        assert f"\n    {command} " in text
        assert run_command(command, "--help").returncode == 0


def test_version_is_told() -> None:
    assert run_command("--version").stdout == "clustercore 0.1.0\n"


def test_doctor_tells_driver_and_limits() -> None:
    result = run_command("doctor")
    assert result.returncode == 0, result.stderr
    for word in ("driver", "open files", "net.core.somaxconn"):
        assert word in result.stdout


def test_keygen_makes_a_key_and_writes_over_nothing(tmp_path: Path) -> None:
    path = tmp_path / "key"
    result = run_command("keygen", "--out", str(path))
    assert (result.returncode, result.stderr) == (0, "")
    assert path.stat().st_mode & 0o777 == 0o600
    assert clustercore.Key.load(path).public == result.stdout.strip()
    before = path.read_text()
    assert "exists and stays as it is" in fault("keygen", "--out", str(path))
    assert path.read_text() == before
    assert "make " in fault("keygen", "--out", str(tmp_path / "no" / "folder"))
    printed = run_command("keygen")
    assert clustercore.Key.parse(printed.stdout).public == printed.stderr.strip()


def test_configuration_can_be_checked_alone(tmp_path: Path) -> None:
    good = run_command("front", "--config", str(EXAMPLE), "--check")
    assert (good.returncode, "1 services, 3 nodes" in good.stdout) == (0, True)
    bad = tmp_path / "services.toml"
    bad.write_text(EXAMPLE.read_text().replace('policy = "levels"', 'policy = "level"'))
    line = fault("front", "--config", str(bad))
    number = bad.read_text().split("\n").index('policy = "level"') + 1
    assert f"services.toml:{number}: " in line
    assert '"level", must be one of: levels, ' in line


def test_no_console_is_one_line() -> None:
    for arguments in (["status"], ["top"], ["add", "web"], ["drain", "web", "n"]):
        line = fault(*arguments, "--console", f"127.0.0.1:{free_port()}")
        assert "does not answer" in line
        assert "--console" in line


def test_taken_ports_are_one_line(tmp_path: Path) -> None:
    with taken_port() as port:
        line = fault("node", "--listen", f"127.0.0.1:{port}", "--state-dir", str(tmp_path / "node"))
        assert "Address already in use" in line
        config = tmp_path / "services.toml"
        text = config_text(tmp_path, {}, {"web": ""})
        config.write_text(text.replace('listen = "127.0.0.1:0"', f'listen = "127.0.0.1:{port}"'))
        assert f"127.0.0.1:{port}" in fault("front", "--config", str(config))
        config.write_text(text.replace('console = "127.0.0.1:0"', f'console = "127.0.0.1:{port}"'))
        assert "console cannot listen" in fault("front", "--config", str(config))


def test_open_port_without_security_is_refused(tmp_path: Path) -> None:
    line = fault("node", "--listen", "0.0.0.0:0", "--state-dir", str(tmp_path))
    assert "which others can reach" in line
    assert "--insecure" in line


def test_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("x" * 40)
    token.chmod(0o644)
    line = fault("node", "--token-file", str(token), "--state-dir", str(tmp_path))
    assert "mode 644" in line
    assert f"chmod 600 {token}" in line


def test_keys_are_not_overwritten(tmp_path: Path) -> None:
    made = run_command("node", "keygen", "--directory", str(tmp_path / "keys"), "--host", "10.0.0.2")
    assert made.returncode == 0, made.stderr
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "keys").iterdir()}
    assert modes == {"node.crt": 0o644, "node.key": 0o600, "token": 0o600}
    assert "exists and stays" in fault("node", "keygen", "--directory", str(tmp_path / "keys"))


def test_state_folder_of_another_agent_is_refused(agents: Agents) -> None:
    agents.start("n")
    line = fault("node", "--listen", "127.0.0.1:0", "--state-dir", str(agents.folder / "n"))
    assert "another agent uses state folder" in line


def test_state_folder_that_cannot_be_used_is_one_line() -> None:
    assert "give a writable one with --state-dir" in fault(
        "node", "--state-dir", "/proc/none", "--listen", "127.0.0.1:0"
    )


def test_damaged_state_is_not_guessed_at(tmp_path: Path) -> None:
    (tmp_path / "agent.json").write_text('{"leases": 3}')
    assert "is damaged" in fault("node", "--listen", "127.0.0.1:0", "--state-dir", str(tmp_path))


def test_local_instance_that_cannot_start_is_one_line(tmp_path: Path) -> None:
    config = tmp_path / "services.toml"
    text = config_text(tmp_path, {}, {"web": ""})
    config.write_text(text.replace(json.dumps(SAMPLE), '["/no/such/program"]'))
    line = fault("front", "--config", str(config))
    assert 'local instance of service "web"' in line
    assert "No such file" in line


def children_of(pid: int) -> list[int]:
    """The processes that `pid` started, and theirs."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == pid:
                found += [int(entry.name), *children_of(int(entry.name))]
    return found


def demo_ports() -> tuple[str, ...]:
    """Options for a demonstration that may run beside others."""
    names = ("--front", "--console", "--channel")
    return tuple(word for name in names for word in (name, f"127.0.0.1:{free_port()}"))


@pytest.mark.timeout(90)
def test_demonstration_serves_everything_and_ends_by_itself() -> None:
    ports = demo_ports()
    result = run_command("demo", *ports, "--demo", "--seconds", "12", "--program", "sample", seconds=80)
    assert result.returncode == 0, (result.stdout, result.stderr)
    assert f"clustercore channel watch service --server tcp://{ports[-1]}\n" in result.stdout
    summary = result.stdout.strip().split("\n")[-1]
    assert " errors 0 " in summary
    assert " adds 0 " not in summary
    assert " removes 0 " not in summary


@pytest.mark.timeout(90)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_demonstration_leaves_no_process_behind(number: int) -> None:
    ports = demo_ports()
    command = [sys.executable, "-m", "clustercore_apps", "demo", *ports]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if line.startswith("console"):
                break
        children = wait_until(lambda: children_of(demo.pid))
        assert len(children) >= 5
        os.kill(demo.pid, number)
        # Killed outright it cannot end them: they notice that its end of their input is gone.
        wait_until(lambda: not any(is_alive(pid) for pid in children), 30)
        demo.communicate(timeout=30)
    assert process.read_stat(demo.pid) is None


def test_demonstration_on_a_taken_port_is_one_line() -> None:
    with taken_port() as port:
        line = fault("demo", *demo_ports(), "--front", f"127.0.0.1:{port}")
        assert f"127.0.0.1:{port}" in line
        assert "end what listens there" in line


WITHOUT_IO_URING = """
import ctypes, os, struct, sys
# seccomp(2): load the number of the call; io_uring_setup (425 everywhere) fails as in a kernel without it.
code = [(0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050000 | 38), (0x06, 0, 0, 0x7FFF0000)]
instructions = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in code))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(instructions)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0, "no_new_privs"
assert libc.prctl(22, 2, program, 0, 0) == 0, "seccomp"
os.execv(sys.executable, [sys.executable, "-m", "clustercore_apps", *sys.argv[1:]])
"""


def test_a_kernel_without_io_uring_is_told_by_the_doctor() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_IO_URING, "doctor"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "400"},
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"driver +epoll", done.stdout), done.stdout
    assert "this kernel has no io_uring: use Linux 6.1 or newer, or the epoll driver" in done.stdout


def test_advice_about_the_kernel_stands_beside_its_release(monkeypatch: pytest.MonkeyPatch) -> None:
    advice = "Linux 5.10.0 is older than the floor, 6.1: install 6.1 or newer"
    found = {"kernel_release": "5.10.0", "kernel_advice": advice, "driver": "epoll"}
    monkeypatch.setattr(clustercore, "probe", lambda: dict(found))
    (release, driver) = doctor.core_findings()
    assert (release.value, release.advice) == ("5.10.0", advice)
    assert driver.advice == ""
