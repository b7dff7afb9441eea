"""Who may do what with which channel, as an operator writes it: `SECRET=NAME:RIGHTS[@CHANNEL]`."""

from __future__ import annotations

from pathlib import Path

from clustercore_apps.errors import OperatorError
from clustercore_apps.service.security import TOKEN_CHARACTERS_MIN

RIGHTS = ("emit", "consume", "administer")
SHAPE = "SECRET=NAME:RIGHTS[@CHANNEL]"

# A principal's name, his rights, and the channel when it is only one.
Grant = tuple[str, str] | tuple[str, str, str]


def parse_grants(lines: list[str], option: str) -> dict[str, Grant]:
    """What each secret stands for. Raises `OperatorError`, which does not show the secret."""
    grants: dict[str, Grant] = {}
    for number, line in enumerate(lines, 1):
        place = f"{option} {number}"
        secret, grant = parse_grant(line, place)
        if secret in grants:
            raise OperatorError(f"{place}: its secret is given twice; one secret stands for one principal")
        grants[secret] = grant
    return grants


def parse_grant(text: str, place: str) -> tuple[str, Grant]:
    """The secret, and what it stands for. Raises `OperatorError` that begins with `place`."""
    secret, equals, rest = text.partition("=")
    name, colon, rest = rest.partition(":")
    words, at, channel = rest.partition("@")
    if not equals or not colon or not name or (at and not channel):
        raise OperatorError(f"{place} is not {SHAPE}; write for example s3cret...=ann:emit,consume@load")
    if len(secret) < TOKEN_CHARACTERS_MIN:
        raise OperatorError(
            f"{place}: its secret has {len(secret)} characters, at least {TOKEN_CHARACTERS_MIN} are needed"
        )
    rights = words.split(",")
    for right in rights:
        if right not in RIGHTS:
            raise OperatorError(f'{place}: right is "{right}", possible are {", ".join(RIGHTS)}')
    granted = " ".join(rights)
    return secret, (name, granted, channel) if channel else (name, granted)


def read_grants(path: Path) -> list[str]:
    """The lines of a file of secrets, without empty ones and those that begin with `#`.

    Raises `OperatorError`, also when others may read the file.
    """
    try:
        mode = path.stat().st_mode
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"tokens file {path} cannot be read ({error}); each line is {SHAPE}") from None
    if mode & 0o077:
        raise OperatorError(
            f"tokens file {path} has mode {mode & 0o777:o}, others can read it; run: chmod 600 {path}"
        )
    return [line for line in lines if line and not line.startswith("#")]
