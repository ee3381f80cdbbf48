"""XMP files beside photos are read, and written beside results."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from restore_stubs import StubModels, same, twice

from revisage.cli import main
from revisage.cli import restore as command
from revisage.image import decode, with_sidecar
from revisage.label import label_of, results
from revisage.restore import Restorer
from revisage.version import __version__

PACKET = """<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" photoshop:City="Graz"
 xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#">
<dc:source>{0}</dc:source><dc:area stArea:x="0.3" stArea:y="0.2" stArea:w="0.1" stArea:h="0.4"/>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='w'?>"""


@pytest.fixture(autouse=True)
def _stub_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    models = StubModels(face=same, scene=twice)
    monkeypatch.setattr(command, "Restorer", lambda *args, **kwargs: Restorer(models=models))
    monkeypatch.setattr(results, "results_file", lambda: tmp_path / "cache" / "results.sha256")


def photo(path: Path, orientation: int = 1, xmp: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    packet = {} if xmp is None else {"xmp": PACKET.format(xmp).encode()}
    Image.new("RGB", (40, 30), (200, 100, 50)).save(path, exif=exif, **packet)
    return path


@pytest.mark.parametrize("name", ["a.jpg.xmp", "a.xmp", "a.XMP"])
def test_a_sidecar_is_read_and_written_in_its_manner(tmp_path: Path, name: str) -> None:
    source = photo(tmp_path / "in" / "a.jpg", orientation=6, xmp="in the file")
    source.with_name(name).write_text(PACKET.format("beside it"))
    assert main(["restore", str(source.parent), "-o", str(tmp_path / "out"), "--format", "png"]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.png", name.replace("a.jpg", "a.png")}
    written = (tmp_path / "out" / name.replace("a.jpg", "a.png")).read_bytes()
    for xmp in (written, decode(tmp_path / "out" / "a.png").xmp):
        assert b"beside it" in xmp
        assert b"in the file" not in xmp
        assert b"Graz" not in xmp
        assert b'stArea:x="0.8"' in xmp
        assert label_of(xmp).tool == f"revisage {__version__}"


def test_a_second_run_replaces_its_own_sidecar_and_none_of_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = photo(tmp_path / "a.jpg")
    (tmp_path / "a.xmp").write_text(PACKET.format("beside it"))
    out, written = tmp_path / "out" / "a.jpg", tmp_path / "out" / "a.xmp"
    arguments = ["restore", str(source), "-o", str(out)]
    assert main(arguments) == 0
    assert main(arguments) == 0
    written.write_text("somebody else's")
    assert main(arguments) == 0
    assert written.read_text() == "somebody else's"
    assert "a.xmp is there already and stays as it is" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0
    assert b"beside it" in written.read_bytes()


def test_python_writes_it_too_and_keeps_the_place_when_told(tmp_path: Path) -> None:
    source = photo(tmp_path / "a.jpg")
    (tmp_path / "a.jpg.xmp").write_text(PACKET.format("beside it"))
    result = Restorer(models=StubModels()).restore(source, scale=1)
    result.save(tmp_path / "b.jpg", keep_gps=True)
    assert b"Graz" in (tmp_path / "b.jpg.xmp").read_bytes()
    result.save(tmp_path / "b.jpg")
    assert b"Graz" not in (tmp_path / "b.jpg.xmp").read_bytes()


def test_a_sidecar_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = photo(tmp_path / "a.jpg")
    (tmp_path / "a.xmp").write_text(PACKET.format("beside it"))
    plain = decode(source)

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert with_sidecar(plain, source).notes == ("a.xmp beside it cannot be read",)


def test_what_is_no_sidecar_costs_nothing(tmp_path: Path) -> None:
    source = photo(tmp_path / "a.jpg")
    plain = decode(source)
    assert with_sidecar(plain, source) is plain
    for content in (b"no xml", b"<" * 5_000_000):
        (tmp_path / "a.xmp").write_bytes(content)
        found = with_sidecar(plain, source)
        assert found.notes == ("a.xmp beside it cannot be read",)
        assert found.sidecar is None
    (tmp_path / "a.xmp").unlink()
    os.mkfifo(tmp_path / "a.xmp")
    assert with_sidecar(plain, source) is plain
    np.testing.assert_array_equal(plain.pixels, decode(source).pixels)
