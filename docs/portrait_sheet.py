"""Draw docs/pictures/portrait.jpg: a historical portrait as it is, and restored.

python docs/portrait_sheet.py [PHOTO]
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from revisage import Restorer

DOCS = Path(__file__).parent
PHOTO = DOCS.parents[1] / "shared/data/portraits/wiki-007210.jpg"


def main(photo: Path) -> None:
    result = Restorer().restore(photo, scale=2)
    after = np.asarray(result.image)
    before = np.asarray(Image.open(photo).convert("RGB"))
    before = cv2.resize(before, after.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    sheet = Image.fromarray(np.concatenate([before, after], axis=1))
    sheet.save(DOCS / "pictures" / "portrait.jpg", quality=88)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PHOTO)
