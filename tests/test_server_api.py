"""The API of a running server: what it answers. Stub models, real processes."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from email import message_from_bytes, policy

import numpy as np
import pytest
import requests
from PIL import Image
from server_stub import SLOW, Running, photo, problem, running

from revisage.label import read
from revisage.options import mask_text
from revisage.server.client import Client, ServerError
from revisage.server.options import JobOptions
from revisage.server.schemas import OptionsQuery

KIB = 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    limits = {"body_bytes": 256 * KIB, "max_pixels": 1_000_000, "upload_seconds": 1.0, "queue": 30}
    with running(tmp_path_factory.mktemp("server"), **limits) as server:
        yield server.ready()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


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


def test_an_option_in_a_form_is_not_passed_over(server: Running) -> None:
    form = {"file": ("a.jpg", photo(format="JPEG"), "image/jpeg")}
    answer = requests.post(server.url + "/v1/jobs", files=form, data={"strength": "0.5"}, timeout=30)
    assert (answer.status_code, answer.json()["code"]) == (422, "bad-option")
    assert answer.json()["detail"].startswith("strength: a form has only the photo")


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


def test_a_mask_is_sent_with_the_options(server: Running) -> None:
    spot, data, mask = opened(photo()), io.BytesIO(), io.BytesIO()
    spot.paste((0, 0, 0), (100, 50, 112, 58))
    spot.save(data, "PNG")
    dots = np.random.default_rng(0).random((60, 110)) < 0.02  # so that it is as large as a drawn one
    dots[24:30, 49:57] = True  # in pixels of half the size
    Image.fromarray(dots).save(mask, "PNG")
    plain, repaired = (
        opened(server.client.restore(data.getvalue(), JobOptions(scale="1", strength=0, mask=given)).data)
        for given in (None, mask.getvalue())
    )
    assert max(plain.getpixel((105, 54))) < 20
    assert repaired.getpixel((105, 54)) == pytest.approx(repaired.getpixel((105, 90)), abs=3)
    with pytest.raises(ServerError, match="another shape"):
        server.client.restore(photo(size=(100, 100)), JobOptions(mask=mask.getvalue()))


def test_options_do_what_they_do_on_the_command_line(server: Running) -> None:
    whole = opened(server.client.restore(photo()).data)
    one = opened(server.client.restore(photo(), JobOptions(faces="1")).data)
    none = opened(server.client.restore(photo(), JobOptions(strength=0)).data)
    with pytest.raises(ServerError, match="there is no face 3: 2 faces found"):
        server.client.restore(photo(), JobOptions(faces="3"))
    first, second = (120, 120), (320, 120)  # the centres of the faces, doubled
    assert whole.getpixel(first) == one.getpixel(first) != none.getpixel(first)
    assert whole.getpixel(second) != one.getpixel(second) == none.getpixel(second)


def test_color_is_colour_as_on_the_command_line(server: Running) -> None:
    def sent(query: str) -> requests.Response:
        return requests.post(f"{server.url}/v1/restore?{query}", photo(), timeout=30)

    keep, enhance, other = (
        sent(query).content for query in ("color=keep", "color=enhance", "colour=enhance")
    )
    assert keep != enhance == other
    assert OptionsQuery(color="revive").options() == JobOptions(colour="revive")
    assert problem(sent("color=sepia")) == (422, "bad-option")
    for twice in ("color=keep&color=enhance", "color=keep&colour=enhance"):
        assert sent(twice).json()["detail"] == "colour: give it once"


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


def test_a_photo_may_do_without_a_model(server: Running) -> None:
    offered = requests.get(server.url + "/v1/server", timeout=5).json()["options"]
    assert offered["scene"]["enum"][:2] == offered["model"]["enum"][:2] == ["auto", "none"]
    assert offered["repair"]["enum"] == ["off", "light", "full"]
    job = server.client.submit(photo(78), JobOptions(scene="none"))
    assert server.client.wait(job.id).state == "done"
    assert server.client.report(job.id)["photos"][0]["models"]["scene"] is None
    again = server.client.again(job.id, JobOptions())
    assert server.client.wait(again.id).state == "done"
    assert server.client.report(again.id)["photos"][0]["models"]["scene"] == "stub-scene 1"
    assert server.client.result(again.id) == server.client.restore(photo(78)).data


def test_results_come_as_one_archive_once_all_are_done(server: Running) -> None:
    done, slow = server.client.submit(photo(91)), server.client.submit(photo(mark=SLOW))
    server.client.wait(done.id)
    address = f"{server.url}/v1/archive"
    early = requests.get(address, {"job": [done.id, slow.id]}, timeout=5).json()
    assert (early["code"], early["detail"]) == ("not-done", f"the job {slow.id} is not done yet")
    failed = server.client.wait(server.client.submit(photo()[:200]).id)
    answer = requests.get(address, {"job": [done.id, failed.id]}, timeout=5).json()
    assert answer["detail"].startswith(f"the job {failed.id} has no result: ")
    assert requests.get(address, {"job": [done.id, "0" * 32]}, timeout=5).json()["code"] == "no-job"
    server.client.wait(slow.id)
    answer = requests.get(address, {"job": [done.id, slow.id, done.id]}, timeout=5)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["photo.restored.png", "photo.restored-2.png", "restored.csv"]
        assert archive.read("photo.restored.png") == server.client.result(done.id)
        for entry in archive.infolist():
            assert abs(time.mktime((*entry.date_time, 0, 0, -1)) - time.time()) < 120, "of now, not of 1980"
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


def test_the_description_has_the_answers_of_a_full_disk_and_a_job_that_is_gone(server: Running) -> None:
    paths = requests.get(server.url + "/openapi.json", timeout=5).json()["paths"]
    uploading = {"400", "408", "413", "415", "422", "429", "500", "503", "507"}
    for path, more in (("/v1/jobs", set()), ("/v1/restore", {"404"}), ("/v1/jobs/{id}/again", {"404"})):
        needed = uploading | more if "id" not in path else (uploading | more) - {"415"}
        assert needed <= paths[path]["post"]["responses"].keys(), path


def test_nothing_is_redirected_to_plain_http(server: Running) -> None:
    for path in ("/v1/jobs/", "/v1/restore/", "/v1/jobs/" + "0" * 32 + "/again/"):
        answer = requests.post(server.url + path, data=photo(), allow_redirects=False, timeout=5)
        assert problem(answer) == (404, "no-route")


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/server", "/v1/jobs/ID", "/v1/jobs/ID/result"])
def test_parameters_that_do_not_exist_are_refused_everywhere(path: str, server: Running) -> None:
    job = server.client.submit(photo())
    server.client.wait(job.id)
    address = server.url + path.replace("ID", job.id)
    assert problem(requests.get(address, {"colour": "keep"}, timeout=5)) == (422, "bad-option")
    assert requests.get(address, timeout=5).status_code == 200
    assert requests.get(f"{server.url}/v1/jobs?limit=1&state=done", timeout=5).status_code == 200


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("model=nope", "model 'nope': choose one of auto, none"),
        ("scene=revisage-face-256", "scene 'revisage-face-256': choose one of auto, none"),
        ("mask=%25%25%25", "no base64"),
        ("mask=", "no picture"),
        ("mask=bm8gcGljdHVyZQ", "no picture"),
        ("mask=bm8gcGljdHVyZQ==", "no picture"),
        ("mask=-_-_", "no picture"),
    ],
)
def test_what_no_job_could_do_is_refused_at_once(query: str, says: str, server: Running) -> None:
    first = server.client.submit(photo())
    for path in ("/v1/jobs", "/v1/restore", f"/v1/jobs/{first.id}/again"):
        answer = requests.post(f"{server.url}{path}?{query}", b"" if "again" in path else photo(), timeout=20)
        assert problem(answer) == (422, "bad-option")
        assert says in answer.json()["detail"]


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
    failed = server.client.wait(server.client.submit(cut).id)
    assert (failed.error or "").endswith("`damaged=true` takes that")
    again = server.client.again(failed.id, JobOptions(damaged=True))
    assert server.client.wait(again.id).state == "done"


@pytest.mark.parametrize(
    ("pages", "format", "count"), [("first", "auto", 1), ("all", "auto", 3), ("all", "png", 1)]
)
def test_pages_over_http(server: Running, pages: str, format: str, count: int) -> None:
    stream = io.BytesIO()
    first, *rest = (Image.new("RGB", (60, 40), (200, level, 0)) for level in (10, 20, 30))
    first.save(stream, "TIFF", save_all=True, append_images=rest)
    answer = requests.post(
        f"{server.url}/v1/restore",
        params={"pages": pages, "format": format},
        data=stream.getvalue(),
        timeout=60,
    )
    assert getattr(opened(answer.content), "n_frames", 1) == count
    report = requests.get(server.url + answer.headers["link"].split(">")[0][1:], timeout=5).json()
    assert report["photos"][0]["pages_left"] == 3 - count


@pytest.mark.parametrize("format", ["jpg", "JPEG", "tif", "heic", "jxl"])
def test_a_format_has_its_usual_names(server: Running, format: str) -> None:
    answer = requests.post(f"{server.url}/v1/restore", params={"format": format}, data=photo(), timeout=30)
    assert answer.status_code == 200
    expected = {"jpg": "image/jpeg", "jpeg": "image/jpeg", "tif": "image/tiff", "heic": "image/heic"}
    expected["jxl"] = "image/jxl"
    assert answer.headers["content-type"] == expected[format.lower()]


def test_a_mask_comes_as_the_body_of_another_try(server: Running) -> None:
    mask = np.zeros((120, 220), np.uint8)
    mask[100:110, 20:60] = 255
    stream = io.BytesIO()
    Image.fromarray(mask).save(stream, "PNG")
    first = server.client.submit(photo(91))
    server.client.wait(first.id)
    again = server.client.again(first.id, JobOptions(mask=stream.getvalue(), previews=True))
    assert server.client.wait(again.id).state == "done"
    assert server.client.report(again.id)["photos"][0]["repair"]["share"] == pytest.approx(
        400 / (120 * 220), abs=1e-4
    )
    shown = requests.get(f"{server.url}/v1/jobs/{again.id}/previews/mask", timeout=5)
    assert ((np.asarray(Image.open(io.BytesIO(shown.content))) > 127) == (mask > 0)).mean() > 0.999
    address = f"{server.url}/v1/jobs/{first.id}/again"
    assert problem(requests.post(address, data=bytes(200_000), timeout=5)) == (413, "too-long")
    assert problem(requests.post(address, data=b"no picture", timeout=5)) == (422, "bad-option")
    two = requests.post(address, stream.getvalue(), params={"mask": mask_text(stream.getvalue())}, timeout=5)
    assert problem(two) == (422, "bad-option")
    assert "two masks" in two.json()["detail"]
