"""Photos that do not lie upright, and faces that somebody points at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from restore_stubs import PORTRAIT, centre, face_at, restorer_with

from revisage.errors import UsageError
from revisage.image import from_array
from revisage.restore import RestoreOptions

data = pytest.importorskip("skimage.data")


AREA = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#" stArea:x="0.3" stArea:y="0.2" '
    'stArea:w="0.1" stArea:h="0.4"/></rdf:RDF></x:xmpmeta>'
)


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return data.astronaut()


def test_faces_are_restored_however_the_photo_lies(astronaut: np.ndarray) -> None:
    upright = restorer_with().restore(astronaut, scale=1, colour="enhance")
    x, y, side = PORTRAIT
    lying = {90: (511 - y, x, 90), 180: (511 - x, 511 - y, 180), 270: (y, 511 - x, 270)}
    for turn, (x, y, angle) in lying.items():
        photo = np.rot90(astronaut, -turn // 90)
        restorer = restorer_with(faces=[face_at(x, y, side, angle)])
        kept = restorer.restore(photo, scale=1, colour="enhance")
        assert kept.pixels.shape == photo.shape
        assert np.abs(np.rot90(kept.pixels, turn // 90).astype(int) - upright.pixels).mean() < 1
        assert (kept.turned, kept.turn_offered) == (0, 360 - turn)
        turned = restorer.restore(photo, scale=1, colour="enhance", turn="auto")
        assert np.abs(turned.pixels.astype(int) - upright.pixels).mean() < 1
        assert (turned.turned, turned.turn_offered) == (360 - turn, 0)
        assert turned.entry()["turned"] == 360 - turn
        assert f"turned by {360 - turn} degrees its faces would stand upright: --turn auto" in kept.notes
        lies = restorer.restore(astronaut, scale=1, turn=str(turn)).notes
        assert f"turned by another {360 - turn} degrees its faces would stand upright: --turn keep" in lies
        (face,) = turned.faces
        np.testing.assert_allclose(face.landmarks, upright.faces[0].landmarks, atol=0.1)
        assert centre(turned).tolist() == [255, 0, 0]


@pytest.mark.parametrize(("turn", "area"), [(90, (0.8, 0.3)), (180, (0.7, 0.8)), (270, (0.2, 0.7))])
def test_a_photo_is_turned_by_hand(turn: int, area: tuple[float, float]) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    photo = replace(from_array(pixels), alpha=pixels[..., 0], dpi=(300.0, 150.0), xmp=AREA.encode())
    result = restorer_with(None, None).restore(photo, scale=1, turn=turn)
    assert np.array_equal(result.pixels, np.rot90(pixels, -turn // 90))
    assert result.photo.alpha is not None
    assert np.array_equal(result.photo.alpha, np.rot90(pixels[..., 0], -turn // 90))
    assert result.photo.dpi == ((300.0, 150.0) if turn == 180 else (150.0, 300.0))
    assert (result.turned, result.size_in) == (turn, (60, 40) if turn == 180 else (40, 60))
    assert f'stArea:x="{area[0]}" stArea:y="{area[1]}"'.encode() in (result.photo.xmp or b"")


def test_a_face_that_was_missed_is_added_by_hand(astronaut: np.ndarray) -> None:
    x, y, side = PORTRAIT
    box = (x - side / 4, y - side / 4, side / 2, side / 2)
    result = restorer_with(faces=[]).restore(astronaut, scale=1, colour="enhance", face=[box])
    assert [face.box for face in result.faces] == [box]
    assert centre(result).tolist() == [255, 0, 0]
    again = restorer_with().restore(astronaut, scale=1, face=",".join(map(str, box)))
    assert [face.box for face in again.faces] == [box], "it takes the place of the one that was found there"


@pytest.mark.parametrize("box", ["600,20,50,50", "20,-80,50,50", "-1e8,-1e8,2.0000002e8,2.0000002e8"])
def test_a_face_outside_the_photo_is_an_error(astronaut: np.ndarray, box: str) -> None:
    with pytest.raises(UsageError, match="outside the photo of 512 x 512 pixels"):
        restorer_with().restore(astronaut, scale=1, face=box)


@pytest.mark.parametrize("face", ["1,2,3", "a,b,c,d", "1,2,0,4", "1,2,3,inf", [(1, 2, 3)]])
def test_a_face_that_is_no_box_is_an_error(face: object) -> None:
    with pytest.raises(UsageError, match="give X,Y,W,H"):
        RestoreOptions(face=face)  # type: ignore[arg-type]
