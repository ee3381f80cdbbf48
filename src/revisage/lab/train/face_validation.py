"""Held-out faces that a face model in training is measured on and looked at."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from revisage.lab.degrade import RECIPES
from revisage.lab.degrade import description as described
from revisage.lab.metrics.degrees import degrees
from revisage.lab.metrics.psnr import psnr
from revisage.lab.metrics.ssim import ssim
from revisage.lab.networks.arcface import ArcFaceCrop
from revisage.lab.networks.gfpgan import GFPGAN
from revisage.lab.train.distributed import device_of
from revisage.lab.train.faces import AlignedFaces, Embedder
from revisage.lab.train.pictures import from_unit, grid

RECIPES_HELD = ("paper", "hard")
_BATCH = 8


@dataclass(frozen=True)
class HeldFaces:
    """Degraded the same way in every run: picture i with the seed i. Measured with PSNR and SSIM, and with
    `embedder`, `edge` (EdgeFace) and `lpips` where there are these."""

    faces: AlignedFaces
    embedder: Embedder | None
    edge: nn.Module | None
    lpips: Callable[[Tensor, Tensor], Tensor] | None

    def pairs(self, recipe: str) -> tuple[Tensor, Tensor, np.ndarray]:
        """Degraded and clean, (N, 3, S, S) in [-1, 1], and what was drawn, (N, 6)."""
        rows = []
        for i in range(len(self.faces)):
            picture, params = self.faces[i], RECIPES[recipe].sample(np.random.default_rng(i))
            low = RECIPES[recipe].apply(picture, params)
            rows.append((from_unit(low), from_unit(picture), described(params)))
        lows, clean, drawn = (np.stack(column) for column in zip(*rows, strict=True))
        return torch.from_numpy(lows), torch.from_numpy(clean), drawn

    @torch.no_grad()
    def figures(self, network: nn.Module) -> dict[str, float]:
        """Of the output, and behind `input_` of the input; of recipe "paper", and behind `hard_` of "hard":
        psnr and ssim; degrees (identity angle) and likeness (its cosine) by MobileFaceNet, degrees_edgeface,
        lpips, where there is what measures them; sigma_r2: how well the network knows the blur (R^2 of its
        logarithm), if it says so."""
        found = {}
        for recipe in RECIPES_HELD:
            before = "" if recipe == "paper" else f"{recipe}_"
            low, clean, drawn = self.pairs(recipe)
            outputs, said = self.run(network, low)
            for prefix, picture in (("", outputs), ("input_", low)):
                for name, value in self._measured(picture.clamp(-1, 1), clean).items():
                    found[f"{before}{prefix}{name}"] = value
            if said is not None:
                error, true = said[:, 0].numpy() - drawn[:, 0], drawn[:, 0]
                found[f"{before}sigma_r2"] = float(1 - np.square(error).mean() / max(true.var(), 1e-12))
        return found

    @torch.no_grad()
    def run(self, network: nn.Module, low: Tensor) -> tuple[Tensor, Tensor | None]:
        """What a network makes of inputs, and what it says of their degradation."""
        device, outputs, said = device_of(network), [], []
        assert isinstance(network, GFPGAN)
        for part in low.split(_BATCH):
            restored = network.restore(part.to(device))
            outputs.append(restored.picture.float().cpu())
            if restored.described is not None:
                said.append(restored.described.float().cpu())
        return torch.cat(outputs), torch.cat(said) if said else None

    @torch.no_grad()
    def known(self, faces: Tensor) -> Tensor:
        """EdgeFace's embeddings, (N, 512)."""
        assert self.edge is not None
        self.edge.to(faces.device)
        crop = ArcFaceCrop(112)
        return torch.cat([self.edge(crop(part)) for part in faces.split(_BATCH)])

    def _measured(self, picture: Tensor, clean: Tensor) -> dict[str, float]:
        a, b = picture * 0.5 + 0.5, clean * 0.5 + 0.5
        figures = {"psnr": float(psnr(a, b).mean()), "ssim": float(ssim(a, b).mean())}
        if self.embedder is not None:
            angle = degrees(self.embedder(picture), self.embedder(clean))
            figures["degrees"] = float(angle.mean())
            figures["likeness"] = float(torch.deg2rad(angle).cos().mean())
        if self.edge is not None:
            figures["degrees_edgeface"] = float(degrees(self.known(picture), self.known(clean)).mean())
        if self.lpips is not None:
            parts = zip(a.split(_BATCH), b.split(_BATCH), strict=True)
            figures["lpips"] = float(torch.cat([self.lpips(x, y) for x, y in parts]).mean())
        return figures

    @torch.no_grad()
    def sheet(self, network: nn.Module) -> np.ndarray:
        """Held-out faces under four recipes: input, output and truth."""
        recipes = ("paper", "paper", "hard", "second-order", "old-photo", "hard")
        rows, device = [], device_of(network)
        for i, name in enumerate(recipes * 2):
            clean = self.faces[i % len(self.faces)]
            low = from_unit(RECIPES[name].degraded(clean, np.random.default_rng(100 + i)))
            fake = network(torch.from_numpy(low[None]).to(device))[0][0].float().cpu()
            rows.append((low, fake.numpy(), from_unit(clean)))
        return grid(rows, columns=2)
