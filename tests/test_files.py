"""Files that reach the disk before they have their name, and are known by their SHA-256."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from revisage import files


def test_a_file_is_on_the_disk_before_it_has_its_name_and_the_name_is_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary, target = tmp_path / "part", tmp_path / "whole"
    temporary.write_bytes(b"all of it")
    target.write_bytes(b"old")
    seen = []
    sync = os.fsync

    def fsync(handle: int) -> None:
        # A folder's own number tells it from the file.
        seen.append(
            ("folder" if os.path.samestat(os.fstat(handle), tmp_path.stat()) else "file", target.read_bytes())
        )
        sync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    files.publish(temporary, target)
    assert seen[0] == ("file", b"old")
    assert os.name != "posix" or seen[1:] == [("folder", b"all of it")]
    assert os.listdir(tmp_path) == ["whole"]


def test_what_cannot_be_published_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "whole").write_bytes(b"old")
    with pytest.raises(FileNotFoundError):
        files.publish(tmp_path / "part", tmp_path / "whole")
    assert (tmp_path / "whole").read_bytes() == b"old"


def test_a_file_and_its_bytes_have_one_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
    assert files.sha256(b"abc") == files.sha256(tmp_path / "abc") == known


def test_what_killed_writers_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    files.write_atomically(tmp_path / "new" / "a", b"whole")
    (tmp_path / "new" / f"{files.TEMPORARY}1-{'0' * 16}{files.PART}").touch()
    files.sweep(tmp_path)
    assert os.listdir(tmp_path / "new") == ["a"]
