"""Signing and showing from the command line, by every engine; the page's own commands; time stamps."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import archive_stub
import numpy as np
import pytest
from PIL import Image
from restore_stubs import StubModels, twice

from revisage.batch import Job, SaveOptions, photo
from revisage.cli import label as shown
from revisage.cli import main
from revisage.cli import restore as command
from revisage.label import Credentials, check, read, signature
from revisage.restore import RestoreOptions, Restorer, Settings

pytest.importorskip("c2pa", reason="needs c2pa-python, which comes with revisage[sign]")
from certificates import Authority, found_authority

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the program openssl")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return found_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def archive(authority: Authority) -> Credentials:
    return authority.issue("archive")


def make(settings: Settings, threads: int | None) -> Restorer:
    """The Restorer of a worker process."""
    return archive_stub.make(threads)


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two photos, and stub models for every engine."""
    models = StubModels(scene=twice)
    monkeypatch.setattr(command, "Restorer", lambda *args, **kwargs: Restorer(models=models))
    monkeypatch.setattr("revisage.batch.make_restorer", make)
    folder = tmp_path / "in"
    folder.mkdir()
    pixels = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "0.jpg")
    Image.fromarray(pixels[::-1]).save(folder / "1.png")
    return folder


def options(credentials: Credentials) -> list[str]:
    return ["--sign", str(credentials.certificate), str(credentials.key)]


@pytest.mark.parametrize("engine", [[], ["--processes", "2"], ["--resume"]], ids=["threads", "two", "resume"])
def test_every_photo_of_a_run_is_signed(
    engine: list[str],
    album: Path,
    tmp_path: Path,
    authority: Authority,
    capsys: pytest.CaptureFixture[str],
) -> None:
    archive = authority.issue("archive")
    out, report = tmp_path / "out", tmp_path / "report.json"
    signing = [*options(archive), "--report", str(report)]
    assert main(["restore", str(album), "-o", str(out), *engine, *signing]) == 0
    results = sorted(path for path in out.iterdir() if path.is_file())
    assert [path.name for path in results] == ["0.jpg", "1.png"]
    for path in results:
        found = signature(path.read_bytes(), authority.root)
        assert found is not None
        assert (found.state, found.signer, found.parent) == ("trusted", "archive", path.name)
        assert read(path.read_bytes()) is not None
    assert {entry["status"] for entry in json.loads(report.read_text())["photos"]} == {"restored"}
    # Of the key nothing got anywhere, not even where it lies.
    secret = Path(archive.key).read_bytes().splitlines()[1]
    said = capsys.readouterr()
    for text in (path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()):
        assert secret not in text
        assert str(archive.key).encode() not in text
    assert str(archive.key) not in said.out + said.err
    roots = tmp_path / "roots.pem"
    roots.write_bytes(authority.root)
    assert main(["label", *map(str, results), "--roots", str(roots)]) == 0
    assert capsys.readouterr().out.count(shown.MEANING["trusted"]) == 2


def test_a_photo_that_cannot_be_signed_as_it_is_becomes_a_png(
    album: Path,
    tmp_path: Path,
    archive: Credentials,
) -> None:
    Image.new("RGB", (20, 20), "red").save(album / "2.bmp")
    assert main(["restore", str(album), "-o", str(tmp_path / "out"), *options(archive)]) == 0
    found = signature((tmp_path / "out" / "2.png").read_bytes())
    assert found is not None
    assert (found.state, found.parent) == ("valid", "2.bmp")


def test_another_certificate_signs_anew(
    album: Path,
    tmp_path: Path,
    authority: Authority,
    archive: Credentials,
) -> None:
    out = tmp_path / "out"

    def signers(credentials: Credentials) -> list[tuple[int, str | None]]:
        assert main(["restore", str(album), "-o", str(out), "--resume", *options(credentials)]) == 0
        found = [(path, signature(path.read_bytes())) for path in sorted(out.glob("[01].*"))]
        return [(path.stat().st_mtime_ns, sign.signer) for path, sign in found if sign]

    first = signers(archive)
    assert [name for _, name in first] == ["archive"] * 2
    assert signers(archive) == first  # nothing to do
    assert [name for _, name in signers(authority.issue("next year"))] == ["next year"] * 2


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authority: Authority) -> Path:
    """The current folder, with two certificates and their keys in it."""
    monkeypatch.chdir(tmp_path)
    for name in ("archive", "other"):
        issued = authority.issue(name)
        for path in (issued.certificate, issued.key):
            shutil.copy(path, tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "out", "--sign", "archive.pem", "other.key.pem"], "is not the key of"),
        (["-o", "out", "--sign", "none.pem", "archive.key.pem"], "none.pem cannot be read"),
        (["-o", "out", "--sign", "archive.pem"], "--sign"),
        (["-o", "out", "--no-label", "--sign", "archive.pem", "archive.key.pem"], "leave out --no-label"),
        (["-o", "out", "--video", "--sign", "archive.pem", "archive.key.pem"], "--video goes with none of"),
        (["-o", "out", "--timestamp", "http://stamp.example/"], "--timestamp goes with --sign"),
    ],
)
def test_what_is_wrong_is_told_before_the_first_photo(
    arguments: list[str],
    message: str,
    album: Path,
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["restore", str(album), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (here / "out").exists()


def test_a_named_bmp_is_refused(
    album: Path,
    tmp_path: Path,
    archive: Credentials,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out.bmp"
    assert main(["restore", str(album / "0.jpg"), "-o", str(out), *options(archive)]) == 2
    assert "BMP cannot be signed" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("change", ["key", "photo"])
def test_what_changes_during_a_run_is_told_and_tried_again(
    change: str,
    album: Path,
    tmp_path: Path,
    authority: Authority,
) -> None:
    credentials = authority.issue("gone")
    job, restorer = Job(album / "0.jpg", tmp_path / "out.jpg"), Restorer(models=StubModels(scene=twice))
    picture, marks = photo.read(job, restorer.settings.limits, SaveOptions())
    result = photo.restore(picture, restorer, RestoreOptions(), None, seconds=60)
    if change == "key":
        Path(credentials.key).unlink()
    else:
        shutil.copy(album / "1.png", album / "0.jpg")
    with pytest.raises(Exception, match=r"cannot be read|was changed while") as told:
        photo.write(job, marks, result, SaveOptions(sign=credentials))
    assert photo.failed(job, told.value, marks).reason == "unsigned"
    assert not (tmp_path / "out.jpg").exists()


def test_what_the_command_shows(
    album: Path,
    tmp_path: Path,
    archive: Credentials,
    capsys: pytest.CaptureFixture[str],
) -> None:
    signed = tmp_path / "signed.png"
    assert main(["restore", str(album / "1.png"), "-o", str(signed), *options(archive)]) == 0
    again = tmp_path / "again.webp"
    assert main(["restore", str(signed), "-o", str(again), *options(archive)]) == 0
    capsys.readouterr()
    assert main(["label", str(album / "1.png"), str(again)]) == 0
    out = capsys.readouterr().out
    first, second = re.split(r"^(?=/.*again)", out, flags=re.MULTILINE)
    assert re.search(r"label +none by Revisage\n +signature +none\n", first)
    for line in (
        r"label +edited with AI by revisage \S+: stub-scene 1",
        r"signature +holds, but whose certificate it is",
        r"signed by +archive of Museum, with revisage ",
        r"actions +c2pa.opened, c2pa.edited",
        r"source +http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrained",
        r"model +stub-scene 1, SHA-256 unknown",
        r"made from +signed.png, SHA-256 [0-9a-f]{64}",
        r"earlier +signed by archive with revisage ",
    ):
        assert re.search(line, second), line
    data = bytearray(signed.read_bytes())
    data[data.rindex(b"IDAT") + 9] ^= 1
    signed.write_bytes(data)
    assert main(["label", str(signed)]) == 1
    assert "DOES NOT HOLD" in capsys.readouterr().out


def test_what_the_command_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["label"]) == 2
    assert main(["label", str(tmp_path / "none.jpg")]) == 1
    (tmp_path / "text.pem").write_text("text")
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    for roots in ("text.pem", "none.pem"):
        assert main(["label", str(tmp_path / "a.png"), "--roots", str(tmp_path / roots)]) == 2
        assert not capsys.readouterr().out
    monkeypatch.setitem(__import__("sys").modules, "c2pa", None)
    assert main(["label", str(tmp_path / "a.png")]) == 0
    assert 'pip install "revisage[sign]"' in capsys.readouterr().out


def test_a_folder_stands_for_its_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "below").mkdir()
    for name in ("a.png", "below/b.jpg"):
        Image.new("RGB", (9, 9)).save(tmp_path / name)
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x18ftypisom")
    (tmp_path / "film.mkv").write_bytes(b"\x1aE\xdf\xa3")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "README").write_text("Dear aunt")
    assert main(["label", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    told = [line for line in out.splitlines() if not line.startswith(" ")]
    assert told == [str(tmp_path / name) for name in ("a.png", "below/b.jpg", "film.mkv", "film.mp4")]
    assert err == f"{tmp_path / 'README'}: it is no picture\n"
    for name, text in (("torn.jpg", "Dear aunt"), ("film.mkv", "")):
        (tmp_path / name).write_text(text)
        assert main(["label", str(tmp_path)]) == 1
        (tmp_path / name).unlink()
    (tmp_path / "empty").mkdir()
    assert main(["label", str(tmp_path / "empty")]) == 2


def test_what_is_torn_or_no_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torn, text, empty = (tmp_path / name for name in ("torn.png", "text.jpg", "empty.jpg"))
    Image.effect_noise((99, 99), 50).save(torn)
    torn.write_bytes(torn.read_bytes()[:5000])
    assert main(["label", str(torn)]) == 0
    assert "signature  none" in capsys.readouterr().out
    text.write_text("Dear aunt")
    empty.touch()
    assert main(["label", str(text), str(empty)]) == 1
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", f"{text}: it is no picture\n{empty}: it is empty\n")


def test_a_terminal_is_not_told_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    shown._line("label", "red\x1b[31m\nsignature  holds")
    assert capsys.readouterr().out == "  label      red[31msignature  holds\n"


def shell_of(page: str) -> str:
    """The commands of a page of the documentation that are for a shell."""
    text = (Path(__file__).parents[1] / "docs" / page).read_text()
    [commands] = re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return str(commands)


@pytest.fixture(scope="module")
def tested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the page's commands were run."""
    folder = tmp_path_factory.mktemp("openssl")
    subprocess.run(["sh", "-ec", shell_of("labels.md")], cwd=folder, check=True, capture_output=True)
    return folder


@needs_openssl
def test_the_pages_commands_make_a_certificate_that_signs(tested: Path, album: Path, tmp_path: Path) -> None:
    credentials = Credentials(tested / "signer.pem", tested / "signer.key.pem")
    check(credentials)
    out = tmp_path / "out.jpg"
    assert main(["restore", str(album / "0.jpg"), "-o", str(out), *options(credentials)]) == 0
    found = signature(out.read_bytes(), (tested / "root.pem").read_bytes())
    assert found is not None
    assert (found.state, found.signer) == ("trusted", "Test signer")


@pytest.fixture
def stamping(tested: Path) -> Iterator[str]:
    """A time stamp server (RFC 3161), made of OpenSSL."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=tested, check=True, capture_output=True)

    (tested / "stamp.ext").write_text(
        "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
        "extendedKeyUsage=critical,timeStamping\nauthorityKeyIdentifier=keyid\n"
    )
    (tested / "stamp.cnf").write_text(
        "[tsa]\ndefault_tsa=t\n[t]\nserial=serial\nsigner_cert=stamp.crt\ncerts=root.pem\n"
        "signer_key=stamp.key\nsigner_digest=sha256\ndefault_policy=1.2.3.4\n"
        "digests=sha256,sha384,sha512\ness_cert_id_alg=sha256\n"
    )
    (tested / "serial").write_text("01")
    subject = ["-nodes", "-subj", "/O=Test/CN=Clock", "-keyout", "stamp.key", "-out", "stamp.csr"]
    openssl("req", "-newkey", "rsa:2048", *subject)
    issuer = ["-CA", "root.pem", "-CAkey", "root.key.pem", "-CAcreateserial", "-extfile", "stamp.ext"]
    openssl("x509", "-req", "-in", "stamp.csr", *issuer, "-days", "9", "-out", "stamp.crt")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            (tested / "query").write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
            openssl("ts", "-reply", "-config", "stamp.cnf", "-queryfile", "query", "-out", "answer")
            answer = (tested / "answer").read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@needs_openssl
def test_a_time_stamp_server_tells_when(
    stamping: str, tested: Path, album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jpg"
    credentials = Credentials(tested / "signer.pem", tested / "signer.key.pem")
    signing = [*options(credentials), "--timestamp", stamping]
    assert main(["restore", str(album / "0.jpg"), "-o", str(out), *signing]) == 0
    found = signature(out.read_bytes(), (tested / "root.pem").read_bytes())
    assert found is not None
    assert found.state == "trusted"
    assert found.time is not None
    age = datetime.now(UTC) - datetime.fromisoformat(found.time)
    assert abs(age.total_seconds()) < 60
    assert main(["label", str(out)]) == 0
    assert f"signed at  {found.time}" in capsys.readouterr().out
