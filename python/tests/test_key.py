"""Keys of endpoints in secure mode: made, saved, loaded, refused."""

from __future__ import annotations

from pathlib import Path

import clustercore
import pytest


def test_a_key_is_made_saved_and_loaded(tmp_path: Path) -> None:
    key = clustercore.Key.generate()
    assert key.public.startswith("clc-public-x25519 ")
    assert key.to_private_text().startswith("clc-private-x25519 ")
    assert clustercore.Key.generate().public != key.public
    path = tmp_path / "key"
    key.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text() == key.to_private_text() + "\n"
    assert clustercore.Key.load(path).public == key.public
    assert clustercore.Key.load(str(path)).public == key.public
    assert clustercore.Key.parse(key.to_private_text()).public == key.public


def test_only_the_public_part_is_shown() -> None:
    key = clustercore.Key.generate()
    assert repr(key) == f"<clustercore.Key of {key.public}>"


def test_nothing_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("mine")
    with pytest.raises(clustercore.FileExists, match="exists and stays as it is") as caught:
        clustercore.Key.generate().save(path)
    assert isinstance(caught.value, FileExistsError)
    assert path.read_text() == "mine"


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    clustercore.Key.generate().save(path)
    path.chmod(0o640)
    with pytest.raises(clustercore.KeyExposed, match=r"mode 0640.*run: chmod 600 ") as caught:
        clustercore.Key.load(path)
    assert isinstance(caught.value, PermissionError)
    path.chmod(0o600)
    clustercore.Key.load(path)


def test_what_is_no_key_is_refused(tmp_path: Path) -> None:
    key = clustercore.Key.generate()
    with pytest.raises(clustercore.BadKey, match="this is a public key, a private one is wanted"):
        clustercore.Key.parse(key.public)
    with pytest.raises(clustercore.BadKey, match="this is no private key"):
        clustercore.Key.parse("")
    with pytest.raises(clustercore.InputOutput, match=r"read .*none"):
        clustercore.Key.load(tmp_path / "none")
    assert clustercore.parse_public_key(key.public + "\n") == key.public
    for bad in (key.to_private_text(), "clc-public-x25519 AAAA", "clc-public-x25519 " + "A" * 43 + "="):
        with pytest.raises(clustercore.BadKey):
            clustercore.parse_public_key(bad)
