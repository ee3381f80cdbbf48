"""Who may see what of a running server: tokens, names, pages of other sites."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
import requests
from server_stub import TOKEN, Running, photo, problem, running

from revisage.server.client import Client, ServerError
from revisage.server.queue.jobs import new_id


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("server")) as server:
        yield server.ready()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("guarded"), tokens=(TOKEN, "another-token-of-16")) as server:
        yield server.ready()


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
