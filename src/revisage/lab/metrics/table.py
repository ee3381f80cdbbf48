"""The table of metrics: each one's definition and how it is made of its weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from revisage.errors import UsageError
from revisage.files import sha256
from revisage.lab.metrics import frechet, kid
from revisage.lab.metrics.degrees import degrees
from revisage.lab.metrics.embedders import EMBEDDERS, Embedder
from revisage.lab.metrics.fid import open_inception
from revisage.lab.metrics.landmarks import landmarks
from revisage.lab.metrics.lpips import Backbone, linear_layers, open_features, open_lpips
from revisage.lab.metrics.ms_ssim import ms_ssim
from revisage.lab.metrics.niqe import LEAST, niqe, read_pristine
from revisage.lab.metrics.psnr import psnr
from revisage.lab.metrics.running import OfSets, PerPicture
from revisage.lab.metrics.spec import Metric, MetricSpec
from revisage.lab.metrics.ssim import WINDOW, ssim
from revisage.lab.metrics.weights import locate

FindLandmarks = Callable[[Tensor], Tensor]
"""(N, 3, H, W) RGB in [0, 1] -> (N, 5, 2) as (x, y), eyes first; NaN where there is no face."""


@dataclass(frozen=True)
class Sources:
    """What metrics need from outside.

    Attributes:
        folder: of weights, looked in before the zoo's; None for the zoo's alone.
        find_landmarks: for the metric "landmarks"; this room knows no face detector.
    """

    folder: Path | None = None
    find_landmarks: FindLandmarks | None = None


@dataclass(frozen=True)
class Entry:
    """A metric's definition, and what makes one from the files of its weights."""

    spec: MetricSpec
    make: Callable[[MetricSpec, dict[str, Path], Sources], Metric]


def load(names: Sequence[str], sources: Sources = Sources()) -> list[Metric]:
    """The metrics of these names, in this order, their weights loaded and hashed.

    Raises:
        UsageError: no metric of that name, or "landmarks" without `find_landmarks`.
        ModelMissingError: weights are not on this machine; says which and how to get them.
        ModelCorruptError: weights are not what they should be.
        RuntimeUnavailableError: a library is missing; says which.
    """
    unknown = [name for name in names if name not in METRICS]
    if unknown:
        raise UsageError(f"no metric is called {', '.join(unknown)}; there are {', '.join(METRICS)}")
    loaded = []
    for name in names:
        entry = METRICS[name]
        files = {weights: locate(weights, name, sources.folder) for weights in entry.spec.weights}
        loaded.append(entry.make(entry.spec, files, sources))
    return loaded


def _hashes(files: dict[str, Path]) -> dict[str, str]:
    return {name: sha256(path) for name, path in files.items()}


def _pair(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Metric]:
    def make(spec: MetricSpec, files: dict[str, Path], sources: Sources) -> Metric:
        return PerPicture(spec, function, _hashes(files))

    return make


def _niqe(spec: MetricSpec, files: dict[str, Path], sources: Sources) -> Metric:
    model = read_pristine(files["niqe"])
    return PerPicture(spec, lambda restored: niqe(restored, model), _hashes(files))


def _lpips(net: Backbone) -> Callable[..., Metric]:
    def make(spec: MetricSpec, files: dict[str, Path], sources: Sources) -> Metric:
        (path,) = files.values()
        hashes = _hashes({**files, f"lpips-{net}": linear_layers(net)})
        return PerPicture(spec, open_lpips(net, path), hashes)

    return make


def _embedder(files: dict[str, Path]) -> Embedder:
    ((name, path),) = files.items()
    return EMBEDDERS[name](path)


def _degrees(spec: MetricSpec, files: dict[str, Path], sources: Sources) -> Metric:
    embed = _embedder(files)

    def angle(restored: Tensor, truth: Tensor) -> Tensor:
        return degrees(embed(restored), embed(truth))

    return PerPicture(spec, angle, _hashes(files))


def _frechet_identity(spec: MetricSpec, files: dict[str, Path], sources: Sources) -> Metric:
    embed = _embedder(files)

    def unit(pictures: Tensor) -> Tensor:
        return torch.nn.functional.normalize(embed(pictures).double())

    return OfSets(spec, unit, frechet.Gaussian, frechet.distance, _hashes(files))


def _frechet_squeezenet(spec: MetricSpec, files: dict[str, Path], sources: Sources) -> Metric:
    features = open_features("squeeze", files["squeezenet"])
    return OfSets(spec, features, frechet.Gaussian, frechet.distance, _hashes(files))


def _fid(spec: MetricSpec, files: dict[str, Path], sources: Sources) -> Metric:
    features = open_inception(files["inception"])
    return OfSets(spec, features, frechet.Gaussian, frechet.distance, _hashes(files))


def _kid(spec: MetricSpec, files: dict[str, Path], sources: Sources) -> Metric:
    features = open_inception(files["inception"])
    return OfSets(spec, features, kid.Reservoir, kid.distance, _hashes(files))


def _landmarks(spec: MetricSpec, files: dict[str, Path], sources: Sources) -> Metric:
    find = sources.find_landmarks
    if find is None:
        raise UsageError("the metric landmarks needs a face finder, and none was given")
    return PerPicture(spec, lambda restored, truth: landmarks(find(restored), find(truth)), {})


_RGB = MetricSpec(
    name="",
    kind="pair",
    better="higher",
    data_range="[0, 1]",
    colour="RGB, mean over the channels",
    crop="none",
    source="",
)
_ARCFACE_CROP = "96x112 px on ArcFace's template, from a face on the FFHQ template"
_FACE = replace(_RGB, better="lower", colour="RGB", least=64)
_LPIPS = replace(
    _RGB,
    better="lower",
    data_range="[-1, 1]",
    colour="RGB",
    least=32,
    source="Zhang et al., CVPR 2018; version 0.1, linear layers of torchmetrics, pictures at their own size",
)
_DEGREES = replace(_FACE, unit="degrees", source="angle between embeddings, Deg of Wang et al., CVPR 2021")
_INCEPTION = replace(
    _RGB,
    kind="set",
    better="lower",
    data_range="0 to 255, rounded",
    colour="RGB",
    crop="none, resized to 299 px as in TensorFlow 1",
    weights=("inception",),
)

_ENTRIES = (
    Entry(
        replace(_RGB, name="psnr", unit="dB", source="10 log10(1 / MSE), MSE over pixels and channels"),
        _pair(psnr),
    ),
    Entry(
        replace(
            _RGB,
            name="ssim",
            least=WINDOW,
            source="Wang et al., 2004; Gaussian window 11x11, sigma 1.5, no padding",
        ),
        _pair(ssim),
    ),
    Entry(
        replace(
            _RGB,
            name="ms_ssim",
            least=WINDOW,
            source="Wang et al., 2003; 5 scales, fewer under 176 px, the weights scaled to the same sum",
        ),
        _pair(ms_ssim),
    ),
    Entry(
        replace(
            _RGB,
            name="niqe",
            kind="alone",
            better="lower",
            data_range="0 to 255, rounded",
            colour="luma of ITU-R BT.601",
            crop="the 96x96 blocks that fit, from the top left",
            least=LEAST,
            weights=("niqe",),
            source="Mittal et al., 2013, as the authors' published code",
        ),
        _niqe,
    ),
    Entry(replace(_LPIPS, name="lpips_alex", weights=("alexnet",)), _lpips("alex")),
    Entry(replace(_LPIPS, name="lpips_vgg", weights=("vgg16",)), _lpips("vgg")),
    Entry(replace(_LPIPS, name="lpips_squeeze", weights=("squeezenet",)), _lpips("squeeze")),
    Entry(
        replace(_INCEPTION, name="fid", source="Heusel et al., NeurIPS 2017; covariances divided by n - 1"),
        _fid,
    ),
    Entry(
        replace(
            _INCEPTION,
            name="kid",
            source="Bińkowski et al., ICLR 2018; unbiased; over 1,000 pictures 100 random subsets, seed 0",
        ),
        _kid,
    ),
    Entry(
        replace(_DEGREES, name="degrees", crop=_ARCFACE_CROP, weights=("mobilefacenet",)),
        _degrees,
    ),
    Entry(
        replace(
            _DEGREES,
            name="degrees_edgeface",
            crop=_ARCFACE_CROP.replace("96x112", "112x112"),
            weights=("edgeface",),
        ),
        _degrees,
    ),
    Entry(
        replace(
            _DEGREES,
            name="degrees_arcface",
            colour="luma of ITU-R BT.601",
            crop="128x128 px, the whole of a face on the FFHQ template",
            weights=("arcface-resnet18",),
        ),
        _degrees,
    ),
    Entry(
        replace(
            _DEGREES,
            name="degrees_dlib",
            data_range="0 to 255, rounded",
            crop="150x150 px as dlib aligns a chip, from a face on the FFHQ template",
            weights=("dlib-face",),
        ),
        _degrees,
    ),
    Entry(
        replace(
            _RGB,
            name="landmarks",
            better="lower",
            unit="% of the distance of the eyes",
            colour="RGB",
            source="normalised mean error of five landmarks; no value where no face is found",
        ),
        _landmarks,
    ),
    Entry(
        replace(
            _FACE,
            name="frechet_identity",
            kind="set",
            crop=_ARCFACE_CROP,
            weights=("mobilefacenet",),
            source="Fréchet distance (Heusel et al., NeurIPS 2017) between embeddings of length 1",
        ),
        _frechet_identity,
    ),
    Entry(
        replace(
            _RGB,
            name="frechet_squeezenet",
            kind="set",
            better="lower",
            colour="RGB",
            data_range="[-1, 1]",
            least=32,
            weights=("squeezenet",),
            source="Fréchet distance (Heusel et al., NeurIPS 2017) between means of SqueezeNet 1.1's last "
            "features: no FID, which looks through Inception",
        ),
        _frechet_squeezenet,
    ),
)

METRICS: dict[str, Entry] = {entry.spec.name: entry for entry in _ENTRIES}
