"""The pictures that methods are measured on: degraded and true, made or given, the same ones every time."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from annotated_types import Interval
from PIL import Image

from revisage import zoo
from revisage.errors import FaceError, PhotoError, UsageError
from revisage.faces import Detector, align, estimate
from revisage.files import sha256
from revisage.image import decode, eight_bits
from revisage.lab.data.pictures import all_pictures, fit, held_out
from revisage.lab.degrade import RECIPES, rng_for
from revisage.options import Checked

Split = Literal["all", "held-out", "held-out-people"]
NO_RECIPE = "none"


@dataclass(frozen=True)
class View(Checked):
    """How the pictures are looked at before anything else."""

    setting: Literal["same-size", "x4"] = "same-size"
    """"same-size", or "x4", where methods get a quarter of the true picture's width and height."""
    aligned: bool = False
    """They are faces on the FFHQ template."""
    align: Annotated[int | None, Interval(ge=16, le=4096)] = None
    """Side in pixels of the crop on the FFHQ template that is made of the largest face of each clean picture;
    a picture in which none is found is left out. None for the pictures as they are."""
    size: Annotated[int | None, Interval(ge=16, le=4096)] = None
    """Side that clean pictures are brought to; None for their own."""
    whole: bool = False
    """Face models get the pictures as they are, though they are not on the template: for models that are
    trained so, as the progressive GAN is."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.align is not None and (self.size is not None or self.aligned):
            raise UsageError("--align makes aligned faces of its own size: leave --aligned and --size out")
        if self.whole and self.faces:
            raise UsageError("--whole is for pictures, not aligned faces: leave --aligned and --align out")

    @property
    def scale(self) -> int:
        """True side over a method's input side."""
        return 4 if self.setting == "x4" else 1

    @property
    def faces(self) -> bool:
        """Whether every picture is a face on the FFHQ template."""
        return self.aligned or self.align is not None

    @property
    def direct(self) -> bool:
        """Whether a face model gets the pictures as they are, and not the faces that are found in them."""
        return self.faces or self.whole


@dataclass(frozen=True)
class Item:
    """One picture's files. `name` is its path in the folder with "/", and with the extension."""

    name: str
    clean: Path | None
    low: Path | None


Pair = tuple[np.ndarray, np.ndarray | None]
"""What a method gets, (h, w, 3) uint8, and the truth, (h scale, w scale, 3) uint8 or None."""


@dataclass(frozen=True)
class Data:
    """A set of pictures; `load` makes one of them ready."""

    items: tuple[Item, ...]
    view: View
    kind: Literal["clean", "pairs", "images"]
    recipe: str = NO_RECIPE
    seed: int = 0
    find: Callable[[np.ndarray], np.ndarray | None] | None = None
    folders: tuple[Path, ...] = ()  #: that the pictures lie in

    def check_names(self) -> None:
        """Raises UsageError for two pictures of a folder whose results would have one name."""
        for folder in self.folders:
            stems: dict[str, str] = {}
            for name in _listed(folder):
                if (other := stems.setdefault(stem(name), name)) != name:
                    raise UsageError(f"{folder} has {other} and {name}: their results would have one name")

    @property
    def has_truth(self) -> bool:
        """Whether there are true pictures to compare with."""
        return self.kind != "images"

    def load(self, item: Item) -> Pair | None:
        """The picture's pair; None when a face was wanted and none is found. Naming the file, raises
        PhotoError when it cannot be read, UsageError when its size does not fit the setting."""
        if item.clean is None:
            assert item.low is not None
            return self._sized(read(item.low)), None
        truth = read(item.clean)
        if item.low is not None:
            low, scale = read(item.low), self.view.scale
            if (low.shape[0] * scale, low.shape[1] * scale) != truth.shape[:2]:
                sizes = f"{_size(low)} and {_size(truth)}"
                raise UsageError(f"{item.name}: {sizes} do not fit --setting {self.view.setting}")
            return low, truth
        if self.find is not None and self.view.align is not None:
            if (matrix := self.find(truth)) is None:
                return None
            truth = align(truth, matrix, self.view.align)
        truth = self._sized(truth)
        height, width = (side - side % self.view.scale for side in truth.shape[:2])
        if not height or not width:
            raise UsageError(f"{item.name}: {_size(truth)} is too small for --setting {self.view.setting}")
        truth = np.ascontiguousarray(truth[:height, :width])
        return reduced(self._degraded(truth, item.name), self.view.scale), truth

    def _sized(self, picture: np.ndarray) -> np.ndarray:
        size = self.view.size
        return picture if size is None else fit(picture, size, size)

    def _degraded(self, truth: np.ndarray, name: str) -> np.ndarray:
        if self.recipe == NO_RECIPE:
            return truth
        low = RECIPES[self.recipe].degraded(truth.astype(np.float32) / 255, rng_for(self.seed, name))
        return np.rint(low * 255).astype(np.uint8)

    def sha256(self) -> str:
        """Of the list of files: a line "sha256  name" each, in order, low before clean."""
        files = ((path, item.name) for item in self.items for path in (item.low, item.clean))
        return sha256("".join(f"{sha256(path)}  {name}\n" for path, name in files if path).encode())


def clean_pictures(folder: Path, *, recipe: str, seed: int, view: View) -> Data:
    """Every picture of a folder and below, degraded as `revisage degrade FOLDER --recipe RECIPE --seed SEED`
    does it ("none": not at all). Raises UsageError when there are no pictures, or no such recipe."""
    if recipe != NO_RECIPE and recipe not in RECIPES:
        raise UsageError(f"no recipe {recipe!r}; there are {NO_RECIPE}, {', '.join(RECIPES)}")
    if seed < 0:
        raise UsageError(f"--seed must be 0 or more, not {seed}")
    items = tuple(Item(name, path, None) for name, path in _listed(folder).items())
    find = None if view.align is None else face_matrix(view.align)
    return Data(items, view, "clean", recipe, seed, find, (folder,))


def pairs_of(low: Path, high: Path, *, view: View) -> Data:
    """The pictures of two folders that have the same path but for the extension. Raises UsageError when a
    picture of one has none in the other, or the view changes pictures."""
    if view.align is not None or view.size is not None:
        raise UsageError("--align and --size change clean pictures and do not go with --pairs")
    truths = {stem(name): (name, path) for name, path in _listed(high).items()}
    lows = {stem(name): path for name, path in _listed(low).items()}
    for ours, theirs, place in ((truths, lows, low), (lows, truths, high)):
        if missing := sorted(set(ours) - set(theirs)):
            raise UsageError(f"{place} has no {missing[0]} ({len(missing)} missing): pairs share their names")
    items = tuple(Item(name, path, lows[stem]) for stem, (name, path) in truths.items())
    return Data(items, view, "pairs", folders=(low, high))


def outputs_only(folder: Path, *, view: View) -> Data:
    """Pictures without truths: what can be measured is their naturalness, and their set."""
    if view.align is not None:
        raise UsageError("--align needs clean pictures to find faces in: use `revisage prepare` first")
    items = tuple(Item(name, None, path) for name, path in _listed(folder).items())
    return Data(items, view, "images", folders=(folder,))


def select(data: Data, *, split: Split = "all", limit: int | None = None) -> Data:
    """Some of the pictures: those held out of training, by the hash of the file's stem ("held-out") or of its
    folder's name, a person's ("held-out-people"), and of these the `limit` whose hashes come first. Raises
    UsageError when none is left."""
    items = data.items
    if split != "all":
        files = {item: item.clean or item.low or Path() for item in items}
        names = {item: path.stem if split == "held-out" else path.parent.name for item, path in files.items()}
        items = tuple(item for item in items if held_out(names[item]))
    if limit is not None:
        if limit < 1:
            raise UsageError(f"--limit takes a number of pictures from 1, not {limit}")
        chosen = sorted(items, key=lambda item: hashlib.sha256(f"limit {item.name}".encode()).digest())
        items = tuple(sorted(chosen[:limit], key=lambda item: item.name))
    if not items:
        raise UsageError(f"--split {split} leaves none of {len(data.items)} pictures")
    return replace(data, items=items)


def face_matrix(size: int) -> Callable[[np.ndarray], np.ndarray | None]:
    """What finds the (2, 3) transform from a picture to the crop of its largest face; None without one."""
    detector = Detector(zoo.resolve("finder").path)

    def find(picture: np.ndarray) -> np.ndarray | None:
        for face in detector.find(picture):
            with suppress(FaceError):
                return estimate(face.landmarks, size)
        return None

    return find


def reduced(picture: np.ndarray, scale: int) -> np.ndarray:
    """(H, W, 3) uint8, sides multiples of `scale`, reduced by antialiased bicubic interpolation. The kernel
    is stretched by the factor, as MATLAB's `imresize` does for the usual x4 pairs."""
    if scale == 1:
        return picture
    size = (picture.shape[1] // scale, picture.shape[0] // scale)
    return np.array(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def read(path: Path) -> np.ndarray:
    """One picture, (H, W, 3) RGB uint8. Raises PhotoError naming it when it cannot be read."""
    try:
        return eight_bits(decode(path, isolate=False).pixels)
    except PhotoError as error:
        raise PhotoError(f"{path}: {error}; remove it and start again, what is done is kept") from None


def _listed(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in all_pictures(folder)}


def stem(name: str) -> str:
    """The name without its extension."""
    return name.rpartition(".")[0]


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"


# The test sets of the literature, with the settings that their tables are made with. Nobody may pass these
# pictures on, so each test takes the user's own copy and checks how many there are.


@dataclass(frozen=True)
class StandardTest:
    """One test."""

    name: str
    """As given to --test."""
    count: int
    """Pictures that the user's copy must have."""
    recipe: str | None
    """How clean pictures are degraded; None for those that are degraded by themselves and have no truth."""
    view: View
    """Size and alignment."""
    metrics: tuple[str, ...]
    """Those of the published tables."""
    about: str
    """What pictures are wanted."""
    take: int | None = None
    """How many of the pictures are measured; None for all."""

    def data(self, folder: Path, *, seed: int = 0) -> Data:
        """The test on the user's copy. Raises UsageError when that has another number of pictures."""
        if (found := len(all_pictures(folder))) != self.count:
            raise UsageError(
                f"{self.name} has {self.count:,} pictures ({self.about}), {folder} has {found:,}: give the "
                "whole test set, or measure on other pictures with --clean or --images"
            )
        if self.recipe is None:
            return outputs_only(folder, view=self.view)
        return select(clean_pictures(folder, recipe=self.recipe, seed=seed, view=self.view), limit=self.take)


_FACES = View(aligned=True, size=512)
_WHOLE = View(size=128, whole=True)
_BLIND = ("psnr", "ssim", "lpips_vgg", "niqe", "fid", "degrees")
_REAL = ("niqe", "fid")
_PROGRESSIVE = ("psnr", "ssim", "ms_ssim", "lpips_alex", "fid")  # NIQE has no value at 128 px
_LFW = "the test pictures of LFW, split by person, whole"

# fmt: off
_ALL = (
    StandardTest("celeba-test", 3000, "gfpgan", _FACES, _BLIND,
                 "CelebA-Test: clean faces of CelebA-HQ, aligned, 512 px"),
    StandardTest("lfw-test", 1711, None, _FACES, _REAL,
                 "LFW-Test: the first picture of each person, aligned, 512 px"),
    StandardTest("celebchild-test", 180, None, _FACES, _REAL, "CelebChild-Test, aligned, 512 px"),
    StandardTest("webphoto-test", 407, None, _FACES, _REAL, "WebPhoto-Test, aligned, 512 px"),
    StandardTest("celeba-1pct", 202_599, "gfpgan", View(align=256), ("fid", "lpips_vgg", "ssim"),
                 "CelebA in the wild; 2,026 of them are drawn", take=2026),
    StandardTest("progressive-16", 2650, "progressive-16", _WHOLE, _PROGRESSIVE, _LFW),
    StandardTest("progressive-128", 2650, "progressive-128", _WHOLE, _PROGRESSIVE, _LFW),
)
# fmt: on

STANDARD_TESTS: dict[str, StandardTest] = {test.name: test for test in _ALL}
