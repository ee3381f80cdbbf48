"""Small things: modes of results and secrets, photos that are lines, readers that are slow."""

from __future__ import annotations

import asyncio
import configparser
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from certificates import found_authority
from film_files import Made, make, restore
from PIL import Image
from restore_stubs import StubModels, twice

from revisage.batch import plan_photos, restore_all
from revisage.cli import main
from revisage.errors import SigningError, UsageError
from revisage.label import check, results
from revisage.restore import RestoreOptions, Restorer
from revisage.restore.background import is_thin
from revisage.server import read_tokens
from revisage.server.watcher import Watcher

posix = pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")


def photo(path: Path, mode: int) -> Path:
    Image.fromarray(np.full((30, 40, 3), 90, np.uint8)).save(path)
    path.chmod(mode)
    return path


@posix
@pytest.mark.parametrize(
    ("source", "result"), [(0o600, 0o600), (0o640, 0o640), (0o644, 0o644), (0o400, 0o600)]
)
def test_a_result_is_for_those_who_may_read_the_photo(tmp_path: Path, source: int, result: int) -> None:
    path = photo(tmp_path / "a.png", source)
    old = os.umask(0o022)
    try:
        restorer = Restorer(models=StubModels(scene=twice))
        (outcome,) = restore_all(plan_photos([path], None), restorer, RestoreOptions())
        assert outcome.error is None
        assert (tmp_path / "a.restored.png").stat().st_mode & 0o777 == result
        restorer.restore(path).save(tmp_path / "b.png")
        assert (tmp_path / "b.png").stat().st_mode & 0o777 == result
        assert (
            main(["degrade", str(path), str(tmp_path / "c.png"), "--recipe", "old-photo", "--seed", "1"]) == 0
        )
        assert (tmp_path / "c.png").stat().st_mode & 0o777 == result
    finally:
        os.umask(old)


@posix
@pytest.mark.parametrize(("source", "result"), [(0o600, 0o600), (0o644, 0o644), (0o400, 0o600)])
def test_a_film_is_for_those_who_may_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: int, result: int
) -> None:
    monkeypatch.setattr(results, "results_file", lambda: tmp_path / "results.sha256")
    (tmp_path / "frames").mkdir()
    photo(tmp_path / "frames" / "1.png", source)
    make(tmp_path / "a.mp4", Made(times=range(2))).chmod(source)
    old = os.umask(0o022)
    try:
        assert restore(tmp_path / "frames", tmp_path / "out") == 0
        assert restore(tmp_path / "a.mp4", tmp_path / "b.mp4") == 0
    finally:
        os.umask(old)
    modes = [(tmp_path / path).stat().st_mode & 0o777 for path in ("out/1.png", "b.mp4")]
    assert modes == [result, result]


@posix
@pytest.mark.parametrize("mode", [0o604, 0o606, 0o620, 0o644])
def test_a_secret_that_others_may_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("0123456789abcdef0123456789abcdef\n")
    tokens.chmod(mode)
    with pytest.raises(UsageError, match="chmod 600"):
        read_tokens(tokens)
    credentials = found_authority(tmp_path).issue("signer")
    Path(credentials.key).chmod(mode)
    with pytest.raises(SigningError, match="chmod 600"):
        check(credentials)
    Path(credentials.key).chmod(0o640)  # a group may be given it
    tokens.chmod(0o640)
    check(credentials)
    read_tokens(tokens)


def test_a_photo_that_is_a_line_is_enlarged_without_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = []

    def scene(picture: np.ndarray) -> np.ndarray:
        runs.append(picture.shape)
        return twice(picture)

    pixels = np.arange(200_000, dtype=np.uint32).astype(np.uint8)[None, :, None].repeat(3, axis=2)
    restorer = Restorer(models=StubModels(scene=scene))
    result = restorer.restore(pixels, scale=2)
    assert result.pixels.shape == (2, 400_000, 3)
    assert result.background == "lanczos: too thin for the scene model"
    assert not runs
    Image.fromarray(pixels).save(tmp_path / "line.png")
    monkeypatch.setattr("revisage.cli.restore.Restorer", lambda *args, **options: restorer)
    assert main(["restore", str(tmp_path / "line.png"), "--scale", "2"]) == 0
    assert "enlarged without a model: too thin for the scene model" in capsys.readouterr().err
    assert main(["restore", str(tmp_path / "line.png"), "--scale", "1"]) == 0
    assert "line.png: not cleaned: too thin for the scene model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("size", "thin"),
    [((1, 5_000_000), True), ((5_000_000, 1), True), ((130, 16_000), False), ((1, 50), False)],
)
def test_what_counts_as_a_line(size: tuple[int, int], thin: bool) -> None:
    assert is_thin(*size) is thin


def test_a_client_that_reads_slowly_holds_one_state_of_its_job() -> None:
    async def scenario() -> int:
        jobs = iter(range(1, 1000))
        store = SimpleNamespace(
            get=lambda ids: dict.fromkeys(ids, SimpleNamespace(n=next(jobs), is_over=False))
        )
        watcher = Watcher(store)  # type: ignore[arg-type]
        looking = asyncio.create_task(watcher.run())
        following = watcher.follow("a" * 32, beat=60)
        await anext(following)
        for _ in range(100):
            watcher.poke()
            await asyncio.sleep(0.002)
        (queue,) = watcher._ids
        assert queue.qsize() <= 1
        newest = await anext(following)
        looking.cancel()
        return int(newest.n)  # type: ignore[union-attr]

    assert asyncio.run(scenario()) > 20


def test_the_service_file_leaves_nothing_open() -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(Path(__file__).parent.parent / "deploy/revisage.service")
    service = parser["Service"]
    assert service["UMask"] == "0077"
    assert service["LimitCORE"] == "0"
    assert service["NoNewPrivileges"] == "yes"
    assert service["MemoryMax"].endswith("G")
    text = (Path(__file__).parent.parent / "deploy/revisage.service").read_text()
    assert "SystemCallFilter=@system-service landlock_create_ruleset" in text
