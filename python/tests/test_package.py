"""The package as a user sees it: names, documentation, events as values."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import clustercore
import pytest
from clustercore import _errors, _native, errors

EVENTS: list[clustercore.Event] = [
    clustercore.BackendDrained("web", 1, True, 0),
    clustercore.BackendEjected("web", 1, 1.5, "2 probes in a row failed"),
    clustercore.BackendReturned("web", 1),
    clustercore.Saturated("web", 4),
    clustercore.AcceptPaused("web", 24),
    clustercore.PathBroken("web", 1, "silent"),
    clustercore.PathRestored("web", 1),
]


def test_every_public_name_is_there_and_sorted() -> None:
    assert all(hasattr(clustercore, name) for name in clustercore.__all__)
    native = {name for name in vars(_native) if name[0] != "_" and name != "IS_DEBUG_BUILD"}
    assert native <= set(clustercore.__all__)
    # The event has the name of one error; that error is in the module of errors.
    registered = set(_errors.__all__) - {"from_code", "Saturated"}
    assert registered <= set(clustercore.__all__)
    assert issubclass(errors.Saturated, clustercore.ClusterError)
    assert clustercore.Saturated is _native.Saturated


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_events_are_values(event: clustercore.Event) -> None:
    fields = [getattr(event, name) for name in type(event).__match_args__]
    twin = type(event)(*fields)
    assert twin == event and twin is not event
    assert event != EVENTS[EVENTS.index(event) - 1]
    assert eval(repr(event), vars(clustercore)) == event
    assert event.forwarder == "web"
    with pytest.raises(AttributeError):
        event.forwarder = "other"  # type: ignore[misc]


def test_events_match_by_position() -> None:
    match EVENTS[0]:
        case clustercore.BackendDrained(forwarder, backend, finished, in_flight):
            assert (forwarder, backend, finished, in_flight) == ("web", 1, True, 0)
        case _:
            pytest.fail("no match")
    assert EVENTS[3].backend is None and EVENTS[4].backend is None


@pytest.mark.parametrize(
    "final", [clustercore.Node, clustercore.Forwarder, clustercore.Pool, clustercore.Saturated]
)
def test_classes_are_final_and_frozen(final: type) -> None:
    with pytest.raises(TypeError, match="not an acceptable base type"):
        type("Derived", (final,), {})
    assert final.__module__ == "clustercore"


def test_the_probe_tells_what_would_run() -> None:
    found = clustercore.probe()
    assert found["driver"] in ("uring", "epoll")
    assert str(found["driver_report"]).startswith(str(found["driver"]))
    assert isinstance(found["features"], dict) and found["features"]
    assert found["kernel_release"] == Path("/proc/sys/kernel/osrelease").read_text().strip()
    assert isinstance(found["nofile"], tuple) and len(found["nofile"]) == 2
    assert "cubic" in str(found["tcp_congestion_available"]) or found["tcp_congestion_available"] == []


def test_the_table_of_counters() -> None:
    table = clustercore.counters()
    labels = [label for label, _, _ in table]
    assert len(labels) == len(set(labels)) > 20
    assert ("requests", "requests") in [(label, unit) for label, unit, _ in table]
    assert all(meaning.endswith(".") for _, _, meaning in table)


def documented(body: list[ast.stmt], owner: object, path: str) -> list[tuple[str, str, str]]:
    """(name, text in the stub, text at run time) of whatever has a text on either side."""
    found = []
    for item in body:
        if isinstance(item, ast.ClassDef | ast.FunctionDef) and not item.name.startswith("_"):
            target = inspect.getattr_static(owner, item.name)
            stubbed, text = ast.get_docstring(item) or "", inspect.getdoc(target) or ""
            found.append((f"{path}{item.name}", " ".join(stubbed.split()), " ".join(text.split())))
            if isinstance(item, ast.ClassDef):
                found += documented(item.body, target, f"{path}{item.name}.")
    return found


def test_the_stub_repeats_the_documentation() -> None:
    stub = Path(_native.__file__).with_name("_native.pyi").read_text()
    rows = documented(ast.parse(stub).body, _native, "")
    assert len(rows) > 60
    assert [name for name, _, text in rows if not text] == [], "without documentation"
    assert [name for name, stubbed, text in rows if stubbed != text] == [], "documented otherwise in the stub"
