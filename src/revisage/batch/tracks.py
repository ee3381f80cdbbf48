"""Faces followed through a film, and what belongs to a face made steady along its way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from revisage.restore import Face

OVERLAP = 0.3
"""Least intersection over union of a face's box with that of the frame before."""

GAP = 6
"""Most frames in a row in which the finder may miss a face that it finds again."""

SHORTEST = 3
"""Frames below which a track is taken for a false find, where the film is much longer."""

SIGMA = 2.0
"""Standard deviation of the filter's weights, in frames."""

REACH = 6
"""Frames to each side that the filter looks at: three standard deviations."""


@dataclass
class Track:
    """One face: what the finder found of it, by frame."""

    found: dict[int, Face] = field(default_factory=dict)

    @property
    def last(self) -> int:
        """The latest frame."""
        return max(self.found)


def link(frames: Sequence[Sequence[Face]]) -> list[Track]:
    """The tracks of a film from the faces of its frames, each pair with the largest overlap first."""
    tracks: list[Track] = []
    for number, faces in enumerate(frames):
        open_ = [track for track in tracks if number - track.last <= GAP + 1]
        pairs = [
            (overlap(track.found[track.last].box, face.box), t, f)
            for t, track in enumerate(open_)
            for f, face in enumerate(faces)
        ]
        taken: set[int] = set()
        given: set[int] = set()
        for score, t, f in sorted(pairs, reverse=True):
            if score >= OVERLAP and t not in taken and f not in given:
                open_[t].found[number] = faces[f]
                taken.add(t)
                given.add(f)
        tracks += [Track({number: face}) for f, face in enumerate(faces) if f not in given]
    if len(frames) < 3 * SHORTEST:
        return tracks
    return [track for track in tracks if len(track.found) >= SHORTEST]


def overlap(first: Sequence[float], second: Sequence[float]) -> float:
    """Intersection over union of two boxes (x, y, width, height)."""
    width = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    height = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    common = max(width, 0.0) * max(height, 0.0)
    union = first[2] * first[3] + second[2] * second[3] - common
    return common / union if union > 0 else 0.0


def steady(track: Track) -> dict[int, Face]:
    """The track's face in every frame from its first to its last, box and landmarks filtered.

    Frames in which the finder missed it are filled in, with the lowest score of the track.
    """
    frames = sorted(track.found)
    faces = [track.found[frame] for frame in frames]
    values = np.array([[*face.box, *np.ravel(face.landmarks)] for face in faces], np.float64)
    whole = np.arange(frames[0], frames[-1] + 1)
    filled = np.stack([np.interp(whole, frames, column) for column in values.T], axis=1)
    smooth = smoothed(filled)
    least = min(face.score for face in faces)
    made = {}
    for frame, row in zip(whole.tolist(), smooth, strict=True):
        x, y, width, height = row[:4].tolist()
        score = track.found[frame].score if frame in track.found else least
        made[frame] = Face((x, y, width, height), row[4:].reshape(5, 2).astype(np.float32), score)
    return made


def smoothed(values: np.ndarray) -> np.ndarray:
    """(N, D) -> (N, D): each row replaced by the value there of a line fitted to its neighbours.

    Local linear regression with Gaussian weights (Fan and Gijbels, *Local Polynomial Modelling and Its
    Applications*, 1996): symmetric, so nothing lags behind, and what moves evenly is left as it is, at the
    ends as well.
    """
    count = len(values)
    out = np.empty_like(values)
    for index in range(count):
        low, high = max(0, index - REACH), min(count, index + REACH + 1)
        out[index] = at_zero(np.arange(low, high) - index, values[low:high])
    return out


def at_zero(times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The value at time 0 of the weighted least-squares line through (N,) times and (N, D) values."""
    weights = np.exp(-0.5 * (times / SIGMA) ** 2)
    s0, s1, s2 = (float((weights * times**power).sum()) for power in range(3))
    determinant = s0 * s2 - s1 * s1
    if determinant < 1e-9 * s0 * s0:  # one time only: its value
        return np.asarray((weights[:, None] * values).sum(axis=0) / s0)
    kernel = weights * (s2 - s1 * times) / determinant
    return np.asarray(kernel @ values)
