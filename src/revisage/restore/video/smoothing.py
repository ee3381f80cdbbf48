"""Faces followed through a film, and what restoration made of each averaged where the film shows the same.

A bilateral filter over time (Tomasi and Manduchi, *Bilateral filtering for gray and color images*, ICCV 1998)
on crops that the face's landmarks hold still: a neighbouring frame counts the less the further away it is,
and at each pixel the more the film itself differs there. So noise and the model's wavering are averaged, and
a mouth that opens, or a light that goes on, is not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from revisage.errors import FaceError
from revisage.faces import estimate
from revisage.faces.rows import iou
from revisage.restore import Face, tiles
from revisage.restore.paste import mask, place_crop, sample, warped

OVERLAP = 0.3  #: least intersection over union of a face's box with that of the frame before
GAP = 6  #: most frames in a row in which the detector may miss a face that it finds again
SHORTEST = 3  #: frames below which a track is taken for a false find, where the film is much longer
SIGMA = 2.0  #: standard deviation of the filter's weights, in frames
WINDOW = 6  #: frames to each side that the filter looks at: three standard deviations


Track = dict[int, Face]  #: one face: what the detector found of it, by frame


def link_tracks(frames: Sequence[Sequence[Face]]) -> list[Track]:
    """The tracks of a film from the faces of its frames, each pair with the largest overlap first."""
    tracks: list[Track] = []
    for number, faces in enumerate(frames):
        open_ = [track for track in tracks if number - max(track) <= GAP + 1]
        boxes = np.array([face.box for face in faces]).reshape(-1, 4)
        pairs = [
            (overlap, t, f)
            for t, track in enumerate(open_)
            for f, overlap in enumerate(iou(np.array(track[max(track)].box), boxes).tolist())
        ]
        given: set[int] = set()
        for score, t, f in sorted(pairs, reverse=True):
            if score >= OVERLAP and number not in open_[t] and f not in given:
                open_[t][number] = faces[f]
                given.add(f)
        tracks += [{number: face} for f, face in enumerate(faces) if f not in given]
    if len(frames) < 3 * SHORTEST:
        return tracks
    return [track for track in tracks if len(track) >= SHORTEST]


def smooth_track(track: Track) -> Track:
    """The track's face in every frame from its first to its last, box and landmarks filtered.

    Frames in which the detector missed it are filled in, with the lowest score of the track.
    """
    frames = sorted(track)
    faces = [track[frame] for frame in frames]
    values = np.array([[*face.box, *np.ravel(face.landmarks)] for face in faces], np.float64)
    whole = np.arange(frames[0], frames[-1] + 1)
    filled = np.stack([np.interp(whole, frames, column) for column in values.T], axis=1)
    smooth = smoothed(filled)
    least = min(face.score for face in faces)
    made = {}
    for frame, row in zip(whole.tolist(), smooth, strict=True):
        x, y, width, height = row[:4].tolist()
        score = track[frame].score if frame in track else least
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
        low, high = max(0, index - WINDOW), min(count, index + WINDOW + 1)
        out[index] = at_zero(np.arange(low, high) - index, values[low:high])
    return out


def at_zero(times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The value at time 0 of the weighted least-squares line through (N,) times and (N, D) values."""
    if len(times) == 1:
        return values[0]
    return np.asarray(np.polyfit(times, values, 1, w=np.exp(-0.25 * (times / SIGMA) ** 2))[1])


SIDES = (64, 512)  #: least and largest side of a crop
PATCH = 7  #: side of the square over which two frames are compared at a pixel
LEVEL = 1.5 / 255  #: difference that counts as none even in a film without noise


@dataclass(frozen=True)
class FaceCrops:
    """A face in one frame of a film and of the restored one, on the template: (S, S, 3) float32 in [0, 1]."""

    before: np.ndarray
    after: np.ndarray


def crop_face(
    before: np.ndarray, after: np.ndarray, landmarks: np.ndarray, scale: int, size: int
) -> FaceCrops | None:
    """Cut a face, by its landmarks (5, 2) in `before`, from a frame (H, W, 3), uint8 or uint16, and from the
    same frame restored (H scale, W scale, 3); None where landmarks are not a face's."""
    try:
        matrix = estimate(landmarks, size)
        return FaceCrops(
            sample(before, place_crop(matrix, size, 1)), sample(after, place_crop(matrix, size, scale))
        )
    except FaceError:
        return None


def correction(crops: Mapping[int, FaceCrops], frame: int) -> np.ndarray:
    """(S, S, 3) float32: what is to be added to the restored face in `frame`, given its looks by frame."""
    here = crops[frame]
    differences: dict[int, np.ndarray] = {}  # (S, S): of the means over patches, squared, mean over colours
    for other in crops:
        if other != frame and abs(other - frame) <= WINDOW:
            means = cv2.blur(crops[other].before - here.before, (PATCH, PATCH))
            differences[other] = np.square(means).mean(axis=2)
    near = [float(np.median(differences[other])) for other in (frame - 1, frame + 1) if other in differences]
    # The film's noise, from the neighbour that is more alike: the other may lie behind a cut.
    tolerance = 2 * min(near, default=0.0) + LEVEL**2
    total, weights = here.after.copy(), np.ones(here.after.shape[:2], np.float32)
    for other, difference in differences.items():
        weight = np.exp(-0.5 * ((other - frame) / SIGMA) ** 2 - 0.5 * difference / tolerance)
        weight = weight.astype(np.float32)
        total += weight[..., None] * crops[other].after
        weights += weight
    return np.asarray(total / weights[..., None] - here.after)


def add_correction(pixels: np.ndarray, landmarks: np.ndarray, scale: int, layer: np.ndarray) -> None:
    """Add a layer, (S, S, 3) in shares of the full range, to a face of a restored frame, in place; it fades
    at the rim of the oval."""
    size = layer.shape[0]
    placement = place_crop(estimate(landmarks, size), size, scale)
    left, top, right, bottom = block = placement.region(pixels.shape)
    if right <= left or bottom <= top:
        return
    change = mask(placement.radius(block))[..., None] * warped(layer, placement.to_crop, block)
    target = pixels[top:bottom, left:right]
    target[...] = tiles.to_integer(tiles.to_float(target) + change, pixels.dtype)
