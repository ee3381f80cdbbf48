"""Many photos: which ones, where to, several at once, resumed where they were; no failure stops the rest."""

from revisage.batch.folder import plan, plan_places
from revisage.batch.jobs import Job, Outcome, Place, Reason, SaveOptions
from revisage.batch.local import Watch, restore_all
from revisage.batch.manifest import NAME as MANIFEST
from revisage.batch.manifest import Manifest, ManifestError, Standing
from revisage.batch.meter import Meter
from revisage.batch.places import place
from revisage.batch.settings import Fingerprint, fingerprint, make_restorer, shared_memory

__all__ = [
    "MANIFEST",
    "Fingerprint",
    "Job",
    "Manifest",
    "ManifestError",
    "Meter",
    "Outcome",
    "Place",
    "Reason",
    "SaveOptions",
    "Standing",
    "Watch",
    "fingerprint",
    "make_restorer",
    "place",
    "plan",
    "plan_places",
    "restore_all",
    "shared_memory",
]
