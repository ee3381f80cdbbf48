"""The models: what is known of each, where its weights are, how they get here."""

from revisage.zoo.catalogue import CATALOGUE
from revisage.zoo.contract import Contract, read_contract, read_metadata
from revisage.zoo.fetch import Progress, pull
from revisage.zoo.mix import Mixture, mixture
from revisage.zoo.spec import TASKS, Model, ModelSpec, Task
from revisage.zoo.store import (
    destination,
    find,
    folders,
    get,
    ignored,
    import_model,
    installed,
    name_of,
    resolve,
    unknown,
    user_folder,
)

__all__ = [
    "CATALOGUE", "TASKS", "Contract", "Mixture", "Model", "ModelSpec", "Progress", "Task",
    "destination", "find", "folders", "get", "ignored", "import_model", "installed", "mixture", "name_of",
    "pull", "read_contract", "read_metadata", "resolve", "unknown", "user_folder",
]  # fmt: skip
