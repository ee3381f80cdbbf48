"""The models: what is known of each, where its weights are, how they get here."""

from revisage.zoo.catalogue import CATALOGUE
from revisage.zoo.contract import Contract, read_contract, read_metadata
from revisage.zoo.fetch import pull
from revisage.zoo.mix import Mixture, mixture
from revisage.zoo.spec import Model, ModelSpec, name_of
from revisage.zoo.store import destination, get, ignored, import_model, installed, resolve, user_folder

__all__ = [
    "CATALOGUE", "Contract", "Mixture", "Model", "ModelSpec", "destination", "get", "ignored",
    "import_model", "installed", "mixture", "name_of", "pull", "read_contract", "read_metadata", "resolve",
    "user_folder",
]  # fmt: skip
