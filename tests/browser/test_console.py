"""The console as a person sees it: a slave is borrowed as load rises, shown, and given back by hand."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import clustercore
import pytest
from conftest import Cluster
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

pytestmark = pytest.mark.timeout(150)

SECONDS = 60


def wait_for(browser: webdriver.Chrome, what: Any) -> Any:
    """Until `what(browser)` is true, within `SECONDS`."""
    return WebDriverWait(browser, SECONDS, poll_frequency=0.2).until(what)


def texts(browser: webdriver.Chrome, selector: str) -> list[str]:
    """The visible texts of all elements that fit, read at one moment."""
    script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText)"
    return list(browser.execute_script(script, selector))


def test_page_shows_service_pool_and_live_state(
    browser: webdriver.Chrome, console_url: str, picture: Path
) -> None:
    browser.get(console_url)
    wait_for(browser, lambda window: texts(window, "#live") == ["live"])
    assert texts(browser, ".service h2") == ["web"]
    assert [row.split("\t")[0] for row in texts(browser, "#nodes tr")] == ["slave1", "slave2", "slave3"]
    wait_for(browser, lambda window: float(texts(window, ".service .rate")[0]) > 0)


def test_slave_is_borrowed_as_load_rises_and_the_decision_says_why(
    browser: webdriver.Chrome, console_url: str, picture: Path
) -> None:
    browser.get(console_url)
    wait_for(browser, lambda window: texts(window, '#decisions li[data-kind="active"]'))
    added = texts(browser, '#decisions li[data-kind="add"]')[-1]
    assert "web · slave" in added
    wait_for(browser, lambda window: "back ends serve" in texts(window, ".service .serving")[0])
    wait_for(
        browser, lambda window: any("active" in text for text in texts(window, ".child:not(:first-child)"))
    )


def test_drain_button_gives_a_back_end_back(
    browser: webdriver.Chrome, console_url: str, picture: Path
) -> None:
    browser.get(console_url)
    button = ".child .drain:not(:disabled)"
    wait_for(browser, lambda window: texts(window, button))
    node = browser.execute_script(
        "const one = document.querySelector(arguments[0]); one.click();"
        "return one.closest('.child').querySelector('.node').innerText",
        button,
    )

    def is_given_back(_window: webdriver.Chrome) -> bool:
        with urllib.request.urlopen(console_url + "api/decisions?count=1000", timeout=5) as answer:
            decisions = json.load(answer)
        drains = [one["number"] for one in decisions if one["kind"] == "drain" and one["reason"] == "by hand"]
        return any(
            one["kind"] == "stopped" and one["node"] == node and drains and one["number"] > drains[0]
            for one in decisions
        )

    wait_for(browser, is_given_back)


def test_page_needs_nothing_from_elsewhere(
    browser: webdriver.Chrome, console_url: str, picture: Path
) -> None:
    browser.get(console_url)
    wait_for(browser, lambda window: texts(window, "#live") == ["live"])
    script = "return performance.getEntriesByType('resource').map((one) => one.name)"
    assert all(name.startswith(console_url) for name in browser.execute_script(script))
    faults = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]  # type: ignore[no-untyped-call]
    assert faults == []


def test_decisions_on_the_page_have_come_through_the_channel(
    browser: webdriver.Chrome, cluster: Cluster, picture: Path
) -> None:
    browser.get(cluster.console)
    wait_for(browser, lambda window: texts(window, '#decisions li[data-kind="started"]'))
    source = f"from channel service on {cluster.channels}"
    assert set(texts(browser, "#service-page .heard")) == {source}
    # Told to the channel by somebody else in the front end's name: the page has it from there alone.
    words = ["number", "time", "time_unix", "kind", "service", "node", "reason"]
    values = [
        10**6,
        "2026-01-01T00:00:00Z",
        time.time(),
        "back",
        "web",
        "slave9",
        "<b>told to the channel</b>",
    ]
    body = json.dumps(dict(zip(words, values, strict=True)))
    emit(
        "service", cluster, "--type", "clustercore.decision.back", "--field", 'front="front"', "--body", body
    )
    told = '#decisions li[data-kind="back"]'
    wait_for(browser, lambda window: any("slave9" in text for text in texts(window, told)))
    assert any("<b>told to the channel</b>" in text for text in texts(browser, told)), "text, not markup"


def test_channels_move_live_and_say_why(browser: webdriver.Chrome, cluster: Cluster, picture: Path) -> None:
    with slow_consumer(cluster, "auditor"):
        browser.get(cluster.console)
        browser.execute_script("document.querySelector('nav a[href=\"#channels\"]').click()")
        wait_for(browser, lambda window: texts(window, "#channel h2") == ["service"])
        row = "#channels tr[data-channel='default'] "
        wait_for(browser, lambda window: texts(window, row + ".name"))
        browser.execute_script("document.querySelector(arguments[0]).click()", row + ".name")
        wait_for(browser, lambda window: "auditor" in texts(window, "#channel .consumer .node"))
        assert figures(browser, row)["queued"] == 0
        stop = threading.Event()
        supplier = threading.Thread(target=emit_until, args=(cluster, stop))
        supplier.start()
        try:
            wait_for(browser, lambda window: figures(window, row)["rate_in"] > 0)
            first = wait_for(browser, lambda window: figures(window, row)["queued"])
            wait_for(browser, lambda window: figures(window, row)["queued"] > first)
            assert figures(browser, row)["lag"] > 0
        finally:
            stop.set()
            supplier.join()
        wait_for(
            browser,
            lambda window: any("acknowledge" in text for text in texts(window, "#channel .consumer .why")),
        )
        assert texts(browser, "#channel .suppliers tbody tr td:first-child") == ["shared"]
        wait_for(browser, lambda window: figures(window, row)["rate_in"] == 0)
    faults = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]  # type: ignore[no-untyped-call]
    assert faults == []


def figures(browser: webdriver.Chrome, row: str) -> dict[str, float]:
    """The numbers in a row of the list of channels, by what they are."""
    script = (
        "return [...document.querySelectorAll(arguments[0] + '[data-figure]')]"
        ".map((one) => [one.dataset.figure, one.innerText])"
    )
    pairs = browser.execute_script(script, row)
    return {name: float(text.replace(",", "").split(" ")[0]) for name, text in pairs}


def emit(channel: str, cluster: Cluster, *words: str) -> None:
    """One event by the command line."""
    command = [sys.executable, "-m", "clustercore_apps", "channel", "emit", channel, *words]
    subprocess.run([*command, "--server", cluster.channels], check=True, timeout=30, capture_output=True)


def emit_until(cluster: Cluster, stop: threading.Event) -> None:
    """Some events a second into the default channel."""
    participant = clustercore.Participant(cluster.channels)
    handle = participant.supply()
    number = 0
    while not stop.wait(0.02):
        number += 1
        participant.emit(handle, [clustercore.ChannelEvent(str(number), "/test", "tick")])
        participant.turn()
    participant.close()


@contextmanager
def slow_consumer(cluster: Cluster, name: str) -> Iterator[None]:
    """One that takes an event and never acknowledges it."""
    participant = clustercore.Participant(cluster.channels)
    quality = {"acknowledgement": "explicit", "in_flight_max": 1, "acknowledge_timeout": 600}
    participant.consume(name=name, spec={"qos": quality})
    participant.ask({"op": "ping"})
    try:
        yield
    finally:
        participant.close()
