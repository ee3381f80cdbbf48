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
        sha256="0793ff7459b57a8556ce27c6a392ac716fc4304a59c9227894f70d6d27636caa",
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
        sha256="113f4b44ee898bfc88140237bd75e33ca411cd7e603232a095e09d8bce5684f6",
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
        sha256="709bdf8151258236beab47da2d70f5a1e6772dd941291e031b65bf8459439284",
        bytes=596_781,
        description="finds faces and five landmarks, also in old photos",
    ),
}
