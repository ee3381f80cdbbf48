"""What a client may choose for one photo: the same as on the command line."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

from revisage.options import EncodeOptions, RestoreOptions

MEDIA_TYPE = {
    "JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "TIFF": "image/tiff", "BMP": "image/bmp",
    "HEIF": "image/heic", "AVIF": "image/avif", "JXL": "image/jxl",
}  # fmt: skip


@dataclass(frozen=True)
class JobOptions(RestoreOptions, EncodeOptions):
    """What one photo wants, and how its result is written. Without `guard` the server's own counts."""

    model: str = "auto"
    """Face model for this photo: none, or an installed one for photos; auto: the server's own."""
    scene: str = "auto"
    """Model for the rest of this photo: none (plain enlarging), or an installed one that is no part of
    another; auto: the server's own."""
    previews: bool = False
    """Also make small pictures of the photo and its result, and of the result without and with all faces,
    from which a page can show any strength and choice of faces."""

    def to_json(self) -> str:
        """One text for equal options."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The options that `to_json` wrote."""
        values: dict[str, Any] = json.loads(text)
        return cls(**values)
