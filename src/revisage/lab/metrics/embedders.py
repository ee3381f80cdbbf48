"""Face embeddings that identity is measured with: one table, one function a network."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from revisage.errors import ModelCorruptError, RuntimeUnavailableError
from revisage.lab.metrics.weights import fill, read_state
from revisage.lab.networks.arcface import ArcFaceCrop, ArcFaceResNet18, gray_face, new_edgeface
from revisage.lab.networks.mobilefacenet import MobileFaceNet

Embedder = Callable[[Tensor], Tensor]
"""Faces on the FFHQ template, (N, 3, S, S) RGB in [0, 1] -> (N, D), to be compared by angle."""

# Eye centres on the FFHQ template at 512 px, and on dlib's chip of 150 px (of its face, padded by a quarter).
_FFHQ_EYES = ((192.98, 239.95), (318.90, 240.19))
_DLIB_EYES = ((47.733, 47.140), (100.281, 47.123))
_DLIB_SIZE = 150


def mobilefacenet(path: Path) -> Embedder:
    """MobileFaceNet, (N, 128); the crop to ArcFace's template is `ArcFaceCrop`."""
    network = fill(MobileFaceNet(), read_state(path, "net_state_dict"), path)
    crop = ArcFaceCrop()
    return lambda faces: network(crop(faces * 2 - 1))


def edgeface(path: Path) -> Embedder:
    """EdgeFace-XS, (N, 512), on ArcFace's template of 112 px; the crop is `ArcFaceCrop`."""
    network, crop = open_edgeface(path), ArcFaceCrop(112)
    return lambda faces: network(crop(faces * 2 - 1))


def open_edgeface(path: Path) -> torch.nn.Module:
    """The network with the weights of a numpy archive, fixed. Raises RuntimeUnavailableError without timm,
    ModelCorruptError when a weight is missing or of another shape."""
    try:
        network = new_edgeface()
    except ModuleNotFoundError as error:
        if error.name != "timm":
            raise
        raise RuntimeUnavailableError("EdgeFace needs timm: pip install 'revisage[train]'") from None
    return fill(network, read_state(path), path)


def arcface(path: Path) -> Embedder:
    """ArcFace's ResNet-18 as GFP-GAN trains with it, (N, 512), on the whole face in gray."""
    network = fill(ArcFaceResNet18(), read_state(path), path)
    return lambda faces: network(gray_face(faces * 2 - 1))


def dlib(path: Path) -> Embedder:
    """dlib's ResNet, (N, 128), on its chip of 150 px, found from where the template has the eyes. Raises
    RuntimeUnavailableError without dlib, ModelCorruptError when it cannot read the file."""
    try:
        import dlib
    except ImportError:
        raise RuntimeUnavailableError("degrees_dlib needs dlib: pip install 'revisage[landmarks]'") from None
    try:
        network = dlib.face_recognition_model_v1(str(path))
    except RuntimeError as error:
        raise ModelCorruptError(f"dlib cannot read {path}: {error}") from None

    def embed(faces: Tensor) -> Tensor:
        return torch.tensor(np.array([network.compute_face_descriptor(chip) for chip in dlib_chips(faces)]))

    return embed


def dlib_chips(faces: Tensor) -> list[np.ndarray]:
    """(N, 3, S, S) in [0, 1] on the FFHQ template -> N chips (150, 150, 3) uint8."""
    if faces.shape[-1] > 256:  # to one step or so a pixel, or the chip would alias
        faces = F.interpolate(faces, size=(256, 256), mode="area")
    side = faces.shape[-1]
    # Positions are pixel centres at 512; at another size the edges stay where they are, not the centres.
    (x0, y0), (x1, y1) = (((x + 0.5) * side / 512 - 0.5, (y + 0.5) * side / 512 - 0.5) for x, y in _FFHQ_EYES)
    source, target = complex(x1 - x0, y1 - y0), complex(*np.subtract(_DLIB_EYES[1], _DLIB_EYES[0]))
    turn = target / source
    shift = complex(*_DLIB_EYES[0]) - turn * complex(x0, y0)
    matrix = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
    pictures = (faces * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    size = (_DLIB_SIZE, _DLIB_SIZE)
    return [cv2.warpAffine(p, matrix, size, borderMode=cv2.BORDER_REPLICATE) for p in pictures]


EMBEDDERS: dict[str, Callable[[Path], Embedder]] = {
    "mobilefacenet": mobilefacenet, "edgeface": edgeface, "arcface-resnet18": arcface, "dlib-face": dlib,
}  # fmt: skip
"""By the name of their weights in the catalogue."""
