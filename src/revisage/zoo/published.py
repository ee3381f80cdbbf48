"""Networks that others publish, from their checkpoints to ONNX: which one it is, its sizes, its graph.

Every size is read off the names and shapes of the tensors. The networks are those of `revisage.lab.networks`,
and weights are stored by the names that they have there, so that `--init` can go on from them.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from revisage.errors import ModelCorruptError, UnknownNetworkError
from revisage.zoo import checkpoints
from revisage.zoo.contract import Contract
from revisage.zoo.graph import Graph, MisfitError, Value
from revisage.zoo.spec import Task

_PRIOR = "stylegan_decoder."
_MAX_SCALE = 8

_FIRST_RELEASE = (
    ("0", "conv_first"), (r"1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0", r"body.\1.rdb\2.conv\3"),
    (r"1\.sub\.\d+", "conv_body"), ("3", "conv_up1"), ("6", "conv_up2"), ("8", "conv_hr"),
    ("10", "conv_last"),
)  # fmt: skip


@dataclass(frozen=True)
class Published:
    """A network with its weights."""

    task: Task  #: "face" or "scene"
    size: int | None  #: side of the square picture that a face network takes; None for any size
    scale: int  #: output side over input side
    output: Value

    def onnx(self, contract: Contract, *, half: bool) -> bytes:
        """The model as a file's bytes; with `half` its weights take 16 bits."""
        return self.output.graph.onnx(self.output, self.size, contract.to_metadata(), half=half)


def read(file: Path) -> Published:
    """The network in a published checkpoint: GFP-GAN's "clean" layout (1.2, 1.3, 1.4), RRDBNet (Real-ESRGAN
    x1, x2, x4, ESRGAN x4) or SRVGGNetCompact (realesr-general-x4v3), of any width and depth.

    Raises ModelMissingError (no such file), UnknownNetworkError, ModelCorruptError (damaged or unsafe).
    """
    state = checkpoints.read(file)
    if "model.1.sub.0.RDB1.conv1.0.weight" in state:
        state = {_of_today(key): values for key, values in state.items()}
    try:
        family = next((f for f in _FAMILIES if f.mark in state), None)
        if family is None:
            raise UnknownNetworkError(f"{file}: {_unknown(state)}")
        graph = Graph(state, family.name)
        network = family.build(graph)
        graph.finish(family.unused)
    except MisfitError as error:
        raise ModelCorruptError(f"{file}: {error}") from None
    return network


def _of_today(key: str) -> str:
    """The name in RRDBNet of a tensor of ESRGAN's first release, by which many networks of others go."""
    for old, new in _FIRST_RELEASE:
        key = re.sub(rf"^model\.{old}\.", f"{new}.", key)
    return key


def _unknown(state: Mapping[str, np.ndarray]) -> str:
    known = ", ".join(family.name for family in _FAMILIES)
    first = ", ".join(repr(key) for key in list(state)[:3])
    hint = "; GFP-GAN 1.0 has custom layers: take 1.2 or later" if "conv_body_first.0.weight" in state else ""
    return f"its tensors ({first or 'none'}, ...) are of none of the known networks ({known}){hint}"


def _compact(graph: Graph) -> Published:
    """Wang et al., *Real-ESRGAN*, ICCVW 2021, and its later releases: SRVGGNetCompact."""
    x = y = graph.input()
    last = graph.count("body.{}.weight") - 1
    for i in range(0, last, 2):
        y = y.conv(f"body.{i}").prelu(f"body.{i + 1}")
    y = y.conv(f"body.{last}")
    scale = math.isqrt(y.channels // 3)
    if y.channels != 3 * scale**2 or not 1 <= scale <= _MAX_SCALE:
        raise MisfitError(f"'body.{last}.weight' gives {y.channels} channels: it writes no RGB picture")
    return Published("scene", None, scale, x.enlarge(scale) + y.shuffle(scale))


def _rrdb(graph: Graph) -> Published:
    """Wang et al., *ESRGAN*, ECCVW 2018, §3.1, and *Real-ESRGAN*, §3.2 (unshuffled input)."""
    _, (_, channels, *_) = graph.weight("conv_first.weight", (None, None, 3, 3))
    factor = math.isqrt(channels // 3)
    if channels != 3 * factor**2 or factor not in (1, 2, 4):
        raise MisfitError(f"{channels} input channels are not those of an RGB network for x1, x2 or x4")
    x = graph.input()
    first = y = (x if factor == 1 else x.unshuffle(factor)).conv("conv_first")
    for block in range(graph.count("body.{}.rdb1.conv1.weight")):
        before = y
        for dense in (f"body.{block}.rdb{i}" for i in (1, 2, 3)):
            seen = y
            for i in (1, 2, 3, 4):
                seen = seen.concat(seen.conv(f"{dense}.conv{i}").leaky_relu())
            y = y + seen.conv(f"{dense}.conv5", y.channels) * 0.2
        y = before + y * 0.2
    y = first + y.conv("conv_body", first.channels)
    for up in ("conv_up1", "conv_up2"):
        y = y.enlarge(2).conv(up).leaky_relu()
    return Published("scene", None, 4 // factor, y.conv("conv_hr").leaky_relu().conv("conv_last", 3))


def _gfpgan(graph: Graph) -> Published:
    """Wang et al., *GFP-GAN*, CVPR 2021, §3.1-3.4: a U-Net that steers a StyleGAN2 decoder."""
    steps = graph.count("conv_body_down.{}.conv2.weight")
    scales = [(graph.input() * 2.0 + -1.0).conv("conv_body_first", side=1, stored="first").leaky_relu()]
    for i in range(steps):
        scales.append(_block(scales[-1], f"conv_body_down.{i}", f"down.{i}", None))
    y = scales[-1].conv("final_conv", scales[-1].channels, stored="bottleneck").leaky_relu()
    flat = y.node("Flatten", channels=y.channels * 16)
    codes = flat.linear("final_linear", stored="codes").split(2 * (steps + 1))

    constant, shape = graph.weight(f"{_PRIOR}constant_input.weight", (1, None, 4, 4), "decoder.constant")
    drawn = _style_conv(Value(graph, constant, shape[1]), codes[0], "style_conv1", "first", 0)
    picture = _to_rgb(drawn, codes[1], "to_rgb1", 0)
    for i in range(steps):
        y = y + scales.pop()
        y = _block(y, f"conv_body_up.{i}", f"up.{i}", scales[-1].channels)
        layer, drawn = 2 * i + 1, drawn.enlarge(2, smooth=True)
        drawn = _style_conv(drawn, codes[layer], f"style_convs.{layer - 1}", f"up.{i}", layer)
        same, changed = drawn.split(2)  # channel-split spatial feature transform, eq. 4
        alpha, beta = (_condition(y, part, i, changed.channels) for part in ("scale", "shift"))
        drawn = same.concat(alpha * changed + beta)
        drawn = _style_conv(drawn, codes[layer + 1], f"style_convs.{layer}", f"flat.{i}", layer + 1)
        rgb = _to_rgb(drawn, codes[layer + 2], f"to_rgbs.{i}", i + 1)
        picture = picture.enlarge(2, smooth=True) + rgb
    output = (picture * 0.5 + 0.5).node("Clip", 0.0, 1.0)
    return Published("face", 4 * 2**steps, 1, output)


def _block(x: Value, theirs: str, ours: str, up: int | None) -> Value:
    """Two convolutions, a resampling between, one convolution beside: down, or `up` to so many channels."""

    def resample(y: Value) -> Value:
        if up is not None:
            return y.enlarge(2, smooth=True)
        # Bilinear at half the size is the mean of two by two.
        return y.node("AveragePool", attributes={"kernel_shape": [2, 2], "strides": [2, 2]})

    y = resample(x.conv(f"{theirs}.conv1", stored=f"{ours}.conv1").leaky_relu())
    y = y.conv(f"{theirs}.conv2", up, stored=f"{ours}.conv2").leaky_relu()
    return y + resample(x.conv(f"{theirs}.skip", y.channels, side=1, bias=False, stored=f"{ours}.skip"))


def _condition(x: Value, part: str, level: int, out: int) -> Value:
    theirs, ours = f"condition_{part}.{level}", f"conditions.{level}.{part}"
    y = x.conv(f"{theirs}.0", stored=f"{ours}.0").leaky_relu()
    return y.conv(f"{theirs}.2", out, stored=f"{ours}.2")


def _modulated(x: Value, code: Value, theirs: str, ours: str, *, rgb: bool) -> tuple[Value, Value, str]:
    """A convolution of features that the code scales (Karras et al., *Analyzing and Improving the Image
    Quality of StyleGAN*, CVPR 2020, §2.2); the scales; the name of the kernel."""
    side, key = 1 if rgb else 3, f"{theirs}.modulated_conv"
    wanted = (1, 3 if rgb else None, x.channels, side, side)
    axes = (-1, x.channels, side, side)  # without the one for the batch
    kernel, (_, out, *_) = x.graph.weight(f"{key}.weight", wanted, f"{ours}.conv.weight", axes)
    scales = code.linear(f"{key}.modulation", x.channels, stored=f"{ours}.conv.modulation")
    y = (x * _spread(scales)).node("Conv", kernel, channels=out, attributes={"pads": [side // 2] * 4})
    return y, scales, kernel


def _spread(x: Value) -> Value:
    """(N, C) -> (N, C, 1, 1)."""
    return x.node("Unsqueeze", x.graph.constant([2, 3]))


def _style_conv(x: Value, code: Value, theirs: str, ours: str, layer: int) -> Value:
    """Modulated and demodulated convolution, times sqrt 2, the checkpoint's noise, bias, leaky ReLU."""
    theirs, ours = _PRIOR + theirs, f"decoder.{ours}"
    y, scales, kernel = _modulated(x, code, theirs, ours, rgb=False)
    squares = Value(x.graph, kernel, x.channels).node(
        "ReduceSumSquare", x.graph.constant([2, 3]), attributes={"keepdims": 0}
    )
    # Demodulation divides by the root of this sum; half the sum makes up for the gain of sqrt 2.
    energy = (scales * scales).node(
        "Gemm", squares, 0.5e-8, channels=y.channels, attributes={"alpha": 0.5, "transB": 1}
    )
    side = 4 * 2 ** ((layer + 1) // 2)
    noise, _ = x.graph.weight(f"{_PRIOR}noises.noise{layer}", (1, 1, side, side), f"{ours}.noise")
    strength, _ = x.graph.weight(f"{theirs}.weight", (1,), f"{ours}.noise_weight")
    bias, _ = x.graph.weight(f"{theirs}.bias", (1, y.channels, 1, 1), f"{ours}.bias")
    y = y.node("Div", _spread(energy.node("Sqrt")))
    return (y + Value(x.graph, noise, 1) * strength + bias).leaky_relu()


def _to_rgb(x: Value, code: Value, theirs: str, level: int) -> Value:
    theirs, ours = _PRIOR + theirs, f"decoder.rgb.{level}"
    y, _, _ = _modulated(x, code, theirs, ours, rgb=True)
    return y + x.graph.weight(f"{theirs}.bias", (1, 3, 1, 1), f"{ours}.bias")[0]


class _Family(NamedTuple):
    """A published network: the tensor it is known by, its graph, the tensors that it does without."""

    name: str
    mark: str
    build: Callable[[Graph], Published]
    unused: tuple[str, ...]


_FAMILIES = (
    # The style MLP makes codes of random vectors, here the photo does; the U-Net's pictures serve training.
    _Family("GFP-GAN", "conv_body_first.weight", _gfpgan, (f"{_PRIOR}style_mlp.", "toRGB.")),
    _Family("RRDBNet", "body.0.rdb1.conv5.weight", _rrdb, ()),
    _Family("SRVGGNetCompact", "body.0.weight", _compact, ()),
)
