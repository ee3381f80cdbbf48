"""Many photos: which ones, where to, several at once, resumed where they were; no failure stops the rest."""

from revisage.batch.engines.threads import Watch, restore_all
from revisage.batch.jobs import Job, Location, Outcome, Reason
from revisage.batch.manifest import NAME as MANIFEST
from revisage.batch.manifest import Manifest, ManifestError, Standing
from revisage.batch.plan import locations, plan_locations, plan_photos, results_folder
from revisage.batch.settings import fingerprint, make_restorer, shared_memory
from revisage.batch.storage import destination
from revisage.options import SaveOptions

__all__ = [
    "MANIFEST", "Job", "Location", "Manifest", "ManifestError", "Outcome", "Reason",
    "SaveOptions", "Standing", "Watch", "destination", "fingerprint", "locations", "make_restorer",
    "plan_locations", "plan_photos", "restore_all", "results_folder", "shared_memory",
]  # fmt: skip
