"""The models that Revisage knows by name.

Within one task `auto` takes the first that is installed. The embedded models come first: what others
published is used when it is asked for by name. Their weights stay where their authors put them, and
`revisage models pull` gets them from there; sizes and sha256 are as several independent lists give them.
"""

from __future__ import annotations

from revisage.zoo.features import FEATURES
from revisage.zoo.spec import ModelSpec

_GFPGAN = "https://github.com/TencentARC/GFPGAN/releases/download"
_REAL_ESRGAN = "https://github.com/xinntao/Real-ESRGAN/releases/download"

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
    "gfpgan-1.4": ModelSpec(
        name="gfpgan-1.4",
        task="face",
        size=512,
        scale=1,
        version="1.4",
        licence="code Apache-2.0",
        file="gfpgan-1.4.onnx",
        url=f"{_GFPGAN}/v1.3.0/GFPGANv1.4.pth",
        sha256="e2cd4703ab14f4d01fd1383a8a8b266f9a5833dacee8e6a79d3bf21a1b6be5ad",
        bytes=348_632_874,
        description="GFP-GAN as published: invents fine detail, 512 px",
        checkpoint="GFPGANv1.4.pth",
    ),
    "gfpgan-1.3": ModelSpec(
        name="gfpgan-1.3",
        task="face",
        size=512,
        scale=1,
        version="1.3",
        licence="code Apache-2.0",
        file="gfpgan-1.3.onnx",
        url=f"{_GFPGAN}/v1.3.0/GFPGANv1.3.pth",
        sha256="c953a88f2727c85c3d9ae72e2bd4846bbaf59fe6972ad94130e23e7017524a70",
        bytes=348_632_874,
        description="GFP-GAN as published, the release before 1.4, 512 px",
        checkpoint="GFPGANv1.3.pth",
    ),
    "realesrgan-x2plus": ModelSpec(
        name="realesrgan-x2plus",
        task="scene",
        size=None,
        scale=2,
        version="0.2.1",
        licence="code BSD-3-Clause",
        file="realesrgan-x2plus.onnx",
        url=f"{_REAL_ESRGAN}/v0.2.1/RealESRGAN_x2plus.pth",
        sha256="49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb",
        bytes=67_061_725,
        description="Real-ESRGAN as published: doubles, large and slow",
        checkpoint="RealESRGAN_x2plus.pth",
    ),
    "realesrgan-x4plus": ModelSpec(
        name="realesrgan-x4plus",
        task="scene",
        size=None,
        scale=4,
        version="0.1.0",
        licence="code BSD-3-Clause",
        file="realesrgan-x4plus.onnx",
        url=f"{_REAL_ESRGAN}/v0.1.0/RealESRGAN_x4plus.pth",
        sha256="4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
        bytes=67_040_989,
        description="Real-ESRGAN as published: four times the size, large and slow",
        checkpoint="RealESRGAN_x4plus.pth",
    ),
    "realesr-general-x4v3": ModelSpec(
        name="realesr-general-x4v3",
        task="scene",
        size=None,
        scale=4,
        version="0.2.5.0",
        licence="code BSD-3-Clause",
        file="realesr-general-x4v3.onnx",
        url=f"{_REAL_ESRGAN}/v0.2.5.0/realesr-general-x4v3.pth",
        sha256="8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292",
        bytes=4_885_111,
        description="Real-ESRGAN's compact network as published, denoises strongly",
        checkpoint="realesr-general-x4v3.pth",
        twin="realesr-general-wdn-x4v3",
    ),
    "realesr-general-wdn-x4v3": ModelSpec(
        name="realesr-general-wdn-x4v3",
        task="scene",
        size=None,
        scale=4,
        version="0.2.5.0",
        licence="code BSD-3-Clause",
        file="realesr-general-wdn-x4v3.onnx",
        url=f"{_REAL_ESRGAN}/v0.2.5.0/realesr-general-wdn-x4v3.pth",
        sha256="1641f8c4464b9f097c9fdda5589273713f67cf59f3d909e0bd688f0cee269dca",
        bytes=4_885_111,
        description="its twin that keeps noise; realesr-general-x4v3:0.3 mixes the two",
        checkpoint="realesr-general-wdn-x4v3.pth",
        twin="realesr-general-x4v3",
    ),
    **FEATURES,
}
