"""Whole-photo restoration: find the faces, restore each, run the scene model over the rest, paste, report."""

from revisage.faces import Face
from revisage.options import GUARD_DEGREES, MAX_OUTPUT_PIXELS, RestoreOptions, Settings
from revisage.restore.models import (
    DamageModel,
    DetectorModel,
    FaceModel,
    IdentityModel,
    InstalledModels,
    ModelSource,
    SceneModel,
    ToneModel,
)
from revisage.restore.progress import FACES_FIRST, Progress, Stage, overall
from revisage.restore.repair import Repair
from revisage.restore.report import FaceReport, document, failure
from revisage.restore.restoration import Restoration
from revisage.restore.restorer import Restorer
from revisage.restore.result import Result

__all__ = [
    "FACES_FIRST", "GUARD_DEGREES", "MAX_OUTPUT_PIXELS", "DamageModel", "DetectorModel", "Face", "FaceModel",
    "FaceReport", "IdentityModel", "InstalledModels", "ModelSource", "Progress", "Repair", "Restoration",
    "RestoreOptions", "Restorer", "Result", "SceneModel", "Settings", "Stage", "ToneModel", "document",
    "failure", "overall",
]  # fmt: skip
