"""Whatever comes from a socket or a file is parsed or refused, never a surprise."""

from __future__ import annotations

import contextlib
import json
import tomllib
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from clustercore_apps.address import Address
from clustercore_apps.errors import AgentError, ConfigError
from clustercore_apps.service import wire
from clustercore_apps.service.config import parse_config
from clustercore_apps.service.config.positions import key_lines

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
TABLES = ["[front]", "[[nodes]]", "[[services]]", "[services.files]"]
KEYS = ["name", "agent", "listen", "port", "a.b", "="]
VALUES = ["1", "true", '"a"', '"127.0.0.1:80"', '"""', "'", "'''", "\\"]
WORDS = st.sampled_from([*TABLES, *KEYS, *VALUES, "[", "]", "{", "}", "#", ",", "\n", '"', " "])


@given(st.binary(max_size=200))
def test_any_line_is_a_message_or_an_error(line: bytes) -> None:
    with contextlib.suppress(AgentError):
        assert isinstance(wire.decode(line)["type"], str)


@given(st.dictionaries(st.sampled_from(["a", "b"]), JSON))
def test_any_field_is_taken_or_refused(message: wire.Message) -> None:
    message = json.loads(json.dumps(message))
    for take in (
        lambda: wire.take_string(message, "a"),
        lambda: wire.take_integer(message, "a", 0, 5),
        lambda: wire.take_number(message, "a", 0, 5),
        lambda: wire.take_strings(message, "a", 3),
        lambda: wire.take_string_table(message, "a", 3),
    ):
        with contextlib.suppress(AgentError):
            take()


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_a_sentence(text: str) -> None:
    try:
        address = Address.parse(text)
    except ValueError as error:
        assert str(error)
    else:
        assert Address.parse(str(address)) == address


@settings(max_examples=500)
@given(st.lists(WORDS, max_size=40).map("".join))
def test_any_file_is_a_configuration_or_one_line(text: str) -> None:
    with contextlib.suppress(ConfigError):
        parse_config(text, Path("f"))


@settings(max_examples=500)
@given(st.lists(WORDS, max_size=40).map("".join))
def test_every_key_of_a_valid_file_has_its_line(text: str) -> None:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    found = key_lines(text)
    lines = text.split("\n")
    for key in document:
        assert key in lines[found[(key,)] - 1]
