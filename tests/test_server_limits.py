"""What a running server refuses, each time by a typed problem: too long, too slow, too many, no photo."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image
from restore_stubs import StubModels
from server_stub import SLOW, STUCK, Running, photo, problem, running

from revisage import Restorer
from revisage.errors import RevisageError
from revisage.image import decode, from_array
from revisage.masks import mask_bytes
from revisage.options import DecodeLimits
from revisage.server.client import Client, ServerError
from revisage.server.problems import failure_of

NO_JOB = "0" * 32  # the id of none

KIB = 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    limits = {"body_bytes": 256 * KIB, "max_pixels": 1_000_000, "upload_seconds": 1.0, "queue": 30}
    with running(tmp_path_factory.mktemp("server"), **limits) as server:
        yield server.ready()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_a_body_over_the_limit_is_413_by_its_declared_length(server: Running) -> None:
    answer = requests.post(server.url + "/v1/jobs", data=b"\xff\xd8\xff" + bytes(256 * KIB), timeout=10)
    assert problem(answer) == (413, "too-long")


@pytest.mark.parametrize(("extra", "status"), [(0, 202), (1, 413)])
def test_a_chunked_body_is_counted_to_the_byte(server: Running, extra: int, status: int) -> None:
    """No Content-Length: only counting can tell. The head is a valid photo, the rest trails behind it."""
    head = photo()
    rest = bytes(256 * KIB - len(head) + extra)

    def chunks() -> Iterator[bytes]:
        yield head
        for start in range(0, len(rest), 10_000):
            yield rest[start : start + 10_000]

    answer = requests.post(server.url + "/v1/jobs", data=chunks(), timeout=10)
    assert answer.request.headers["Transfer-Encoding"] == "chunked"
    assert answer.status_code == status
    if status == 413:
        assert problem(answer) == (413, "too-long")


def test_a_form_is_counted_too(server: Running) -> None:
    form = {"file": ("a.png", photo() + bytes(256 * KIB))}
    body = requests.Request("POST", server.url, files=form).prepare()

    def chunks() -> Iterator[bytes]:
        assert isinstance(body.body, bytes)
        for start in range(0, len(body.body), 10_000):
            yield body.body[start : start + 10_000]

    headers = {"Content-Type": body.headers["Content-Type"]}
    answer = requests.post(server.url + "/v1/jobs", data=chunks(), headers=headers, timeout=10)
    assert problem(answer) == (413, "too-long")


def test_a_slow_upload_is_cut_off(server: Running) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(
            b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n\xff\xd8\xff"
        )
        start = time.monotonic()
        answer = connection.recv(1000)
    assert answer.startswith(b"HTTP/1.1 408")
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (422, "empty")),
        (b"%PDF-1.7" + bytes(100), (415, "unsupported-format")),
        (b"<svg onload=alert(1)>", (415, "unsupported-format")),
        (photo(size=(1001, 1000)), (422, "photo-too-large")),
        (photo(size=(1001, 1000), format="WEBP"), (422, "photo-too-large")),
        (photo(size=(1001, 1000), format="JPEG"), (422, "photo-too-large")),
        (photo()[:60], (422, "photo-unreadable")),  # nothing of the picture is there
        (photo()[:200], (422, "photo-damaged")),
    ],
)
def test_what_is_no_usable_photo_is_told_so(server: Running, body: bytes, expected: tuple[int, str]) -> None:
    answer = requests.post(server.url + "/v1/restore", data=body, timeout=30)
    assert problem(answer) == expected
    assert "--" not in answer.json()["detail"]


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(RevisageError) as error:
        call()
    return failure_of(error.value).message


def test_a_client_is_told_of_no_options_of_the_command_line_and_no_types_of_python() -> None:
    picture, tall = np.zeros((200, 200, 3), np.uint8), np.zeros((300, 300, 3), np.uint8)
    small = Restorer(models=StubModels(), max_output_pixels=160_000)
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG")
    pages = from_array(picture)
    pages = replace(pages, pages=2, page=lambda number: from_array(picture))
    limits = DecodeLimits(max_pixels=39_999)
    assert [
        refused(lambda: decode(stream.getvalue(), limits=limits)),
        refused(lambda: small.restore(tall)),
        refused(lambda: small.restore(pages, pages="all")),
        refused(lambda: mask_bytes("abc.")),
    ] == [
        "it has 200×200 pixels, more than the limit of 39,999: reduce the photo",
        "the result would have 600 x 600 pixels, more than 160,000: choose a smaller scale",
        "its 2 pages have more than 160,000 pixels together: choose a smaller scale",
        "the mask is no base64",
    ]


def test_a_bad_photo_fails_its_job_with_the_same_words(server: Running) -> None:
    job = server.client.wait(server.client.submit(photo()[:200]).id)
    assert job.state == "failed"
    assert job.error is not None
    assert "damaged" in job.error
    answer = requests.get(f"{server.url}/v1/jobs/{job.id}/result", timeout=5)
    assert problem(answer) == (409, "failed")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/jobs?strength=0.2&strength=0.9", (422, "bad-option")),
        ("/v1/jobs?face=1,2,3,4&face=1,2,3,4&name=a&name=b", (422, "bad-option")),
        ("/v1/jobs?strength=2", (422, "bad-option")),
        ("/v1/jobs?strength=nan", (422, "bad-option")),
        ("/v1/jobs?scale=3", (422, "bad-option")),
        ("/v1/jobs?faces=../etc", (422, "bad-option")),
        ("/v1/jobs?faces=" + "1," * 500 + "1", (422, "bad-option")),
        ("/v1/jobs?face=1,2,3", (422, "bad-option")),
        ("/v1/jobs?turn=45", (422, "bad-option")),
        ("/v1/jobs?format=exe", (422, "bad-option")),
        ("/v1/jobs?clean=1.5", (422, "bad-option")),
        ("/v1/jobs?strenght=0.5", (422, "bad-option")),
        ("/v1/restore?sign=key.pem", (422, "bad-option")),
        ("/v1/jobs/../../etc/passwd", (404, "no-route")),
        (f"/v1/jobs/{NO_JOB}/again", (404, "no-job")),
        ("/v1/jobs/%2e%2e%2fjobs.sqlite/again", (404, "no-route")),
        ("/v1/jobs/..%5cjobs/again", (404, "no-job")),
        ("/v1/server", (405, "no-method")),
    ],
)
def test_bad_requests_are_typed(server: Running, path: str, expected: tuple[int, str]) -> None:
    request = requests.Request("POST", server.url, data=photo()).prepare()
    request.url = server.url + path  # as it is, not tidied up
    assert problem(requests.Session().send(request, timeout=10)) == expected


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/restore", "POST"),
        ("/v1/jobs", "GET, HEAD, POST"),
        (f"/v1/jobs/{NO_JOB}", "DELETE, GET, HEAD"),
    ],
)
def test_every_method_of_an_address_is_named(server: Running, path: str, allowed: str) -> None:
    answer = requests.put(server.url + path, timeout=10)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("path", ["/v1/restore", "/v1/jobs", f"/v1/jobs/{NO_JOB}/again"])
def test_a_parameter_that_does_not_exist_is_refused_by_its_name(server: Running, path: str) -> None:
    answer = requests.post(server.url + path, params={"strenght": "0.5"}, data=photo(), timeout=10)
    if "again" in path:  # the job is looked for first
        assert answer.status_code in (404, 422)
    else:
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith("strenght: ")


def test_broken_forms_are_typed(server: Running) -> None:
    def send(body: bytes, content_type: str) -> tuple[int, str]:
        headers = {"Content-Type": content_type}
        return problem(requests.post(server.url + "/v1/jobs", data=body, headers=headers, timeout=10))

    assert send(b"x", "multipart/form-data") == (400, "bad-form")
    assert send(b"x", "multipart/form-data; boundary=b") == (400, "bad-form")
    part = b'--b\r\ncontent-disposition: form-data; name="file"\r\n\r\nno file\r\n--b--\r\n'
    assert send(part, "multipart/form-data; boundary=b") == (422, "no-file")


def test_a_name_is_data_and_nothing_else(server: Running) -> None:
    name = "../../<img src=x onerror=alert(1)>\u202e\x00\n.png"
    answer = requests.post(server.url + "/v1/jobs", params={"name": name}, data=photo(), timeout=10)
    assert answer.json()["name"] == "<img src=x onerror=alert(1)>.png"
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    server.client.wait(answer.json()["id"])
    result = requests.get(f"{server.url}{answer.headers['location']}/result", timeout=5)
    assert "<" not in result.headers["content-disposition"]


def test_a_full_queue_is_429_and_a_client_waits_for_room(tmp_path: Path) -> None:
    with running(tmp_path, queue=3, workers=0) as server:
        server.ready()
        accepted = [server.client.submit(photo(n)) for n in range(3)]
        assert server.client.status(accepted[2].id).ahead == 2
        answer = requests.post(server.url + "/v1/jobs", data=photo(), timeout=10)
        assert problem(answer) == (429, "queue-full")
        assert int(answer.headers["retry-after"]) > 0
        assert len(list((tmp_path / "jobs").iterdir())) == 3, "nothing is left of a refused photo"
        with pytest.raises(ServerError, match="waiting already"):
            Client(server.url, patience=0).submit(photo())
        threading.Timer(0.5, server.client.delete, [accepted[0].id]).start()
        assert Client(server.url, patience=30).submit(photo()).state == "queued"


def test_photos_that_are_still_arriving_take_room_in_the_queue(tmp_path: Path) -> None:
    with running(tmp_path, queue=2, workers=0) as server:
        host, port = server.url.removeprefix("http://").split(":")
        half = b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n\xff\xd8\xff"
        arriving = [socket.create_connection((host, int(port)), timeout=10) for _ in range(2)]
        for connection in arriving:
            connection.sendall(half)
        until = time.monotonic() + 10
        while len(list((tmp_path / "jobs").iterdir())) < 2:
            assert time.monotonic() < until
            time.sleep(0.02)
        answer = requests.post(server.url + "/v1/jobs", data=photo(), timeout=10)
        assert problem(answer) == (429, "queue-full")
        for connection in arriving:
            connection.close()
        assert Client(server.url, patience=30).submit(photo()).state == "queued"
        assert len(list((tmp_path / "jobs").iterdir())) == 1, "what was broken off left nothing"


def test_a_job_beyond_its_time_is_ended_even_if_the_model_hangs(tmp_path: Path) -> None:
    with running(tmp_path, job_seconds=1.0) as server:
        job = server.ready().client.submit(photo(mark=STUCK))
        other = server.client.submit(photo(mark=255))
        status = server.client.wait(job.id, seconds=30)
        assert status.state == "failed"
        assert status.error is not None
        assert "no progress for 1 s" in status.error
        assert server.client.wait(other.id, seconds=30).state == "done"
        answer = requests.post(server.url + "/v1/restore", data=photo(mark=STUCK), timeout=30)
        assert problem(answer) == (503, "too-slow")


def test_a_large_photo_may_take_longer_as_long_as_it_makes_progress(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (1600, 1200), (SLOW, 0, 0)).save(stream, "PNG")  # every tile is slow
    with running(tmp_path, job_seconds=2.0) as server:
        start = time.monotonic()
        job = server.ready().client.submit(stream.getvalue())
        assert server.client.wait(job.id).state == "done"
        assert time.monotonic() - start > 2 * 2.0


def test_hostile_files_get_a_typed_answer_each(server: Running, shared: Path) -> None:
    files = sorted((shared / "data" / "hostile").iterdir())
    assert len(files) > 100

    def send(path: Path) -> int:
        answer = requests.post(server.url + "/v1/restore?scale=1", data=path.read_bytes(), timeout=120)
        return 200 if answer.status_code == 200 else problem(answer)[0]

    with ThreadPoolExecutor(4) as pool:
        statuses = set(pool.map(send, files))
    assert statuses <= {200, 413, 415, 422}
    assert 422 in statuses
    assert server.process.poll() is None
    assert opened(server.client.restore(photo()).data).size == (440, 240)
