"""Writing files whole or not at all, and planning their names."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from revisage.errors import SaveError, UsageError
from revisage.image import decode, from_array, output_paths, save

PHOTO = from_array(np.full((8, 12, 3), 50, np.uint8))


def test_the_extension_decides_the_format(tmp_path: Path) -> None:
    names = ("a.JPG", "a.jpeg", "a.png", "a.webp", "a.TIF", "a.bmp", "a.heic", "a.avif")
    found = [decode(save(PHOTO, tmp_path / "new" / name)).format for name in names]
    assert found == ["JPEG", "JPEG", "PNG", "WEBP", "TIFF", "BMP", "HEIF", "AVIF"]
    with pytest.raises(UsageError, match="extension"):
        save(PHOTO, tmp_path / "a.tga")


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_the_file_has_the_modes_of_any_other(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    path = save(PHOTO, tmp_path / "a.png")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


@pytest.mark.parametrize("failing", ["fsync", "replace", "interrupt"])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, failing: str
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def fail(*args: object) -> None:
        if failing == "interrupt":
            raise KeyboardInterrupt
        raise OSError(errno.ENOSPC, "No space left on device")

    if failing == "replace":
        monkeypatch.setattr(Path, "replace", fail)
    else:
        monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(KeyboardInterrupt if failing == "interrupt" else SaveError) as caught:
        save(PHOTO, path)
    assert failing == "interrupt" or "No space left" in str(caught.value)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.png"]


def test_a_path_that_cannot_be_written_is_a_save_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    for path in (tmp_path / "file" / "a.png", tmp_path / "folder.png", tmp_path / "nul\0.png"):
        with pytest.raises(SaveError, match="cannot be written"):
            save(PHOTO, path)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.png"]


def names(inputs: list[str], folder: str | None = "/out", **options: object) -> list[str]:
    planned = output_paths([Path(i) for i in inputs], Path(folder) if folder else None, **options)
    return [p.as_posix() for p in planned]


def test_a_single_photo_goes_beside_itself() -> None:
    assert names(["/in/a.jpg", "/in/b.c.PNG"], None) == ["/in/a.restored.jpg", "/in/b.c.restored.PNG"]


def test_extensions_keep_names_apart() -> None:
    assert names(["/in/a.jpg", "/in/a.png", "/in/a.tif"]) == ["/out/a.jpg", "/out/a.png", "/out/a.tif"]


def test_the_tree_below_a_root_is_kept() -> None:
    roots = [Path("/in"), Path("/in")]
    assert names(["/in/x/a.jpg", "/in/y/a.jpg"], roots=roots) == ["/out/x/a.jpg", "/out/y/a.jpg"]


def test_a_format_that_cannot_be_written_becomes_png_without_a_collision() -> None:
    heic = ["/in/a.heic", "/in/a.png", "/in/b.heic", "/in/c", "/in/d.xyz"]
    planned = names(heic, writable=lambda format: format != "HEIF")
    assert planned == ["/out/a.heic.png", "/out/a.png", "/out/b.png", "/out/c.png", "/out/d.png"]


def test_a_photo_whose_name_tells_no_format_keeps_its_own(tmp_path: Path) -> None:
    for name, format in (("scan", "JPEG"), ("b.bak", "WEBP"), ("c.old", "GIF")):
        Image.new("RGB", (8, 8)).save(tmp_path / name, format)
    photos = [tmp_path / name for name in ("scan", "b.bak", "c.old", "gone")]
    names = [path.name for path in output_paths(photos)]
    assert names == ["scan.restored.jpg", "b.restored.webp", "c.restored.png", "gone.restored.png"]
    assert output_paths(photos[:1], format="PNG")[0].name == "scan.restored.png"


def test_names_that_differ_in_case_or_unicode_form_do_not_collide() -> None:
    assert names(["/in/a.jpg", "/in/A.JPG"]) == ["/out/a.jpg", "/out/A-2.JPG"]
    assert names(["/in/\u00e9.jpg", "/in/e\u0301.jpg"])[1] == "/out/e\u0301-2.jpg"
    assert names(["/x/a.jpg", "/y/a.jpg", "/z/a.jpg"]) == ["/out/a.jpg", "/out/a-2.jpg", "/out/a-3.jpg"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_linked_folder_or_file_never_leads_to_an_original(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").touch()
    (tmp_path / "link").symlink_to(tmp_path / "two", target_is_directory=True)
    (tmp_path / "b.jpg").symlink_to(tmp_path / "two" / "b.jpg")
    inputs = [tmp_path / "one" / "a.jpg", tmp_path / "two" / "a.jpg", tmp_path / "b.jpg"]
    outputs = [path.resolve() for path in output_paths(inputs, tmp_path / "link")]
    assert len(set(outputs)) == 3
    assert not set(outputs) & {path.resolve() for path in inputs}


def test_writing_into_the_folder_of_the_originals_never_hits_one() -> None:
    assert names(["/in/a.jpg"], "/in/../in") == ["/in/../in/a.restored.jpg"]
    assert names(["/in/a.jpg", "/in/a.restored.jpg"], "/in") == ["/in/a-2.jpg", "/in/a.restored-2.jpg"]


PARTS = st.sampled_from(["a", "A", "b", "a.restored", "a-2", "a.heic"])
EXTENSIONS = st.sampled_from([".jpg", ".JPG", ".png", ".heic", ".xyz", ""])


@given(
    st.lists(
        st.builds(lambda d, n, e: Path("/in", d, n + e), st.sampled_from(["", "x"]), PARTS, EXTENSIONS),
        unique=True,
    ),
    st.sampled_from([None, Path("/out"), Path("/in"), Path("/in/x")]),
)
def test_outputs_are_distinct_and_never_inputs(inputs: list[Path], folder: Path | None) -> None:
    planned = output_paths(inputs, folder, writable=lambda format: format != "HEIF")
    keys = [str(p).casefold() for p in planned]
    assert len(set(keys)) == len(keys)
    assert not set(keys) & {str(p).casefold() for p in inputs}
