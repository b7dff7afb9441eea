"""A whole cluster on this machine and a browser without a window: chromium and its driver are needed."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

START_SECONDS = 30.0
BROWSER_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,1700",
)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Cluster:
    """Where a demonstration is: its console, and the server of its event channels."""

    console: str
    channels: str


@pytest.fixture(scope="session")
def console_url(cluster: Cluster) -> str:
    """The console of the demonstration."""
    return cluster.console


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A demonstration whose load rises and falls."""
    front, console, channel = (f"127.0.0.1:{free_port()}" for _ in range(3))
    command = [
        sys.executable,
        "-m",
        "clustercore_apps",
        "demo",
        "--front",
        front,
        "--console",
        console,
        "--channel",
        channel,
        "--demo",
    ]
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert demo.stdout is not None
        deadline = time.monotonic() + START_SECONDS
        for line in demo.stdout:
            if line.startswith("console"):
                break
            assert time.monotonic() < deadline
        assert demo.poll() is None
        yield Cluster(f"http://{console}/", f"tcp://{channel}")
    finally:
        demo.terminate()
        demo.communicate(timeout=30)


@pytest.fixture(scope="session")
def browser() -> Iterator[webdriver.Chrome]:
    """Chromium with a profile of its own."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    assert chromium and driver, 'run "apt-get install chromium chromium-driver"'
    with tempfile.TemporaryDirectory(prefix="clustercore-browser-", ignore_cleanup_errors=True) as profile:
        options = Options()
        options.binary_location = chromium
        for option in (*BROWSER_OPTIONS, f"--user-data-dir={profile}"):
            options.add_argument(option)
        window = webdriver.Chrome(options=options, service=Service(driver))
        try:
            yield window
        finally:
            window.quit()


@pytest.fixture
def picture(browser: webdriver.Chrome, tmp_path: Path) -> Iterator[Path]:
    """Where the page's picture is after the test, to look at when it failed."""
    path = tmp_path / "page.png"
    yield path
    browser.save_screenshot(str(path))
