"""Is half precision good enough for this network on this machine? Asked once, the answer is remembered.

Networks differ in how far 8 (bf16) or 11 (fp16) bits of mantissa show, and some go black: the same picture
runs through both formats, and the half one is used where nobody could see the difference.
"""

import contextlib
from pathlib import Path

import numpy as np

from revisage.errors import SaveError
from revisage.files import sha256, write_atomically
from revisage.runtime.session import Source

MAX_RMS = 2 / 255
MAX_ABS = 24 / 255


def look_alike(half: np.ndarray, full: np.ndarray) -> bool:
    """Whether a half-precision output differs invisibly from the fp32 one, arrays of equal shape: by an RMS
    of at most 2 steps of 8 bits (42 dB) and 24 steps at any one place, a step being in units of the larger of
    1 and the output's largest number."""
    unit = max(1.0, float(np.abs(full).max()))
    with np.errstate(invalid="ignore"):  # infinities give NaN, which is never alike
        error = (half.astype(np.float64) - full) / unit
        return bool(np.sqrt(np.mean(error**2)) <= MAX_RMS and np.abs(error).max() <= MAX_ABS)


def probe(height: int, width: int, channels: int = 3) -> np.ndarray:
    """A picture to try networks on: (1, channels, height, width) float32 in [0, 1], always the same, with
    shading, edges, fine texture and clipped black and white. Channels after the third are planes of 0.5."""
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
    return sha256("\n".join([*facts, f"{MAX_RMS} {MAX_ABS}", sha256(source)]).encode())[:32]


def recall(key: str) -> bool | None:
    """The remembered verdict; None when there is none, or it cannot be read."""
    with contextlib.suppress(OSError):
        return {b"true": True, b"false": False}.get((folder() / f"{key}.json").read_bytes())
    return None


def remember(key: str, alike: bool) -> None:
    """Keep a verdict for later processes; without a writable cache folder nothing is kept."""
    with contextlib.suppress(SaveError):
        write_atomically(folder() / f"{key}.json", b"true" if alike else b"false")


def folder() -> Path:
    """Where verdicts are kept (not created)."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("revisage", appauthor=False)) / "selfcheck"
