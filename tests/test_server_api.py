"""The API of a running server: answers, limits, errors, who may see what. Stub models, real processes."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from email import message_from_bytes, policy
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image
from server_stub import SLOW, STUCK, TOKEN, Running, photo, running

from revisage.label import read
from revisage.server.client import Client, ServerError
from revisage.server.options import JobOptions
from revisage.server.queue.jobs import new_id

KIB = 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    limits = {"body_bytes": 256 * KIB, "max_pixels": 1_000_000, "upload_seconds": 1.0, "queue": 30}
    with running(tmp_path_factory.mktemp("server"), **limits) as server:
        yield server.ready()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("guarded"), tokens=(TOKEN, "another-token-of-16")) as server:
        yield server.ready()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def problem(answer: requests.Response) -> tuple[int, str]:
    """Status and code of an error, which must be a problem of RFC 9457."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    assert body.keys() == {"type", "title", "status", "code", "detail"}
    assert body["status"] == answer.status_code
    assert body["type"] == f"urn:revisage:error:{body['code']}"
    assert body["detail"]
    return answer.status_code, body["code"]


# Answers


def test_a_photo_is_restored_while_one_waits(server: Running) -> None:
    answer = requests.post(server.url + "/v1/restore?strength=1&scale=2", data=photo(), timeout=30)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    picture = opened(answer.content)
    assert picture.size == (440, 240)
    assert read(answer.content) is not None, "the label says that it was edited"
    report = requests.get(server.url + answer.headers["link"].split(">")[0][1:], timeout=5).json()
    assert [face["outcome"] for face in report["photos"][0]["faces"]] == ["restored", "restored"]


def test_photo_and_report_come_in_one_answer_if_asked_for(server: Running) -> None:
    answer = requests.post(
        server.url + "/v1/restore", data=photo(), headers={"Accept": "multipart/mixed"}, timeout=30
    )
    head = f"content-type: {answer.headers['content-type']}\r\n\r\n".encode()
    image, report = message_from_bytes(head + answer.content, policy=policy.HTTP).iter_parts()
    assert opened(image.get_content()).size == (440, 240)
    assert report.get_content_type() == "application/json"
    assert json.loads(report.get_content())["photos"][0]["status"] == "restored"


def test_a_form_is_as_good_as_a_body(server: Running) -> None:
    form = {"file": ('dir/grüße "a"\r\n.jpg', photo(format="JPEG"), "image/jpeg")}
    answer = requests.post(server.url + "/v1/restore", files=form, timeout=30)
    assert answer.headers["content-type"] == "image/jpeg"
    assert "filename*=UTF-8''gr%C3%BC%C3%9Fe" in answer.headers["content-disposition"]
    assert answer.headers["content-disposition"].count('"') == 2


def test_a_job_is_followed_and_fetched(server: Running) -> None:
    job = server.client.submit(photo(mark=SLOW), JobOptions(scale="1", format="WEBP"))
    events = list(server.client.events(job.id))
    stages = [event.data["stage"] for event in events if event.name == "progress"]
    assert list(dict.fromkeys(stages)) == ["decode", "find", "faces", "scene", "save"]
    texts = [event.data["text"] for event in events if event.name == "progress"]
    assert {"2 faces found", "tile 1 of 1", "face 2 of 2"} <= set(texts)
    assert events[-1].name == "done"
    assert opened(server.client.result(job.id)).format == "WEBP"
    assert server.client.status(job.id).state == "done"
    assert server.client.report(job.id)["photos"][0]["size_out"] == [220, 120]


def test_options_do_what_they_do_on_the_command_line(server: Running) -> None:
    whole = opened(server.client.restore(photo()).data)
    one = opened(server.client.restore(photo(), JobOptions(faces="1")).data)
    none = opened(server.client.restore(photo(), JobOptions(strength=0)).data)
    with pytest.raises(ServerError, match="there is no face 3: 2 faces found"):
        server.client.restore(photo(), JobOptions(faces="3"))
    first, second = (120, 120), (320, 120)  # the centres of the faces, doubled
    assert whole.getpixel(first) == one.getpixel(first) != none.getpixel(first)
    assert whole.getpixel(second) != one.getpixel(second) == none.getpixel(second)


def test_other_options_need_no_upload(server: Running) -> None:
    job = server.client.submit(photo(77))
    again = server.client.again(job.id, JobOptions(strength=0.25, previews=True))
    assert again.id != job.id
    assert server.client.wait(again.id).state == "done"
    expected = server.client.restore(photo(77), JobOptions(strength=0.25)).data
    assert server.client.result(again.id) == expected
    previews = {
        which: requests.get(f"{server.url}/v1/jobs/{again.id}/previews/{which}", timeout=5)
        for which in ("before", "after", "without", "with")
    }
    assert all(answer.headers["content-type"] == "image/jpeg" for answer in previews.values())
    pictures = {which: np.asarray(opened(answer.content), int) for which, answer in previews.items()}
    assert pictures.pop("before").shape == (120, 220, 3)
    assert {picture.shape for picture in pictures.values()} == {(240, 440, 3)}
    changed = np.abs(pictures["with"] - pictures["without"]).sum(axis=2) > 30
    assert changed[120, 120]
    assert changed[120, 320]
    assert not changed[:, 200:250].any()
    server.client.delete(job.id)
    assert server.client.status(again.id).state == "done", "a job does not share its photo's life"


def test_results_come_as_one_archive_once_all_are_done(server: Running) -> None:
    done, slow = server.client.submit(photo(91)), server.client.submit(photo(mark=SLOW))
    server.client.wait(done.id)
    address = f"{server.url}/v1/archive"
    assert requests.get(address, {"job": [done.id, slow.id]}, timeout=5).json()["code"] == "not-done"
    assert requests.get(address, {"job": [done.id, "0" * 32]}, timeout=5).json()["code"] == "no-job"
    server.client.wait(slow.id)
    answer = requests.get(address, {"job": [done.id, slow.id, done.id]}, timeout=5)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["photo.restored.png", "photo.restored-2.png", "restored.csv"]
        assert archive.read("photo.restored.png") == server.client.result(done.id)
    assert requests.head(address, params={"job": done.id}, timeout=5).status_code == 200


def test_a_deleted_job_is_gone_from_the_disk_too(server: Running) -> None:
    for mark in (255, SLOW):
        job = server.client.submit(photo(mark=mark))
        if mark != SLOW:
            server.client.wait(job.id)
        server.client.delete(job.id)
        for ask in (server.client.status, server.client.result, server.client.report, server.client.delete):
            with pytest.raises(ServerError, match="no such job") as caught:
                ask(job.id)
            assert caught.value.status == 404
    time.sleep(1.5)  # the slow one's worker is still at it, and may write
    assert not (server.settings.data / "jobs" / job.id).exists()


def test_a_job_that_is_not_done_has_no_result(server: Running) -> None:
    job = server.client.submit(photo(mark=SLOW))
    with pytest.raises(ServerError) as caught:
        server.client.result(job.id)
    assert (caught.value.status, caught.value.code) == (409, "not-done")
    server.client.delete(job.id)


def test_two_users_never_get_each_others_photos(server: Running) -> None:
    """Many at once, each with photos of its own; each answer must be that of its own input."""

    def expected(level: int) -> tuple[int, int, int]:
        return (200, level % 256, level // 256)

    def user(number: int) -> None:
        client = Client(server.url, patience=60)
        for turn in range(6):
            level = 1000 * turn + 7 * number
            answer = opened(client.restore(photo(level), JobOptions(strength=0)).data)
            assert answer.getpixel((200, 20)) == expected(level)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(user, range(8)))


def test_the_description_of_the_api_names_every_route(server: Running) -> None:
    paths = requests.get(server.url + "/openapi.json", timeout=5).json()["paths"]
    assert {"/v1/restore", "/v1/jobs", "/v1/jobs/{id}", "/v1/jobs/{id}/events", "/healthz"} <= paths.keys()
    for path, more in (("/v1/restore", {"name"}), ("/v1/jobs", {"name"}), ("/v1/jobs/{id}/again", {"id"})):
        parameters = paths[path]["post"]["parameters"]
        options = {field.name for field in fields(JobOptions)} - {"sign"}
        assert {parameter["name"] for parameter in parameters} == options | more
        assert all(parameter.get("description") for parameter in parameters if parameter["name"] != "id")


def test_metrics_are_in_prometheus_format(server: Running) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    server.client.restore(photo())
    requests.get(server.url + "/no/such/route", timeout=5)
    text = requests.get(server.url + "/metrics", timeout=5).text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    done = [s.value for s in families["revisage_jobs_ended"].samples if s.labels.get("outcome") == "done"]
    assert done[0] >= 1
    states = {sample.labels["state"] for sample in families["revisage_jobs"].samples}
    assert states == {"queued", "running", "done", "failed", "poisoned"}
    routes = {sample.labels["route"] for sample in families["revisage_requests"].samples}
    assert "/v1/restore" in routes
    assert "/no/such/route" not in routes, "invented paths make no labels"


# Limits


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
    assert problem(requests.post(server.url + "/v1/restore", data=body, timeout=30)) == expected


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
        (f"/v1/jobs/{new_id()}/again", (404, "no-job")),
        ("/v1/jobs/%2e%2e%2fjobs.sqlite/again", (404, "no-route")),
        ("/v1/jobs/..%5cjobs/again", (404, "no-job")),
        ("/v1/server", (405, "no-method")),
    ],
)
def test_bad_requests_are_typed(server: Running, path: str, expected: tuple[int, str]) -> None:
    request = requests.Request("POST", server.url, data=photo()).prepare()
    request.url = server.url + path  # as it is, not tidied up
    assert problem(requests.Session().send(request, timeout=10)) == expected


@pytest.mark.parametrize("path", ["/v1/restore", "/v1/jobs", f"/v1/jobs/{new_id()}/again"])
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
    Image.new("RGB", (3200, 1600), (SLOW, 0, 0)).save(stream, "PNG")  # every tile is slow
    with running(tmp_path, job_seconds=1.5) as server:
        start = time.monotonic()
        job = server.ready().client.submit(stream.getvalue())
        assert server.client.wait(job.id).state == "done"
        assert time.monotonic() - start > 2 * 1.5


# Who may see what


def test_without_a_token_nothing_is_answered_but_the_page_and_health(guarded: Running) -> None:
    for path in ("/v1/jobs/" + new_id(), "/v1/server", "/share", "/metrics"):
        answer = requests.get(guarded.url + path, timeout=5)
        assert problem(answer) == (401, "no-token")
        assert answer.headers["www-authenticate"] == "Bearer"
    for wrong in ("", "Bearer", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}"):
        answer = requests.post(
            guarded.url + "/v1/jobs", data=photo(), headers={"Authorization": wrong}, timeout=5
        )
        assert problem(answer) == (401, "no-token")
    assert not list((guarded.settings.data / "jobs").iterdir())
    for path in ("/", "/docs", "/healthz", "/readyz"):
        assert requests.get(guarded.url + path, timeout=5).status_code == 200


def test_a_token_sees_only_its_own_jobs(guarded: Running) -> None:
    job = guarded.client.submit(photo())
    other = Client(guarded.url, "another-token-of-16")
    for ask in (other.status, other.result, other.report, other.delete):
        with pytest.raises(ServerError) as caught:
            ask(job.id)
        assert (caught.value.status, caught.value.code) == (404, "no-job")
    assert guarded.client.wait(job.id).state == "done"


def test_tokens_are_nowhere_in_clear(guarded: Running) -> None:
    guarded.client.restore(photo())
    written = b"".join(path.read_bytes() for path in guarded.settings.data.rglob("*") if path.is_file())
    assert TOKEN.encode() not in written
    assert hashlib.sha256(TOKEN.encode()).hexdigest()[:16].encode() in written, "the jobs have an owner"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Host": "evil.example"}, (421, "wrong-name")),
        ({"Sec-Fetch-Site": "cross-site"}, (403, "foreign-page")),
        ({"Origin": "http://evil.example"}, (403, "foreign-page")),
        ({"Origin": "null"}, (403, "foreign-page")),
    ],
)
def test_pages_of_other_sites_cannot_use_the_server(
    server: Running, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    answer = requests.post(server.url + "/v1/jobs", data=photo(), headers=headers, timeout=5)
    assert problem(answer) == expected
    assert "access-control-allow-origin" not in answer.headers


def test_the_page_loads_nothing_from_elsewhere(server: Running) -> None:
    for path in ("/", "/docs"):
        answer = requests.get(server.url + path, timeout=5)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert "http://" not in answer.text.replace("http://www.w3.org", "")
        assert "https://" not in answer.text


def test_nothing_hands_out_files_beside_the_page(server: Running) -> None:
    for path in ("/page/../app.py", "/page/%2e%2e/app.py", "/page/..%2fapp.py", "/page//etc/passwd"):
        request = requests.Request("GET", server.url).prepare()
        request.url = server.url + path
        assert problem(requests.Session().send(request, timeout=5)) == (404, "no-route")


# Files that mean harm


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


# HEAD, ranges, the list of jobs


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/healthz", "/readyz", "/metrics", "/v1/server", "/page/main.js"]
)
def test_head_is_get_without_its_body(server: Running, path: str) -> None:
    got, head = (requests.request(method, server.url + path, timeout=10) for method in ("GET", "HEAD"))
    assert head.status_code == got.status_code
    assert head.content == b""
    assert head.headers["content-type"] == got.headers["content-type"]


def test_a_result_is_told_of_and_fetched_in_parts(server: Running) -> None:
    job = server.client.submit(photo())
    server.client.wait(job.id)
    url = f"{server.url}/v1/jobs/{job.id}/result"
    whole = requests.get(url, timeout=10)
    size, tag = len(whole.content), whole.headers["etag"]
    assert whole.headers["accept-ranges"] == "bytes"

    def ask(text: str, **headers: str) -> requests.Response:
        return requests.get(url, headers={"range": text, **headers}, timeout=10)

    for text, start, stop in [("bytes=0-9", 0, 10), ("bytes=10-", 10, size), ("bytes=-5", size - 5, size)]:
        part = ask(text)
        assert part.status_code == 206
        assert part.content == whole.content[start:stop]
        assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
    assert ask("bytes=5-", **{"if-range": tag}).status_code == 206
    for text, headers in [
        ("bytes=5-", {"if-range": '"other"'}), ("bytes=1-2,4-5", {}), ("lines=1-2", {}), ("bytes=9-3", {})
    ]:  # fmt: skip
        assert ask(text, **headers).content == whole.content
    assert problem(ask(f"bytes={size}-")) == (416, "no-such-range")
    for path in ("result", "report", "events"):
        head = requests.head(f"{server.url}/v1/jobs/{job.id}/{path}", timeout=10)
        assert head.status_code == 200
    assert requests.head(url, timeout=10).headers["content-length"] == str(size)


def test_jobs_are_listed_newest_first(server: Running) -> None:
    ids = [server.client.submit(photo()).id for _ in range(3)]
    for id in ids:
        server.client.wait(id)
    url = f"{server.url}/v1/jobs"
    listed = requests.get(url, timeout=10).json()["jobs"]
    assert [job["id"] for job in listed][:3] == ids[::-1]
    assert [job["id"] for job in requests.get(url, params={"limit": 1}, timeout=10).json()["jobs"]] == ids[2:]
    states = {job["state"] for job in requests.get(url, params={"state": "done"}, timeout=10).json()["jobs"]}
    assert states == {"done"}
    assert requests.get(url, params={"limit": 0}, timeout=10).status_code == 422


def test_only_ones_own_jobs_are_listed(guarded: Running) -> None:
    def ids(token: str) -> list[str]:
        answer = requests.get(
            f"{guarded.url}/v1/jobs", headers={"authorization": f"Bearer {token}"}, timeout=10
        )
        return [job["id"] for job in answer.json()["jobs"]]

    job = Client(guarded.url, TOKEN).submit(photo())
    assert job.id in ids(TOKEN)
    assert job.id not in ids("another-token-of-16")
    assert requests.get(f"{guarded.url}/v1/jobs", timeout=10).status_code == 401


def test_what_is_there_of_a_damaged_photo_over_http(server: Running) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "JPEG")
    cut = stream.getvalue()[: len(stream.getvalue()) // 2]
    assert problem(requests.post(f"{server.url}/v1/restore", data=cut, timeout=30)) == (422, "photo-damaged")
    answer = requests.post(f"{server.url}/v1/restore", params={"damaged": "true"}, data=cut, timeout=30)
    assert opened(answer.content).size == (320, 240)
    report = requests.get(server.url + answer.headers["link"].split(">")[0][1:], timeout=5).json()
    assert report["photos"][0]["there"] == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize(("pages", "count"), [("first", 1), ("all", 3)])
def test_pages_over_http(server: Running, pages: str, count: int) -> None:
    stream = io.BytesIO()
    first, *rest = (Image.new("RGB", (60, 40), (200, level, 0)) for level in (10, 20, 30))
    first.save(stream, "TIFF", save_all=True, append_images=rest)
    answer = requests.post(
        f"{server.url}/v1/restore", params={"pages": pages}, data=stream.getvalue(), timeout=60
    )
    assert opened(answer.content).n_frames == count
    report = requests.get(server.url + answer.headers["link"].split(">")[0][1:], timeout=5).json()
    assert report["photos"][0]["pages_left"] == 3 - count


@pytest.mark.parametrize("format", ["jpg", "JPEG", "tif", "heic", "jxl"])
def test_a_format_has_its_usual_names(server: Running, format: str) -> None:
    answer = requests.post(f"{server.url}/v1/restore", params={"format": format}, data=photo(), timeout=30)
    assert answer.status_code == 200
    expected = {"jpg": "image/jpeg", "jpeg": "image/jpeg", "tif": "image/tiff", "heic": "image/heic"}
    expected["jxl"] = "image/jxl"
    assert answer.headers["content-type"] == expected[format.lower()]
