"""A folder of random weights in the published files' layouts, for metrics that look through a network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import squeezenet1_1
from torchvision.models.vgg import cfgs, make_layers

from revisage import zoo
from revisage.files import sha256
from revisage.lab.networks.arcface import ArcFaceResNet18, new_edgeface
from revisage.lab.networks.mobilefacenet import MobileFaceNet


def alexnet_features() -> nn.Module:
    # As torchvision's; its constructor would also make the 58 million weights of the classifier.
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1),
    )


def inception() -> nn.Module:
    """torch-fidelity's network, random; its constructor wants a file of weights."""
    from torch_fidelity import feature_extractor_inceptionv3 as module

    with (
        mock.patch.object(module, "load_state_dict_from_url", return_value={}),
        mock.patch.object(module.FeatureExtractorInceptionV3, "load_state_dict"),
    ):
        return module.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])


def write(folder: Path) -> None:
    """Everything in the catalogue of the task "features" that metrics use."""
    torch.manual_seed(0)
    networks = {
        "alexnet": ("features.", alexnet_features()),
        "vgg16": ("features.", make_layers(cfgs["D"])),
        "squeezenet": ("", squeezenet1_1(weights=None)),
        "inception": ("", inception()),
        "mobilefacenet": ("", MobileFaceNet()),
        "arcface-resnet18": ("module.", ArcFaceResNet18()),
    }
    for name, (prefix, network) in networks.items():
        state = {prefix + key: value for key, value in network.state_dict().items()}
        torch.save(
            {"net_state_dict": state} if name == "mobilefacenet" else state,
            folder / zoo.CATALOGUE[name].file,
        )
    edge = {name: value.numpy() for name, value in new_edgeface().state_dict().items()}
    np.savez(folder / zoo.CATALOGUE["edgeface"].file, allow_pickle=False, **edge)
    write_niqe(folder)
    (folder / zoo.CATALOGUE["dlib-face"].file).write_bytes(b"random")


def write_niqe(folder: Path) -> None:
    """A random Gaussian in place of the pristine model."""
    rng = np.random.default_rng(0)
    spread = rng.normal(size=(36, 60))
    window = np.outer(*[np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))] * 2)
    np.savez(
        folder / zoo.CATALOGUE["niqe"].file,
        mu_pris_param=np.abs(rng.normal(size=(1, 36))),
        cov_pris_param=spread @ spread.T / 60,
        gaussian_window=window / window.sum(),
    )


def trust(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Let the catalogue expect the files of this folder."""
    for name, spec in zoo.CATALOGUE.items():
        if spec.task == "features" and (folder / spec.file).is_file():
            patch.setitem(zoo.CATALOGUE, name, replace(spec, sha256=sha256(folder / spec.file)))
