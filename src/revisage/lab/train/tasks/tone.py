"""Training of the tone model: how photos have faded whose tones were changed as ageing changes them."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from revisage.lab.data.loader import Sample
from revisage.lab.data.pictures import Pictures, find_pictures, fit, part, photographs
from revisage.lab.degrade import apply, fadings
from revisage.lab.degrade.colour import Gray
from revisage.lab.degrade.recipe import clip
from revisage.lab.losses.colour import ciede94
from revisage.lab.networks.tone import ToneConfig, ToneNetwork, relevel
from revisage.lab.train.distributed import device_of
from revisage.lab.train.pictures import grid, to_unit, unit_tensor
from revisage.lab.train.settings import check
from revisage.lab.train.task import Batch, Phase
from revisage.restore.tone import SIDE

DEFAULT = ToneConfig()
SEEN = 1.0  # colour difference from which two colours look different
JUDGED = 3  # of so many pixels each way one is compared: the copy is smooth


@dataclass(frozen=True)
class ToneSettings:
    """Data of the tone model's training. Raises UsageError when a value cannot be used."""

    data: Path
    """Folder of photographs."""
    more: Path | None = None
    """A second folder of photographs, such as of people; None goes without."""
    more_share: float = 0.25
    """Share of the samples that come from it."""
    network: ToneConfig = DEFAULT
    """Sizes."""
    unfaded: float = 0.3
    """Share of the samples that have not faded."""
    harmless: float = 2.0
    """Weight of these."""
    gray: float = 0.1
    """Share of the samples that are gray, before they fade."""
    weakest: float = 0.4
    """Least strength of the fading, as of a recipe's parts."""
    strongest: float = 1.6
    """Greatest strength."""
    validation: int = 100
    """Held-out photos used."""
    seed: int = 0
    """Of every draw."""

    def __post_init__(self) -> None:
        check(self, shares=("more_share", "unfaded", "gray", "weakest"), counts=("validation",))


class ToneTask:
    """See `revisage.lab.train.task.Task`; judged by `closeness`, minus the colour difference that is left."""

    averaged = "tone"
    best = "closeness"

    def __init__(self, settings: ToneSettings) -> None:
        cv2.setNumThreads(1)  # the loader's threads are the parallelism
        self.settings = settings
        self.photos = Pictures(find_pictures(settings.data))
        self.more = Pictures(photographs(settings.more))
        held = Pictures(find_pictures(settings.data, held=True)[: settings.validation])
        self.held = [_small(held[i]) for i in range(len(held))]
        torch.manual_seed(settings.seed)
        self.networks: dict[str, nn.Module] = {"tone": ToneNetwork(settings.network)}

    def phases(self) -> list[Phase]:
        return [Phase("tone", "tone", self._losses)]

    def sample(self, index: int) -> Sample:
        """ "faded" and "photo" (3, S, S) in [0, 1], S: `SIDE`; "weight" ()."""
        settings, rng = self.settings, np.random.default_rng((self.settings.seed, index))
        pictures = self.more if self.more and rng.random() < settings.more_share else self.photos
        picture = pictures[int(rng.integers(len(pictures)))]
        height, width = (max(1, int(length * rng.uniform(0.45, 1))) for length in picture.shape[:2])
        photo = to_unit(_small(part(picture, rng, height, width)))
        if rng.random() < 0.5:
            photo = np.ascontiguousarray(photo[:, ::-1])
        # Few photographs are soon known by their colours, and which of them have faded.
        photo **= np.float32(np.exp(rng.normal(0, 0.12)))
        luma = Gray().apply(photo)
        photo = clip(luma + np.float32(rng.uniform(0.75, 1.15)) * (photo - luma))
        gray, unfaded = rng.random() < settings.gray, rng.random() < settings.unfaded
        kinds = fadings(rng, rng.uniform(settings.weakest, settings.strongest))
        faded = photo if unfaded else apply(photo, kinds[int(rng.integers(len(kinds)))])
        if gray:
            faded, photo = Gray().apply(faded), Gray().apply(photo)
        weight = np.asarray(settings.harmless if unfaded else 1, np.float32)
        return {"faded": unit_tensor(faded), "photo": unit_tensor(photo), "weight": weight}

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        faded, photo = (batch[key][..., 1::JUDGED, 1::JUDGED] for key in ("faded", "photo"))
        revived = relevel(faded, self.networks["tone"](batch["faded"]))
        # What is not seen hardly counts: with a kink at zero, unfaded photos would hold all gammas at 1.
        seen = torch.sqrt(ciede94(revived, photo).square() + SEEN**2) - SEEN
        return {"colour": (batch["weight"] * seen.mean((1, 2))).mean()}

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Mean CIE94 to the photo, faded and revived, of held-out photos under draws of every kind, and of
        these photos as they are."""
        faded, photo = self._pairs()
        revived = self._revive(network, faded)
        left, before = (float(ciede94(one, photo).mean()) for one in (revived, faded))
        moved = float(ciede94(self._revive(network, photo), photo).mean())
        return {"closeness": -left - moved, "left": left, "faded": before, "moved": moved}

    def pictures(self, network: nn.Module) -> np.ndarray:
        """Held-out photos: faded, revived, as they were."""
        faded, photo = self._pairs()
        rows = torch.stack((faded, self._revive(network, faded), photo), dim=1) * 2 - 1
        return grid(list(rows[:48].numpy()), columns=4)

    def _pairs(self) -> tuple[Tensor, Tensor]:
        pairs = []
        for number, picture in enumerate(self.held):
            photo = to_unit(picture)
            for kind in fadings(np.random.default_rng((1, number)), 1):
                pairs.append((unit_tensor(apply(photo, kind)), unit_tensor(photo)))
        faded, photos = (torch.from_numpy(np.stack(side)) for side in zip(*pairs, strict=True))
        return faded, photos

    @torch.no_grad()
    def _revive(self, network: nn.Module, photos: Tensor) -> Tensor:
        levels = network(photos.to(device_of(network))).cpu()
        return relevel(photos, levels)


def _small(picture: np.ndarray) -> np.ndarray:
    return fit(picture, SIDE, SIDE)
