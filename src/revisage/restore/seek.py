"""Which faces a photo shows, how it should stand, and the faces that somebody pointed at."""

from collections.abc import Sequence

from revisage.errors import UsageError
from revisage.faces import Face, turn_matrix, upright
from revisage.image import Photo, eight_bits
from revisage.options import Box, RestoreOptions
from revisage.restore.faces import across
from revisage.restore.models import ModelSource


def seek(
    models: ModelSource, photo: Photo, given: Sequence[Face] | None, options: RestoreOptions
) -> tuple[Photo, list[Face], str | None, int]:
    """The photo as it is to stand, its faces, what found them, and by how many degrees clockwise they say
    that the photo should be turned, or now was.

    Faces come from left to right, or as `given` instead of looking for them. Raises UsageError for a box of
    `options` outside the photo.
    """
    found, label = list(given or ()), None
    if given is None:
        model = models.detector()
        found, label = model.detector.find(eight_bits(photo.pixels)), model.label
    lie = upright(face.landmarks for face in found)
    if lie and options.turn == "auto":
        matrix = turn_matrix(lie, photo.size)
        photo, found = photo.turned(lie), [face.moved(matrix) for face in found]
    for box in options.boxes:
        (x, y, w, h), (width, height) = box, photo.size
        if not (0 <= x + w / 2 <= width and 0 <= y + h / 2 <= height and w * h <= 4 * width * height):
            numbers = ",".join(f"{number:g}" for number in box)
            raise UsageError(f"the face {numbers} lies outside the photo of {width} x {height} pixels")
        found = [face for face in found if not _holds(box, face.box)]
        found.append(models.detector().detector.look(eight_bits(photo.pixels), box))
    if given is None or options.boxes:
        found.sort(key=across)
    return photo, found, label, lie


def _holds(box: Box, other: Box) -> bool:
    """Whether the middle of the other box lies in this one."""
    x, y = other[0] + other[2] / 2, other[1] + other[3] / 2
    return box[0] <= x <= box[0] + box[2] and box[1] <= y <= box[1] + box[3]
