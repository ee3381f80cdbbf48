"""Checkpoints of published layouts for tests: random weights, narrow, written as their authors write them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import torch
from spandrel.architectures.GFPGAN import GFPGAN
from torch import Tensor, nn

from revisage.lab.networks.compact import Compact, CompactConfig
from revisage.lab.networks.rrdb import RRDBConfig, RRDBNet

State = dict[str, Tensor]


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """The network in evaluation mode, with no weight left at zero or at a common value."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    return network.eval().requires_grad_(False)


def narrow_gfpgan(size: int, *, width: int = 16, seed: int = 0) -> GFPGAN:
    """The clean layout with `width` features at 4 px, in place of 512."""
    torch.manual_seed(seed)
    network = GFPGAN(out_size=size, num_style_feat=16, num_mlp=2, narrow=width / 512)
    return randomised(network, seed)


def published_gfpgan(multiplier: int) -> GFPGAN:
    """The layout at its published size; `multiplier` 2 takes 350 MB."""
    torch.manual_seed(0)
    network = GFPGAN(out_size=512, channel_multiplier=multiplier).eval().requires_grad_(False)
    for name, parameter in network.named_parameters():
        if name.startswith("stylegan_decoder.style_conv") and parameter.numel() == 1:
            parameter.data.fill_(0.1)  # of the noise, which starts silent
    return network


def rrdb_state(scale: int = 4, seed: int = 0) -> State:
    torch.manual_seed(seed)
    return randomised(RRDBNet(RRDBConfig(scale, features=8, blocks=2)), seed).state_dict()


def compact_state(scale: int = 4, seed: int = 0, *, features: int = 8) -> State:
    torch.manual_seed(seed)
    return randomised(Compact(CompactConfig(features, layers=2, scale=scale)), seed).state_dict()


def save(path: Path, state: State, group: str | None = "params") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state if group is None else {group: state}, path)
    return path


def save_ncnn(path: Path, state: State, *, half: bool = True) -> Path:
    """Write a compact or RRDB state as `path`.param and .bin, as ncnn's converter does."""
    lines, data = ["7767517", "0 0", "Input in 0 1 data"], b""
    for key, value in state.items():
        name, part = key.rsplit(".", 1)
        if part == "bias":
            continue
        if value.ndim == 1:
            lines.append(f"PReLU {name} 1 1 a b 0={len(value)}")
            data += value.numpy().tobytes()
            continue
        lines.append(
            f"Convolution {name} 1 1 a b 0={len(value)} 1=3 4=1 5=1 6={value.numel()} 9=2 -23310=1,0.2"
        )
        kernel = value.half() if half else value.float()
        stored = kernel.numpy().tobytes()
        data += struct.pack("<I", 0x01306B47 if half else 0) + stored + b"\0" * (-len(stored) % 4)
        data += state[f"{name}.bias"].numpy().tobytes()
    path.with_suffix(".param").write_text("\n".join(lines) + "\n")
    path.with_suffix(".bin").write_bytes(data)
    return path.with_suffix(".param")


def save_reference(folder: Path) -> None:
    """Write what `test_published_reference.py` compares with: small checkpoints, and PyTorch's pictures."""
    folder.mkdir(exist_ok=True)
    pictures = {"input": torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))}
    face = narrow_gfpgan(16, width=8)
    networks = {
        "face": face,
        "scene-x2": randomised(RRDBNet(RRDBConfig(2, features=4, blocks=1, growth=2))),
        "compact-x4": randomised(Compact(CompactConfig(4, layers=2, scale=4))),
    }
    for name, network in networks.items():
        save(folder / f"{name}.pth", network.half().state_dict(), "params_ema")
        network.float()
        with torch.no_grad():
            if network is face:
                picture = (network(pictures["input"] * 2 - 1, randomize_noise=False)[0] / 2 + 0.5).clamp(0, 1)
            else:
                picture = network(pictures["input"])
        pictures[name] = picture
    np.savez_compressed(folder / "pictures.npz", **{name: x.numpy() for name, x in pictures.items()})


if __name__ == "__main__":
    save_reference(Path(__file__).parent / "published")
