"""Many photos: which ones, where to, and one after another or several at once, with no failure stopping the rest."""

from revisage.batch.folder import Job, Outcome, SaveOptions, plan, restore_all

__all__ = ["Job", "Outcome", "SaveOptions", "plan", "restore_all"]
