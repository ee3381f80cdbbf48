"""Signed labels: they validate, one bit breaks them, history is kept, nothing is fetched, no key gets out."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from restore_stubs import StubModels, twice

from revisage.batch import SaveOptions, fingerprint
from revisage.errors import RevisageError, RuntimeUnavailableError, SigningError, UsageError
from revisage.image import decode, encode, format_of, from_array
from revisage.label import (
    DIGITAL_SOURCE_TYPE,
    Credentials,
    Earlier,
    Edit,
    Label,
    Original,
    Signature,
    add,
    check,
    packet,
    read,
    sign,
    signature,
)
from revisage.restore import RestoreOptions, Restorer, Settings

c2pa = pytest.importorskip("c2pa", reason="needs c2pa-python, which comes with revisage[sign]")
import certificates  # noqa: E402
from certificates import BAD, Authority, Key, found_authority  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: E402

FORMATS = ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"]
PHOTO = from_array(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))
LABEL = Label("revisage 0.1.0", ("revisage-face-256 1",))
MODELS = {"revisage-face-256 1": ("ab" * 32,)}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return found_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def archive(authority: Authority) -> Credentials:
    return authority.issue("archive")


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """A server of this machine, and the paths that it was asked for."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", paths
        server.shutdown()


def restorer() -> Restorer:
    return Restorer(models=StubModels(scene=twice))


def labelled(format: str) -> bytes:
    return encode(dataclasses.replace(PHOTO, xmp=packet(LABEL)), format=format)


def edit(data: bytes = b"", format: str = "JPEG") -> Edit:
    return Edit(LABEL.tool, MODELS, Original(data or encode(PHOTO, format=format), format, "attic.jpg"))


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def state(data: bytes, root: bytes) -> str | None:
    """What the library says itself, without any of our code."""
    settings = {"trust": {"user_anchors": root.decode()}, "verify": {"remote_manifest_fetch": False}}
    with c2pa.Reader(io.BytesIO(data), context=c2pa.Context.from_dict(settings)) as reader:
        found: str | None = reader.get_validation_state()
        return found


@pytest.mark.parametrize("format", FORMATS)
def test_a_signed_file_validates_and_says_what_was_done(
    format: str, authority: Authority, archive: Credentials
) -> None:
    original = encode(PHOTO, format="JPEG")
    data = encode(dataclasses.replace(PHOTO, dpi=(300.0, 300.0), xmp=packet(LABEL)), format=format)
    signed = sign(data, format, archive, edit(original))
    assert state(signed, authority.root) == "Trusted"
    assert signature(signed, authority.root) == Signature(
        "trusted",
        signer="archive",
        organisation="Museum",
        tool="revisage 0.1.0",
        actions=("c2pa.opened", "c2pa.edited"),
        source_types=(DIGITAL_SOURCE_TYPE,),
        models=(("revisage-face-256 1", ("ab" * 32,)),),
        original=hashlib.sha256(original).hexdigest(),
        parent="attic.jpg",
    )
    nobody = signature(signed)
    assert nobody is not None
    assert nobody.state == "valid"
    before, after = decode(data, isolate=False), decode(signed, isolate=False)
    assert np.array_equal(before.pixels, after.pixels)
    assert (before.xmp, before.dpi, before.exif, before.icc) == (after.xmp, after.dpi, after.exif, after.icc)
    assert read(signed) == read(data)
    assert signature(data) is None


def pixel_data(data: bytes, format: str) -> int:
    """Somewhere in the compressed pixels."""
    if format == "TIFF":
        with Image.open(io.BytesIO(data)) as image:
            return int(image.tag_v2[273][0]) + 9
    mark = {"JPEG": b"\xff\xda", "PNG": b"IDAT", "WEBP": b"VP8 ", "HEIF": b"mdat", "AVIF": b"mdat"}[format]
    return data.rindex(mark) + 40


@pytest.mark.parametrize("format", FORMATS)
def test_one_flipped_bit_is_seen(format: str, authority: Authority, archive: Credentials) -> None:
    signed = sign(labelled(format), format, archive, edit())
    places = {
        "pixels": pixel_data(signed, format),
        "manifest": signed.index(b"revisage.sha256") + 25,
        "model's name": signed.index(b"revisage.models") + 30,
        "label": signed.index(b"<revisage:Tool>") + 16,
    }
    for place, at in places.items():
        found = signature(flipped(signed, at), authority.root)
        assert found is not None, place
        assert found.state == "invalid", place
        assert found.problems, place
    assert state(flipped(signed, places["pixels"]), authority.root) == "Invalid"


def test_a_damaged_file_is_told_never_raised(authority: Authority, archive: Credentials) -> None:
    signed = sign(labelled("PNG"), "PNG", archive, edit())
    for end in range(0, len(signed), 997):
        found = signature(signed[:end], authority.root)
        assert found is None or found.state == "invalid"
    start = signed.index(b"caBX")
    states = [signature(flipped(signed, at)) for at in range(start + 60, start + 2500, 61)]
    assert all(found is None or found.state == "invalid" for found in states)


def test_a_manifest_made_in_another_way_is_told(archive: Credentials) -> None:
    # The library signs what it is given; a stranger may give it parameters of another form than ours.
    definition = {
        "assertions": [
            {
                "label": "c2pa.actions.v2",
                "data": {"actions": [{"action": "c2pa.edited", "parameters": {"revisage.models": [7]}}]},
            }
        ]
    }
    info = c2pa.C2paSignerInfo(
        "es256", Path(archive.certificate).read_bytes(), Path(archive.key).read_bytes(), None
    )
    out = io.BytesIO()
    with c2pa.Builder(definition) as builder, c2pa.Signer.from_info(info) as signer:
        builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
        builder.add_ingredient({"relationship": "parentOf"}, "image/png", io.BytesIO(labelled("PNG")))
        builder.sign(signer, "image/png", io.BytesIO(labelled("PNG")), out)
    assert signature(out.getvalue()) == Signature("invalid", ("the manifest is not made as C2PA asks",))


@pytest.mark.parametrize(
    "make",
    [
        lambda: ec.generate_private_key(ec.SECP384R1()),
        lambda: ec.generate_private_key(ec.SECP521R1()),
        ed25519.Ed25519PrivateKey.generate,
        lambda: rsa.generate_private_key(65_537, 2048),
    ],
    ids=["P-384", "P-521", "Ed25519", "RSA"],
)
def test_the_algorithm_follows_the_key(make: Callable[[], Key], authority: Authority) -> None:
    signed = sign(labelled("PNG"), "PNG", authority.issue("other", make()), edit())
    assert state(signed, authority.root) == "Trusted"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "HEIF", "AVIF"])
def test_any_format_may_be_the_original(format: str, authority: Authority, archive: Credentials) -> None:
    found = signature(sign(labelled("JPEG"), "JPEG", archive, edit(format=format)), authority.root)
    assert found is not None
    assert (found.state, found.parent) == ("trusted", "attic.jpg")


def test_an_original_that_only_the_decoder_can_read(authority: Authority, archive: Credentials) -> None:
    cut = encode(PHOTO, format="JPEG")[:300]
    found = signature(sign(labelled("JPEG"), "JPEG", archive, edit(cut)), authority.root)
    assert found is not None
    assert (found.state, found.parent) == ("trusted", "attic.jpg")
    assert found.original == hashlib.sha256(cut).hexdigest()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_label_and_signature_survive_restoring_again(
    suffix: str, tmp_path: Path, authority: Authority, archive: Credentials
) -> None:
    source = tmp_path / f"attic{suffix}"
    format = format_of(source)
    assert format is not None
    source.write_bytes(encode(PHOTO, format=format))
    first = restorer().restore(source).save(tmp_path / f"first{suffix}", sign=archive)
    again = authority.issue("reading room")
    second = restorer().restore(first).save(tmp_path / f"second{suffix}", sign=again)
    tool = restorer().restore(PHOTO).report()["tool"]
    assert read(second.read_bytes()) == Label(tool, ("stub-scene 1",))
    found = signature(second.read_bytes(), authority.root)
    assert found is not None
    assert (found.state, found.signer, found.parent) == ("trusted", "reading room", first.name)
    assert found.original == hashlib.sha256(first.read_bytes()).hexdigest()
    assert found.models == (("stub-scene 1", ()),)
    assert found.earlier == (Earlier(tool, "archive", held=True),)
    # A history that was tampered with is kept, and told as such.
    changed = tmp_path / f"changed{suffix}"
    changed.write_bytes(add(first.read_bytes(), format, Label("somebody 1")))
    third = restorer().restore(changed).save(tmp_path / f"third{suffix}", sign=again)
    found = signature(third.read_bytes(), authority.root)
    assert found is not None
    assert (found.state, found.earlier) == ("trusted", (Earlier(tool, "archive", held=False),))


def test_a_result_saved_without_a_certificate_has_the_label_alone(
    tmp_path: Path, archive: Credentials
) -> None:
    source = tmp_path / "attic.png"
    source.write_bytes(encode(PHOTO, format="PNG"))
    signed = restorer().restore(source).save(tmp_path / "signed.png", sign=archive)
    plain = restorer().restore(signed).save(tmp_path / "plain.png")
    assert read(plain.read_bytes()) is not None
    assert signature(plain.read_bytes()) is None


def test_what_no_model_changed_is_signed_but_not_as_ai(tmp_path: Path, archive: Credentials) -> None:
    source = tmp_path / "attic.png"
    source.write_bytes(encode(PHOTO, format="PNG"))
    plain = Restorer(models=StubModels()).restore(source).save(tmp_path / "plain.png", sign=archive)
    found = signature(plain.read_bytes())
    assert found is not None
    assert (found.state, found.source_types, found.models) == ("valid", (), ())


def test_an_original_in_memory_is_named_by_the_caller(tmp_path: Path, archive: Credentials) -> None:
    data = encode(PHOTO, format="PNG")
    result = restorer().restore(data)
    with pytest.raises(UsageError, match="names the original"):
        result.save(tmp_path / "a.png", sign=archive)
    assert not list(tmp_path.iterdir())
    result.save(tmp_path / "a.png", sign=archive, original=Original(data, "PNG", "scan 7"))
    found = signature((tmp_path / "a.png").read_bytes())
    assert found is not None
    assert (found.parent, found.original) == ("scan 7", hashlib.sha256(data).hexdigest())


def test_nothing_is_fetched(tmp_path: Path, authority: Authority, asked: tuple[str, list[str]]) -> None:
    address, paths = asked
    xmp = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:dcterms="http://purl.org/dc/terms/" '
        f'dcterms:provenance="{address}/manifest"/></rdf:RDF></x:xmpmeta>'
    )
    source = tmp_path / "attic.jpg"
    source.write_bytes(encode(dataclasses.replace(PHOTO, xmp=xmp.encode()), format="JPEG"))
    credentials = authority.issue("asking", ocsp=f"{address}/ocsp")
    check(credentials)
    signed = restorer().restore(source).save(tmp_path / "out.jpg", sign=credentials).read_bytes()
    found = signature(signed, authority.root)
    assert found is not None
    assert found.state == "trusted"
    assert signature(source.read_bytes()) is None
    assert b"dcterms:provenance" not in signed
    assert paths == []
    # The server would have been asked, had the library been left to itself.
    with pytest.raises(c2pa.C2paError):
        c2pa.Reader(io.BytesIO(source.read_bytes()))
    assert paths == ["/manifest"]
    context = c2pa.Context.from_dict({"verify": {"ocsp_fetch": True}})
    c2pa.Reader(io.BytesIO(signed), context=context).close()
    assert len(paths) == 2


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_sign_is_a_typed_error_and_leaves_no_file(
    case: str, authority: Authority, tmp_path: Path
) -> None:
    make, message = BAD[case]
    credentials = make(authority)
    with pytest.raises(SigningError, match=message) as told:
        check(credentials)
    source, out = tmp_path / "attic.png", tmp_path / "out"
    source.write_bytes(encode(PHOTO, format="PNG"))
    out.mkdir()
    with pytest.raises(SigningError, match=message):
        restorer().restore(source).save(out / "a.png", sign=credentials)
    assert not list(out.iterdir())
    if Path(credentials.key).is_file():
        secret = Path(credentials.key).read_bytes().splitlines()
        assert not any(line.decode() in str(told.value) for line in secret[1:-1])


@pytest.mark.parametrize("key_first", [False, True])
def test_a_key_in_the_certificates_file_stays_there(
    key_first: bool, tmp_path: Path, authority: Authority
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    issued = authority.issue("both", key)
    parts = [Path(issued.certificate).read_bytes(), Path(issued.key).read_bytes()]
    both = tmp_path / "both.pem"
    both.write_bytes(b"".join(reversed(parts) if key_first else parts))
    both.chmod(0o600)
    signed = sign(labelled("PNG"), "PNG", Credentials(both, both), edit())
    assert state(signed, authority.root) == "Trusted"
    secret = key.private_numbers().private_value.to_bytes(32, "big")
    assert secret not in signed
    assert secret in base64.b64decode(b"".join(parts[1].splitlines()[1:-1]))  # as it is written in the file


@pytest.mark.slow
def test_a_signature_ends_with_its_certificate(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "DAY", timedelta(seconds=1))
    signed = sign(labelled("PNG"), "PNG", authority.issue("brief", days=(-9, 5)), edit())
    assert state(signed, authority.root) == "Trusted"
    time.sleep(6.1)
    found = signature(signed, authority.root)
    assert found is not None
    assert found.state == "invalid"
    assert found.problems[0].startswith("signingCredential.expired")


def test_a_format_that_holds_no_signature(tmp_path: Path, archive: Credentials) -> None:
    source = tmp_path / "attic.png"
    source.write_bytes(encode(PHOTO, format="PNG"))
    result = restorer().restore(source)
    with pytest.raises(UsageError, match="BMP cannot be signed"):
        result.save(tmp_path / "out.bmp", sign=archive)
    with pytest.raises(UsageError, match="sign with the label"):
        result.save(tmp_path / "out.png", sign=archive, label=False)
    assert list(tmp_path.iterdir()) == [source]
    with pytest.raises(UsageError, match="BMP cannot be signed"):
        sign(encode(PHOTO, format="BMP"), "BMP", archive, edit())


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, archive: Credentials) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    for use in (lambda: check(archive), lambda: signature(labelled("PNG"))):
        with pytest.raises(RuntimeUnavailableError, match=r'pip install "revisage\[sign\]"'):
            use()


def test_a_signature_counts_by_its_certificate(tmp_path: Path, authority: Authority) -> None:
    first, second = authority.issue("first"), authority.issue("second")
    moved = Credentials(tmp_path / "moved.pem", tmp_path / "moved.key.pem")
    for old, new in ((first.certificate, moved.certificate), (first.key, moved.key)):
        Path(new).write_bytes(Path(old).read_bytes())

    def of(sign: Credentials | None) -> str:
        return fingerprint(Settings(), RestoreOptions(), SaveOptions(sign=sign))

    assert of(first) == of(moved)
    stamped = dataclasses.replace(first, timestamp="http://stamp.example/")
    assert len({of(None), of(first), of(second), of(stamped)}) == 4
    with pytest.raises(RevisageError, match="cannot be read"):
        of(Credentials(tmp_path / "none", tmp_path / "none"))
