"""A film: frames restored one after the other, faces found beforehand and made steady along their tracks.

The film is read twice: once to find the faces, once to restore. Of the second reading a few frames are held,
so that the mean colour that restoration gives a face can be filtered over its neighbours on both sides.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from revisage.batch.tracks import REACH, at_zero, link, steady
from revisage.errors import FaceError, RevisageError, UsageError
from revisage.image import Photo
from revisage.restore import Face, RestoreOptions, Restorer, Result, cast, failure


@dataclass(frozen=True)
class Frame:
    """One picture of a film, or why it cannot be read."""

    name: str
    photo: Photo | RevisageError


class Film(Protocol):
    """Where frames come from."""

    def frames(self) -> Iterator[Frame]:
        """The frames in their order; called twice, and each time the same."""
        ...


class Sink(Protocol):
    """Where restored frames go."""

    def write(self, name: str, result: Result) -> str:
        """Take a restored frame; where it went. Raises SaveError."""
        ...


Told = Callable[[str, int], None]
"""Called for every frame with "find" or "restore" and how many of that are done."""


@dataclass
class _Held:
    """A restored frame that waits for its neighbours: its faces by track, and each one's change of colour."""

    number: int
    name: str
    result: Result
    faces: dict[int, Face]
    change: dict[int, np.ndarray] = field(default_factory=dict)


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

    Raises UsageError where the options are not for films, SaveError, ModelError.
    """
    if options.aligned or options.faces != "all":
        raise UsageError("a film takes neither --aligned nor --faces: all faces are followed through it")
    stop = stop or threading.Event()
    faces = _find(film, restorer, told, stop)
    held: deque[_Held] = deque()
    changes: dict[int, dict[int, np.ndarray]] = {}
    for number, frame in enumerate(film.frames()):
        if stop.is_set():
            break
        by_track = faces[number] if number < len(faces) else {}
        try:
            if isinstance(frame.photo, RevisageError):
                raise frame.photo
            result = restorer.run(frame.photo, options, found=list(by_track.values()))
        except RevisageError as error:
            yield failure(frame.name, error)
        else:
            held.append(_Held(number, frame.name, result, by_track))
            for track, change in _changes(frame.photo, result, by_track).items():
                changes.setdefault(track, {})[number] = change
        while held and held[0].number + REACH <= number:
            yield _write(held.popleft(), changes, sink)
        for known in changes.values():
            known.pop(number - 2 * REACH - 1, None)
        told("restore", number + 1)
    while held:
        yield _write(held.popleft(), changes, sink)


def _find(film: Film, restorer: Restorer, told: Told, stop: threading.Event) -> list[dict[int, Face]]:
    """For each frame the steady faces in it, by track, largest first."""
    found: list[list[Face]] = []
    if restorer.settings.model == "none":
        return []
    for number, frame in enumerate(film.frames()):
        if stop.is_set():
            break
        found.append([] if isinstance(frame.photo, RevisageError) else restorer.find(frame.photo))
        told("find", number + 1)
    faces: list[dict[int, Face]] = [{} for _ in found]
    for track, followed in enumerate(link(found)):
        for number, face in steady(followed).items():
            faces[number][track] = face
    return [
        dict(sorted(some.items(), key=lambda item: item[1].box[2] * item[1].box[3], reverse=True))
        for some in faces
    ]


def _changes(photo: Photo, result: Result, faces: dict[int, Face]) -> dict[int, np.ndarray]:
    """How restoration changed the mean colour of each face that it restored."""
    changes = {}
    for (track, face), report in zip(faces.items(), result.faces, strict=False):
        if report.outcome == "restored":
            try:
                changes[track] = cast.measure(photo.pixels, result.pixels, face.landmarks, result.scale)
            except FaceError:
                continue
    return changes


def _write(frame: _Held, changes: dict[int, dict[int, np.ndarray]], sink: Sink) -> dict[str, Any]:
    """Bring each face's change of colour to the filtered one of its neighbours, and hand the frame on."""
    result = frame.result
    pixels = result.pixels
    for track, face in frame.faces.items():
        known = changes.get(track, {})
        near = {t: c for t, c in known.items() if abs(t - frame.number) <= REACH}
        if frame.number in near and len(near) > 1:
            times = np.array(list(near)) - frame.number
            wanted = at_zero(times, np.stack(list(near.values())))
            cast.add(pixels, face.landmarks, result.scale, wanted - near[frame.number])
    result.photo = replace(result.photo, pixels=pixels)
    place = sink.write(frame.name, result)
    return result.entry() | {"input": frame.name, "output": place}
