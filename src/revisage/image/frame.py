"""What of a photo is restored, and how it stands."""

import numpy as np

from revisage.image.photo import Photo
from revisage.image.prints import Print, cropped, cut
from revisage.options import RestoreOptions


def framed(photo: Photo, options: RestoreOptions) -> Photo:
    """The photo, or the print on it, turned, straightened and cropped as the options say; resampled once.

    Raises PhotoError for a scan with several prints of which one is asked for.
    """
    photo = (cropped(photo) if options.crop == "print" else photo).turned(options.turn_by_hand)
    if options.straighten == 0 and options.part is None:
        return photo
    x, y, w, h = options.part or (0.0, 0.0, 1.0, 1.0)
    sides, turn = np.array(photo.size), np.deg2rad(options.straighten)
    # The largest rectangle of the photo's shape that lies within it once it is turned about its middle.
    whole = sides / (np.cos(turn) + max(sides) / min(sides) * np.sin(abs(turn)))
    back = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    across, down = (sides - 1) / 2 + back @ ((np.array([x + w / 2, y + h / 2]) - 0.5) * whole)
    width, height = whole * (w, h)
    return cut(photo, Print((float(across), float(down)), (float(width), float(height)), -options.straighten))
