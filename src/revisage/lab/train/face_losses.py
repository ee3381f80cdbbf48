"""Losses of the face model's generator, each by its name in `FaceWeights`; a loss is added here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from revisage.lab.filters import STEMLESS, luma, smoothed
from revisage.lab.losses.identity import chord, face_features
from revisage.lab.losses.perceptual import WEIGHTS, perceptual, style
from revisage.lab.losses.pixel import checkerboard, description, l1, laplacian, pyramid
from revisage.lab.metrics.embedders import open_edgeface
from revisage.lab.networks.arcface import ArcFaceCrop
from revisage.lab.networks.gfpgan import Restored
from revisage.lab.networks.imagenet import VGG19Features
from revisage.lab.train.faces import Embedder
from revisage.lab.train.task import Batch


@dataclass(frozen=True)
class FaceWeights:
    """Loss weights of the face model; pictures are in [-1, 1]. A loss of weight 0 is left out."""

    l1: float = 1.0
    """Distance from the truth."""
    laplacian: float = 0.0
    """Distance of the Laplacian pyramids."""
    lpips: float = 0.25
    """LPIPS over SqueezeNet, of gray pictures half as large that `STEMLESS` has smoothed: at full size a
    network with a stem lowers it by dots in the stem's blocks, and in colour by blue eyes. Needs
    `lpips_weights`."""
    perceptual: float = 1.0
    """Features of VGG-19; needs `vgg_weights`."""
    vgg_style: float = 0.0
    """Gram matrices of the same features."""
    pyramid: float = 0.5
    """L1 of the U-Net's pictures at each scale."""
    features: float = 0.1
    """Features of MobileFaceNet; needs `identity_weights`."""
    identity: float = 0.1
    """Embedding of EdgeFace, or else of MobileFaceNet."""
    description: float = 0.02
    """What a network with a `code` says of the degradation."""
    checkerboard: float = 0.0
    """Against a pattern of the stem's blocks, which fools discriminators and identity loss; needs a stem."""
    equivariance: float = 0.0
    """Distance, of a quarter of each batch, from what the network makes of the same face mirrored and
    moved by 2 pixels: what differs sits on the stem's blocks, not on the face."""
    adversarial: float = 0.0
    """The discriminator's; 0 trains by reconstruction alone, without components."""
    component: float = 0.01
    """The discriminators of eyes, nose and mouth."""
    matching: float = 0.1
    """Their features."""
    style: float = 5.0
    """Gram matrices of their features."""
    r1: float = 0.15
    """Gradient penalty, of which every 16th step takes 16 times as much. It is over what a discriminator
    sees: frequency bands for the compact ones."""


@dataclass(frozen=True)
class PictureLosses:
    """The generator's losses but those of its discriminators."""

    weights: FaceWeights
    """Of each."""
    faces: FaceLosses
    """Losses through embeddings, of `share` of every batch, at least one face: these are slow."""
    share: float
    vgg: VGG19Features | None
    lpips: Callable[[Tensor, Tensor], Tensor] | None
    """Frozen networks; None goes without their losses."""
    stem: int
    """Side of the blocks that `checkerboard` is against."""

    def __call__(self, restored: Restored, batch: Batch) -> dict[str, Tensor]:
        """Weighted, by name. `batch` has "clean", and "drawn" where it is used."""
        fake, clean = restored.picture, batch["clean"]
        shown = fake.clamp(-1, 1)  # what a file can hold is what is judged
        some = slice(max(1, round(self.share * len(clean))))
        vgg, lpips, said = self.vgg, self.lpips, restored.described

        @cache
        def seen() -> tuple[list[Tensor], list[Tensor]]:
            assert vgg is not None
            vgg.to(clean.device)
            return vgg(fake), vgg(clean)

        losses: dict[str, Callable[[], Tensor]] = {
            "l1": lambda: l1(fake, clean),
            "laplacian": lambda: laplacian(fake, clean),
            "pyramid": lambda: pyramid(restored.pyramid, clean),
        }
        if said is not None:
            losses["description"] = lambda: description(said, batch["drawn"])
        if self.faces.mobile is not None:
            losses["features"] = lambda: self.faces.features(fake[some], clean[some])
        if self.faces.mobile is not None or self.faces.edge is not None:
            losses["identity"] = lambda: self.faces.identity(fake[some], clean[some])
        if lpips is not None:
            losses["lpips"] = lambda: lpips(_half_gray(shown), _half_gray(clean)).mean()
        if vgg is not None:
            losses["perceptual"] = lambda: perceptual(*seen())
            losses["vgg_style"] = lambda: style(*seen(), WEIGHTS)
        if self.stem > 1:
            losses["checkerboard"] = lambda: checkerboard(shown, clean, self.stem)
        weighted = {name: (getattr(self.weights, name), loss) for name, loss in losses.items()}
        # L1 is there even without a weight: an update wants a sum.
        return {name: weight * loss() for name, (weight, loss) in weighted.items() if weight or name == "l1"}


def _half_gray(picture: Tensor) -> Tensor:
    return smoothed(luma(picture.float()) * 0.5 + 0.5, STEMLESS, 2).expand(-1, 3, -1, -1)


def equivariance(network: Callable[[Tensor], Restored], low: Tensor, fake: Tensor) -> Tensor:
    """L = mean h(fake - network(low, mirrored and moved by 2 px), moved and mirrored back); (N, 3, S, S). h
    is |x| - 0.03, but up to 0.06, which nobody sees, it is x^2 / 0.12 (Huber, 1964)."""
    with torch.no_grad():
        other = network(F.pad(low.flip(3), (2, 0, 2, 0), mode="replicate")[..., :-2, :-2]).picture
    return F.smooth_l1_loss(fake.flip(3)[..., :-2, :-2].float(), other[..., 2:, 2:].float(), beta=0.06)


class FaceLosses(nn.Module):
    """Losses on who is seen and on how eyes and mouths look, through frozen embeddings: MobileFaceNet
    (`mobile`), whose rows give the features, and the identity too where there is no EdgeFace (`edge`, its
    file).

    Their crops are smoothed first (`ArcFaceCrop`) and moved by up to `reach` pixels, each step by others:
    else a generator learns patterns that sit between the pixels of one crop. They are gray, or it learns dots
    of colour in eyes.
    """

    reach = 2.0

    def __init__(self, mobile: Embedder | None, edge: Path | None) -> None:
        super().__init__()
        self.mobile = mobile
        self.edge = None if edge is None else open_edgeface(edge)
        self.crops = nn.ModuleDict({str(width): ArcFaceCrop(width, smooth=True) for width in (96, 112)})
        self.rows = [] if mobile is None else mobile.network.parts()[:-1]

    def shifts(self, count: int, device: torch.device) -> Tensor:
        """(count, 2) pixels of a crop, each within `reach`."""
        return (torch.rand(count, 2, device=device) * 2 - 1) * self.reach

    def features(self, fake: Tensor, real: Tensor) -> Tensor:
        """`losses.identity.face_features` of MobileFaceNet's rows; faces (N, 3, S, S) in [-1, 1]."""
        maps = []
        for x in self._crops("96", fake, real):
            seen = list(accumulate(self.rows, lambda features, row: row(features), initial=x))
            maps.append(seen[1:])
        return face_features(maps[0], [m.detach() for m in maps[1]])

    def identity(self, fake: Tensor, real: Tensor) -> Tensor:
        """`losses.identity.chord` of the embeddings; faces (N, 3, S, S) in [-1, 1]."""
        network: nn.Module | None = self.edge
        if network is None:
            assert self.mobile is not None, "no embedding for the identity loss"
            network = self.mobile.network  # without a crop
        shown, true = self._crops("96" if self.edge is None else "112", fake, real)
        with torch.no_grad():
            wanted = network(true)
        return chord(network(shown), wanted)

    def _crops(self, width: str, *faces: Tensor) -> list[Tensor]:
        """Of restored and true faces, moved alike."""
        self.to(faces[0].device)  # validation leaves MobileFaceNet where its pictures were
        shifts = self.shifts(len(faces[0]), faces[0].device)
        return [self.crops[width](luma(f.float()), shifts).expand(-1, 3, -1, -1) for f in faces]
