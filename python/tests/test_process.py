"""Signals, fork and the end of the process: each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest
from conftest import DRIVERS


def run(program: str, *arguments: str) -> str:
    """Runs a program to its end; its output."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("driver", DRIVERS)
def test_ctrl_c_ends_a_wait_without_limit(driver: str) -> None:
    program = """
        import sys, clustercore
        with clustercore.Node(driver=sys.argv[1]) as node:
            try:
                print("waiting", flush=True)
                node.poll(timeout=None)
            except KeyboardInterrupt:
                print("interrupted")
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(program), driver]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "waiting\n"
        child.send_signal(signal.SIGINT)
        output, _ = child.communicate(timeout=30)
    assert (output, child.returncode) == ("interrupted\n", 0)


def test_a_handler_that_returns_lets_the_wait_go_on() -> None:
    output = run("""
        import signal, clustercore
        calls = []
        signal.signal(signal.SIGALRM, lambda *_: calls.append(1))
        with clustercore.Node(driver="epoll") as node:
            signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
            print(node.poll(timeout=0.3), len(calls) >= 3)
            signal.setitimer(signal.ITIMER_REAL, 0)
    """)
    assert output == "[] True\n"


def test_a_handler_that_raises_ends_a_turn() -> None:
    output = run("""
        import signal, clustercore
        def stop(*_):
            raise TimeoutError("enough")
        signal.signal(signal.SIGALRM, stop)
        with clustercore.Shard(driver="epoll") as shard:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            try:
                for _ in range(100):
                    shard.turn(timeout=10)
            except TimeoutError as error:
                print(error)
    """)
    assert output == "enough\n"


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_child_cannot_use_what_its_parent_made(driver: str) -> None:
    output = run(
        """
        import os, sys, urllib.request, urllib.error
        import clustercore
        node = clustercore.Node(driver=sys.argv[1])
        shard = clustercore.Shard(driver=sys.argv[1])
        web, embedded = node.forwarder("web"), shard.forwarder("web")
        address = web.listen("127.0.0.1:0")
        child = os.fork()
        if child == 0:
            refused = 0
            calls = [lambda: node.poll(timeout=0), node.close, node.fileno, web.backends, web.stats,
                     shard.turn, shard.close, embedded.backends, lambda: node.forwarder("other")]
            for call in calls:
                try:
                    call()
                except clustercore.Forked as error:
                    refused += 1
            print(f"{refused} of {len(calls)} refused", repr(node), flush=True)
            del node, web, shard, embedded
            # Nodes of its own work, and dropping the parent's left the parent alone.
            with clustercore.Node(driver=sys.argv[1]) as own:
                own.forwarder("web").listen("127.0.0.1:0")
            os._exit(7)
        _, status = os.waitpid(child, 0)
        print("child", os.waitstatus_to_exitcode(status))
        try:
            urllib.request.urlopen(f"http://{address}/", timeout=5)
        except urllib.error.HTTPError as error:
            print("parent", error.code)
            error.close()
        shard.turn()
        node.close()
        """,
        driver,
    )
    assert output.splitlines() == [
        "9 of 9 refused <clustercore.Node of the parent process>",
        "child 7",
        "parent 503",
    ]


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("threads", [1, 4])
def test_a_process_may_end_with_everything_open(driver: str, threads: int) -> None:
    output = run(
        """
        import sys, threading, clustercore
        records = []
        node = clustercore.Node(shards=2, driver=sys.argv[1], log=lambda *record: records.append(record))
        web = node.forwarder("web")
        web.listen("127.0.0.1:0")
        shard = clustercore.Shard(driver=sys.argv[1])
        shard.turn()
        def work():
            while True:
                node.poll(timeout=0.0001)
                web.latency()
        for target in [node.poll] + [work] * (int(sys.argv[2]) - 1):
            threading.Thread(target=target, daemon=True).start()
        for _ in range(5):
            web.drain_backend(web.add_backend("127.0.0.1:9"))
        print("end", flush=True)
        """,
        driver,
        str(threads),
    )
    assert output == "end\n"


@pytest.mark.parametrize("is_meant", [False, True])
def test_a_debug_build_says_so_unless_it_is_meant_and_a_release_does_not(is_meant: bool) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "CLUSTERCORE_DEBUG_BUILD"}
    if is_meant:
        environment["CLUSTERCORE_DEBUG_BUILD"] = "tested"
    command = [sys.executable, "-c", "import clustercore; print(clustercore._native.IS_DEBUG_BUILD)"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment)
    is_warned = "debug build" in done.stderr
    assert is_warned == (done.stdout == "True\n" and not is_meant), done.stderr
    assert done.returncode == 0


def test_descriptors_are_not_left_open() -> None:
    output = run("""
        import os, clustercore
        def count():
            return len(os.listdir("/proc/self/fd"))
        def use():
            with clustercore.Node() as node, clustercore.Shard() as shard:
                node.forwarder("web").listen("127.0.0.1:0")
                shard.forwarder("web").listen("127.0.0.1:0")
                shard.turn()
        use()
        before = count()
        for _ in range(5):
            use()
        print(count() - before)
    """)
    assert output == "0\n"
    assert os.path.exists("/proc/self/fd")
