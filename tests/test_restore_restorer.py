"""A Restorer among others: its listeners, threads, event loops, and its end."""

from __future__ import annotations

import asyncio
import gc
import io
import pickle
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from restore_stubs import StubModels, crowd, face_at, restorer_with, twice

from revisage.faces import Face
from revisage.image import Photo
from revisage.options import Settings
from revisage.restore import InstalledModels, Restorer, Stage

data = pytest.importorskip("skimage.data")


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return data.astronaut()


def test_progress_and_cancel(astronaut: np.ndarray) -> None:
    stages: list[Stage] = []
    restorer_with(faces=crowd()).restore(astronaut, scale=1, progress=stages.append)
    assert list(dict.fromkeys(stage.name for stage in stages)) == ["decode", "find", "scene", "faces"]
    assert next(stage for stage in stages if stage.name == "find").total == 4
    assert [stage.done for stage in stages if stage.name == "faces"] == [0, 1, 2, 3, 4]
    assert all(stage.done <= stage.total for stage in stages)

    class CancelledError(Exception):
        pass

    def cancel(stage: Stage) -> None:
        if stage.name == "scene":
            raise CancelledError

    with pytest.raises(CancelledError):
        restorer_with().restore(astronaut, progress=cancel)


def test_threads_do_not_mix_photos() -> None:
    """Each photo is one shade with its face in its own place: any mixing shows in shade or place."""

    def find(pixels: np.ndarray) -> list[Face]:
        shade = int(pixels[-1, -1, 0])
        return [face_at(60 + shade % 50, 60 + shade // 4, 60 + shade % 30)]

    shared = Restorer(models=StubModels(lambda crop: 1 - crop, twice, find))
    gate = threading.Barrier(8)

    def one(worker: int) -> None:
        gate.wait()
        for shade in range(10 + worker, 200, 48):
            height, width = 150 + shade % 40, 160 + worker
            result = shared.restore(np.full((height, width, 3), shade, np.uint8), scale=1, colour="enhance")
            assert result.pixels.shape == (height, width, 3)
            assert abs(int(result.pixels[-1, -1, 0]) - shade) <= 1
            face = face_at(60 + shade % 50, 60 + shade // 4, 60 + shade % 30)
            x, y = face.landmarks[2].astype(int)
            assert abs(int(result.pixels[y, x, 0]) - (255 - shade)) <= 2
            assert np.allclose(result.faces[0].landmarks, face.landmarks, atol=0.01)

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(one, worker) for worker in range(8)]:
            done.result()


def test_bytes_without_a_name(astronaut: np.ndarray) -> None:
    buffer = io.BytesIO()
    Image.fromarray(astronaut).save(buffer, "PNG")
    result = restorer_with().restore(buffer.getvalue())
    assert isinstance(result.photo, Photo)
    assert result.entry()["input"] is None


def test_a_restorer_in_an_event_loop_lets_it_go_on_and_stops_when_it_is_cancelled(
    astronaut: np.ndarray,
) -> None:
    restorer, stages, begun = restorer_with(), [], threading.Event()

    def watch(stage: Stage) -> None:
        stages.append(stage)
        begun.set()
        time.sleep(0.2)

    async def both() -> None:
        result = await restorer.restore_async(astronaut, scale=1)
        assert np.array_equal(result.pixels, restorer.restore(astronaut, scale=1).pixels)
        task = asyncio.create_task(restorer.restore_async(astronaut, scale=1, progress=watch))
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(both())  # waits for the thread
    assert [stage.name for stage in stages] == ["decode"]


def test_a_closed_restorer_has_let_its_models_go(monkeypatch: pytest.MonkeyPatch) -> None:
    class Model:
        pass

    opened: list[weakref.ref[Model]] = []

    def open_detector(self: InstalledModels) -> Model:
        model = Model()
        opened.append(weakref.ref(model))
        return model

    monkeypatch.setattr(InstalledModels, "_open_detector", open_detector)
    with Restorer() as restorer:
        restorer._models.detector()
        assert opened[0]() is not None
    gc.collect()
    assert opened[0]() is None
    restorer._models.detector()
    assert len(opened) == 2


def test_a_restorer_is_pickled_by_its_settings_and_a_result_with_its_pixels(astronaut: np.ndarray) -> None:
    with Restorer(Settings(threads=1)) as restorer:
        result = restorer.restore(astronaut[:256], scale=1, repair="light", colour="revive")
        other = pickle.loads(pickle.dumps(restorer))
        assert other.settings == restorer.settings
    same = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(same.pixels, result.pixels)
    assert same.entry() == result.entry()
    assert {model: read() for model, read in same.digests.items()} == {
        model: read() for model, read in result.digests.items()
    }
    assert same.encode("PNG") == result.encode("PNG")
    np.testing.assert_array_equal(
        other.restore(astronaut[:256], scale=1, repair="light", colour="revive").pixels, result.pixels
    )


def test_a_result_is_told_in_one_line(astronaut: np.ndarray) -> None:
    assert repr(restorer_with().restore(astronaut, scale=1)) == (
        "<Result: 512 x 512 pixels, 1 of 1 faces restored>"
    )
