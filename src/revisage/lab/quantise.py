"""An exported scene model in 8-bit integers: half the time of bf16 on a CPU, the same picture to the eye.

Post-training quantisation by NNCF: the range of every activation is measured on degraded pictures, weights
are scaled channel by channel, and biases are corrected (Nagel et al., *Data-Free Quantization Through Weight
Equalization and Bias Correction*, ICCV 2019). The file stays ONNX, with the contract of the one it came from.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx

from revisage.errors import ModelError, RuntimeUnavailableError, UsageError
from revisage.files import write_atomically
from revisage.lab.data.pictures import Pictures, find_pictures
from revisage.lab.degrade import RECIPES
from revisage.runtime.openvino import OpenVinoSession
from revisage.zoo import read_contract
from revisage.zoo.contract import PREFIX

SAMPLES = 120
CHECKED = 12
SIDE = 256
LEAST_DB = 45.0
"""Mean peak signal-to-noise ratio of the 8-bit model's pictures against the full one's, under which it is
refused: an error some 20 dB below what the model leaves itself."""


def quantise(model: Path, pictures: Path, out: Path) -> float:
    """Write `out`, the scene model of the file `model` in 8 bits, and return its mean PSNR in dB against it.
    `pictures` is a folder of photographs to measure ranges on; a third of the samples stays clean.

    Raises RuntimeUnavailableError without NNCF, UsageError for a model that is none of scenes, TrainingError
    for a folder without pictures, ModelError when the two differ by too much.
    """
    photos = measured_on(pictures)
    import nncf

    contract = read_contract(model)
    if contract.task != "scene":
        raise UsageError(f"only scene models are made 8-bit, {model.name} is of {contract.task}")
    channels = 3 if contract.control == "none" else 4
    samples = [_sample(photos, number, channels) for number in range(SAMPLES)]
    network = _plain(onnx.load(str(model)))
    name = network.graph.input[0].name
    dataset = nncf.Dataset([{name: sample} for sample in samples])
    mixed = nncf.QuantizationPreset.MIXED
    quantised = nncf.quantize(network, dataset, preset=mixed, subset_size=SAMPLES)
    keep_photo(quantised.graph)
    for entry in quantised.metadata_props:
        if entry.key == f"{PREFIX}name":
            entry.value = out.stem
    data = quantised.SerializeToString()
    with TemporaryDirectory() as folder:  # an older file stays where the new one is refused
        tried = Path(folder) / out.name
        tried.write_bytes(data)
        full, small = (OpenVinoSession(path, precision="fp32") for path in (model, tried))
        others = (_sample(photos, number, channels) for number in range(SAMPLES, SAMPLES + CHECKED))
        errors = [np.square(small.run(sample) - full.run(sample)).mean() for sample in others]
    ratio = float(-10 * np.log10(errors).mean())
    if ratio < LEAST_DB:
        found = f"{ratio:.1f} dB, {LEAST_DB:g} are asked"
        raise ModelError(f"in 8 bits {contract.name} differs too much: {found}; use the full one")
    write_atomically(out, data)
    return ratio


def measured_on(pictures: Path) -> Pictures:
    """The photographs to measure ranges on; raises as `quantise` does without NNCF, or without pictures."""
    if find_spec("nncf") is None:
        raise RuntimeUnavailableError("8-bit models need NNCF: pip install 'revisage[int8]'")
    return Pictures(find_pictures(pictures))


def keep_photo(graph: onnx.GraphProto) -> None:
    """Let the photo through in full, as far as no convolution is before it; convolutions read it in steps of
    1/255. NNCF's ranges, means over the samples' largest values, cut white to 0.976."""
    made = {name: node for node in graph.node for name in node.output}
    stored = {tensor.name: tensor for tensor in graph.initializer}

    @cache
    def learned(name: str) -> bool:
        node = made.get(name)
        return node is not None and (node.op_type == "Conv" or any(map(learned, node.input)))

    full = {}
    for node in graph.node:
        source = made.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        if source is not None and not learned(node.input[0]):
            full[node.output[0]] = source.input[0]
            if source.input[0] == graph.input[0].name:
                scale = np.asarray(1 / 255, np.float32)
                stored[source.input[1]].CopyFrom(onnx.numpy_helper.from_array(scale, source.input[1]))
    for node in graph.node:
        if node.op_type not in ("Conv", "Reshape"):
            node.input[:] = [full.get(name, name) for name in node.input]


def _sample(photos: Pictures, number: int, channels: int) -> np.ndarray:
    """(1, channels, SIDE or less, ...) float32 in [0, 1], sides multiples of 8."""
    rng = np.random.default_rng(number)
    picture = photos[int(rng.integers(len(photos)))].astype(np.float32) / 255
    height, width = (min(SIDE, length) // 8 * 8 for length in picture.shape[:2])
    picture = np.ascontiguousarray(picture[:height, :width])
    if number % 3:
        picture = RECIPES["taught" if number % 3 == 1 else "aged"].degraded(picture, rng)
    planes = np.full((channels - 3, height, width), rng.random(), np.float32)
    return np.concatenate([picture.transpose(2, 0, 1), planes])[None]


def _plain(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model with weights in 32 bits, as NNCF looks for them: the casts are carried out."""
    halves = {cast.output[0]: cast for cast in model.graph.node if cast.op_type == "Cast"}
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, cast in halves.items():
        tensor = stored.get(cast.input[0])
        if tensor is None:
            continue
        values = onnx.numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, name))
        model.graph.node.remove(cast)
    return model
