"""Settings, the command, names, what is remembered of a photo, and the API under generated requests."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from restore_stubs import StubModels, face_at, same, twice
from server_stub import Running, photo, running

from revisage.cli import main
from revisage.errors import PhotoError, UsageError
from revisage.restore import Restorer, Stage
from revisage.server import JobOptions, Limits, ServerSettings, read_tokens
from revisage.server.answers import _disposition
from revisage.server.client import Client, ServerError
from revisage.server.files import Files, result_key
from revisage.server.queue.jobs import Job, new_id
from revisage.server.restoring import LastPhoto, restore_job
from revisage.server.upload import NAME_LENGTH, clean_name

# Settings and the command


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org"])
def test_another_address_needs_a_token(tmp_path: Path, host: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="--token-file"):
        ServerSettings(tmp_path, host=host)
    assert main(["serve", "--host", host, "--data", str(tmp_path / "data")]) == 2
    assert "--token-file" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
    assert not ServerSettings(tmp_path, host=host, tokens=("x" * 16,)).loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1", "[::1]"])
def test_this_machine_needs_none(tmp_path: Path, host: str) -> None:
    settings = ServerSettings(tmp_path, host=host)
    assert settings.loopback
    assert "evil.example" not in settings.answered_names
    assert "localhost" in settings.answered_names


def test_tokens_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.touch(0o600)
    path.write_text("# ours\n\n  0123456789abcdef \nfedcba9876543210\n")
    assert read_tokens(path) == ("0123456789abcdef", "fedcba9876543210")
    assert "0123456789abcdef" not in repr(ServerSettings(tmp_path, tokens=read_tokens(path)))


@pytest.mark.parametrize(
    ("text", "message"), [("", "no token"), ("short", "at least 16"), ("a b" * 9, "space")]
)
def test_bad_token_files_are_usage_errors(
    tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tokens"
    path.touch(0o600)
    path.write_text(text)
    assert main(["serve", "--token-file", str(path)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert text == "" or text not in error, "a token is not shown"
    assert main(["serve", "--token-file", str(tmp_path / "missing")]) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["--queue", "0"], ["--max-body-mib", "0"], ["--retention-hours", "-1"], ["--port", "99999"],
        ["--workers", "-1"], ["--database", "mysql://x"], ["--decode-seconds", "0"],
    ],
)  # fmt: skip
def test_impossible_limits_are_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", *arguments]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("model", "code", "message"),
    [("no-such-model", 2, "no model is called"), ("progressive-restore", 2, "whole pictures")],
)
def test_a_model_that_no_worker_could_use_ends_the_command(
    tmp_path: Path, model: str, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--model", model, "--port", "0", "--data", str(tmp_path / "data")]) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_the_limits_of_the_command_are_those_that_are_documented() -> None:
    limits = Limits()
    assert (limits.body_bytes, limits.max_pixels, limits.queue) == (64 << 20, 50_000_000, 64)
    assert (limits.decode_bytes, limits.decode_seconds) == (2 << 30, 10)
    assert (limits.drain_seconds, limits.retention_seconds) == (20, 24 * 3600)


# Names


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("a.jpg", "a.jpg"),
        ("C:\\photos\\a.jpg", "a.jpg"),
        ("/etc/passwd", "passwd"),
        ("../..", "photo"),
        ("", "photo"),
        ("\u202egpj.exe", "gpj.exe"),
        ("a\r\nset-cookie: x", "aset-cookie: x"),
        ("日本.jpg", "日本.jpg"),
    ],
)
def test_names_are_cleaned(name: str, cleaned: str) -> None:
    assert clean_name(name) == cleaned


@given(st.text(max_size=300))
def test_no_name_can_leave_its_place(name: str) -> None:
    cleaned = clean_name(name)
    assert 0 < len(cleaned) <= NAME_LENGTH
    assert not set(cleaned) & set("/\\\r\n\0")
    header = _disposition(cleaned, "JPEG")
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2


# What is remembered


def queued(files: Files, data: bytes, options: JobOptions) -> Job:
    """A job as the worker gets it, its upload in place."""
    id = new_id()
    with files.receive(id) as upload:
        upload.write(data)
        digest = upload.commit()
    assert digest == hashlib.sha256(data).hexdigest()
    return Job(
        id, "", "a.png", digest, options, number=1, state="running", attempts=1, worker="w", progress={},
        failure=None, result=None, created=0.0, started=0.0, ended=None,
    )  # fmt: skip


class Bench:
    """A worker's parts around counted models."""

    def __init__(self, folder: Path, *, memory: int = 1 << 30) -> None:
        faces = [face_at(60, 60, 50), face_at(160, 60, 40)]
        self.models = StubModels(face=same, scene=twice, faces=faces, identity=by_brightness)
        self.restorer = Restorer(models=self.models)
        self.last = LastPhoto(memory)
        self.files = Files(folder)

    def runs(self) -> tuple[int, ...]:
        """Batches that the face, scene and identity models have computed since the last call."""
        sessions = (self.models.face_session, self.models.scene_session, self.models.identity_session)
        counts = tuple(len(session.batches) for session in sessions if session is not None)
        for session in sessions:
            if session is not None:
                session.batches.clear()
        return counts

    def restore(self, job: Job) -> tuple[str, dict[str, float]]:
        return restore_job(job, self.files, self.restorer, self.last, lambda stage: None, guard=None)

    def run(self, data: bytes, options: JobOptions) -> bytes:
        job = queued(self.files, data, options)
        key, _ = self.restore(job)
        file, _ = self.files.result(job.id, key)
        with file:
            return file.read()


def by_brightness(picture: np.ndarray) -> np.ndarray:
    """An embedding in the plane that turns by 90 degrees from black to white."""
    turn = float(picture.mean()) * math.pi / 2
    return np.float32([[[math.cos(turn), math.sin(turn)]]])


@pytest.mark.parametrize(
    "options",
    [
        JobOptions(strength=0.3),
        JobOptions(strength=0),
        JobOptions(faces="1"),
        JobOptions(guard=10),
        JobOptions(strength=0.9, faces="largest", previews=True),
        JobOptions(format="JPEG", quality=80, label=False),
    ],
)
def test_another_strength_choice_of_faces_guard_or_format_runs_no_model(
    tmp_path: Path, options: JobOptions
) -> None:
    bench = Bench(tmp_path)
    bench.run(photo(), JobOptions(previews=True))
    faces, tiles, _ = bench.runs()
    assert faces == 1, "the previews too came from one run"
    assert tiles >= 1
    assert bench.run(photo(), options) == Bench(tmp_path).run(photo(), options), "as if made anew, to the bit"
    assert bench.runs() == (0, 0, 0)


@pytest.mark.parametrize("options", [JobOptions(scale="1"), JobOptions(colour="enhance")])
def test_another_scale_or_colour_is_made_anew(tmp_path: Path, options: JobOptions) -> None:
    bench = Bench(tmp_path)
    bench.run(photo(), JobOptions())
    bench.runs()
    assert bench.run(photo(), options) == Bench(tmp_path).run(photo(), options)
    assert bench.runs()[0] == 1


def test_nothing_is_remembered_of_the_photo_before(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    first = bench.run(photo(1), JobOptions())
    assert bench.run(photo(2), JobOptions()) != first
    bench.runs()
    assert bench.run(photo(1), JobOptions()) == first
    assert bench.runs()[1] >= 1
    bench.last.forget()
    assert bench.last.restoration is None


PREVIEWS = ["after", "before", "thumb", "with", "without"]


def test_a_photo_beyond_the_memory_is_not_remembered_but_has_its_previews(tmp_path: Path) -> None:
    bench = Bench(tmp_path, memory=1000)
    job = queued(bench.files, photo(), JobOptions(previews=True))
    key, _ = bench.restore(job)
    assert bench.last.restoration is None
    assert bench.files.report(job.id, key)["photos"][0]["previews"] == PREVIEWS
    assert bench.runs()[0] == 1


def test_a_result_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    job = queued(bench.files, photo(), JobOptions())
    key, seconds = bench.restore(job)
    assert seconds["scene"] >= 0
    bench.last.forget()
    bench.runs()
    assert bench.restore(job) == (key, {})
    assert bench.runs() == (0, 0, 0)
    (tmp_path / "jobs" / job.id / f"{key}.json").unlink()  # as after a crash before the last file
    assert bench.restore(job)[0] == key
    assert bench.runs()[1] >= 1


def test_results_are_named_by_photo_and_options() -> None:
    keys = {
        result_key(digest, options)
        for digest in ("a" * 64, "b" * 64)
        for options in (JobOptions(), JobOptions(strength=0.5), JobOptions(quality=90))
    }
    assert len(keys) == 6
    assert result_key("a" * 64, JobOptions()) == result_key("a" * 64, replace(JobOptions()))


def test_watching_can_stop_a_job_and_leaves_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    job = queued(bench.files, photo(), JobOptions())

    def stop(stage: Stage) -> None:
        if stage.name == "faces":
            raise PhotoError("stopped")

    with pytest.raises(PhotoError, match="stopped"):
        restore_job(job, bench.files, bench.restorer, bench.last, stop, guard=None)
    assert [path.name for path in bench.files.folder(job.id).iterdir()] == ["upload"]


def test_what_a_killed_worker_has_left_half_written_goes_when_the_job_is_taken_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    job = queued(bench.files, photo(), JobOptions())
    other = queued(bench.files, photo(), JobOptions())
    for id in (job.id, other.id):
        (bench.files.folder(id) / ".revisage-123-0a.part").write_bytes(b"half")
    bench.restore(job)
    assert not list(bench.files.folder(job.id).glob(".revisage-*"))
    assert list(bench.files.folder(other.id).glob(".revisage-*")), "others may be at work there"


# The client


def test_a_server_that_is_not_there_is_one_line() -> None:
    with pytest.raises(ServerError, match="does not answer") as caught:
        Client("http://127.0.0.1:9", patience=0).status("0" * 32)
    assert caught.value.status == 0
    with pytest.raises(ServerError, match=r"127\.0\.0\.1:9 does not answer: give it as http://NAME:PORT"):
        Client("127.0.0.1:9").status("0" * 32)


def test_a_mask_that_is_no_base64_is_told_before_anything_is_sent() -> None:
    with pytest.raises(UsageError, match="the mask is no base64; in Python give a Path, or the"):
        Client("http://127.0.0.1:9", patience=0).again("0" * 32, JobOptions(mask="my mask"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("server"), job_seconds=20.0) as server:
        yield server.ready()


def test_the_client_reads_files_and_names_them(server: Running, tmp_path: Path) -> None:
    path = tmp_path / "grüße.png"
    path.write_bytes(photo())
    job = server.client.submit(path)
    assert (job.name, job.is_over) == ("grüße.png", False)
    restored = server.client.restore(str(path), JobOptions(format="JPEG"))
    assert restored.media_type == "image/jpeg"
    assert server.client.report(restored.job)["photos"][0]["input"] == "grüße.png"
    with pytest.raises(OSError, match="missing"):
        server.client.submit(tmp_path / "missing.png")
    with pytest.raises(ServerError) as caught:
        server.client.restore(b"no photo")
    assert (caught.value.status, caught.value.code) == (415, "unsupported-format")
    with pytest.raises(ServerError, match="no damage model") as caught:
        server.client.restore(path, JobOptions(repair="full"))
    assert (caught.value.status, caught.value.code) == (422, "no-model")


# Any request


def test_no_generated_request_is_a_5xx(server: Running) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    logging.getLogger("hypothesis").setLevel(logging.ERROR)
    schema = schemathesis.openapi.from_url(server.url + "/openapi.json")
    seen = []
    for found in schema.get_all_operations():
        operation = found.ok()

        @hypothesis.settings(
            max_examples=15, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
        )
        @given(case=operation.as_strategy())
        def send(case: object) -> None:
            answer = case.call(timeout=30)  # type: ignore[attr-defined]
            assert answer.status_code < 500, (answer.status_code, answer.request.url, answer.text)
            if answer.status_code >= 400:
                assert answer.headers["content-type"] == ["application/problem+json"]

        send()
        seen.append(operation.path)
    assert "/v1/restore" in seen
    assert "/v1/jobs/{id}/previews/{which}" in seen
    assert server.process.poll() is None
