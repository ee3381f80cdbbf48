"""Many photos: which ones, where to, several at once if asked, and no failure stops the rest."""

from revisage.batch.folder import Job, Outcome, SaveOptions, plan, restore_all

__all__ = ["Job", "Outcome", "SaveOptions", "plan", "restore_all"]
