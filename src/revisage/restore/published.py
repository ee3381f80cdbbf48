"""A checkpoint that others publish becomes an ONNX model in the user's model folder."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from revisage import zoo
from revisage.errors import ModelError, ModelMissingError, UsageError
from revisage.files import publish, sha256
from revisage.runtime import open_session
from revisage.runtime.selfcheck import probe
from revisage.zoo import Contract, checkpoints, published
from revisage.zoo.store import PARTIAL

TOLERANCE = 2 / 255  #: of pictures in [0, 1]: how far weights of 16 bits may move them from those of 32

_SIDE = 64  # in pixels of the picture that a scene network is tried on


def install(file: Path, name: str | None = None) -> Path:
    """Make an ONNX model of a published checkpoint, in the user's model folder.

    A checkpoint of the catalogue, known by its sha256, becomes the catalogue's model; `name` calls it
    otherwise than the catalogue or the file does. Weights are stored in 16 bits, or in 32 where 16 would
    show. A model that was made of the same checkpoint before is left alone.

    Raises:
        UsageError: the name cannot be used or is taken.
        ModelMissingError: there is no such file, or the model folder cannot be written to.
        ModelCorruptError: the file is damaged, unsafe to read, or of no known network.
    """
    numbers = checkpoints.numbers_of(file)
    try:
        source = sha256(numbers)
    except OSError as error:
        raise ModelMissingError(f"cannot open {numbers}: {error.strerror or error}") from None
    spec = next((s for s in zoo.CATALOGUE.values() if s.checkpoint and s.sha256 == source), None)
    chosen = name or (spec.name if spec is not None else zoo.name_of(file))
    if chosen is None:
        raise UsageError(f"{file.name} gives no name for a model: give one with --as NAME")
    target = zoo.destination(chosen, source)
    if target.exists():
        if _made_of(target, source):
            return target
        if chosen not in zoo.CATALOGUE:
            raise UsageError(f"{target} exists and differs; remove it or give another name with --as NAME")
    network = published.read(file)
    version, licence = (spec.version, spec.licence) if spec is not None else ("1", "as its authors state")
    contract = Contract(chosen, network.task, network.size, network.scale, version, licence, source=source)
    try:
        partial = target.parent / PARTIAL
        partial.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=partial) as folder:
            half, full = Path(folder) / "half.onnx", Path(folder) / "full.onnx"
            for path in (half, full):
                path.write_bytes(network.onnx(contract, half=path is half))
            del network  # some hundred MiB, which the runtime needs
            got, wanted = (_picture(path, contract.size) for path in (half, full))
            # Weights may lie closer together, or further out, than 16 bits can tell.
            same = np.abs(got - wanted).max() <= TOLERANCE * max(1.0, np.abs(wanted).max())
            publish(half if same else full, target)
    except OSError as error:
        raise ModelMissingError(f"cannot write {target}: {error.strerror or error}") from None
    return target


def _made_of(model: Path, source: str) -> bool:
    try:
        return zoo.read_contract(model).source == source
    except ModelError:
        return False


def _picture(model: Path, size: int | None) -> np.ndarray:
    side = size or _SIDE
    return open_session(model, device="cpu", precision="fp32").run(probe(side, side))
