"""Films: faces tracked and smoothed, less flicker than frame by frame, frames and videos in and out."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from film_files import Made, make
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from restore_stubs import StubModels, face_at, same, twice

from revisage.batch import SaveOptions
from revisage.batch.frames import FolderFilm, FolderSink
from revisage.batch.video import VideoFilm, opened
from revisage.cli import main
from revisage.cli import restore as command
from revisage.errors import PhotoError, UsageError
from revisage.image import DecodeLimits, Photo
from revisage.restore import Face, RestoreOptions, Restorer, Result
from revisage.restore.video import smoothing
from revisage.restore.video.film import Frame, restore_film

PLAIN = RestoreOptions(scale=1, colour="enhance")


@given(st.integers(1, 40), st.floats(-5, 5), st.floats(-100, 100))
@settings(deadline=None)
def test_even_motion_is_left_as_it_is(count: int, speed: float, start: float) -> None:
    line = (start + speed * np.arange(count))[:, None]
    assert smoothing.smoothed(line) == pytest.approx(line, abs=1e-8)


def test_the_filter_is_that_of_weighted_least_squares() -> None:
    rng = np.random.default_rng(0)
    times, values = np.arange(-3, 7), rng.normal(size=(10, 1))
    root = np.exp(-0.25 * (times / smoothing.SIGMA) ** 2)  # lstsq squares it
    design = np.stack([np.ones(10), times], axis=1)
    expected = np.linalg.lstsq(design * root[:, None], values * root[:, None], rcond=None)[0][0]
    assert smoothing.at_zero(times, values) == pytest.approx(expected)


def test_noise_is_reduced_as_its_weights_say() -> None:
    noise = np.random.default_rng(0).normal(size=(4000, 1))
    weights = np.exp(-0.5 * (np.arange(-smoothing.WINDOW, smoothing.WINDOW + 1) / smoothing.SIGMA) ** 2)
    expected = np.sqrt((weights**2).sum()) / weights.sum()
    assert smoothing.smoothed(noise).std() == pytest.approx(expected, rel=0.05)


def test_faces_that_cross_the_picture_are_told_apart_and_gaps_are_filled() -> None:
    first = [face_at(50 + 4 * n, 60, 60) for n in range(30)]
    second = [face_at(300 - 4 * n, 200, 80) for n in range(30)]
    film = [[b, a] if n % 2 else [a, b] for n, (a, b) in enumerate(zip(first, second, strict=True))]
    film[10] = film[11] = [second[10]]  # missed; the detector's second box is one frame old
    film[20] = [*film[20], face_at(600, 400, 30)]  # a false find of one frame
    found = smoothing.link_tracks(film)
    assert len(found) == 2
    steady = [smoothing.smooth_track(track) for track in found]
    assert [sorted(way) for way in steady] == [list(range(30))] * 2
    for n in range(30):
        assert steady[0][n].landmarks == pytest.approx(first[n].landmarks, abs=0.7)
    assert steady[0][10].box == pytest.approx(first[10].box, abs=0.5)


def test_a_short_film_keeps_all_faces() -> None:
    assert len(smoothing.link_tracks([[face_at(50, 50, 40)], [], []])) == 1
    assert smoothing.link_tracks([[], []]) == []


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_layer_is_added_where_it_was_seen(scale: int, depth: type) -> None:
    top = np.iinfo(depth).max
    before = np.full((150, 150, 3), top // 2, depth)
    after = np.full((150 * scale, 150 * scale, 3), top // 2, depth)
    landmarks, size = face_at(75, 75, 100).landmarks, 96
    layer = np.zeros((size, size, 3), np.float32)
    layer[30:50, 40:60] = (0.2, 0, -0.1)
    smoothing.add_correction(after, landmarks, scale, layer)
    seen = smoothing.crop_face(before, after, landmarks, scale, size)
    assert seen is not None
    assert np.abs(seen.after - seen.before - layer)[33:47, 43:57].max() < 0.01
    assert np.abs(seen.after - seen.before)[60:].max() < 0.01
    assert (after[0, 0] == top // 2).all()


def looks(before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> dict[int, smoothing.FaceCrops]:
    pairs = zip(before, after, strict=True)
    return {
        n: smoothing.FaceCrops(b.astype(np.float32), a.astype(np.float32)) for n, (b, a) in enumerate(pairs)
    }


def test_what_wavers_is_averaged_and_what_moves_is_not() -> None:
    rng = np.random.default_rng(0)
    film = [np.full((64, 64, 3), 0.4) for _ in range(13)]
    for frame in film[7:]:
        frame[40:] = 0.8  # the mouth opens
    noisy = [frame + rng.normal(0, 0.03, frame.shape) for frame in film]
    wavering = [frame + rng.normal(0, 0.05) for frame in film]
    known = looks(noisy, wavering)
    weights = np.exp(-0.5 * (np.arange(13) - 6.0) ** 2 / smoothing.SIGMA**2)
    result = wavering[6] + smoothing.correction(known, 6)
    offsets = np.array([frame[0, 0, 0] - 0.4 for frame in wavering])
    mean = (weights * offsets).sum() / weights.sum()
    assert result[:30].mean() == pytest.approx(0.4 + mean, abs=0.012)  # nearly the mean of all
    assert result[46:].mean() == pytest.approx(0.4 + mean, abs=0.03)  # of those before it opened
    assert np.abs(smoothing.correction(looks(film, film), 6)).max() < 0.01


@dataclass
class Taken:
    """A film in memory and what is made of it."""

    pictures: Sequence[np.ndarray | None]

    def frames(self) -> Iterator[Frame]:
        for number, picture in enumerate(self.pictures):
            bad = PhotoError("it is damaged")
            yield Frame(f"{number}", bad if picture is None else Photo(picture.copy()))

    def begin(self, *, faces: bool) -> None:
        self.faces = faces

    def write(self, frame: Frame, result: Result) -> str:
        self.written = {**getattr(self, "written", {}), frame.name: result.pixels.copy()}
        return f"out/{frame.name}"


def shaky(seed: int) -> StubModels:
    """A detector whose landmarks shake and a face model that paints stripes and whose brightness wavers."""
    rng = np.random.default_rng(seed)

    def found(pixels: np.ndarray) -> list[Face]:
        face = face_at(110, 100, 120)
        shake = rng.normal(0, 1.5, (5, 2)) + rng.normal(0, 1.0, 2)
        return [Face(face.box, (face.landmarks + shake).astype(np.float32), 0.9)]

    def painted(picture: np.ndarray) -> np.ndarray:
        wave = 0.15 * np.sin(np.arange(picture.shape[1]) * 0.5)[None, :, None]
        return np.clip(picture + wave + rng.normal(0, 0.05), 0, 1).astype(np.float32)

    return StubModels(face=painted, faces=found)


def flicker(pictures: Sequence[np.ndarray]) -> float:
    """Mean absolute difference of successive frames in the middle of the face; nothing moves there."""
    middle = np.stack([picture[70:130, 80:140].astype(float) for picture in pictures])
    return float(np.abs(np.diff(middle, axis=0)).mean())


def test_a_film_flickers_less_than_its_frames_restored_one_by_one() -> None:
    still = np.full((200, 220, 3), 120, np.uint8)
    film = Taken([still] * 30)
    entries = list(restore_film(film, film, Restorer(models=shaky(0)), PLAIN))
    assert [entry["output"] for entry in entries] == [f"out/{n}" for n in range(30)]
    assert all(len(entry["faces"]) == 1 for entry in entries)
    steady = flicker([film.written[str(n)] for n in range(30)])
    one = Restorer(models=shaky(0))
    single = flicker([one.restore(Photo(still.copy()), PLAIN).pixels for _ in range(30)])
    assert single > 5  # levels
    assert steady < 0.35 * single


def test_what_changes_in_the_film_itself_is_kept() -> None:
    """A light that goes on is no flicker: a model that changes nothing gives the film as it was."""
    film = Taken([np.full((200, 220, 3), 60 if n < 10 else 180, np.uint8) for n in range(20)])
    models = StubModels(face=same, faces=[face_at(110, 100, 120)])
    list(restore_film(film, film, Restorer(models=models), PLAIN))
    for n in range(20):
        assert np.abs(film.written[str(n)].astype(int) - film.pictures[n]).max() <= 1


def test_a_bad_frame_fails_alone_and_faces_are_followed_across_it() -> None:
    pictures: list[np.ndarray | None] = [np.full((200, 220, 3), 120, np.uint8)] * 12
    pictures[5] = None
    film = Taken(pictures)
    models = StubModels(face=same, faces=[face_at(110, 100, 120)])
    entries = list(restore_film(film, film, Restorer(models=models), PLAIN))
    assert sorted(entry["input"] for entry in entries) == sorted(str(n) for n in range(12))
    assert [entry["input"] for entry in entries if entry["error"]] == ["5"]
    assert len(film.written) == 11


def test_options_that_name_single_faces_are_refused() -> None:
    film = Taken([np.zeros((50, 50, 3), np.uint8)])
    for options in (RestoreOptions(faces="1"), RestoreOptions(aligned=True)):
        with pytest.raises(UsageError, match="followed"):
            list(restore_film(film, film, Restorer(models=StubModels(face=same)), options))


def test_frames_are_taken_by_their_numbers(tmp_path: Path) -> None:
    for name in ("shot10.png", "shot9.png", "shot100.png", "notes.txt", ".hidden.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name) if name.endswith("png") else (tmp_path / name).touch()
    film = FolderFilm(tmp_path, DecodeLimits())
    assert [frame.name for frame in film.frames()] == ["shot9.png", "shot10.png", "shot100.png"]


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> None:
    models = StubModels(face=same, faces=[face_at(60, 60, 60)])
    monkeypatch.setattr(command, "Restorer", lambda *args, **kwargs: Restorer(models=models))


@pytest.mark.usefixtures("stub")
def test_a_folder_of_frames_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for number in range(4):
        Image.new("RGB", (120, 120), (200, 150, 100)).save(source / f"{number}.jpg")
    (source / "2.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut off")
    report = tmp_path / "report.jsonl"
    arguments = ["restore", "--video", str(source), "-o", str(out), "--scale", "1", "--report", str(report)]
    assert main(arguments) == 1
    assert sorted(path.name for path in out.iterdir()) == ["0.jpg", "1.jpg", "3.jpg"]
    assert len(report.read_text().splitlines()) == 4
    assert "2.jpg: it is damaged" in capsys.readouterr().err


@pytest.mark.usefixtures("stub")
@pytest.mark.parametrize("name", ["in.restored", "tape 3.1"])
def test_a_folder_of_frames_goes_into_a_folder_with_a_dot(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "in" / "0.png")
    assert main(["restore", "--video", str(tmp_path / "in"), "-o", str(tmp_path / name)]) == 0
    assert (tmp_path / name / "0.png").is_file()


@pytest.mark.usefixtures("stub")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["in"], "-o OUT"),
        (["in", "-o", "in"], "original"),
        (["in", "-o", "new.mp4"], "go into a folder"),
        (["in", "-o", "new.png"], "go into a folder"),
        (["in", "-o", "film.mp4"], "go into a folder"),
        (["film.mp4", "-o", "in"], "name the video file"),
        (["film.mp4", "-o", "out"], "name the video file"),
        (["gone", "-o", "out"], "does not exist"),
        (["in", "-o", "out", "--resume"], "goes with none of"),
        (["in", "-o", "out", "--sign", "a.pem", "b.pem"], "goes with none of"),
        (["empty", "-o", "out"], "no frames"),
        (["in", "-o", "out", "--turn", "90", "--save-mask"], "--turn, --save-mask: for photos only"),
        (["in", "-o", "out", "--format", "png"], "--format: for photos only"),
        (["in", "-o", "out", "--crop", "print", "--pages", "all"], "--pages, --crop print: for photos only"),
    ],
)
def test_bad_usage(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "empty").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "in" / "0.png")
    (tmp_path / "film.mp4").touch()
    assert main(["restore", "--video", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("stub")
def test_a_video_is_enlarged_with_its_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "-film: one.mp4", tmp_path / "out" / "film.mp4"
    make(source, Made(size=(122, 92), times=range(24), sounds=["und"], sound_seconds=2))
    assert main(["restore", "--video", "--scale", "2", "-o", str(out), "--", str(source)]) == 0
    before, after = VideoFilm(source, DecodeLimits()), VideoFilm(out, DecodeLimits())
    pairs = list(zip(before.frames(), after.frames(), strict=True))
    assert len(pairs) == 24
    for old, new in pairs:
        assert isinstance(old.photo, Photo)
        assert isinstance(new.photo, Photo)
        assert new.time == old.time
        assert new.photo.size == (244, 184)
        shrunk = np.asarray(Image.fromarray(new.photo.pixels).resize((122, 92), Image.Resampling.BOX))
        assert np.abs(shrunk.astype(int) - old.photo.pixels).mean() < 6
    with opened(out) as film:
        assert film.metadata["comment"] == "edited with AI: stub-face 1"
        assert [stream.codec_context.codec.name for stream in film.streams.audio] == ["aac"]
    assert [path.name for path in out.parent.iterdir()] == ["film.mp4"]
    assert "kept: 24 frames at 10 a second" in capsys.readouterr().out


def test_a_folder_sink_writes_what_it_can_as_it_is_named(tmp_path: Path) -> None:
    sink = FolderSink(tmp_path, SaveOptions(), tmp_path / "film")
    result = Restorer(models=StubModels(scene=None)).restore(Photo(np.zeros((10, 10, 3), np.uint8)), PLAIN)
    assert Path(sink.write(Frame("0001.tif", result.photo), result)).name == "0001.tif"
    assert Path(sink.write(Frame("0001.dpx", result.photo), result)).name == "0001.dpx.png"


@pytest.mark.usefixtures("stub")
def test_an_animation_that_is_no_film_names_the_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (Image.new("RGB", (32, 32), (level, 0, 0)) for level in (0, 255))
    first.save(tmp_path / "a.webp", save_all=True, append_images=[second])
    assert main(["restore", "--video", str(tmp_path / "a.webp"), "-o", str(tmp_path / "a.mp4")]) == 2
    assert "without --video, --pages all restores its pictures" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["film.mp4", "frames"])
def test_a_signal_ends_a_film_and_the_report_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    source, out, report = tmp_path / name, tmp_path / f"out{Path(name).suffix}", tmp_path / "r.json"
    if name == "frames":
        source.mkdir()
        for number in range(6):
            Image.new("RGB", (16, 16)).save(source / f"{number}.png")
    else:
        make(source, Made())

    def scene(picture: np.ndarray) -> np.ndarray:
        signal.raise_signal(signal.SIGTERM)
        return twice(picture)

    models = StubModels(scene=scene)
    monkeypatch.setattr(command, "Restorer", lambda *args, **kwargs: Restorer(models=models))
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        assert main(["restore", "--video", str(source), "-o", str(out), "--report", str(report)]) == 143
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "finishing the frame in hand" in capfd.readouterr().err
    *_, last = json.loads(report.read_text())["photos"]
    told = "the frames before are written" if name == "frames" else "nothing is written"
    assert (last["input"], last["error"]) == (str(source), f"interrupted: {told}")
    assert out.exists() == (name == "frames")
