"""Video files in and out: what a film has besides its pictures is kept, or told."""

from __future__ import annotations

import json
import sys
import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from film_files import Made, make, needs_ffprobe, picture, probe, restore, restored, times
from restore_stubs import StubModels, face_at, same

from revisage.batch.video import VideoFilm
from revisage.batch.video_sink import VideoSink
from revisage.cli import main
from revisage.cli import restore as command
from revisage.image import DecodeLimits, Photo
from revisage.options import RestoreOptions, SaveOptions
from revisage.restore import Restorer

REPORTS = Path(__file__).parents[1].resolve().parent / "shared" / "data" / "reports"
RATE = Fraction(24000, 1001)
VARIABLE = [*range(20), *range(20, 80, 6)]  # thirtieths of a second: 20 fast frames, then 10 slow ones


@pytest.mark.parametrize("into", ["mp4", "mkv"])
@pytest.mark.parametrize("kind", ["mp4", "mkv"])
def test_a_variable_rate_stays(
    tmp_path: Path, kind: str, into: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Made(times=VARIABLE, base=Fraction(1, 30), rate=Fraction(30), sounds=["deu"], sound_seconds=8 / 3)
    source = make(tmp_path / f"in.{kind}", made)
    out = restored(source, tmp_path / f"out.{into}")
    before, after = times(source), times(out)
    assert len(after) == len(VARIABLE)
    shift = after[0] - before[0]  # Matroska has no negative times: sound that begins before 0 moves all
    assert shift < Fraction(1, 30)
    assert max(abs(b - a + shift) for a, b in zip(after, before, strict=True)) <= Fraction(1, 1000)
    assert "30 frames at a variable rate" in capsys.readouterr().out


@needs_ffprobe
def test_a_film_of_variable_rate_lasts_as_long_as_its_sound(tmp_path: Path) -> None:
    made = Made(times=VARIABLE, base=Fraction(1, 30), rate=Fraction(30), sounds=["deu"], sound_seconds=8 / 3)
    source = make(tmp_path / "in.mp4", made)
    said = probe(restored(source, tmp_path / "out.mp4"))
    assert float(picture(said)["duration"]) == pytest.approx(80 / 30, abs=1 / 30)
    assert float(said["format"]["duration"]) == pytest.approx(80 / 30, abs=1 / 30)


@needs_ffprobe
@pytest.mark.parametrize("into", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("kind", ["mp4", "mkv", "ts"])
def test_a_rate_stays_a_fraction(tmp_path: Path, kind: str, into: str) -> None:
    made = Made(times=[1001 * n for n in range(48)], base=Fraction(1, 24000), rate=RATE, sounds=["und"])
    source = make(tmp_path / f"in.{kind}", made)
    said = picture(probe(restored(source, tmp_path / f"out.{into}")))
    assert said["avg_frame_rate"] == "24000/1001"
    assert said["r_frame_rate"] == "24000/1001"


TITLES = {"title": "Hochzeit", "creation_time": "1987-06-05T00:00:00.000000Z", "comment": "Super 8"}


@needs_ffprobe
@pytest.mark.parametrize("into", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize("kind", ["mp4", "mkv"])
def test_titles_sounds_and_chapters_are_kept(tmp_path: Path, kind: str, into: str) -> None:
    german = "ger" if into == "mov" else "deu"
    made = Made(sounds=[german, "eng"], tags=TITLES, chapters=[(0, 0.4, "Kirche"), (0.4, 1, "Tanz")])
    source = make(tmp_path / f"in.{kind}", made)
    report = tmp_path / "report.json"
    said = probe(restored(source, tmp_path / f"out.{into}", "--report", str(report)))
    tags = {key.lower(): value for key, value in said["format"]["tags"].items()}
    assert {key: tags.get(key) for key in TITLES} == TITLES
    sounds = [stream for stream in said["streams"] if stream["codec_type"] == "audio"]
    assert [sound["tags"]["language"] for sound in sounds] == [german, "eng"]
    assert [sound["codec_name"] for sound in sounds] == ["aac", "aac"]
    assert [sound["disposition"]["default"] for sound in sounds] == [0, 1]
    assert [chapter["tags"]["title"] for chapter in said["chapters"]] == ["Kirche", "Tanz"]
    assert float(said["chapters"][1]["start_time"]) == pytest.approx(0.4, abs=0.03)
    film = json.loads(report.read_text())["photos"][-1]
    assert film["input"] == str(source)
    assert film["film"]["left_out"] == []
    assert {"tag title", "tag creation_time", "2 chapters"} <= set(film["film"]["kept"])
    assert sum("sound" in line for line in film["film"]["kept"]) == 2


def test_subtitles_are_kept_or_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make(tmp_path / "in.mkv", Made(sounds=["deu"], subtitles=True))
    with av.open(str(restored(source, tmp_path / "out.mkv"))) as film:
        assert [bytes(packet) for packet in film.demux(subtitles=0) if packet.size] == [b"Es war einmal"]
    capsys.readouterr()
    report = tmp_path / "report.jsonl"
    restored(source, tmp_path / "out.mp4", "--report", str(report))
    assert "left out: subtitles 2: subrip (try out.mkv)" in capsys.readouterr().err
    film = json.loads(report.read_text().splitlines()[-1])
    assert film["film"]["left_out"] == ["subtitles 2: subrip (try out.mkv)"]


@needs_ffprobe
@pytest.mark.parametrize(
    ("codec", "into", "expected"),
    [("wmav2", "mp4", "aac"), ("wmav2", "mkv", "aac"), ("adpcm_ms", "mp4", "aac"), ("aac", "webm", "opus")],
)
def test_a_sound_that_the_file_cannot_hold_is_encoded_anew(
    tmp_path: Path, codec: str, into: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = {"wmav2": "wmv", "adpcm_ms": "avi", "aac": "mkv"}[codec]
    made = Made(sounds=["und"], sound_codec=codec, sound_seconds=2, options={"bf": "0"})
    source = make(tmp_path / f"in.{kind}", made)
    out = restored(source, tmp_path / f"out.{into}")
    (sound,) = [stream for stream in probe(out)["streams"] if stream["codec_type"] == "audio"]
    assert sound["codec_name"] == expected
    assert f"encoded anew as {expected}" in capsys.readouterr().err
    assert float(probe(out)["format"]["duration"]) == pytest.approx(2, abs=0.15)
    assert lag(out) == pytest.approx(lag(source), abs=0.06)
    with av.open(str(out)) as film:
        loudest = max(np.abs(frame.to_ndarray()).max() for frame in film.decode(audio=0))
    assert loudest == pytest.approx(0.5, abs=0.1)


def test_what_a_cut_left_behind_stays_behind(tmp_path: Path) -> None:
    """A film cut without encoding it has the packets before the cut, and an edit list that hides them."""
    made = Made(times=range(30), sounds=["und"], sound_start=-2, sound_seconds=5)
    source = make(tmp_path / "in.mp4", made)
    out = restored(source, tmp_path / "out.mkv")
    assert lag(out) < 0.2


def test_attachments_stay_in_matroska(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = make(tmp_path / "plain.mkv", Made())
    with av.open(str(plain)) as film, av.open(str(tmp_path / "in.mkv"), "w") as out:
        stream = out.add_stream_from_template(film.streams.video[0])
        out.add_attachment("font.ttf", "application/x-truetype-font", b"glyphs")
        for packet in film.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    with av.open(str(restored(tmp_path / "in.mkv", tmp_path / "out.mkv"))) as film:
        assert [bytes(attached.data) for attached in film.streams.attachments] == [b"glyphs"]
    restored(tmp_path / "in.mkv", tmp_path / "out.mp4")
    assert "left out: attached file 1: font.ttf (try out.mkv)" in capsys.readouterr().err


def test_the_time_code_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make(tmp_path / "in.mov", Made(tags={"timecode": "01:02:03:04"}))
    with av.open(str(restored(source, tmp_path / "out.mov"))) as film:
        assert film.streams.video[0].metadata["timecode"].startswith("01:02:03:")
    said = capsys.readouterr()
    assert "time code" in said.out
    assert "left out" not in said.err


def test_a_language_that_the_file_cannot_name_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make(tmp_path / "in.mp4", Made(sounds=["deu"]))
    restored(source, tmp_path / "out.mov")  # QuickTime has its own list: "ger"
    assert "left out: language deu of stream 1" in capsys.readouterr().err


def test_the_label_joins_the_comment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The face that is restored appears late; the label is in the file's head nevertheless."""
    seen = iter(range(100))
    models = StubModels(face=same, faces=lambda pixels: [face_at(48, 32, 30)] if next(seen) > 4 else [])
    monkeypatch.setattr(command, "Restorer", lambda *args, **kwargs: Restorer(models=models))
    source = make(tmp_path / "in.mp4", Made(tags={"comment": "Super 8"}))
    assert main(["restore", "--video", "--scale", "1", str(source), "-o", str(tmp_path / "out.mp4")]) == 0
    with av.open(str(tmp_path / "out.mp4")) as film:
        assert film.metadata["comment"] == "Super 8; edited with AI: stub-face 1"
    plain = [
        "restore",
        "--video",
        "--scale",
        "1",
        "--no-label",
        str(source),
        "-o",
        str(tmp_path / "plain.mp4"),
    ]
    assert main(plain) == 0
    with av.open(str(tmp_path / "plain.mp4")) as film:
        assert film.metadata["comment"] == "Super 8"


def test_the_place_goes_unless_it_is_to_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make(tmp_path / "in.mov", Made(tags={"location": "+48.85+002.35/"}))
    with av.open(str(source)) as film:
        assert any("location" in key for key in film.metadata)
    with av.open(str(restored(source, tmp_path / "out.mov"))) as film:
        assert not any("location" in key for key in film.metadata)
    assert "--keep-gps keeps it" in capsys.readouterr().err
    with av.open(str(restored(source, tmp_path / "kept.mov", "--keep-gps"))) as film:
        assert film.metadata["location"] == "+48.85+002.35/"


@needs_ffprobe
def test_sound_longer_than_the_picture_stays_whole(tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", Made(sounds=["und"], sound_seconds=3))
    said = probe(restored(source, tmp_path / "out.mp4"))
    assert float(said["format"]["duration"]) == pytest.approx(3, abs=0.05)
    assert float(picture(said)["duration"]) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("into", ["mp4", "mkv"])
@pytest.mark.parametrize(("sound_start", "first"), [(-0.3, 0), (0.5, 0), (0, 3)])
def test_sound_and_picture_stay_in_step(tmp_path: Path, into: str, sound_start: float, first: int) -> None:
    made = Made(sounds=["und"], sound_start=sound_start, times=range(first, first + 10), sound_seconds=2)
    source = make(tmp_path / "in.mkv", made)
    out = restored(source, tmp_path / f"out.{into}")
    # MP4 plays the encoder's 21 ms of silence before a sound that begins late.
    assert lag(out) == pytest.approx(lag(source), abs=0.022)


def lag(path: Path) -> float:
    """Seconds from the beginning of the sound, as it is decoded, to the first picture."""
    with av.open(str(path)) as film:
        first = next(film.decode(audio=0))
    assert first.pts is not None
    return float(times(path)[0] - first.pts * first.time_base)


@needs_ffprobe
def test_a_broadcast_begins_at_zero(tmp_path: Path) -> None:
    source = make(tmp_path / "in.ts", Made(sounds=["und"]))
    assert float(probe(source)["format"]["start_time"]) > 0.1
    out = restored(source, tmp_path / "out.mp4")
    assert float(probe(out)["format"]["start_time"]) == pytest.approx(0, abs=0.03)
    assert lag(out) == pytest.approx(lag(source), abs=0.01)


def test_a_cut_off_film_is_restored_as_far_as_it_goes(tmp_path: Path) -> None:
    source = make(
        tmp_path / "in.mkv", Made(size=(320, 240), times=range(40), sounds=["und"], sound_seconds=4)
    )
    data = source.read_bytes()
    source.write_bytes(data[: len(data) * 2 // 3])
    assert restore(source, tmp_path / "out.mp4", "--damaged") in (0, 1)
    assert 10 < len(times(tmp_path / "out.mp4")) < 40


@pytest.mark.parametrize("kind", ["mp4", "mov", "mkv", "avi", "fragments.mp4"])
def test_a_film_that_ends_early_is_told_as_a_photo_is(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = "frag_keyframe+empty_moov" if kind.startswith("fragments") else "faststart"
    codec = "mpeg4" if kind == "avi" else "libx264"
    made = Made(size=(320, 240), times=range(40), codec=codec, options={"g": "4", "bf": "0"})
    source = make(tmp_path / f"in.{kind}", made, **({"movflags": flags} if kind[-1] in "4v" else {}))
    data, out, report = source.read_bytes(), tmp_path / "out.mkv", tmp_path / "report.json"
    options = ["--report", str(report), "--overwrite"]
    assert restore(source, out, *options) == 0
    whole = json.loads(report.read_text())["photos"][-1]
    assert (whole["there"], whole["film"]["notes"]) == (1, [])
    out.unlink()
    source.write_bytes(data[: len(data) // 2])
    capsys.readouterr()
    assert restore(source, out, *options) == 1
    assert "of it is there; `revisage restore --damaged` restores that" in capsys.readouterr().err
    [failed] = json.loads(report.read_text())["photos"]
    assert (failed["input"], failed["status"]) == (str(source), "failed")
    assert "it is damaged: at most" in failed["error"]
    assert not out.exists()
    restore(source, out, *options, "--damaged")
    assert 8 < len(times(out)) < 32
    assert "note: damaged: at most" in capsys.readouterr().err
    part = json.loads(report.read_text())["photos"][-1]
    assert part["status"] == "restored"
    assert (
        part["there"] < 1 if kind.startswith("fragments") else part["there"] == pytest.approx(0.5, abs=0.01)
    )
    [note] = [note for note in part["film"]["notes"] if "damaged" in note]
    assert note.endswith("% of it is there")


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("last.mkv", Made(times=[0, 5, 300])),  # the last picture may be shown for any time
        ("last.mp4", Made(times=[0, 5, 300], sounds=["und"])),
        ("late.mp4", Made(times=range(200, 210), sounds=["und"], sound_seconds=0.5)),
        ("cut.mp4", Made(times=range(30), sounds=["und"], sound_start=-2, sound_seconds=9)),
        ("odd.avi", Made(size=(97, 65), codec="mjpeg", pixel_format="yuvj420p", options={})),
        ("live.ts", Made(sounds=["und"])),
    ],
)
def test_a_whole_film_is_not_called_damaged(tmp_path: Path, name: str, made: Made) -> None:
    assert VideoFilm(make(tmp_path / name, made), DecodeLimits()).there == 1


def test_a_film_of_unknown_length_is_not_called_damaged(tmp_path: Path) -> None:
    made = Made(size=(320, 240), times=range(40))
    data = bytearray(make(tmp_path / "in.mkv", made).read_bytes())
    at = data.index(b"\x18\x53\x80\x67") + 4
    data[at : at + 8] = b"\x01" + b"\xff" * 7  # as it is while a recording goes on
    (tmp_path / "live.mkv").write_bytes(data[: len(data) // 2])
    assert VideoFilm(tmp_path / "live.mkv", DecodeLimits()).there == 1


def test_a_damaged_frame_fails_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make(tmp_path / "in.mp4", Made(options={"g": "1", "bf": "0"}))
    with av.open(str(source)) as film:
        bad = [packet for packet in film.demux(video=0) if packet.size][4]
        assert bad.pos is not None
        data = bytearray(source.read_bytes())
        data[bad.pos : bad.pos + bad.size] = bytes(bad.size)
    source.write_bytes(data)
    report = tmp_path / "report.jsonl"
    assert restore(source, tmp_path / "out.mp4", "--report", str(report)) == 1
    assert "in.mp4#5: it is damaged (Invalid data found" in capsys.readouterr().err
    entries = [json.loads(line) for line in report.read_text().splitlines()]
    assert [entry["input"] for entry in entries if entry["status"] == "failed"] == [f"{source}#5"]
    assert times(tmp_path / "out.mp4") == [Fraction(n, 10) for n in range(10) if n != 4]


@pytest.mark.parametrize(
    ("name", "out", "message"),
    [
        ("noise.mp4", "out.mp4", "no film that can be read"),
        ("sound.mp4", "out.mp4", "no moving pictures"),
        ("film.mkv", "out.avi", "end the video's name with one of .mp4"),
        ("list.m3u8", "out.mp4", "asks for another file"),
    ],
)
def test_bad_files_and_names(
    tmp_path: Path, name: str, out: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "film.mkv", Made(sounds=["deu"]))
    make(tmp_path / "film.ts", Made())
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "list.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{tmp_path / 'film.ts'}\n#EXT-X-ENDLIST\n"
    )
    with av.open(str(tmp_path / "sound.mp4"), "w") as sound:
        stream = sound.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
        frame.sample_rate = 48000
        sound.mux(stream.encode(frame))
        sound.mux(stream.encode(None))
    assert restore(tmp_path / name, tmp_path / out) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / out).exists()


def test_too_many_pixels_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make(tmp_path / "in.mp4", Made())
    assert restore(source, tmp_path / "out.mp4", "--max-pixels", "6000") == 2
    assert "--max-pixels allows more" in capsys.readouterr().err


def test_what_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make(tmp_path / "in.mp4", Made())
    (tmp_path / "file").touch()
    assert restore(source, tmp_path / "file" / "out.mp4") == 1
    assert "out.mp4 cannot be written (" in capsys.readouterr().err


def test_a_film_that_is_broken_off_leaves_nothing(tmp_path: Path) -> None:
    film = VideoFilm(make(tmp_path / "in.mp4", Made()), DecodeLimits())
    restorer = Restorer(models=StubModels(scene=None))
    out = tmp_path / "out" / "film.mp4"
    with VideoSink(out, film, SaveOptions()) as sink:
        sink.begin(faces=False)
        for frame in list(film.frames())[:3]:
            assert isinstance(frame.photo, Photo)
            result = restorer.restore(frame.photo, RestoreOptions(scale="1"))
            sink.write(frame, result)
        assert len(list(out.parent.iterdir())) == 1  # not finished
    assert list(out.parent.iterdir()) == []


def test_without_pyav_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "film.mp4").touch()
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.delitem(sys.modules, "revisage.batch.video")
    assert restore(tmp_path / "film.mp4", tmp_path / "out.mp4") == 1
    assert 'pip install "revisage[video]", or give a folder of frames' in capsys.readouterr().err


def test_memory_does_not_grow_with_the_film(tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", Made(size=(320, 240), times=range(150)))
    tracemalloc.start()
    try:
        restored(source, tmp_path / "out.mp4")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 50 * 320 * 240 * 3


SHARED = ["vfr.mp4", "ntsc_23976.mp4", "hd709.mp4", "multi_title_subs.mkv"]


@needs_ffprobe
@pytest.mark.parametrize("name", SHARED)
def test_the_reported_films(tmp_path: Path, name: str) -> None:
    source = REPORTS / name
    if not source.exists():
        pytest.skip(f"needs {name} of the shared reports")
    before, after = probe(source), probe(restored(source, tmp_path / name))
    old, new = picture(before), picture(after)
    for key in ("width", "height", "sample_aspect_ratio", "color_space", "color_range", "r_frame_rate"):
        assert new.get(key) == old.get(key), key
    frame = 1 / Fraction(old["avg_frame_rate"])
    length = float(before["format"]["duration"])
    assert float(after["format"]["duration"]) == pytest.approx(length, abs=float(frame))
    kinds = [(stream["codec_type"], stream["codec_name"]) for stream in before["streams"]]
    assert [(stream["codec_type"], stream["codec_name"]) for stream in after["streams"]] == kinds
    tags = {key: before["format"]["tags"].get(key) for key in ("title", "creation_time")}
    assert {key: after["format"]["tags"].get(key) for key in tags} == tags
    assert times(tmp_path / name) == times(source)
