"""CITATION.cff says what the package says."""

from __future__ import annotations

import re
from pathlib import Path

from revisage.version import __version__

ROOT = Path(__file__).resolve().parents[1]


def test_version_and_licence_are_the_packages() -> None:
    said = dict(re.findall(r"^([\w-]+): (.+)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.M))
    assert said["cff-version"] == "1.2.0"
    assert said["version"] == __version__
    assert f'license = "{said["license"]}"' in (ROOT / "pyproject.toml").read_text("utf-8")
