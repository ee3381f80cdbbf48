"""Is half precision good enough for this network on this machine? Asked once, the answer is remembered.

Half precision has 8 (bf16) or 11 (fp16) bits of mantissa, and networks differ in how far that shows: some
go black. So the same picture runs through both formats, and the half one is used where nobody could see
the difference.
"""

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from revisage.errors import SaveError
from revisage.files import sha256, write_atomically
from revisage.runtime.session import Source

MAX_RMS = 2 / 255
MAX_ABS = 24 / 255


@dataclass(frozen=True)
class Difference:
    """Between two outputs of one network, in units of the larger of 1 and the output's largest number."""

    rms: float
    max_abs: float

    @property
    def invisible(self) -> bool:
        """RMS of at most 2 steps of 8 bits (42 dB) and 24 steps at any one place. False for NaN."""
        return self.rms <= MAX_RMS and self.max_abs <= MAX_ABS


def compare(half: np.ndarray, full: np.ndarray) -> Difference:
    """Difference of a half-precision output from the fp32 one, arrays of equal shape."""
    unit = max(1.0, float(np.abs(full).max()))
    with np.errstate(invalid="ignore"):  # infinities give NaN, which is never invisible
        error = (half.astype(np.float64) - full) / unit
        return Difference(rms=float(np.sqrt(np.mean(error**2))), max_abs=float(np.abs(error).max()))


def probe(height: int, width: int, channels: int = 3) -> np.ndarray:
    """A picture to try networks on: (1, channels, height, width) float32 in [0, 1], always the same.

    Smooth shading, edges, fine texture and clipped black and white, as photos have. Channels after the third
    are planes of 0.5, as a network with a strength takes one.
    """
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    u, v = x / max(width - 1, 1) - 0.5, y / max(height - 1, 1) - 0.5
    disc = (u**2 + 1.4 * v**2 < 0.09).astype(np.float32)
    bars = (np.sin(24 * u) > 0.6).astype(np.float32) * (v > 0.3)
    base = 0.45 + 0.7 * u * v + 0.3 * disc - 0.4 * bars + 0.25 * np.cos(5 * v)
    grain = np.random.default_rng(0).normal(0, 0.04, (3, height, width))
    tint = np.array([0.06, 0.0, -0.08])[:, None, None]
    picture = np.clip(base + tint + grain, 0, 1)
    return np.concatenate([picture, np.full((channels - 3, height, width), 0.5)])[None].astype(np.float32)


def fingerprint(source: Source, *facts: str) -> str:
    """Key of one verdict: of the model's bytes and of whatever else it depends on (CPU, library version)."""
    return sha256("\n".join([*facts, sha256(source)]).encode())[:32]


def recall(key: str) -> Difference | None:
    """The remembered difference; None when there is none, or it cannot be read."""
    try:
        entry = json.loads((folder() / f"{key}.json").read_text())
        return Difference(rms=float(entry["rms"]), max_abs=float(entry["max_abs"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember(key: str, difference: Difference) -> None:
    """Keep a difference for later processes; without a writable cache folder nothing is kept."""
    with contextlib.suppress(SaveError):
        write_atomically(folder() / f"{key}.json", json.dumps(asdict(difference)).encode())


def folder() -> Path:
    """Where verdicts are kept (not created)."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("revisage", appauthor=False)) / "selfcheck"
