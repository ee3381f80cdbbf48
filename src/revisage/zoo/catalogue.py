"""The models that Revisage knows by name.

Within one task the best comes first: `auto` takes the first that is installed.
"""

from __future__ import annotations

from revisage.zoo.spec import ModelSpec

_RESEARCH = "non-commercial research"  # as the data sets they were trained on; the cards say more

CATALOGUE: dict[str, ModelSpec] = {
    "revisage-face-256": ModelSpec(
        name="revisage-face-256",
        task="face",
        size=256,
        scale=1,
        version="1",
        licence=_RESEARCH,
        file="revisage-face-256.onnx",
        sha256="7fa9f71f29031cbbf0cc7d07c92a4c450a6ce3835fff09b7743f7b2dfd980048",
        bytes=17_900_827,
        description="restores one aligned face, 256 px, compact GFP-GAN",
    ),
    "revisage-scene-x2": ModelSpec(
        name="revisage-scene-x2",
        task="scene",
        size=None,
        scale=2,
        version="1",
        licence=_RESEARCH,
        file="revisage-scene-x2.onnx",
        sha256="981d3c855fd1142e33a358cc946e8a8b10ec90132e44e4f21b7eb45cd5346cb9",
        bytes=606_635,
        description="cleans and doubles a whole photo, compact",
    ),
    "revisage-finder": ModelSpec(
        name="revisage-finder",
        task="finder",
        size=None,
        scale=None,
        version="1",
        licence=_RESEARCH,
        file="revisage-finder.onnx",
        sha256="537708e9d24ca0f3434d4e477270941ea2c6d988cd4d3bee8a856138efb718a5",
        bytes=596_781,
        description="finds faces and five landmarks, also in old photos",
    ),
}
