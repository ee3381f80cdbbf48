"""The table of metrics: each one's definition and how it is opened."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from revisage.errors import UsageError
from revisage.files import sha256
from revisage.lab.metrics.degrees import degrees
from revisage.lab.metrics.embedders import EMBEDDERS
from revisage.lab.metrics.frechet import Gaussian, open_inception
from revisage.lab.metrics.kid import Reservoir
from revisage.lab.metrics.landmarks import landmarks
from revisage.lab.metrics.lpips import Backbone, linear_layers, open_features, open_lpips
from revisage.lab.metrics.metric import Gathered, Metric, MetricSpec
from revisage.lab.metrics.ms_ssim import ms_ssim
from revisage.lab.metrics.niqe import LEAST, niqe, read_pristine
from revisage.lab.metrics.psnr import psnr
from revisage.lab.metrics.ssim import WINDOW, ssim
from revisage.lab.metrics.weights import locate

FindLandmarks = Callable[[Tensor], Tensor]
"""(N, 3, H, W) RGB in [0, 1] -> (N, 5, 2) as (x, y), eyes first; NaN where there is no face."""


@dataclass(frozen=True)
class Entry:
    """A metric's definition, and what opens it."""

    spec: MetricSpec
    """The definition."""
    open: Callable[[dict[str, Path], FindLandmarks | None], Callable[..., Tensor]]
    """(files of its weights by name, what finds landmarks) -> `Metric.function`. It may add to the files."""
    gather: Callable[[], Gathered] = Gaussian
    """See `Metric.gather`."""


def load(
    names: Sequence[str], folder: Path | None = None, find_landmarks: FindLandmarks | None = None
) -> list[Metric]:
    """The metrics of these names, in this order, their weights loaded and hashed: looked for in `folder`
    before the zoo's. `find_landmarks` is for "landmarks".

    Raises UsageError (no metric of that name, or "landmarks" without `find_landmarks`), ModelMissingError and
    ModelCorruptError (weights), RuntimeUnavailableError (a library is missing; says which).
    """
    unknown = [name for name in names if name not in METRICS]
    if unknown:
        raise UsageError(f"no metric is called {', '.join(unknown)}; there are {', '.join(METRICS)}")
    loaded = []
    for name in names:
        entry = METRICS[name]
        files = {weights: locate(weights, name, folder) for weights in entry.spec.weights}
        function = entry.open(files, find_landmarks)
        hashes = {weights: sha256(path) for weights, path in files.items()}
        loaded.append(Metric(entry.spec, hashes, function, entry.gather))
    return loaded


def _lpips(net: Backbone, files: dict[str, Path], _: FindLandmarks | None) -> Callable[..., Tensor]:
    (path,) = files.values()
    files[f"lpips-{net}"] = linear_layers(net)
    return open_lpips(net, path)


def _degrees(files: dict[str, Path], _: FindLandmarks | None) -> Callable[..., Tensor]:
    ((name, path),) = files.items()
    embed = EMBEDDERS[name](path)
    return lambda restored, truth: degrees(embed(restored), embed(truth))


def _landmarks(_: dict[str, Path], find: FindLandmarks | None) -> Callable[..., Tensor]:
    if find is None:
        raise UsageError("the metric landmarks needs a face finder, and none was given")
    return lambda restored, truth: landmarks(find(restored), find(truth))


def _unit_embeddings(files: dict[str, Path], _: FindLandmarks | None) -> Callable[..., Tensor]:
    embed = EMBEDDERS["mobilefacenet"](files["mobilefacenet"])
    return lambda pictures: F.normalize(embed(pictures).double())


# fmt: off
_RGB = MetricSpec(name="", kind="pair", better="higher", data_range="[0, 1]",
                  colour="RGB, mean over the channels", crop="none", source="")
_LOWER = replace(_RGB, better="lower", colour="RGB")
_LPIPS = replace(
    _LOWER, data_range="[-1, 1]", least=32,
    source="Zhang et al., CVPR 2018; version 0.1, linear layers of torchmetrics, pictures at their own size")
_ARCFACE_CROP = "96x112 px on ArcFace's template, from a face on the FFHQ template"
_DEGREES = replace(_LOWER, least=64, unit="degrees",
                   source="angle between embeddings, Deg of Wang et al., CVPR 2021")
_INCEPTION = replace(_LOWER, kind="set", data_range="0 to 255, rounded", weights=("inception",),
                     crop="none, resized to 299 px as in TensorFlow 1")
_ENTRIES = (
    Entry(replace(_RGB, name="psnr", unit="dB", source="10 log10(1 / MSE), MSE over pixels and channels"),
          lambda *_: psnr),
    Entry(replace(_RGB, name="ssim", least=WINDOW,
                  source="Wang et al., 2004; Gaussian window 11x11, sigma 1.5, no padding"),
          lambda *_: ssim),
    Entry(replace(_RGB, name="ms_ssim", least=WINDOW,
                  source="Wang et al., 2003; 5 scales, fewer under 176 px, weights scaled to the same sum"),
          lambda *_: ms_ssim),
    Entry(replace(_LOWER, name="niqe", kind="alone", least=LEAST, weights=("niqe",),
                  data_range="0 to 255, rounded", colour="luma of ITU-R BT.601",
                  crop="the 96x96 blocks that fit, from the top left",
                  source="Mittal et al., 2013, as the authors' published code"),
          lambda files, _: partial(niqe, model=read_pristine(files["niqe"]))),
    Entry(replace(_LPIPS, name="lpips_alex", weights=("alexnet",)), partial(_lpips, "alex")),
    Entry(replace(_LPIPS, name="lpips_vgg", weights=("vgg16",)), partial(_lpips, "vgg")),
    Entry(replace(_LPIPS, name="lpips_squeeze", weights=("squeezenet",)), partial(_lpips, "squeeze")),
    Entry(replace(_INCEPTION, name="fid", source="Heusel et al., NeurIPS 2017; covariances divided by n - 1"),
          lambda files, _: open_inception(files["inception"])),
    Entry(replace(_INCEPTION, name="kid", source="Bińkowski et al., ICLR 2018; unbiased; over 1,000 pictures "
                                                 "100 random subsets, seed 0"),
          lambda files, _: open_inception(files["inception"]), Reservoir),
    Entry(replace(_DEGREES, name="degrees", weights=("mobilefacenet",), crop=_ARCFACE_CROP), _degrees),
    Entry(replace(_DEGREES, name="degrees_edgeface", weights=("edgeface",),
                  crop=_ARCFACE_CROP.replace("96x112", "112x112")),
          _degrees),
    Entry(replace(_DEGREES, name="degrees_arcface", weights=("arcface-resnet18",),
                  colour="luma of ITU-R BT.601",
                  crop="128x128 px, the whole of a face on the FFHQ template"),
          _degrees),
    Entry(replace(_DEGREES, name="degrees_dlib", weights=("dlib-face",), data_range="0 to 255, rounded",
                  crop="150x150 px as dlib aligns a chip, from a face on the FFHQ template"),
          _degrees),
    Entry(replace(_LOWER, name="landmarks", unit="% of the distance of the eyes",
                  source="normalised mean error of five landmarks; no value where no face is found"),
          _landmarks),
    Entry(replace(_LOWER, name="frechet_identity", kind="set", least=64, weights=("mobilefacenet",),
                  crop=_ARCFACE_CROP,
                  source="Fréchet distance (Heusel et al., NeurIPS 2017) between embeddings of length 1"),
          _unit_embeddings),
    Entry(replace(_LOWER, name="frechet_squeezenet", kind="set", least=32, weights=("squeezenet",),
                  data_range="[-1, 1]",
                  source="Fréchet distance (Heusel et al., NeurIPS 2017) between means of SqueezeNet 1.1's "
                         "last features: no FID, which looks through Inception"),
          lambda files, _: open_features("squeeze", files["squeezenet"])),
)
# fmt: on

METRICS: dict[str, Entry] = {entry.spec.name: entry for entry in _ENTRIES}
