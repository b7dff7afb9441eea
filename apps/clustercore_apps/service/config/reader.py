"""Takes checked values out of a parsed TOML table; every complaint carries file, line, value, limit and
advice.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clustercore_apps.address import Address
from clustercore_apps.errors import ConfigError
from clustercore_apps.service.config import positions

NAME_CHARACTERS_MAX = 64
"""Longest name of a front end, node or service."""


class Reader:
    """One table of the file. `finish` complains about keys that nobody asked for."""

    def __init__(
        self, path: Path, lines: dict[positions.Path, int], where: positions.Path, table: Any
    ) -> None:
        self._path = path
        self._lines = lines
        self._where = where
        self._asked: set[str] = set()
        if not isinstance(table, dict):
            raise self.error(
                None, f'"{self._title(None)}" is {_kind(table)}, must be a table; write [{self._title(None)}]'
            )
        self._table: dict[str, Any] = table

    def error(self, key: str | None, text: str) -> ConfigError:
        """The complaint `text` at the line of `key` (of the table itself when `None` or absent)."""
        where = self._where if key is None else (*self._where, key)
        return ConfigError(self._path, positions.line_of(self._lines, where), text)

    def finish(self) -> None:
        """Refuses keys that no method asked for: they are spelling mistakes."""
        for key in self._table:
            if key not in self._asked:
                near = difflib.get_close_matches(key, self._asked, n=1)
                advice = f'did you mean "{near[0]}"?' if near else f"known: {', '.join(sorted(self._asked))}"
                raise self.error(key, f'"{self._title(key)}" is not a known key; {advice}')

    def names(self, key: str) -> bool:
        """True when the file names `key`; unlike `has`, this asks for nothing."""
        return key in self._table

    def has(self, key: str) -> bool:
        """True when the file names `key`."""
        self._asked.add(key)
        return key in self._table

    def is_string(self, key: str) -> bool:
        """True when the file gives `key` as a string."""
        return isinstance(self._table.get(key), str)

    def empty(self, key: str) -> Reader:
        """A table without keys in the place of `key`."""
        return Reader(self._path, self._lines, (*self._where, key), {})

    def table(self, key: str) -> Reader:
        """The sub-table `key`; an absent one reads as empty."""
        self._asked.add(key)
        return Reader(self._path, self._lines, (*self._where, key), self._table.get(key, {}))

    def tables(self, key: str) -> list[Reader]:
        """The array of tables `key`; an absent one reads as empty."""
        self._asked.add(key)
        value = self._table.get(key, [])
        if not isinstance(value, list):
            raise self.error(
                key, f'"{self._title(key)}" is {_kind(value)}, must be an array of tables; write [[{key}]]'
            )
        return [
            Reader(self._path, self._lines, (*self._where, key, i), entry) for i, entry in enumerate(value)
        ]

    def string(self, key: str, default: str | None = None) -> str:
        """A non-empty string; required when there is no default."""
        value = self._value(key, default)
        if not isinstance(value, str):
            raise self.error(key, f'"{self._title(key)}" is {_kind(value)}, must be a string in quotes')
        if not value and default != "":
            raise self.error(key, f'"{self._title(key)}" is empty; give it a value or leave the key out')
        return value

    def name(self, key: str, default: str | None = None) -> str:
        """A name of letters, digits, `-`, `_` and `.`: it becomes part of paths and labels."""
        value = self.string(key, default)
        fits = len(value) <= NAME_CHARACTERS_MAX and value.isascii() and value[0].isalnum()
        if not fits or not all(character.isalnum() or character in "-_." for character in value):
            raise self.error(
                key,
                f'"{self._title(key)}" is "{value}"; a name is 1 to {NAME_CHARACTERS_MAX} letters, '
                f'digits, "-", "_", '
                '"." and starts with a letter or digit',
            )
        return value

    def choice(self, key: str, choices: Sequence[str], default: str) -> str:
        """One of `choices`."""
        value = self.string(key, default)
        if value not in choices:
            raise self.error(key, f'"{self._title(key)}" is "{value}", must be one of: {", ".join(choices)}')
        return value

    def boolean(self, key: str, default: bool) -> bool:
        """`true` or `false`."""
        value = self._value(key, default)
        if not isinstance(value, bool):
            raise self.error(
                key, f'"{self._title(key)}" is {_kind(value)}, must be true or false without quotes'
            )
        return value

    def integer(self, key: str, default: int | None, least: int, most: int) -> int:
        """A whole number in `least..=most`."""
        value = self._value(key, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.error(
                key, f'"{self._title(key)}" is {_kind(value)}, must be a whole number {least}..{most}'
            )
        return int(self._limit(key, value, least, most))

    def number(self, key: str, default: float | None, least: float, most: float) -> float:
        """A number in `least..=most`; durations are in seconds."""
        value = self._value(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.error(
                key, f'"{self._title(key)}" is {_kind(value)}, must be a number {least:g}..{most:g}'
            )
        return float(self._limit(key, value, least, most))

    def address(self, key: str, default: str | None = None, *, port_min: int = 1) -> Address:
        """`host:port`."""
        value = self.string(key, default)
        try:
            return Address.parse(value, port_min=port_min)
        except ValueError as error:
            raise self.error(key, f'"{self._title(key)}": {error}') from None

    def addresses(self, key: str) -> list[Address]:
        """One `host:port` or an array of them; port 0 asks for a free one."""
        if isinstance(self._table.get(key), str):
            return [self.address(key, port_min=0)]
        values = self.strings(key)
        try:
            return [Address.parse(value, port_min=0) for value in values]
        except ValueError as error:
            raise self.error(key, f'"{self._title(key)}": {error}') from None

    def strings(self, key: str, default: list[str] | None = None) -> list[str]:
        """An array of strings; not empty unless a default is given."""
        value = self._value(key, default)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(
                key, f'"{self._title(key)}" is {_kind(value)}, must be an array of strings: ["a", "b"]'
            )
        if not value and default is None:
            raise self.error(key, f'"{self._title(key)}" is empty; name at least one')
        return list(value)

    def string_table(self, key: str) -> dict[str, str]:
        """A table whose values are all strings."""
        reader = self.table(key)
        return {name: reader.string(name, "") for name in reader._table}

    def file(self, key: str) -> Path | None:
        """A path, relative ones counted from the configuration file; `None` when absent."""
        if not self.has(key):
            return None
        return (self._path.parent / self.string(key)).absolute()

    def _value(self, key: str, default: Any) -> Any:
        self._asked.add(key)
        if key not in self._table and default is None:
            raise self.error(None, f'"{self._title(key)}" is missing; add {key} = ...')
        return self._table.get(key, default)

    def _limit(self, key: str, value: float, least: float, most: float) -> float:
        if not least <= value <= most:
            raise self.error(key, f'"{self._title(key)}" is {value:g}, limit is {least:g}..{most:g}')
        return value

    def _title(self, key: str | None) -> str:
        parts = [part for part in (*self._where, key) if isinstance(part, str)]
        return ".".join(parts)


def _kind(value: Any) -> str:
    names = {bool: "true/false", int: "a whole number", float: "a number", str: "a string", list: "an array"}
    shown = f" ({value!r})" if isinstance(value, bool | int | float | str) and len(repr(value)) < 40 else ""
    return names.get(type(value), "a table" if isinstance(value, dict) else type(value).__name__) + shown
