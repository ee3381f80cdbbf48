"""`revisage stored`: everything that runs leave is found and erased, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import platformdirs
import pytest
import requests
from PIL import Image
from server_stub import SLOW, photo, running

from revisage import cli
from revisage.batch.layout import choices_file
from revisage.batch.manifest import NAME
from revisage.cli import stored as command
from revisage.cli.stored import Item, erase, stored
from revisage.runtime import selfcheck
from revisage.server import ServerSettings, default_data
from revisage.server.queue.jobs import new_id
from revisage.zoo import user_folder

PORTRAIT = Path(__file__).parents[1] / "examples" / "portrait.jpg"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An account of its own, with nothing in it."""
    folder = tmp_path / "home"
    (folder / "tmp").mkdir(parents=True)
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: str(folder / "cache"))
    monkeypatch.setattr(platformdirs, "user_data_dir", lambda *_, **__: str(folder / "data"))
    monkeypatch.setattr(command.tempfile, "gettempdir", lambda: str(folder / "tmp"))
    return folder


def main(arguments: list[str]) -> int:
    return cli.main(["stored", *arguments])


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if not path.is_dir()}


def covered(path: Path, items: list[Item]) -> bool:
    """Whether an item is the file, holds it, or is the database beside which it lies."""
    names = {item.path for item in items}
    return not names.isdisjoint(
        {path, *path.parents, Path(str(path).removesuffix("-wal").removesuffix("-shm"))}
    )


def run(home: Path, *arguments: str) -> None:
    environment = os.environ | {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_DATA_HOME": str(home / ".local/share"),
        "TMPDIR": str(home / "tmp"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "revisage", *arguments],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_nothing_is_stored_before_the_first_run(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out == "nothing is stored\n"
    assert not files(home)


def test_all_that_restore_and_evaluate_leave_is_found_and_erased(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="evaluate needs pip install revisage[train]")
    for name, place in (("user_cache_dir", ".cache"), ("user_data_dir", ".local/share")):
        monkeypatch.setattr(platformdirs, name, lambda *_, place=place, **__: str(home / place / "revisage"))
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    with Image.open(PORTRAIT) as picture:
        picture.resize((160, 200)).save(photos / "a.jpg")
    run(
        home, "restore", str(photos), "-o", str(out / "restored"), "--resume", "--report", str(out / "r.json")
    )
    run(
        home, "evaluate", "--clean", str(photos), "--recipe", "gfpgan", "--methods", "input",
        "--metrics", "psnr", "--out", str(out / "measured"),
    )  # fmt: skip
    results = {path for path in files(out) if ".revisage" not in path.parts}
    assert out / "restored" / "a.jpg" in results
    found = stored(ServerSettings(default_data()), [out])
    assert [item.path for item in found if item.kind == "records"] == [out / "restored" / NAME]
    left = files(home) | (files(out) - results)
    assert {path for path in left if not covered(path, found)} == set()
    assert main([str(out), "--erase", "--yes"]) == 0
    assert files(home) == set()
    assert files(out) == results
    assert files(photos) == {photos / "a.jpg"}


def test_a_running_servers_photos_are_erased_and_its_queue_when_it_has_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, named = default_data(), tmp_path / "grandmother-1931.png"
    named.write_bytes(photo())
    with running(data) as server:
        server.ready()
        done = server.client.submit(named)
        assert server.client.wait(done.id).state == "done"
        waiting = [server.client.submit(photo(level, mark=SLOW)) for level in (1, 2)]
        shown = {item.job: item.what for item in stored(ServerSettings(data)) if item.job}
        assert shown.keys() == {done.id, *(job.id for job in waiting)}
        assert shown[done.id] == "restored by the server"
        assert main(["--erase", "--yes"]) == 1
        assert "a program is at work with it" in capsys.readouterr().err
        for job in (done, *waiting):
            assert requests.get(f"{server.url}/v1/jobs/{job.id}", timeout=5).status_code == 404
        again = server.client.submit(photo())
        assert server.client.wait(again.id).state == "done"
        server.client.delete(again.id)
        assert server.stop() == 0
    assert [path.name for path in (data / "jobs").iterdir()] == []
    assert not any(b"grandmother-1931" in path.read_bytes() for path in files(data))
    assert main(["--erase", "--yes"]) == 0
    assert files(data) == {data / "log"}  # the test's own


def test_what_is_no_job_in_the_servers_folder_stays(tmp_path: Path) -> None:
    data = tmp_path / "photos"
    orphan = data / "jobs" / new_id()
    orphan.mkdir(parents=True)
    (orphan / "upload").write_bytes(b"x" * 2048)
    mine = [data / "holiday.jpg", data / "jobs" / "notes.txt", data / "jobs" / "album" / "a.jpg"]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    (item,) = stored(ServerSettings(data))
    assert (item.path, item.bytes, item.kind) == (orphan, 2048, "photos")
    assert main(["--data", str(data), "--erase", "--yes"]) == 0
    assert files(data) == set(mine)


@pytest.fixture
def ended() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_half_written_results_are_found_once_nobody_writes_them(tmp_path: Path, ended: int) -> None:
    dead = tmp_path / "album" / f".revisage-{ended}-0123456789abcdef.part"
    live = dead.with_name(f".revisage-{os.getpid()}-0123456789abcdef.part")
    others = [dead.with_name(name) for name in ("a.jpg", ".revisage-evaluate")]
    dead.parent.mkdir()
    for path in (dead, live, *others):
        path.write_bytes(b"half")
    found = stored(ServerSettings(default_data()), [tmp_path / "album"])
    assert {item.path for item in found} == {dead}
    assert erase(found, ServerSettings(default_data())) == {}
    assert files(tmp_path / "album") == {live, *others}


def test_the_sample_of_a_killed_forecast_is_found_unless_it_is_in_use(home: Path, ended: int) -> None:
    sample, live = (home / "tmp" / f".revisage-{pid}-abcd_123" for pid in (ended, os.getpid()))
    for folder in (sample, live):
        (folder / NAME).parent.mkdir(parents=True)
        (folder / NAME).write_text("of a run")
    (item,) = stored(ServerSettings(default_data()))
    assert item.path == sample
    assert main(["--erase", "--yes"]) == 0
    assert files(home) == {live / NAME}
    assert not sample.exists()


def test_kinds_and_ages_choose(capsys: pytest.CaptureFixture[str]) -> None:
    for path in (user_folder() / "own.onnx", selfcheck.folder() / "ab.json", choices_file()):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({}))
    old = time.time() - 3 * 86_400
    os.utime(selfcheck.folder() / "ab.json", (old, old))
    assert main(["--only", "caches", "--older-than", "24"]) == 0
    text = capsys.readouterr().out
    assert "ab" not in text.split()
    assert "3 days" in text
    assert str(selfcheck.folder()) in text
    assert "own.onnx" not in text
    assert main(["--only", "caches", "--older-than", "24", "--erase", "--yes"]) == 0
    assert (user_folder() / "own.onnx").exists()
    assert choices_file().exists()
    assert not (selfcheck.folder() / "ab.json").exists()
    assert main(["--only", "models", "--erase", "--yes"]) == 0
    assert not (user_folder() / "own.onnx").exists()


@pytest.mark.parametrize("arguments", [["{}/none"], ["{}", "{}/none"], ["--data", "{}/none"]])
def test_a_folder_that_is_not_there_is_told(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([argument.format(tmp_path) for argument in arguments]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", f"revisage stored: {tmp_path}/none does not exist\n")


@pytest.mark.parametrize("age", ["-1", "nan", "soon"])
def test_an_age_that_makes_no_sense_erases_nothing(age: str, capsys: pytest.CaptureFixture[str]) -> None:
    choices_file().parent.mkdir(parents=True)
    choices_file().write_text("{}")
    assert main(["--older-than", age, "--erase", "--yes"]) == 2
    assert capsys.readouterr().err == f"revisage stored: --older-than {age}: give at least 0\n"
    assert choices_file().exists()


def test_a_link_is_erased_and_not_what_it_leads_to(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "own.onnx").write_text("mine")
    user_folder().mkdir(parents=True)
    (user_folder() / "linked").symlink_to(mine)
    assert main(["--erase", "--yes"]) == 0
    assert files(mine) == {mine / "own.onnx"}
    assert list(user_folder().iterdir()) == []


@pytest.mark.parametrize(("answer", "goes"), [("y", True), ("YES", True), ("", False), ("n", False)])
def test_it_asks(
    answer: str, goes: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    choices_file().parent.mkdir(parents=True)
    choices_file().write_text("{}")
    assert main(["--erase"]) == 2  # nobody can answer
    assert "--yes" in capsys.readouterr().err
    monkeypatch.setattr(command.sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: answer)
    assert main(["--erase"]) == 0
    assert choices_file().exists() is not goes


def test_what_cannot_be_erased_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (user_folder() / "folder").mkdir(parents=True)

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(shutil, "rmtree", refuse)
    assert main(["--erase", "--yes"]) == 1
    assert f"{user_folder() / 'folder'} was not erased: Permission denied" in capsys.readouterr().err
    assert main(["nowhere"]) == 2
