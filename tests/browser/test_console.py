"""The console as a person sees it: a slave is borrowed as load rises, shown, and given back by hand."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
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
