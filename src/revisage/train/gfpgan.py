"""Training of the face model, GFP-GAN's generator, by reconstruction."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from revisage.data.loader import Sample
from revisage.data.pictures import Pictures, find_pictures, shuffled
from revisage.degrade import COLOURLESS, RECIPES, apply, tone
from revisage.errors import TrainingError, UsageError
from revisage.losses.identity import identity
from revisage.losses.l1 import l1
from revisage.losses.pyramid import pyramid
from revisage.metrics.degrees import degrees
from revisage.metrics.psnr import psnr
from revisage.metrics.ssim import ssim
from revisage.networks.arcface_crop import ArcFaceCrop
from revisage.networks.gfpgan import COMPACT_256, GFPGAN, GFPGANConfig
from revisage.networks.mobilefacenet import MobileFaceNet
from revisage.train.people import apart
from revisage.train.pictures import from_unit, grid, to_unit
from revisage.train.task import Batch, Phase


@dataclass(frozen=True)
class FaceSettings:
    """Data and loss weights of the face model.

    Attributes:
        data: folder of faces aligned to the FFHQ template, square; brought to the network's size.
        identity_weights: MobileFaceNet checkpoint for the identity loss, for the identity angle in
            validation and for keeping held-out people out of training; None goes without all three.
        network: sizes.
        recipe: degradation of the training pictures; held-out ones always get "gfpgan".
        l1, pyramid, identity: loss weights; pictures are in [-1, 1].
        identity_share: share of each batch that the identity loss sees; the embedding is slow.
        validation: held-out pictures used.
        seed: of every draw.

    Raises UsageError when a value cannot be used.
    """

    data: Path
    identity_weights: Path | None = None
    network: GFPGANConfig = COMPACT_256
    recipe: str = "face"
    l1: float = 1.0
    pyramid: float = 0.5
    identity: float = 0.25
    identity_share: float = 0.25
    validation: int = 48
    seed: int = 0

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise UsageError(f"no recipe {self.recipe!r}; there are {', '.join(RECIPES)}")
        if self.validation < 1:
            raise UsageError(f"validation must be at least 1, got {self.validation}")


class Embedder(nn.Module):
    """Faces on the FFHQ template, (N, 3, S, S) in [-1, 1] -> MobileFaceNet embeddings (N, 128). Frozen."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.crop = ArcFaceCrop()
        self.network = MobileFaceNet()
        try:
            state = torch.load(weights, map_location="cpu", weights_only=True)
            self.network.load_state_dict(state.get("net_state_dict", state))
        except Exception as error:
            raise TrainingError(
                f"{weights} is not a MobileFaceNet checkpoint: {str(error).splitlines()[0]}"
            ) from None
        self.eval().requires_grad_(False)

    def forward(self, faces: Tensor) -> Tensor:
        embedding: Tensor = self.network(self.crop(faces))
        return embedding


class FaceTask:
    """See `revisage.train.task.Task`."""

    averaged = "generator"
    best = "psnr"

    def __init__(self, settings: FaceSettings) -> None:
        self.settings = settings
        self.embedder = Embedder(settings.identity_weights) if settings.identity_weights else None
        training, held = find_pictures(settings.data), find_pictures(settings.data, held=True)
        if self.embedder is not None:
            training = apart(training, held, self._embed)
        self.training = Pictures(training)
        self.held = Pictures(held[: settings.validation])
        torch.manual_seed(settings.seed)
        self.networks: dict[str, nn.Module] = {"generator": GFPGAN(settings.network)}

    def phases(self) -> list[Phase]:
        return [Phase("generator", "generator", self._losses)]

    def sample(self, index: int) -> Sample:
        settings = self.settings
        rng = np.random.default_rng((settings.seed, index))
        clean = self._face(self.training, shuffled(index, len(self.training), settings.seed))
        if rng.random() < 0.5:
            clean = np.ascontiguousarray(clean[:, ::-1])
        chain = RECIPES[settings.recipe].sample(rng)
        low = apply(clean, chain)
        # A gray or toned photo stays so: no picture tells its colours. Fading is damage, to be undone.
        clean = apply(clean, tone(chain, COLOURLESS))
        return {"low": from_unit(low), "clean": from_unit(clean)}

    def _face(self, pictures: Pictures, i: int) -> np.ndarray:
        """Picture `i` at the network's size, (S, S, 3) float32 in [0, 1]."""
        size = self.settings.network.size
        picture = pictures[i]
        height, width = picture.shape[:2]
        if height != width:
            raise TrainingError(f"{pictures.paths[i]} is not square: give faces aligned to the FFHQ template")
        if height != size:
            how = cv2.INTER_AREA if height > size else cv2.INTER_CUBIC
            picture = cv2.resize(picture, (size, size), interpolation=how)
        return to_unit(picture)

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        settings, clean = self.settings, batch["clean"]
        fake, pictures = self.networks["generator"](batch["low"])
        losses = {
            "l1": settings.l1 * l1(fake, clean),
            "pyramid": settings.pyramid * pyramid(pictures, clean),
        }
        if self.embedder is not None and settings.identity:
            some = slice(max(1, round(settings.identity_share * len(clean))))
            with torch.no_grad():
                real = self.embedder(clean[some])
            losses["identity"] = settings.identity * identity(self.embedder(fake[some].float()), real)
        return losses

    def _held_out(self) -> tuple[Tensor, Tensor]:
        recipe, low, clean = RECIPES["gfpgan"], [], []
        for i in range(len(self.held)):
            picture = self._face(self.held, i)
            low.append(from_unit(recipe.apply(picture, recipe.sample(np.random.default_rng(i)))))
            clean.append(from_unit(picture))
        return torch.from_numpy(np.stack(low)), torch.from_numpy(np.stack(clean))

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        low, clean = self._held_out()
        fake = torch.cat([network(part)[0] for part in low.split(8)])
        figures = {}
        for prefix, picture in (("", fake), ("input_", low)):
            a, b = picture * 0.5 + 0.5, clean * 0.5 + 0.5
            figures[f"{prefix}psnr"] = float(psnr(a, b).mean())
            figures[f"{prefix}ssim"] = float(ssim(a, b).mean())
            if self.embedder is not None:
                angle = degrees(self.embedder(picture.clamp(-1, 1)), self.embedder(clean))
                figures[f"{prefix}degrees"] = float(angle.mean())
        return figures

    @torch.no_grad()
    def pictures(self, network: nn.Module) -> np.ndarray:
        recipes = ("gfpgan", "gfpgan", "gfpgan", "second-order", "old-photo", "old-photo")
        rows = []
        for i, name in enumerate(recipes * 2):
            clean, recipe = self._face(self.held, i % len(self.held)), RECIPES[name]
            low = from_unit(recipe.apply(clean, recipe.sample(np.random.default_rng(100 + i))))
            fake = network(torch.from_numpy(low[None]))[0][0]
            rows.append((low, fake.numpy(), from_unit(clean)))
        return grid(rows, columns=2)

    @torch.no_grad()
    def _embed(self, pictures: list[np.ndarray]) -> Tensor:
        assert self.embedder is not None
        embedding: Tensor = self.embedder(
            torch.from_numpy(np.stack([from_unit(to_unit(p)) for p in pictures]))
        )
        return embedding
