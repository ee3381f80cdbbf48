"""A film: frames restored one after the other, faces found beforehand and smoothed along their tracks.

The film is read twice: once to find the faces, once to restore. Of the second reading a few frames are held,
so that each face can be made to agree with its neighbours on both sides (`revisage.restore.video.smoothing`).
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from revisage.errors import RevisageError, UsageError
from revisage.image import Photo
from revisage.options import RestoreOptions
from revisage.restore import Face, Restorer, Result, failure
from revisage.restore.faces import across
from revisage.restore.video import smoothing
from revisage.restore.video.smoothing import WINDOW, FaceCrops


@dataclass(frozen=True)
class Frame:
    """One picture of a film, or why it cannot be read."""

    name: str
    photo: Photo | RevisageError
    time: Fraction | None = None  #: when it is shown, in seconds from the film's beginning; None in a folder
    duration: Fraction | None = None  #: for how long, in seconds


class Film(Protocol):
    """Where frames come from."""

    def frames(self) -> Iterator[Frame]:
        """The frames in their order; called twice, and each time the same."""


class Sink(Protocol):
    """Where restored frames go."""

    def begin(self, *, faces: bool) -> None:
        """Told before the first frame whether the film shows faces that a model will restore."""

    def write(self, frame: Frame, result: Result) -> str:
        """Take a frame's result; where it went. Raises SaveError."""


Told = Callable[[str, int], None]
"""Called for every frame with "find" or "restore" and how many of that are done."""


@dataclass
class _Held:
    """A restored frame that waits for its neighbours: its faces by track, and which tracks were restored."""

    number: int
    frame: Frame
    result: Result
    faces: dict[int, Face]
    tracks: list[int]


def restore_film(
    film: Film,
    sink: Sink,
    restorer: Restorer,
    options: RestoreOptions,
    *,
    told: Told = lambda step, done: None,
    stop: threading.Event | None = None,
) -> Iterator[dict[str, Any]]:
    """Restore every frame and yield its entry of the report, in order.

    A frame that cannot be read or restored is a failed entry, and the rest goes on; what cannot be written
    ends the film. Once `stop` is set, no more frames are begun.

    Raises UsageError where the options are not for films, or not for the first frame, SaveError, ModelError.
    """
    if options.aligned or options.faces != "all":
        raise UsageError("a film takes neither --aligned nor --faces: all faces are followed through it")
    stop = stop or threading.Event()
    restores = restorer.settings.model != "none"
    faces = _find(film, restorer, told, stop) if restores or options.red_eyes else []
    sink.begin(faces=restores and any(faces))
    held: deque[_Held] = deque()
    crops: dict[int, dict[int, FaceCrops]] = {}
    for number, frame in enumerate(film.frames()):
        if stop.is_set():
            break
        by_track = faces[number] if number < len(faces) else {}
        try:
            if isinstance(frame.photo, RevisageError):
                raise frame.photo
            result = restorer.restore(frame.photo, options, found=list(by_track.values()))
        except RevisageError as error:
            if number == 0 and isinstance(error, UsageError):
                raise
            yield failure(frame.name, error)
        else:
            restored = _crop_faces(frame.photo, result, by_track, crops, number)
            held.append(_Held(number, frame, result, by_track, restored))
        while held and held[0].number + WINDOW <= number:
            yield _write(held.popleft(), crops, sink)
        for known in crops.values():
            known.pop(number - 2 * WINDOW, None)
        told("restore", number + 1)
    while held:
        yield _write(held.popleft(), crops, sink)


def _find(film: Film, restorer: Restorer, told: Told, stop: threading.Event) -> list[dict[int, Face]]:
    """For each frame the smoothed faces in it, by track, from left to right."""
    found: list[list[Face]] = []
    for number, frame in enumerate(film.frames()):
        if stop.is_set():
            break
        found.append([] if isinstance(frame.photo, RevisageError) else restorer.find(frame.photo))
        told("find", number + 1)
    faces: list[dict[int, Face]] = [{} for _ in found]
    for track, followed in enumerate(smoothing.link_tracks(found)):
        for number, face in smoothing.smooth_track(followed).items():
            faces[number][track] = face
    return [dict(sorted(some.items(), key=lambda item: across(item[1]))) for some in faces]


def _crop_faces(
    photo: Photo, result: Result, faces: dict[int, Face], crops: dict[int, dict[int, FaceCrops]], number: int
) -> list[int]:
    """Keep how each restored face looks in this frame; the tracks of those faces."""
    restored = []
    for (track, face), report in zip(faces.items(), result.faces, strict=False):
        known = crops.setdefault(track, {})
        first = next(iter(known.values()), None)
        resolved = int(np.clip(2 * face.box[2] * result.scale, *smoothing.SIDES))
        size = resolved if first is None else first.before.shape[0]
        if report.outcome == "restored":
            seen = smoothing.crop_face(photo.pixels, result.pixels, face.landmarks, result.scale, size)
            if seen is not None:
                known[number] = seen
                restored.append(track)
    return restored


def _write(held: _Held, crops: dict[int, dict[int, FaceCrops]], sink: Sink) -> dict[str, Any]:
    """Make each face of a frame agree with its neighbours, and hand the frame on."""
    result = held.result
    layers = {track: smoothing.correction(crops[track], held.number) for track in held.tracks}
    for track, layer in layers.items():
        smoothing.add_correction(result.pixels, held.faces[track].landmarks, result.scale, layer)
    return result.entry() | {"input": held.frame.name, "output": sink.write(held.frame, result)}
