"""Two namespaces joined by one wire that can be made faulty, and a program at each end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ADDRESSES = {"a": "10.78.0.1", "b": "10.78.0.2"}
PORT = 7000
WAIT_SECONDS = 40.0
LOSS = """
table inet faults {{
    counter seen {{ }}
    counter lost {{ }}
    chain input {{
        type filter hook input priority 0;
        meta l4proto udp counter name "seen"
        meta l4proto udp {which} counter name "lost" drop
    }}
}}
"""
DUPLICATION = """
table netdev faults {{
    chain out {{
        type filter hook egress device "eth0" priority 0;
        meta protocol ip numgen random mod 1000 < {per_mille} dup to "eth0"
    }}
}}
"""


def run(*command: str) -> str:
    """Runs a command that has to go well."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


class Program:
    """A talker: what it has told so far, in the order of its lines."""

    def __init__(self, namespace: str, words: list[str]) -> None:
        command = ["ip", "netns", "exec", namespace, sys.executable, "-W", "error", str(HERE / "talker.py")]
        self.process = subprocess.Popen(
            [*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.told: list[dict] = []
        self.news = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self.news:
                self.told.append(json.loads(line))
                self.news.notify_all()
        with self.news:
            self.news.notify_all()

    def expect(self, event: str, number: int = 0) -> dict:
        """The `number`th thing of that kind that it tells, from 0."""
        deadline = time.monotonic() + WAIT_SECONDS
        with self.news:
            while True:
                found = [told for told in self.told if told["event"] == event]
                if len(found) > number:
                    return found[number]
                left = deadline - time.monotonic()
                assert left > 0, f"no {event} within {WAIT_SECONDS} s: {self.told}"
                assert self.reader.is_alive(), f"no {event}: {self.told}, {self.last_words()}"
                self.news.wait(min(left, 0.2))

    def end(self) -> dict:
        """What it tells last, when it has ended well."""
        code = self.process.wait(timeout=WAIT_SECONDS)
        self.reader.join()
        assert code == 0, self.last_words()
        return self.told[-1]

    def last_words(self) -> str:
        """Why it ended."""
        assert self.process.stderr is not None
        return self.process.stderr.read() if self.process.poll() is not None else ""

    def signal(self, number: signal.Signals) -> None:
        """`ip netns exec` has become the program."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """At once, without a word."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=5)
        self.reader.join()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


class Pair:
    """The namespaces a and b, and what runs in them."""

    def __init__(self, driver: str) -> None:
        self.driver = driver
        self.names = {side: f"clcp{os.getpid()}{side}" for side in ADDRESSES}
        self.made: list[str] = []
        self.programs: list[Program] = []

    def build(self) -> None:
        """Lays the wire."""
        for name in self.names.values():
            run("ip", "netns", "add", name)
            self.made.append(name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        a, b = self.names["a"], self.names["b"]
        run("ip", "-n", a, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", b)
        for side, name in self.names.items():
            run("ip", "-n", name, "address", "add", f"{ADDRESSES[side]}/24", "dev", "eth0")
            run("ip", "-n", name, "link", "set", "eth0", "up")

    def inside(self, side: str, *command: str) -> str:
        """Runs a command there."""
        return run("ip", "netns", "exec", self.names[side], *command)

    def segments(self) -> None:
        """Nothing is left to the wire: the kernel cuts trains before it, and packets pass it one by one."""
        for name in self.names.values():
            run("ip", "-n", name, "link", "set", "eth0", "gso_max_segs", "1")

    def lose(self, per_mille: int, in_turn: bool = False) -> None:
        """Drops so many of the kernel's packets that arrive, at either end: trains, if they are not cut. By
        chance, or one in so many.
        """
        every = 1000 // per_mille
        which = f"numgen random mod 1000 < {per_mille}" if per_mille < 1000 else ""
        if in_turn:
            which = f"numgen inc mod {every} == {every - 1}"
        for side in self.names:
            self.inside(side, "nft", LOSS.format(which=which))

    def heal(self) -> None:
        """Nothing is dropped or doubled any more; counters are gone too."""
        for side in self.names:
            self.inside(side, "nft", "flush", "ruleset")

    def counted(self, side: str, name: str) -> int:
        """Packets that have been seen or lost at an end."""
        listed = json.loads(self.inside(side, "nft", "-j", "list", "counters", "table", "inet", "faults"))
        counters = [entry["counter"] for entry in listed["nftables"] if "counter" in entry]
        return next(counter["packets"] for counter in counters if counter["name"] == name)

    def duplicate(self, per_mille: int) -> None:
        """So many of the kernel's packets leave twice, at either end."""
        for side in self.names:
            self.inside(side, "nft", DUPLICATION.format(per_mille=per_mille))

    def limit(self, megabits: int) -> None:
        """No more than that leaves either end; a queue of 20 ms, beyond which packets are dropped."""
        for side in self.names:
            bucket = ("tbf", "rate", f"{megabits}mbit", "burst", "5kb", "latency", "20ms")
            self.inside(side, "tc", "qdisc", "add", "dev", "eth0", "root", *bucket)

    def dropped(self, side: str) -> int:
        """Packets for which that queue had no room."""
        queues = json.loads(self.inside(side, "tc", "-s", "-j", "qdisc", "show", "dev", "eth0"))
        return queues[0]["drops"]

    def set_path(self, up: bool) -> None:
        """Pulls the plug of a, or puts it in again."""
        run("ip", "-n", self.names["a"], "link", "set", "eth0", "up" if up else "down")

    def listen(self, *options: str) -> Program:
        """Starts the listener at b."""
        return self._start("b", ["listen", f"{ADDRESSES['b']}:{PORT}", *options])

    def call(self, *options: str) -> Program:
        """Starts the caller at a, always from the same port."""
        return self._start("a", ["call", f"{ADDRESSES['a']}:{PORT}", f"{ADDRESSES['b']}:{PORT}", *options])

    def _start(self, side: str, words: list[str]) -> Program:
        program = Program(self.names[side], [*words, "--driver", self.driver])
        self.programs.append(program)
        program.expect("bound")
        return program

    def close(self) -> None:
        """Ends everything, whatever happened."""
        for program in self.programs:
            program.kill()
        for name in self.made:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, timeout=20)
