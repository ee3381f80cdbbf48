"""Which people are held out: decided by a hash of the name, so that every run and every machine agrees."""

from __future__ import annotations

import hashlib

HELD_OUT_SHARE = 0.05


def held_out(name: str, share: float = HELD_OUT_SHARE) -> bool:
    """Whether a person (LFW: the person's name) or a picture (its file stem) is kept from training.

    The name is hashed with SHA-256 and its first 8 bytes are read as a fraction of 1: under `share`
    means held out. Adding or removing pictures never moves another one across the split.
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"share must be between 0 and 1, got {share}")
    digest = hashlib.sha256(name.encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < share
