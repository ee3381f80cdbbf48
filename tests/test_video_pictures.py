"""The pictures of video files: colour, depth, shape and direction are kept, or told."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from film_files import Made, make, needs_ffprobe, picture, planes, probe, restore, restored

from revisage.batch.video import VideoFilm
from revisage.errors import UsageError
from revisage.image import DecodeLimits, Photo

# Tags by their numbers in H.273, with AVColorRange, and in the words of ffprobe.
TAGS = {
    "bt709": ((1, 1, 1, 1), ("bt709", "bt709", "bt709", "tv")),
    "pal": ((5, 5, 5, 1), ("bt470bg", "bt470bg", "bt470bg", "tv")),
    "ntsc": ((6, 6, 6, 1), ("smpte170m", "smpte170m", "smpte170m", "tv")),
    "bt2020": ((9, 14, 9, 1), ("bt2020nc", "bt2020-10", "bt2020", "tv")),
    "full": ((1, 13, 1, 2), ("bt709", "iec61966-2-1", "bt709", "pc")),
    "p3": ((1, 1, 12, 1), ("bt709", "bt709", "smpte432", "tv")),
}


@needs_ffprobe
@pytest.mark.parametrize("into", ["mp4", "mkv"])
@pytest.mark.parametrize("name", TAGS)
def test_colour_is_kept_and_tagged(tmp_path: Path, name: str, into: str) -> None:
    numbers, words = TAGS[name]
    source = make(tmp_path / "in.mp4", Made(colour=numbers, planes=(120, 100, 110)))
    out = restored(source, tmp_path / f"out.{into}")
    said = picture(probe(out))
    found = tuple(said[key] for key in ("color_space", "color_transfer", "color_primaries", "color_range"))
    assert found == words
    assert planes(out) == pytest.approx(planes(source), abs=1)


@pytest.mark.parametrize(
    ("matrix", "full", "values"),
    [  # of pure green, by Kr and Kb of each standard
        (1, False, (173, 42, 26)),
        (6, False, (145, 54, 34)),
        (9, False, (164, 47, 25)),
        (1, True, (182, 30, 12)),
    ],
)
def test_models_see_the_right_colour(
    tmp_path: Path, matrix: int, full: bool, values: tuple[int, ...]
) -> None:
    made = Made(colour=(matrix, 2, 2, 2 if full else 1), planes=values)
    film = VideoFilm(make(tmp_path / "in.mp4", made), DecodeLimits())
    photo = next(film.frames()).photo
    assert isinstance(photo, Photo)
    assert np.abs(photo.pixels.reshape(-1, 3).mean(0) - (0, 255, 0)).max() <= 2


@needs_ffprobe
def test_untagged_colour_is_tagged_where_players_would_guess_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make(tmp_path / "in.mp4", Made(size=(400, 300), times=range(2), planes=(120, 100, 110)))
    out = restored(source, tmp_path / "same.mp4")
    assert "color_space" not in picture(probe(out))
    assert restore(source, tmp_path / "out.mp4", "--scale", "2") == 0
    assert picture(probe(tmp_path / "out.mp4"))["color_space"] == "smpte170m"  # 600 rows: guessed as HD
    assert planes(tmp_path / "out.mp4") == pytest.approx(planes(source), abs=1)
    assert "tagged BT.601" in capsys.readouterr().err


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_high_dynamic_range_is_refused_by_name(
    tmp_path: Path, transfer: int, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Made(colour=(9, transfer, 9, 1), codec="libx265", pixel_format="yuv420p10le")
    made = Made(**{**vars(made), "options": {"x265-params": "log-level=none"}})
    assert restore(make(tmp_path / "in.mp4", made), tmp_path / "out.mp4") == 2
    said = capsys.readouterr().err
    assert name in said
    assert "tone mapping" in said
    assert not (tmp_path / "out.mp4").exists()


def test_a_matrix_that_cannot_be_converted_is_refused(tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", Made(colour=(8, 1, 1, 1)))  # YCgCo
    with pytest.raises(UsageError, match=r"matrix 8 .* convert the film to BT\.709 first"):
        VideoFilm(source, DecodeLimits())


@needs_ffprobe
@pytest.mark.parametrize("into", ["mp4", "mkv", "mov"])
def test_pixel_aspect_is_kept(tmp_path: Path, into: str) -> None:
    source = make(tmp_path / "in.mp4", Made(aspect=Fraction(16, 15)))
    assert picture(probe(restored(source, tmp_path / f"out.{into}")))["sample_aspect_ratio"] == "16:15"


def test_pixel_aspect_that_the_file_cannot_hold_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make(tmp_path / "in.mp4", Made(aspect=Fraction(16, 15)))
    out = restored(source, tmp_path / "out.webm")
    with av.open(str(out)) as film:
        kept = film.streams.video[0].sample_aspect_ratio == Fraction(16, 15)
    said = capsys.readouterr()
    assert "pixel aspect 16:15" in (said.out if kept else said.err)


def test_a_palette_is_colour(tmp_path: Path) -> None:
    source = make(
        tmp_path / "in.gif", Made(codec="gif", pixel_format="rgb8", options={}, colour=(2, 2, 2, 0))
    )
    assert VideoFilm(source, DecodeLimits()).pixel_format in ("bgra", "pal8")
    photo = next(VideoFilm(source, DecodeLimits()).frames()).photo
    assert isinstance(photo, Photo)
    assert not photo.gray


@needs_ffprobe
@pytest.mark.parametrize("into", ["mp4", "mkv"])
@pytest.mark.parametrize("turn", [(90, False), (180, False), (270, False), (0, True), (90, True)])
def test_a_turned_film_comes_out_upright(tmp_path: Path, turn: tuple[int, bool], into: str) -> None:
    made = Made(size=(96, 48), rotation=turn, aspect=Fraction(4, 3))
    out = restored(make(tmp_path / "in.mp4", made), tmp_path / f"out.{into}")
    said = picture(probe(out))
    sideways = turn[0] in (90, 270)
    assert (said["width"], said["height"]) == ((48, 96) if sideways else (96, 48))
    assert said["sample_aspect_ratio"] == ("3:4" if sideways else "4:3")
    assert not [data for data in said.get("side_data_list", []) if "rotation" in data]
    with av.open(str(out)) as film:
        pixels = next(film.decode(video=0)).to_ndarray(format="gray")
    expected = np.zeros((48, 96))  # the white square at the top left, turned counter-clockwise, then mirrored
    expected[:12, :24] = 1
    expected = np.rot90(expected, turn[0] // 90)
    expected = expected[:, ::-1] if turn[1] else expected
    assert ((pixels > 160) == expected).mean() > 0.98


def test_transparency_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make(tmp_path / "in.mkv", Made(codec="ffv1", pixel_format="yuva420p", options={}))
    restored(source, tmp_path / "out.mp4")
    assert "left out: transparency" in capsys.readouterr().err


@needs_ffprobe
def test_ten_bits_stay(tmp_path: Path) -> None:
    made = Made(codec="libx265", pixel_format="yuv420p10le", planes=(601, 430, 590), colour=(1, 1, 1, 1))
    made = Made(**{**vars(made), "options": {"x265-params": "log-level=none:lossless=1"}})
    source = make(tmp_path / "in.mp4", made)
    photo = next(VideoFilm(source, DecodeLimits()).frames()).photo
    assert isinstance(photo, Photo)
    assert photo.pixels.dtype == np.uint16
    out = restored(source, tmp_path / "out.mp4")
    said = picture(probe(out))
    assert said["pix_fmt"] == "yuv420p10le"
    assert (said["color_space"], said["color_transfer"], said["color_range"]) == ("bt709", "bt709", "tv")
    assert said["codec_tag_string"] == "hvc1"
    assert planes(out) == pytest.approx((601, 430, 590), abs=1)


@needs_ffprobe
@pytest.mark.parametrize("pixel_format", ["yuv422p", "yuv444p"])
def test_dense_chroma_stays(tmp_path: Path, pixel_format: str) -> None:
    source = make(tmp_path / "in.mp4", Made(pixel_format=pixel_format))
    assert picture(probe(restored(source, tmp_path / "out.mp4")))["pix_fmt"] == pixel_format


@pytest.mark.parametrize("codec", ["libx264", "ffv1"])
def test_gray_stays_gray(tmp_path: Path, codec: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = {} if codec == "ffv1" else {"crf": "1"}
    source = make(tmp_path / "in.mkv", Made(codec=codec, pixel_format="gray", planes=(100,), options=options))
    out = restored(source, tmp_path / "out.mp4")
    luma, *chroma = planes(out)
    assert chroma == [128, 128]
    assert luma == pytest.approx(100, abs=1)
    assert codec == "libx264" or "stored as gray" in capsys.readouterr().err  # x264's is decoded as yuv420p


@pytest.mark.parametrize("size", [(97, 64), (96, 65), (97, 65)])
def test_odd_sizes_repeat_the_border(
    tmp_path: Path, size: tuple[int, int], capsys: pytest.CaptureFixture[str]
) -> None:
    made = Made(size=size, codec="ffv1", options={})
    source = make(tmp_path / "in.mkv", made)
    out = restored(source, tmp_path / "out.mp4")
    with av.open(str(out)) as film:
        frame = next(film.decode(video=0)).to_ndarray(format="gray")
    assert frame.shape == (size[1] + size[1] % 2, size[0] + size[0] % 2)
    assert np.abs(frame[-8:, -8:].astype(int) - frame[-8, -8]).max() <= 3  # no black line
    assert "even sizes" in capsys.readouterr().err


def test_interlaced_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = Made(size=(128, 96), options={"flags": "+ildct+ilme", "x264-params": "tff=1"})
    restored(make(tmp_path / "in.mp4", made), tmp_path / "out.mp4")
    assert "it is interlaced" in capsys.readouterr().err
