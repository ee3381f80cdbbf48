"""The test sets of the literature, with the settings that their tables are made with.

Nobody may pass these pictures on, so each test takes the user's own copy and checks how many there are.
"""

from dataclasses import dataclass
from pathlib import Path

from revisage.errors import UsageError
from revisage.lab.evaluate.data import Data, View, clean_pictures, find_pictures, outputs_only, select


@dataclass(frozen=True)
class StandardTest:
    """One test.

    Attributes:
        name: as given to --test.
        count: pictures that the user's copy must have.
        recipe: how clean pictures are degraded; None for pictures that are degraded by themselves and have no
            truth.
        view: size and alignment.
        metrics: those of the published tables.
        about: what pictures are wanted.
        take: how many of the pictures are measured; None for all.
    """

    name: str
    count: int
    recipe: str | None
    view: View
    metrics: tuple[str, ...]
    about: str
    take: int | None = None

    def data(self, folder: Path, *, seed: int = 0) -> Data:
        """The test on the user's copy. Raises UsageError when that has another number of pictures."""
        found = len(find_pictures(folder))
        if found != self.count:
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

_ALL = (
    StandardTest(
        "celeba-test",
        3000,
        "gfpgan",
        _FACES,
        _BLIND,
        "CelebA-Test: clean faces of CelebA-HQ, aligned, 512 px",
    ),
    StandardTest(
        "lfw-test", 1711, None, _FACES, _REAL, "LFW-Test: the first picture of each person, aligned, 512 px"
    ),
    StandardTest("celebchild-test", 180, None, _FACES, _REAL, "CelebChild-Test, aligned, 512 px"),
    StandardTest("webphoto-test", 407, None, _FACES, _REAL, "WebPhoto-Test, aligned, 512 px"),
    StandardTest(
        "celeba-1pct",
        202_599,
        "gfpgan",
        View(align=256),
        ("fid", "lpips_vgg", "ssim"),
        "CelebA in the wild; 2,026 of them are drawn",
        take=2026,
    ),
    StandardTest("progressive-16", 2650, "progressive-16", _WHOLE, _PROGRESSIVE, _LFW),
    StandardTest("progressive-128", 2650, "progressive-128", _WHOLE, _PROGRESSIVE, _LFW),
)

STANDARD_TESTS: dict[str, StandardTest] = {test.name: test for test in _ALL}
