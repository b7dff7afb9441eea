"""Line numbers of the keys and tables of a TOML text.

`tomllib` decides what the text means and gives no positions; this scanner only finds lines and runs after
`tomllib` has accepted the text, so it may assume that brackets and quotes match. A path is a tuple of keys
and, for arrays of tables, indices: `("services", 0, "port")`.
"""

from __future__ import annotations

import re
import tomllib

Path = tuple[str | int, ...]

_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*(\]\]?)\s*(?:#.*)?$")
_KEY = re.compile(
    r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*="""
)
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")


def key_lines(text: str) -> dict[Path, int]:
    """Maps each table and key of `text` to its line, counted from 1."""
    scanner = _Scanner()
    for number, line in enumerate(text.splitlines(), start=1):
        scanner.line(number, line)
    return scanner.found


def line_of(found: dict[Path, int], path: Path) -> int | None:
    """The line of `path`, else of the nearest table around it, else `None`."""
    for length in range(len(path), 0, -1):
        if path[:length] in found:
            return found[path[:length]]
    return None


class _Scanner:
    """Reads line by line; `quote` and `depth` say what the line before left open."""

    def __init__(self) -> None:
        self.found: dict[Path, int] = {}
        self._table: Path = ()
        self._counts: dict[Path, int] = {}
        self._quote = ""
        self._depth = 0

    def line(self, number: int, line: str) -> None:
        """Takes the next line of the text."""
        start = 0
        if not self._quote and self._depth == 0:
            if header := _HEADER.match(line):
                self._open_table(number, header[1] == "[[", _parts(header[2]))
                return
            if key := _KEY.match(line):
                path = (*self._table, *_parts(key[1]))
                for length in range(len(self._table) + 1, len(path) + 1):
                    self.found.setdefault(path[:length], number)
                start = key.end()
        self._skip_value(line, start)

    def _open_table(self, number: int, is_array: bool, keys: list[str]) -> None:
        path: Path = ()
        for key in keys[:-1]:
            path = (*path, key)
            self.found.setdefault(path, number)
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
        path = (*path, keys[-1])
        if is_array:
            self._counts[path] = self._counts.get(path, 0) + 1
            self.found.setdefault(path, number)
            path = (*path, self._counts[path] - 1)
        self.found.setdefault(path, number)
        self._table = path

    def _skip_value(self, line: str, start: int) -> None:
        """Follows quotes and brackets to the end of the line."""
        index = start
        while index < len(line):
            rest = line[index:]
            if self._quote:
                if rest.startswith("\\") and self._quote.startswith('"'):
                    index += 2
                elif rest.startswith(self._quote):
                    index += len(self._quote)
                    self._quote = ""
                else:
                    index += 1
                continue
            opening = next((quote for quote in ('"""', "'''", '"', "'") if rest.startswith(quote)), "")
            if opening:
                self._quote = opening
                index += len(opening)
                continue
            if rest[0] == "#":
                return
            self._depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(rest[0], 0)
            index += 1


def _parts(dotted: str) -> list[str]:
    parts = [match[0] for match in _PART.finditer(dotted)]
    return [tomllib.loads(f"key = {part}")["key"] if part[0] in "\"'" else part for part in parts]
