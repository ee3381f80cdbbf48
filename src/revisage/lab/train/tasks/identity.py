"""Training of the identity model: a teacher's embedding of the clean face, told from a degraded one, and the
features between the rows of its table, first each row by itself, given those of the teacher's row before."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from revisage.errors import UsageError
from revisage.lab.data.loader import Sample
from revisage.lab.data.pool import Pool
from revisage.lab.degrade import RECIPES
from revisage.lab.losses.identity import hint, identity
from revisage.lab.networks.mobilefacenet import COMPACT_IDENTITY as COMPACT
from revisage.lab.networks.mobilefacenet import PUBLISHED, SIZE, Identity, MobileFaceNetConfig
from revisage.lab.train.distributed import device_of
from revisage.lab.train.faces import AlignedFaces, Embedder, Mixed, split
from revisage.lab.train.pictures import grid, unit_tensor
from revisage.lab.train.settings import check
from revisage.lab.train.task import Batch, Phase

SHOWN = ("clean", "gfpgan", "old-photo")
"""How held-out faces are shown."""


@dataclass(frozen=True)
class IdentitySettings:
    """Data of the identity model. Raises UsageError when a value cannot be used."""

    data: Path
    """Folder of faces aligned to the FFHQ template."""
    teacher: Path | None = None
    """MobileFaceNet checkpoint, which must be given; it also keeps held-out people out of training."""
    more: Path | None = None
    """A second such folder, or None."""
    more_share: float = 0.5
    """Share of the samples that come from it."""
    network: MobileFaceNetConfig = COMPACT
    """Sizes."""
    recipe: str = "face"
    """Degradation of the training pictures."""
    clean: float = 0.4
    """Share of the samples left undegraded, so that sharp faces are told apart best."""
    hints: float = 1.0
    """Weight of the features' distance from the teacher's (`losses.hint`); 0: the embedding alone teaches."""
    forced: int = 40_000
    """Pictures over which the share of samples falls from 1 to 0 in which each row of blocks gets the
    teacher's features instead of those of the row before it."""
    compile: bool = False
    """Compile the network first: half as fast again on a CPU, needs a C++ compiler."""
    pool: int = 240
    """Samples of a block that share degraded faces; degrading takes longer than a step."""
    reuse: int = 3
    """Uses of each degraded face, mirrored or not."""
    validation: int = 100
    """Held-out pictures used."""
    seed: int = 0
    """Of every draw."""

    def __post_init__(self) -> None:
        check(self, shares=("more_share", "clean"), counts=("validation",))
        for name in ("hints", "forced"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} must not be below 0, got {getattr(self, name)}")
        ours, theirs = ([row[1::2] for row in each.stages] for each in (self.network, PUBLISHED))
        if self.hints and ours != theirs:  # features and stride of each row
            raise UsageError("with hints, the rows of the network need the teacher's features: set hints=0")


class IdentityTask:
    """See `revisage.lab.train.task.Task`."""

    averaged = "identity"
    best = "clean"

    def __init__(self, settings: IdentitySettings) -> None:
        self.settings = settings
        if settings.teacher is None:
            raise UsageError("identity learns from a teacher: --set teacher=mobilefacenet")
        self.teacher = Embedder(settings.teacher)
        training, held = split((settings.data, settings.more), self.teacher)
        self.training = Mixed([AlignedFaces(t, SIZE) for t in training], settings.more_share, settings.seed)
        each = max(1, settings.validation // len(held))
        self.held = AlignedFaces([path for side in held for path in side[:each]], SIZE)
        self.pool = Pool(self._pair, size=settings.pool, reuse=settings.reuse, seed=settings.seed)
        self._taught: dict[int, Tensor] = {}
        torch.manual_seed(settings.seed)
        self.network = Identity(settings.network)
        self.networks: dict[str, nn.Module] = {"identity": self.network}
        self._parts: list[nn.Module] = self.network.network.parts()
        self._teachers: list[nn.Module] = self.teacher.network.parts()
        if settings.compile:
            for part in self._parts:
                part.compile()

    def phases(self) -> list[Phase]:
        return [Phase("identity", "identity", self._losses)]

    def sample(self, index: int) -> Sample:
        """ "image", degraded or not, and "clean", (3, S, S) in [0, 1]; "key" (), one for each "clean";
        "forced" (), whether each row gets the teacher's features."""
        pair, forced = self.pool[index], self.settings.forced
        rng = np.random.default_rng((self.settings.seed, index, 1))
        mirrored = rng.random() < 0.5
        sample = {"key": pair["key"] * 2 + int(mirrored)}
        sample["forced"] = np.array(rng.random() * forced > index)
        for name in ("image", "clean"):
            sample[name] = np.ascontiguousarray(pair[name][..., ::-1]) if mirrored else pair[name]
        return sample

    def _pair(self, number: int) -> Sample:
        """Face `number`, not mirrored, as in `sample`."""
        settings = self.settings
        rng = np.random.default_rng((settings.seed, number))
        faces, i = self.training.draw(number, rng)
        image = clean = faces[i]
        if rng.random() >= settings.clean:
            image = RECIPES[settings.recipe].degraded(clean, rng)
        first = faces is self.training.folders[0]
        key = np.array(i if first else len(self.training.folders[0]) + i)
        return {"image": unit_tensor(image), "clean": unit_tensor(clean), "key": key}

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        wanted = self._wanted(batch)
        if not self.settings.hints:
            return {"angle": identity(self.network(batch["image"]), wanted)}
        self.teacher.to(wanted.device)
        own = taught = self.network.crop(batch["image"] * 2 - 1)
        forced, losses = batch["forced"][:, None, None, None], {}
        *rows, head = self._parts
        for i, (row, teacher) in enumerate(zip(rows, self._teachers[:-1], strict=True)):
            with torch.no_grad():
                taught = teacher(taught)
            own = row(own)
            losses[f"row{i + 1}"] = self.settings.hints * hint(own, taught)
            own = torch.where(forced, taught, own)
        return losses | {"angle": identity(head(own), wanted)}

    @torch.no_grad()
    def _wanted(self, batch: Batch) -> Tensor:
        """What the teacher says of the clean faces, (N, 128); it is asked once for each."""
        keys, clean = batch["key"].tolist(), batch["clean"]
        new = {key: row for row, key in enumerate(keys) if key not in self._taught}
        if new:
            said = self.teacher(clean[list(new.values())] * 2 - 1).cpu()
            self._taught.update(zip(new, said, strict=True))
        return torch.stack([self._taught[key] for key in keys]).to(clean.device)

    def _held_out(self, name: str) -> Tensor:
        """Held-out faces by a recipe, or "clean", (N, 3, S, S) in [0, 1]."""
        pictures = [self.held[i] for i in range(len(self.held))]
        if name != "clean":
            pictures = [RECIPES[name].degraded(p, np.random.default_rng(i)) for i, p in enumerate(pictures)]
        return torch.from_numpy(np.stack([unit_tensor(picture) for picture in pictures]))

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """Cosines with the teacher's embedding of the clean face: from the clean and from degraded faces. How
        well the teacher knows degraded faces itself stands beside them."""
        figures, device = {}, device_of(network)
        wanted = self._teach(self._held_out("clean"))
        for name in SHOWN:
            faces = self._held_out(name)
            found = {name: torch.cat([network(part.to(device)).cpu() for part in faces.split(16)])}
            if name != "clean":
                found[f"teacher_{name}"] = self._teach(faces)
            for key, said in found.items():
                figures[key] = float(nn.functional.cosine_similarity(said, wanted).mean())
        return figures

    def _teach(self, faces: Tensor) -> Tensor:
        return torch.cat([self.teacher(part * 2 - 1) for part in faces.split(16)])

    def pictures(self, network: nn.Module) -> np.ndarray:
        """What the network is shown: held-out faces, clean and under two recipes."""
        shown = [self._held_out(name)[:6].numpy() * 2 - 1 for name in SHOWN]
        return grid(list(zip(*shown, strict=True)), columns=2)
