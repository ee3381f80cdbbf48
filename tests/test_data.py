"""The split, folders of pictures, and batches in an order that nothing disturbs."""

import itertools
import os
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from revisage.errors import TrainingError, UsageError
from revisage.lab.data.loader import Loader, Sample
from revisage.lab.data.pictures import (
    HELD_OUT_SHARE,
    Pictures,
    cache_room,
    find_pictures,
    held_out,
    read_picture,
    shuffled,
)

NAMES = [f"Person_{i:04d}" for i in range(4000)]
TRAINED = [name for name in NAMES if not held_out(name)]
HELD = [name for name in NAMES if held_out(name)]


def write(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 3), (value, 10, 20)).save(path)
    return path


def test_the_split_never_moves() -> None:
    # Written down once: another machine, another Python or another order must give the same answers.
    people = ["Aaron_Eckhart", "George_W_Bush", "Zico", "00042", "grüße", ""]
    assert [held_out(name, 0.5) for name in people] == [True, True, False, False, False, False]
    assert HELD[:4] == ["Person_0001", "Person_0030", "Person_0051", "Person_0057"]


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 1.0])
def test_shares_are_about_right(share: float) -> None:
    kept = sum(held_out(name, share) for name in NAMES) / len(NAMES)
    assert kept == pytest.approx(share, abs=0.02)


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_keeps_who_was_held_out(name: str, one: float, other: float) -> None:
    small, large = sorted((one, other))
    assert held_out(name, large) or not held_out(name, small)
    assert held_out(name, 1.0)
    assert not held_out(name, 0.0)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_is_between_0_and_1(share: float) -> None:
    with pytest.raises(ValueError, match="share must be between 0 and 1"):
        held_out("anyone", share)


def test_find_pictures_takes_one_side_of_the_split(tmp_path: Path) -> None:
    for name in (*TRAINED[:3], *HELD[:2]):
        write(tmp_path / "deep" / f"{name}.png")
    (tmp_path / f"{TRAINED[3]}.txt").write_text("no picture")
    (tmp_path / f"{TRAINED[4]}.png").mkdir()
    assert [p.stem for p in find_pictures(tmp_path)] == TRAINED[:3]
    assert [p.stem for p in find_pictures(tmp_path, held=True)] == HELD[:2]


def test_find_pictures_keeps_a_person_together(tmp_path: Path) -> None:
    for name in (TRAINED[0], HELD[0]):
        for i in range(6):
            write(tmp_path / name / f"{i}.JPG")

    def person(path: Path) -> str:
        return path.parent.name

    assert {p.parent.name for p in find_pictures(tmp_path, name=person)} == {TRAINED[0]}
    held = find_pictures(tmp_path, name=person, held=True)
    assert [p.stem for p in held] == list("012345")


def test_find_pictures_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no folder .*nowhere"):
        find_pictures(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"no pictures in .*: give the folder that holds"):
        find_pictures(tmp_path)
    write(tmp_path / f"{TRAINED[0]}.png")
    with pytest.raises(TrainingError, match=r"for validation among the 1 in .*: 5% of the names are"):
        find_pictures(tmp_path, held=True)


def test_pictures_are_rgb_whatever_the_file(tmp_path: Path) -> None:
    Image.new("L", (4, 3), 77).save(tmp_path / "gray.png")
    Image.new("RGBA", (4, 3), (1, 2, 3, 128)).save(tmp_path / "alpha.png")
    deep = np.full((3, 4), 300, np.uint16)
    deep[0] = 65535, 32767, 128, 129
    Image.fromarray(deep).save(tmp_path / "deep.png")
    turned = Image.new("RGB", (4, 3))
    exif = turned.getexif()
    exif[274] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif)

    pictures = Pictures([tmp_path / name for name in ("gray.png", "alpha.png", "deep.png", "turned.jpg")])
    assert len(pictures) == 4
    assert [pictures[i].shape for i in range(4)] == [(3, 4, 3)] * 3 + [(4, 3, 3)]
    assert all(pictures[i].dtype == np.uint8 for i in range(4))
    assert (pictures[0] == 77).all()
    assert (pictures[1] == (1, 2, 3)).all()
    # The nearest of 256 steps: 257 of 65536 each.
    assert pictures[2][0, :, 0].tolist() == [255, 127, 0, 1]
    assert (pictures[2][1:] == 1).all()


def test_pictures_are_read_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", 200)
    pictures = Pictures([path])
    first = pictures[0]
    path.unlink()
    assert pictures[0] is first


def test_pictures_are_kept_as_far_as_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [write(tmp_path / f"{i}.png", i) for i in range(3)]
    pictures = Pictures(paths, room=2 * 4 * 3 * 3)  # for two
    read = [pictures[i] for i in range(3)]
    assert [pictures[i] is read[i] for i in range(3)] == [True, True, False]
    np.testing.assert_array_equal(pictures[2], read[2])
    alone = cache_room()
    assert 0 < alone <= psutil.virtual_memory().total / 4
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert cache_room() == pytest.approx(alone / 8, rel=0.5)  # other programs take and give memory


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    for path in (broken, tmp_path / "gone.png"):
        with pytest.raises(TrainingError, match=f"cannot use .*{path.name}") as caught:
            read_picture(path)
        assert "\n" not in str(caught.value)


@given(st.integers(1, 40), st.integers(0, 5), st.integers(0, 2**31))
def test_every_epoch_shows_every_picture_once(count: int, epoch: int, seed: int) -> None:
    order = [shuffled(epoch * count + i, count, seed) for i in range(count)]
    assert sorted(order) == list(range(count))


def test_an_epochs_order_is_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    generator = np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda seed: drawn.append(seed) or generator(seed))
    assert len({shuffled(index, 1000, 987654) for index in range(1000)}) == 1000
    assert drawn == [(987654, 0)]


def test_epochs_and_seeds_have_their_own_order() -> None:
    orders = {tuple(shuffled(e * 50 + i, 50, seed) for i in range(50)) for e in range(3) for seed in range(3)}
    assert len(orders) == 9
    with pytest.raises(ValueError, match="count must be at least 1"):
        shuffled(0, 0, 0)


def numbered(index: int) -> Sample:
    """A sample whose making takes an uneven while, so that threads finish out of order."""
    time.sleep(0.002 * (index * 7 % 3))
    return {"index": np.array(index), "noise": np.random.default_rng(index).random(3)}


def take(loader: Loader, count: int) -> list[dict[str, Any]]:
    with closing(iter(loader)) as batches:
        return list(itertools.islice(batches, count))


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 5))
def test_batches_do_not_depend_on_threads(batch: int, threads: int, ahead: int) -> None:
    loader = Loader(numbered, batch=batch, workers=threads, ahead=ahead)
    for number, found in enumerate(take(loader, 4)):
        first = number * batch
        assert found["index"].tolist() == list(range(first, first + batch))
        expected = [np.random.default_rng(i).random(3) for i in range(first, first + batch)]
        np.testing.assert_array_equal(found["noise"], expected)


def test_what_the_maker_raises_reaches_the_consumer() -> None:
    def make(index: int) -> Sample:
        if index == 5:
            raise TrainingError("picture 5 is broken")
        return numbered(index)

    batches = iter(Loader(make, batch=2, workers=2))
    assert [next(batches)["index"].tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(TrainingError, match="picture 5 is broken"):
        next(batches)


def test_closing_stops_the_threads() -> None:
    made, threads = [], set()

    def make(index: int) -> Sample:
        made.append(index)
        threads.add(threading.current_thread())
        return {"index": np.array(index)}

    with closing(iter(Loader(make, batch=2, workers=2, ahead=2))) as batches:
        next(batches)
    for thread in threads:
        thread.join(timeout=10)
        assert not thread.is_alive()
    assert max(made) < 4  # two batches of two were asked for, and no more


def test_a_loader_counts_the_time_it_waited() -> None:
    loader = Loader(numbered, batch=3, ahead=1)
    assert loader.waited == 0
    take(loader, 2)
    assert loader.waited > 0


def test_processes_give_the_batches_of_threads_and_end_with_the_loader() -> None:
    places = []

    def make(index: int) -> Sample:
        return numbered(index) | {"place": np.array(os.getpid())}

    batches = take(Loader(make, batch=3, workers=2, processes=True), 5)
    for found, expected in zip(batches, take(Loader(numbered, batch=3), 5), strict=True):
        np.testing.assert_array_equal(found["noise"], expected["noise"])
        places += found["place"].tolist()
    assert len(set(places)) == 2
    assert os.getpid() not in places
    assert not [pid for pid in set(places) if psutil.pid_exists(pid) and psutil.Process(pid).is_running()]


def test_what_a_process_raises_reaches_the_consumer() -> None:
    def make(index: int) -> Sample:
        raise TrainingError(f"picture {index} is broken")

    with pytest.raises(TrainingError, match="picture 0 is broken"):
        next(iter(Loader(make, batch=2, processes=True)))


def test_processes_share_the_room_for_pictures(tmp_path: Path) -> None:
    for i in range(8):
        Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(tmp_path / f"{i}.png")
    pictures = Pictures(sorted(tmp_path.iterdir()), room=4 * 8 * 8 * 3)

    def make(index: int) -> Sample:
        for i in range(8):  # each process would keep four of them, if it were alone
            pictures[i]
        return {"kept": np.array(len(pictures._cache)), "place": np.array(os.getpid())}

    batches = take(Loader(make, batch=1, workers=2, processes=True), 8)
    kept = {int(found["place"]): int(found["kept"]) for found in batches}
    assert sum(kept.values()) == 4


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"workers": 0}, {"ahead": 0}])
def test_a_loader_needs_positive_numbers(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Loader(numbered, **{"batch": 1, **wrong})


def test_the_split_of_the_shared_faces(shared: Path) -> None:
    paths = find_pictures(shared / "data" / "faces256")
    held = find_pictures(shared / "data" / "faces256", held=True)
    assert not set(paths) & set(held)
    assert len(held) / (len(held) + len(paths)) == pytest.approx(HELD_OUT_SHARE, abs=0.01)
    assert read_picture(held[0]).shape == (256, 256, 3)
