"""Makers of Restorers for worker processes; the red of a photo's first pixel tells the stub what to do."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
from restore_stubs import StubModels, face_at, twice

from revisage.errors import ModelMissingError
from revisage.restore import Restorer

SLOW, DEADLY, STUCK = 7, 13, 17
SLOW_SECONDS = 0.3


def scene(picture: np.ndarray) -> np.ndarray:
    mark = round(float(picture[..., 0].min()) * 255)
    if mark == SLOW:
        time.sleep(SLOW_SECONDS)
    elif mark == DEADLY:
        os.kill(os.getpid(), signal.SIGKILL)
    elif mark == STUCK:
        time.sleep(3600)
    return twice(picture)


def brighter(picture: np.ndarray) -> np.ndarray:
    return np.clip(picture * 1.2, 0, 1)


def make(threads: int | None) -> Restorer:
    models = StubModels(face=brighter, scene=scene, faces=lambda pixels: [face_at(60, 60, 50)])
    return Restorer(models=models, memory=256)


def make_impatient(threads: int | None) -> Restorer:
    from revisage.batch.engines import processes

    processes.GRACE_SECONDS = 0.5
    return make(threads)


def make_without_models(threads: int | None) -> Restorer:
    raise ModelMissingError("the face model is missing: install it")


def make_that_dies(threads: int | None) -> Restorer:
    os._exit(3)
