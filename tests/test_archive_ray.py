"""Ray: the results of the local engine, kept through deaths of workers, nothing open to the network."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import archive_stub as stub
import psutil
import pytest
from PIL import Image
from test_archive import kills
from test_archive_processes import album

from revisage.batch import Job, Outcome, SaveOptions, plan_locations, plan_photos, restore_all
from revisage.batch.engines import ray
from revisage.batch.engines.processes import Work
from revisage.cli import _run
from revisage.image import DecodeLimits
from revisage.restore import RestoreOptions

if find_spec("ray") is None:
    pytest.skip("needs Ray: pip install revisage[ray]", allow_module_level=True)


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    # So that Ray's workers find the stub.
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", path)
        with ray.connected():
            yield


def run(jobs: list[Job], count: int = 2, stop: threading.Event | None = None) -> Iterator[Outcome]:
    work = Work(stub.make, RestoreOptions(), SaveOptions(), 1)
    return ray.restore_all(jobs, work, ray.Pool(count), DecodeLimits(), stop=stop)


def test_results_are_those_of_the_local_engine_though_an_actor_dies_and_nothing_listens_to_the_network(
    tmp_path: Path,
) -> None:
    source = album(tmp_path / "in", [stub.SLOW] * 6)
    jobs = plan_photos([source], tmp_path / "ray")
    outcomes = []
    listening: set[str] = set()
    for outcome in run(jobs):
        outcomes.append(outcome)
        if len(outcomes) == 2:
            listening = {c.laddr.ip for p in family() for c in p.net_connections() if c.status == "LISTEN"}
            os.kill(actors()[0].pid, signal.SIGKILL)
    assert [outcome.reason for outcome in outcomes if outcome.error] == ["damaged"]
    here = list(restore_all(plan_photos([source], tmp_path / "here"), stub.make(None), RestoreOptions()))
    assert len(outcomes) == len(here) == 7
    for theirs, ours in zip(sorted(outcomes, key=name), sorted(here, key=name), strict=True):
        assert (theirs.digest, theirs.stamp, theirs.written) == (ours.digest, ours.stamp, ours.written)
        assert theirs.entry["faces"] == ours.entry["faces"]
    for path in (tmp_path / "here").iterdir():
        assert path.read_bytes() == (tmp_path / "ray" / path.name).read_bytes()
    assert listening
    assert {address.removeprefix("::ffff:") for address in listening} <= {"127.0.0.1", "::1"}


def test_what_is_in_hand_is_finished_when_told_to_stop(tmp_path: Path) -> None:
    jobs = plan_photos([album(tmp_path / "in", [stub.SLOW] * 40)], tmp_path / "out")
    stop, outcomes = threading.Event(), []
    for outcome in run(jobs, stop=stop):
        outcomes.append(outcome)
        stop.set()
    assert 1 < len(outcomes) < 12
    done = sorted(name(outcome) for outcome in outcomes if outcome.error is None)
    assert done == sorted(path.name for path in (tmp_path / "out").iterdir())


def name(outcome: Outcome) -> str:
    return Path(str(outcome.job.source)).name


def family() -> list[psutil.Process]:
    """This process and Ray's lasting ones."""
    lasting = [psutil.Process()]
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has just ended
            if any(name in " ".join(process.cmdline()) for name in ("_Restoring", "gcs_server", "raylet")):
                lasting.append(process)
    return lasting


def actors() -> list[psutil.Process]:
    return [process for process in family()[1:] if "_Restoring" in " ".join(process.cmdline())]


@pytest.mark.slow
def test_a_photo_that_kills_its_actors_is_given_up_and_costs_no_other(tmp_path: Path) -> None:
    jobs = plan_photos([album(tmp_path / "in", [255, stub.DEADLY, 255])], tmp_path / "out")
    outcomes = {Path(name(outcome)).stem: outcome.reason for outcome in run(jobs, 1)}
    assert outcomes == {"00": None, "01": "crashed", "02": None, "bad": "damaged"}


@pytest.mark.slow
def test_photos_and_results_by_url(tmp_path: Path) -> None:
    """Ray's workers are other processes, so a file system that they share: fsspec's local one, by a URL that
    is not taken for a path."""
    source = album(tmp_path / "in", [255] * 2)
    scheme = "simplecache::file://"
    jobs = [
        Job(f"{scheme}{job.source}", f"file://{tmp_path}/out/{Path(str(job.target)).name}")
        for job in plan_locations([source], tmp_path / "here")
    ]
    outcomes = list(run(jobs))
    assert sorted(outcome.reason or "" for outcome in outcomes) == ["", "", "damaged"]
    list(restore_all(plan_photos([source], tmp_path / "here"), stub.make(None), RestoreOptions()))
    for path in (tmp_path / "here").iterdir():
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes()
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.slow
def test_kills_of_the_driver_lose_nothing() -> None:
    kills("--photos", "100", "--kills", "6", "--engine", "ray")


def test_an_address_may_follow_the_option() -> None:
    name = _run.name_ray_address
    assert name(["--ray", "in", "-o", "out"]) == ["--ray", "local", "in", "-o", "out"]
    assert name(["in", "-o", "out", "--ray"]) == ["in", "-o", "out", "--ray", "local"]
    assert name(["--ray", "--resume"]) == ["--ray", "local", "--resume"]
    for address in ("auto", "ray://head:10001", "10.0.0.1:6379", "head.site:6379", "[::1]:6379"):
        assert name(["--ray", address, "in"]) == ["--ray", address, "in"]


@pytest.mark.slow
def test_a_node_that_dies_costs_nothing(tmp_path: Path) -> None:
    """A cluster of two nodes, in a process of its own, as this one is connected to another."""
    program = Path(__file__).parent / "archive_nodes.py"
    album(tmp_path / "in", [stub.SLOW] * 16)
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path / "in"), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(program.parent)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "17 outcomes, 1 failed"
    assert len(list((tmp_path / "out").iterdir())) == 16


@pytest.mark.slow
def test_an_archive_in_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command itself against a real S3 protocol, on this machine."""
    moto = pytest.importorskip("moto.server", reason='needs a server of S3: pip install "moto[server]" s3fs')
    s3fs = pytest.importorskip("s3fs", reason="needs s3fs: pip install s3fs")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*server.get_host_and_port()))
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "testing")
        store = s3fs.S3FileSystem(skip_instance_cache=True)
        store.mkdir("museum")
        store.put(str(album(tmp_path / "in", [255] * 3)), "museum/scans", recursive=True)
        command = [sys.executable, "-m", "revisage", "restore", "s3://museum/scans", "-o", "s3://museum/new"]
        command += ["--ray", "--manifest", str(tmp_path / "museum.sqlite")]
        command += ["--model", "none", "--scene", "none", "--scale", "1"]
        for told in ("3 restored, 1 failed", "0 restored, 0 failed, 3 done before, 1 failed before"):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 1, done.stderr
            assert told in done.stderr
        assert sorted(store.ls("museum/new")) == [f"museum/new/{number:02}.png" for number in range(3)]
        with Image.open(store.open("museum/new/00.png")) as new, Image.open(tmp_path / "in/00.png") as old:
            assert list(new.convert("RGB").getdata()) == list(old.convert("RGB").getdata())
    finally:
        server.stop()
